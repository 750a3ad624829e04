"""Statistics of single units, gathered during training."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import is_legacy, keras
from tfplastic._tf.replicas import num_replicas, sum_over_replicas
from tfplastic.layers._inputs_axis import axis_of_units

_STATISTICS = ("mean_abs", "zero_fraction", "mean", "variance")
# Statistics of 16-bit activations are kept in the dtype of the weights.
_NOT_CAST = {"experimental_autocast": False} if is_legacy() else {"autocast": False}
_FIRST = tf.VariableAggregation.ONLY_FIRST_REPLICA
# The replicas of a `tf.distribute` strategy all assign the same values.
_OF_ALL_REPLICAS: dict[str, Any] = (
    {"synchronization": tf.VariableSynchronization.ON_READ, "aggregation": _FIRST}
    if is_legacy()
    else {"aggregation": "only_first_replica"}
)


@keras.utils.register_keras_serializable(package="tfplastic")
class ActivationMonitor(keras.layers.Layer):
    """Identity layer that keeps running means of each unit's activity on the training batches.

    For each unit (an entry of `axis`; for images a channel), over the batch and all positions: the mean of
    |h|, the fraction of exact zeros, the mean, and the variance with division by the count. Each call with
    `training=True` moves the four statistics s towards those of its batch, s_batch, and a weight w, all
    starting at zero:

        s <- s + (1 - momentum) (s_batch - s),    w <- w + (1 - momentum) (1 - w);    `result` gives s / w.

    So the first batch counts in full, and after many batches the mean is weighted as BatchNormalization's
    statistics with the same momentum; with a zero fraction of one in every batch the result is exactly one.
    The variance is the running mean of the batches' variances, as BatchNormalization's is; means that drift
    do not add to it.

    Like BatchNormalization, and unlike every other layer here, it changes weights of its own in a call, if
    the call is one of training. It changes neither outputs nor gradients. In each setting:

    - `training.GradientStep`, and so the loop with all of its tasks, `PlasticModel`; and
      `fit` of any Keras model: once for each call of the network with `training=True` in a step, before the
      weights are updated. TF-Agents' losses call the online network so once, on the observations: bootstrap
      targets, the target network and acting do not count.
    - A copy to the target network copies the statistics along, as it copies BatchNormalization's.
    - Diagnostics, curvature, probes and evaluations call with `training=False`, and change nothing.
    - Under a `tf.distribute` strategy the statistics are of the global batch, of all replicas together.
    - Checkpoints and saved models hold the statistics. Mitigations leave them alone, as they are not trained.

    Args:
        momentum: weight of the old statistics after a batch, in [0, 1); 0 keeps the last batch alone. 0.99 is
            the default of Keras' BatchNormalization.
        axis: the axis of the units, not that of the batch. None: the axis of the channels, first or last, in
            the operation that makes the inputs, followed through transposition and reshaping in a functional
            or Sequential model and in a graph; the last axis where the layer is built by a call on values.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Attributes:
        axis: the given axis; from the first call on, the axis that was found.

    Input and output: `[batch, ..., units]` floats, or with units on another axis; unchanged but for the cast
    to the layer's compute dtype. Positions that a Keras mask leaves out do not count, and a batch without any
    other position changes nothing.

    Raises:
        ValueError: if `momentum` is not in [0, 1), or the inputs have no axis of units; or in a graph where
            the units are on another axis than the last one that was taken before; or on several.
        TypeError: if `axis` is not an integer.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> monitor = tp.layers.ActivationMonitor()
        >>> _ = monitor(tf.constant([[0.0, 1.0], [0.0, 3.0]]), training=True)
        >>> {name: value.numpy().tolist() for name, value in monitor.result().items()}
        {'mean_abs': [0.0, 2.0], 'zero_fraction': [1.0, 0.0], 'mean': [0.0, 2.0], 'variance': [0.0, 1.0]}
    """

    def __init__(self, momentum: float = 0.99, axis: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(momentum, bool) or not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be a number in [0, 1). Received: {momentum!r}")
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise TypeError(f"`axis` must be an integer or None. Received: {axis!r}")
        self.momentum = float(momentum)
        self.axis = axis
        self._is_guessed = False
        self.supports_masking = True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Finds the axis of the units in a first call, before the layer is built."""
        if self.axis is None or self._is_guessed:
            self._find_axis(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        axis, rank = -1 if self.axis is None else self.axis, len(input_shape)
        is_axis = 0 < axis < rank or -rank < axis < 0
        if rank < 2 or not is_axis or input_shape[axis] is None:
            rule = f"must be of shape [batch, ..., units], with a known number of units on axis {axis}"
            raise ValueError(f"The inputs {rule}. Received: {tuple(input_shape)}")
        units = int(input_shape[axis])
        self.mean_abs, self.zero_fraction, self.mean, self.variance = (
            self._statistic(name, (units,)) for name in _STATISTICS
        )
        self.total_weight = self._statistic("total_weight", ())
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        inputs = tf.cast(inputs, self.compute_dtype)
        if training:
            self._update(tf.stop_gradient(inputs), mask)
        return inputs

    def result(self) -> dict[str, tf.Tensor]:
        """Returns {'mean_abs', 'zero_fraction', 'mean', 'variance'}, each `[units]`; traceable.

        The dtype is the layer's weights'. NaN before the first call with `training=True`; and from then on
        for a unit that had an activation that is NaN or infinite, though its zero fraction continues.
        """
        total_weight = tf.convert_to_tensor(self.total_weight)
        return {name: tf.convert_to_tensor(getattr(self, name)) / total_weight for name in _STATISTICS}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "axis": None if self._is_guessed else self.axis,
        }

    def _find_axis(self, inputs: Any) -> None:
        rank = len(inputs.shape)
        found = axis_of_units(inputs) if rank > 2 else rank - 1
        if self._is_guessed and found not in (None, rank - 1):
            rule = "must be given where the units are not on the last axis and the layer was built by values"
            raise ValueError(
                f"`axis` {rule}. Received: {self.name!r}, units on axis {found}. Pass axis={found}."
            )
        self._is_guessed = found is None
        self.axis = -1 if found in (None, rank - 1) else found

    def _statistic(self, name: str, shape: tuple[int, ...]) -> Any:
        options = {**_NOT_CAST, **_OF_ALL_REPLICAS}
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, **options)

    def _update(self, inputs: tf.Tensor, mask: Any) -> None:
        values = tf.cast(inputs, self.variable_dtype)  # [batch, ..., units]
        if self.axis not in (None, -1, len(values.shape) - 1):
            unit_axis = self.axis % len(values.shape)
            axes = [each for each in range(len(values.shape)) if each != unit_axis]
            values = tf.transpose(values, [*axes, unit_axis])
            mask = None if mask is None or len(mask.shape) > unit_axis else mask
        kept = _kept(values, mask)
        mean = _mean(values, kept)  # [units]
        batch = {
            "mean_abs": _mean(tf.abs(values), kept),
            "zero_fraction": _mean(tf.cast(values == 0, values.dtype), kept),
            "mean": mean,
            "variance": _mean(tf.square(values - mean), kept),
            "total_weight": tf.ones([], values.dtype),
        }
        step = 1 - self.momentum
        if kept is not None:  # a batch without any value has no statistics
            count = sum_over_replicas(tf.math.count_nonzero(kept))
            step = step * tf.cast(count > 0, values.dtype)
        for name, new in batch.items():
            variable = getattr(self, name)
            old = tf.convert_to_tensor(variable)
            variable.assign(old + (new - old) * step)


def _kept(values: tf.Tensor, mask: Any) -> tf.Tensor | None:
    """Returns the mask of the counted values `[batch, ..., units]`, `[batch, ..., 1] bool`; None for all."""
    if mask is None or len(mask.shape) >= len(values.shape):
        return None
    kept = tf.cast(mask, tf.bool)
    for _ in range(len(values.shape) - len(mask.shape)):
        kept = kept[..., tf.newaxis]
    return tf.broadcast_to(kept, tf.shape(values[..., :1]))


def _mean(values: tf.Tensor, kept: tf.Tensor | None = None) -> tf.Tensor:
    """Averages over batch and positions of all replicas, `[batch, ..., units]` to `[units]`."""
    axes = list(range(len(values.shape) - 1))
    if kept is not None:
        count = tf.cast(tf.math.count_nonzero(kept), values.dtype)
        total = tf.reduce_sum(tf.where(kept, values, tf.zeros([], values.dtype)), axes)
        return tf.math.divide_no_nan(*sum_over_replicas((total, count)))
    if num_replicas() == 1:
        return tf.reduce_mean(values, axes)
    count = tf.cast(tf.size(values) // values.shape[-1], values.dtype)
    total, count = sum_over_replicas((tf.reduce_sum(values, axes), count))
    return total / count
