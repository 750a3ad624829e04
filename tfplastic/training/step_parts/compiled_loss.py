"""The loss that a Keras model was compiled with, as the gradient step takes it."""

import threading
from typing import Any

import tensorflow as tf

from tfplastic._data.shapes import check_targets
from tfplastic._keras import keras
from tfplastic._losses.keras_loss import KerasLoss, Term, is_loss, model_losses
from tfplastic._losses.loss_names import loss_of_name
from tfplastic._tf.replicas import num_replicas
from tfplastic.tasks import TaskLoss

_UNREDUCED = ("none", None)


class CompiledLoss:
    """The `loss` given to `compile`, in the form that the gradient step takes.

    The value is the one that Keras' own `train_on_batch` minimizes, masks and the regularization losses of
    the layers included. No metrics are updated.

    Args:
        loss: a Keras loss, a function `(targets, outputs)` or the name of one, for all outputs; or one for
            each output, in the nest of the outputs or by their names.
        loss_weights: None, or a number for each loss, in the nest of the losses.

    Attributes:
        outputs: outputs of the first call of `loss` since `begin_step` in this thread, so that metrics need
            no call of their own; mitigations call it again, on other batches and with other weights. The
            replicas of a `tf.distribute` strategy are threads.

    Raises:
        TypeError: a loss is none.
        ValueError: Keras knows no loss of that name; or losses and weights do not go together.
    """

    def __init__(self, loss: Any, loss_weights: Any = None):
        self._given = [_checked(each) for each in tf.nest.flatten(loss)]
        self._loss, self._weights = loss, loss_weights
        count = len(self._given)
        if loss_weights is not None and len(tf.nest.flatten(loss_weights)) != count:
            raise ValueError(
                f"`loss_weights` must be a number for each of the {count} losses. Received: {loss_weights!r}"
            )
        self._first = threading.local()

    @property
    def outputs(self) -> Any:
        return getattr(self._first, "outputs", None)

    def begin_step(self) -> None:
        """Forgets `outputs`, so that the next call of `loss` in this thread is the first one."""
        self._first.outputs = None

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        """Returns the loss of a batch `(inputs, targets, example weights or None)`; traceable.

        Under a `tf.distribute` strategy the losses of the replicas add up to that of the global batch, of
        which each has an equal number of examples.

        The mean of the examples' own losses is the loss without regularization: of a loss that is summed over
        the batch of n, an example's is n times its term.

        Raises:
            ValueError: the losses or the targets do not fit the outputs; or a loss has the reduction 'none'.
        """
        inputs, targets, weights = batch
        outputs = model(inputs, training=training)
        if self.outputs is None:
            self._first.outputs = outputs
        for each in self._given:
            if is_loss(each) and each.reduction in _UNREDUCED:
                raise ValueError(
                    f"`loss` must have a reduction other than 'none'. Received: {type(each).__name__}"
                )
        check_targets(targets, outputs, self._loss)
        own = KerasLoss(model, self._loss, self._weights, includes_model_losses=False)
        computed = own.of_batch(inputs, targets, outputs, weights)
        total, added = tf.cast(computed.total, tf.float32), model_losses(model)
        if added is not None:  # replicas share the weights: each has its part of what regularizes them
            total += tf.cast(added, tf.float32) / num_replicas()
        count = tf.shape(tf.nest.flatten(outputs)[0])[0]
        return TaskLoss(total, tf.add_n([_of_examples(each, count) for each in computed.terms or ()]), {})


def _of_examples(term: Term, count: tf.Tensor) -> tf.Tensor:
    """Returns the examples' part of a loss, `[count]`, whose mean is that loss."""
    if term.sums is None:
        return tf.fill([count], tf.cast(term.weight * term.value, tf.float32))
    scale = tf.cast(count, term.sums.dtype)
    scale = scale if term.size is None else tf.math.divide_no_nan(scale, tf.cast(term.size, scale.dtype))
    return tf.cast(term.weight * scale * term.sums, tf.float32)


def _checked(loss: Any) -> Any:
    if isinstance(loss, str):
        return loss_of_name(keras, loss)
    if not is_loss(loss) and (not callable(loss) or isinstance(loss, type)):
        rule = "must be a Keras loss, a function of targets and outputs, or a name"
        raise TypeError(f"`loss` {rule}. Received: {loss!r}")
    return loss
