"""InFeR: initial feature regularization."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import (
    check_finite,
    check_fits_in_memory,
    check_non_negative,
    check_one_of,
    check_positive_integer,
)
from tfplastic._keras import keras, tf_variable
from tfplastic.diagnostics.reading.model_layers import is_kernel
from tfplastic.diagnostics.reading.output_layers import kernel_layers, output_layers
from tfplastic.mitigations._weights.starts import Starts
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.mitigation import Mitigation
from tfplastic.networks.parts import initializers_of

INITIALIZERS = ("lecun_normal", "pytorch")
"""Names of the distributions of the first heads."""


@gin.register(module="tfplastic.mitigations")
class InFeR(Mitigation):
    """Penalty that keeps random linear functions of the features at what they were in the first network.

    Rule: coefficient * the mean over batch and heads of (g_i(x; theta) - scale * g_i(x; theta_0))^2. Each g_i
        is a linear head with a bias and one output, on the inputs of the last layer with a kernel; theta_0 is
        a frozen copy of the network and of the heads. The optimizer trains the heads (`trainable_variables`),
        whose only gradient is the penalty's.
    Defaults: coefficient 0.1, scale 100 and 10 heads of the paper. The port has 0.05 and 175.
    Source: Lyle et al. 2022, "Understanding and preventing capacity loss in reinforcement learning"; the
        port timoklein/infer.
    Departures: heads start as Haiku's linear layers do, LeCun's truncated normal and biases of 0; in the port
        as PyTorch's (`initializer='pytorch'`). The frozen network is a copy of the trained weights alone: it
        is called at inference, with the present statistics of batch normalization.

    Args:
        coefficient: factor of the mean, at least 0; 0 adds nothing, and no heads.
        scale: factor of the first network's heads; beta in the paper.
        num_heads: number of heads.
        initializer: distribution of the heads' first weights, `'lecun_normal'` or `'pytorch'`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> infer, model = tp.mitigations.InFeR(num_heads=3), tp.networks.mlp(1, (4,), input_shape=(2,))
        >>> infer.make_trainable(model, seed=0)
        >>> [tuple(each.shape) for each in infer.trainable_variables]
        [(4, 3), (3,)]
    """

    reads = ("batch", "features")
    turn = 100

    def __init__(
        self,
        coefficient: float = 0.1,
        scale: float = 100.0,
        num_heads: int = 10,
        initializer: str = "lecun_normal",
    ):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._scale = check_finite("scale", scale)
        self._num_heads = check_positive_integer("num_heads", num_heads)
        check_fits_in_memory("num_heads", num_heads, 8 * self._num_heads)
        self._initializer = check_one_of("initializer", initializer, INITIALIZERS)
        self._heads: Any = None
        self._starts = Starts([])
        self._first_heads: list[tf.Variable] = []

    def make_trainable(self, model: Any, seed: int) -> None:
        """Makes the heads.

        Raises:
            ValueError: the model does not end with a dense layer.
        """
        if self._coefficient == 0:
            return
        size = num_features(model)
        weights = initializers_of(self._initializer, seed, "infer_heads", size)
        self._heads = keras.layers.Dense(self._num_heads, name="infer_heads", dtype="float32", **weights)
        self._heads(tf.zeros([1, size]))  # builds it, with its name in those of its weights

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Copies the network and the heads."""
        if self._heads is not None:
            self._starts = Starts(trainable_weights(model))
            heads = [tf_variable(each) for each in self._heads.trainable_variables]
            self._first_heads = [tf.Variable(each, trainable=False) for each in heads]

    @property
    def trainable_variables(self) -> Sequence[Any]:
        """Kernel and bias of all heads side by side."""
        return () if self._heads is None else tuple(self._heads.trainable_variables)

    def penalty(self, variables: Sequence[Any], context: Any) -> tf.Tensor:
        if self._heads is None:
            return tf.zeros([])
        first_features = context.features_on(context.batch, self._starts.values())
        kernel, bias = (tf.convert_to_tensor(each) for each in self._first_heads)
        targets = self._scale * (_check_size(first_features, kernel.shape[0]) @ kernel + bias)
        values = self._heads(_check_size(context.features, kernel.shape[0]))  # [batch, heads]
        return self._coefficient * tf.reduce_mean(tf.square(values - tf.stop_gradient(targets)))

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The heads, and the copies of network and heads."""
        if self._heads is None:
            return {}
        names = ("kernel", "bias")
        heads = {
            f"heads/{name}": tf_variable(each)
            for name, each in zip(names, self.trainable_variables, strict=True)
        }
        first = {f"first_heads/{name}": each for name, each in zip(names, self._first_heads, strict=True)}
        return {**heads, **first, **self._starts.state}


def num_features(model: Any) -> int:
    """Returns the number of inputs of the last layer with a kernel, or of all output layers side by side.

    Args:
        model: a Keras model, built.

    Raises:
        ValueError: no layer has a kernel, or the last one's is not a matrix.
    """
    outputs = output_layers(model, kernel_layers(model))
    kernels = [next(each.shape for each in layer.weights if is_kernel(each)) for layer in outputs]
    if not kernels or len(kernels[-1]) != 2:
        received = (
            f"a kernel of shape {tuple(kernels[-1])}" if kernels else f"{model.name!r}, which has no kernel"
        )
        rule = "must end with a dense layer on the features"
        action = "Add a dense output layer, or leave InFeR out"
        raise ValueError(f"`model` {rule}. Received: {received}. {action}")
    return sum(int(each[0]) for each in kernels)


def _check_size(features: tf.Tensor, size: int) -> tf.Tensor:
    if features.shape[-1] != size:
        rule = f"must have one vector of {size} features for each example"
        received = f"{features.shape[-1]} features. Flatten or pool them before that layer"
        raise ValueError(f"`model` {rule} before its last layer. Received: {received}")
    return tf.cast(features, tf.float32)
