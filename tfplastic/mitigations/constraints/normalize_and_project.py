"""Normalize-and-Project: weights of constant norm."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_fraction, check_one_of
from tfplastic._keras import tf_variable
from tfplastic.diagnostics.reading.model_layers import named_layers, owns_kernel
from tfplastic.diagnostics.reading.output_layers import kernel_layers, output_layers
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations._weights.starts import Starts
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period

_NOISE = "kernel_scale", "bias_scale"  # of a `NoisyDense` layer


@gin.register(module="tfplastic.mitigations")
class NormalizeAndProject(Mitigation):
    """Projection of each hidden weight matrix to the Frobenius norm that it starts with.

    It is half of the method. The other half is in the network: a layer or RMS norm before every nonlinearity,
    as in `networks.mlp(norm='layer')`, so that the norm of a matrix has no effect on the outputs. Weights no
    longer grow, so the effective step size no longer falls: a schedule of the learning rate is part of the
    method too.

    Rule: after each update, W <- W rho / ||W||_F of each kernel but those of the last layer, with rho its
        initial norm; scales of noise in the same layer (`NoisyDense`) times rho / ||W||_F too, so that noise
        keeps its size relative to the weights; hidden biases <- 0; gain s and offset b of each norm <- (s, b)
        rho / ||(s, b)|| (`'project'`) or (s, b) + decay_rate ((s_0, b_0) - (s, b)) (`'decay'`). Optimizer
        slots stay.
    Defaults: projection after every update, as in the paper, where projection after every 1,000 works about
        as well.
    Source: Lyle et al. 2024, "Normalization and effective learning rates in reinforcement learning".
    Departures: the paper removes biases, which equals biases that start at 0 and stay there; the bias of the
        last layer stays, as does that of a layer after it, such as `SharedBias`. The paper's rate of decay is
        not known, so `decay_rate` has no default. Plasticine projects the last layer too, every 10,000
        environment steps, in networks without norms.
    Outputs: the projection of a kernel keeps them where a norm follows each hidden layer, up to the norm's
        epsilon. Biases of 0 and projected gains and offsets may change them.

    Args:
        period: see `Mitigation`. 1, after every update, in the paper.
        norms: `'project'`, `'decay'` or `'keep'`: rule for gains and offsets of norms.
        decay_rate: in [0, 1], share of the way to the initial values, with `norms='decay'` only.
        zero_biases: whether biases of hidden layers are set to 0.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> project = tp.mitigations.NormalizeAndProject()
        >>> model = tp.networks.mlp(1, (2,), input_shape=(2,))
        >>> _ = model.layers[0].kernel.assign(3 * np.eye(2))  # of norm sqrt(18)
        >>> project.build(model, optimizer=None, seed=0)
        >>> _ = model.layers[0].kernel.assign([[0.0, 1.0], [1.0, 0.0]])
        >>> project.after_update(1, model, slots=None, key=None)
        >>> model.layers[0].kernel.numpy().round(4).tolist()
        [[0.0, 3.0], [3.0, 0.0]]
    """

    turn = 350  # after other changes of weights

    def __init__(
        self,
        period: int | None = 1,
        norms: str = "project",
        decay_rate: float | None = None,
        zero_biases: bool = True,
    ):
        self.period = check_period(period)
        self._norms = check_one_of("norms", norms, ("project", "decay", "keep"))
        if (decay_rate is None) == (norms == "decay"):
            rule = "must be a number in [0, 1] with norms='decay', and None otherwise"
            raise ValueError(f"`decay_rate` {rule}. Received: {decay_rate!r}")
        self._decay_rate = None if decay_rate is None else check_fraction("decay_rate", decay_rate)
        self._zero_biases = check_boolean("zero_biases", zero_biases)
        self._projected: list[list[Weight]] = []
        self._scales: list[list[Weight]] = []
        self._rhos: list[tf.Variable] = []
        self._decayed: list[Weight] = []
        self._starts = Starts([])

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Computes the norms of the initial weights.

        Raises:
            ValueError: no layer with a kernel precedes the last one.
        """
        weights = trainable_weights(model)
        kernels = [each for each in weights if each.is_kernel]
        outputs = {id(each) for each in output_layers(model, kernel_layers(model))}
        hidden = [each for each in kernels if id(each.layer) not in outputs]
        if not hidden:
            rule = "must have a layer with a kernel before its last one"
            action = "Add a hidden layer, or leave the method out"
            raise ValueError(f"`model` {rule}. Received: {model.name!r}. {action}")
        of_norms: dict[int, list[Weight]] = {}
        for each in weights:
            if each.is_norm:
                of_norms.setdefault(id(each.layer), []).append(each)
        self._projected = [[each] for each in hidden]
        self._scales = [
            [each for each in weights if each.layer is kernel.layer and each.role in _NOISE]
            for kernel in hidden
        ]
        if self._norms == "project":
            self._projected += of_norms.values()
            self._scales += [[] for _ in of_norms]
        self._rhos = [tf.Variable(_norm(group), trainable=False) for group in self._projected]
        self._decayed = [each for each in weights if each.is_norm and self._norms == "decay"]
        self._starts = Starts(self._decayed)
        at_outputs = _at_outputs(model, outputs)
        self._biases = [
            each
            for each in weights
            if self._zero_biases and each.is_bias and not each.is_norm and id(each.layer) not in at_outputs
        ]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for group, scales, rho in zip(self._projected, self._scales, self._rhos, strict=True):
            factor = tf.math.divide_no_nan(tf.convert_to_tensor(rho), _norm(group))  # weights of 0 stay 0
            for weight in [*group, *scales]:
                value = tf.convert_to_tensor(weight.variable)
                change(weight.variable, value * tf.cast(factor, value.dtype), slots)
        for weight, start in zip(self._decayed, self._starts.values(), strict=True):
            value = tf.convert_to_tensor(weight.variable)
            change(weight.variable, value + self._decay_rate * (start - value), slots)
        for weight in self._biases:
            change(weight.variable, tf.zeros_like(tf.convert_to_tensor(weight.variable)), slots)

    @property
    def state(self) -> dict[str, tf.Variable]:
        rhos = {f"rho/{group[0]}": rho for group, rho in zip(self._projected, self._rhos, strict=True)}
        return {**rhos, **self._starts.state}


def _at_outputs(model: Any, outputs: set[int]) -> set[int]:
    """Returns the output layers, and the layers without a kernel that follow one of them."""
    last, found = None, set()
    for layer in named_layers(model).values():
        last = layer if owns_kernel(layer) else last
        if id(last) in outputs:
            found.add(id(layer))
    return found


def _norm(group: list[Weight]) -> tf.Tensor:
    """Returns the norm of all entries of some weights together, `[] float64`."""
    values = [tf.cast(tf.convert_to_tensor(tf_variable(each.variable)), tf.float64) for each in group]
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(each)) for each in values]))
