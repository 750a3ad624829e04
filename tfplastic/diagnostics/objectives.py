"""An objective to compare networks on that were trained on different ones, or on none."""

from collections.abc import Callable
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic import _checks, seeds
from tfplastic.diagnostics.declaration.arguments import checked, is_of, rehearse
from tfplastic.diagnostics.snapshot import Snapshot

Loss = Callable[[Any, Any], tf.Tensor]
"""Maps targets and outputs to the losses of the examples, `[n]`: a `loss` for a `Snapshot`."""
Objective = Callable[[Any, Any], tuple[Any, Loss]]
"""Maps a model and its inputs to `targets` and `loss` for a `Snapshot` of them."""


@gin.register(module="tfplastic.diagnostics")
@checked
def noisy_self_targets(model: Any, inputs: Any, seed: int = 0) -> tuple[np.ndarray, Loss]:
    """Returns targets and loss of a regression of a network towards its own outputs plus noise.

    The loss of example i is l_i = mean over outputs o of (f_o(x_i) - sg f_o(x_i) + eps_io)^2, where sg stops
    the gradient and the noise eps ~ N(0, 1) is drawn once. Its value is the mean of eps^2, whatever the
    weights are; its gradient is 2 mean_o eps_io grad f_o, and its Hessian 2 mean_o (grad f_o grad f_o^T +
    eps_io grad^2 f_o), of which the first term, a Gauss-Newton matrix, is the mean over draws of the noise.
    So curvature and the angles between gradients describe the network and not its performance. As the noise
    has either sign, half of the cosines of two examples' gradients are negative on average, for any network:
    read their size and the rank, not their sign.

    Outputs are the model's raw outputs: for C51 and two-hot heads the logits, one for each action and atom,
    and not the values that they encode.

    Args:
        model: a Keras model, built, that returns one tensor, `[n, ...]`.
        inputs: a batch of its inputs, `[n, ...]`; the model is called on them for the shape of its outputs.
        seed: seed of the noise, which is the same for all measurements, networks and runs.

    Returns:
        The noise, of the shape of the outputs and in their dtype, and the loss: `targets` and `loss` for a
        `Snapshot`.

    Raises:
        ValueError: the model is not built, or does not return exactly one tensor.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 4.2 and appendix A.1. The
        paper leaves open whether all outputs count or that of the taken action alone, whether they are summed
        or averaged (a sum is larger by the number of outputs, and so are its eigenvalues), and whether the
        noise is redrawn for each measurement. All outputs, their mean and one draw are our choice.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[1., 0.], [0., 2.]])
        >>> _ = model(inputs)  # builds it
        >>> noise, loss = diagnostics.noisy_self_targets(model, inputs)
        >>> noise.shape
        (2, 1)
        >>> snapshot = diagnostics.Snapshot(model, inputs, noise, loss)
        >>> round(diagnostics.sharpness(snapshot)['all'], 4)  # of a linear model: 2 times the mean of x x^T
        4.0
    """
    outputs = Snapshot(model, inputs).outputs
    if not tf.is_tensor(outputs):
        raise ValueError(f"`model` must return one tensor. Received: {type(outputs).__name__}")
    generator = seeds.generator(seeds.derive(seed, "diagnostics", "noisy_self_targets"))
    noise = generator.standard_normal(outputs.shape)
    return noise.astype(np.float64 if outputs.dtype == tf.float64 else np.float32), _losses


def _losses(noise: Any, outputs: tf.Tensor) -> tf.Tensor:
    differences = outputs - tf.stop_gradient(outputs) + tf.cast(noise, outputs.dtype)  # [n, ...]
    return tf.reduce_mean(tf.square(differences), axis=tf.range(1, tf.rank(differences)))  # [n]


def check_objective(argument: str, function: Any) -> None:
    """Checks a function of a model and its inputs, such as `noisy_self_targets`, and its other arguments.

    Args:
        argument: name of the argument that holds it, for the error.
        function: function of a model and its inputs.

    Raises:
        TypeError: it is not callable.
        ValueError: it is a function of other things, or one of its own arguments breaks its rule.
    """
    _checks.check_callable(argument, function, "@noisy_self_targets")
    if not is_of(function, "model", 2):
        rule = "must be a function of a model and its inputs, such as @noisy_self_targets"
        raise ValueError(f"`{argument}` {rule}. Received: {_checks.shown(function)}")
    rehearse(function)
