"""The loss that a Keras model was compiled with, as a function without side effects."""

import threading
from typing import Any

import tensorflow as tf

from tfplastic._keras import is_legacy, keras
from tfplastic._keras_loss import unreduced
from tfplastic._replicas import num_replicas
from tfplastic.tasks import TaskLoss

_MEANS = ("auto", "sum_over_batch_size")  # of Keras 2


class CompiledLoss:
    """What `compile` was given as `loss`, as the gradient step takes it.

    The value is that of Keras' own `compute_loss`: a weighted sum over the outputs, each by its Keras loss,
    and the regularisation losses of the layers. Unlike that, it updates no metrics.

    Args:
        loss: a Keras loss, a function `(targets, outputs)` or the name of one, for all outputs; or one for
            each output, in the nest of the outputs.
        loss_weights: None, or a number for each loss, in the nest of the losses.

    Attributes:
        outputs: of the last call of the model in this thread, so that metrics need none of their own. The
            replicas of a `tf.distribute` strategy are threads.

    Raises:
        TypeError: a loss is none.
        ValueError: Keras knows no loss of that name; or losses and weights do not go together.
    """

    def __init__(self, loss: Any, loss_weights: Any = None):
        self._losses = tf.nest.map_structure(_as_loss, loss)
        count = len(tf.nest.flatten(self._losses))
        self._weights = [1.0] * count if loss_weights is None else tf.nest.flatten(loss_weights)
        if len(self._weights) != count:
            raise ValueError(
                f"`loss_weights` must be a number for each of the {count} losses. Received: {loss_weights!r}"
            )
        self._last = threading.local()

    @property
    def outputs(self) -> Any:
        return self._last.outputs

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        """The loss of a batch `(inputs, targets, example weights or None)`; traceable.

        Under a `tf.distribute` strategy the losses of the replicas add up to that of the global batch, of
        which each has an equal number of examples.

        An example's own loss is the weighted sum over the outputs of its mean over positions, without
        regularisation.

        Raises:
            ValueError: the losses are not of the nest of the outputs; or a loss has the reduction 'none'.
        """
        inputs, targets, weights = batch
        self._last.outputs = outputs = model(inputs, training=training)
        flat_outputs = tf.nest.flatten(outputs)
        columns = [
            _flat("targets", targets, outputs),
            flat_outputs,
            _flat("loss", self._losses, outputs, may_be_one=True),
            _flat("sample_weight", weights, outputs, may_be_one=True),
            self._weights * (len(flat_outputs) // len(self._weights)),
        ]
        totals, of_examples = [], []
        for target, output, loss, example_weights, weight in zip(*columns, strict=True):
            target, output = _aligned(target, output)
            totals.append(tf.cast(weight * _value(loss, target, output, example_weights), tf.float32))
            values = unreduced(loss)(target, output, example_weights)  # [batch, ...]
            values = tf.reduce_mean(values, axis=tf.range(1, tf.rank(values)))
            of_examples.append(tf.cast(weight * values, tf.float32))
        # Replicas share the weights: each has its part of what regularises them.
        totals += [tf.cast(tf.reduce_sum(each), tf.float32) / num_replicas() for each in model.losses]
        return TaskLoss(tf.add_n(totals), tf.add_n(of_examples), {})


class _FunctionLoss(keras.losses.Loss):
    """A function as a Keras loss: the mean of its values."""

    def __init__(self, function: Any):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._function(y_true, y_pred)


def _as_loss(loss: Any) -> keras.losses.Loss:
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            raise ValueError(f"`loss` must be the name of a Keras loss. Received: {loss!r}") from None
    if isinstance(loss, keras.losses.Loss):
        return loss
    if not callable(loss) or isinstance(loss, type):
        rule = "must be a Keras loss, a function of targets and outputs, or a name"
        raise TypeError(f"`loss` {rule}. Received: {loss!r}")
    return _FunctionLoss(loss)


def _value(loss: Any, target: Any, output: Any, example_weights: Any) -> tf.Tensor:
    """The loss of an output, as this replica's part of the sum over replicas."""
    if is_legacy():  # Keras 2 refuses means under a strategy where it cannot see that they are scaled
        loss._allow_sum_over_batch_size = True
    value = loss(target, output, example_weights)
    if value.shape.rank:
        raise ValueError(f"`loss` must have a reduction other than 'none'. Received: shape {value.shape}")
    is_scaled = not is_legacy() or loss.reduction not in _MEANS  # Keras 3 divides by the number itself
    return value if is_scaled or num_replicas() == 1 else value / num_replicas()


def _flat(name: str, nest: Any, outputs: Any, may_be_one: bool = False) -> list[Any]:
    """What there is for each output, in the order of the outputs; one for all of them, if that is allowed."""
    if may_be_one and not tf.nest.is_nested(nest):
        return [nest] * len(tf.nest.flatten(outputs))
    try:
        tf.nest.assert_same_structure(outputs, nest, check_types=False)
    except (ValueError, TypeError):
        raise ValueError(f"`{name}` must be in the nest of the outputs. Received: {nest!r:.80}") from None
    return tf.nest.flatten(nest)


def _aligned(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Both with the same number of axes, as Keras makes them: `[n]` and `[n, 1]` make no `[n, n]`."""
    if len(outputs.shape) == 1:
        outputs = outputs[:, None]
    if len(targets.shape) == len(outputs.shape) - 1 and outputs.shape[-1] == 1:
        targets = targets[..., None]
    elif len(targets.shape) == len(outputs.shape) + 1 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    return targets, outputs
