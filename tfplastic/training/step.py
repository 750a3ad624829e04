"""THE gradient step: every task, and everything that changes or watches training, goes through it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic._tags import tag_of
from tfplastic._tf.replicas import num_replicas, replica_id, sum_over_replicas
from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics import recorded_activations
from tfplastic.layers import advance
from tfplastic.mitigations import Mitigation
from tfplastic.optimizers.any_keras import build_optimizer
from tfplastic.tasks import TaskLoss
from tfplastic.training.global_norm import global_norm

StepStatistic = Callable[[tf.Tensor], tf.Tensor]
"""Of a layer's activations `[batch, ..., units]`, a scalar; traceable. `diagnostics.dead_units` is one."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite, or the gradient and so the weights did.

    Args:
        step: number of the gradient step at which it was found: of a loss, the one that it is of.
        quantity: `'loss'`, or with a finite loss `'gradient'` or `'weights'`.
        details: the rest of the message.

    Attributes:
        step, quantity: the arguments.
    """

    def __init__(self, step: int, quantity: str = "loss", details: str = ""):
        verb = "are" if quantity == "weights" else "is"
        when = (
            f"at gradient step {step}"
            if quantity == "loss"
            else f"by gradient step {step}, though the loss is"
        )
        super().__init__(f"The {quantity} {verb} not finite {when}{details}")
        self.step = step
        self.quantity = quantity


class StepOutput(NamedTuple):
    """What one gradient step reports.

    Attributes:
        loss: `[] float32`, the task's loss: the mean of the batch before the update, without penalties.
        per_example_loss: `[batch] float32`.
        metrics: scalars by name: those of the task's loss; `gradient_norm`, of the loss with its penalties;
            `penalty`, if mitigations add some; and `<statistic>/<layer>`.
    """

    loss: tf.Tensor
    per_example_loss: tf.Tensor
    metrics: dict[str, tf.Tensor]


class HasLoss(Protocol):
    """What the gradient step needs of a task; every `GraphTask` and `HostTask` has it."""

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        """The loss of a batch; traceable, differentiable in the weights of `model`."""
        ...


class GradientStep:
    """theta <- optimizer(theta, transform(grad(loss + penalties))) on a batch; traceable by `tf.function`.

    Layers that change between steps (`layers.advance`) do so before all else.

    A loss that is NaN or infinite raises `tf.errors.InvalidArgumentError` with `NOT_FINITE` in its message
    and leaves the weights as they were; only under XLA, which drops such checks, the update is made.

    Under a `tf.distribute` strategy it is one step on the global batch: the task's loss is this replica's
    part of the loss, and gradients are summed over the replicas before they are transformed.

    Args:
        task: supplies `loss(model, batch, training) -> TaskLoss`.
        model: its trainable variables are updated.
        optimizer: a Keras optimizer.
        mitigations: whose penalties are added to the loss and whose transforms change the gradients, in this
            order.
        statistics: by name, of the activations of each hidden nonlinearity in the first call of the model,
            before the update.
    """

    NOT_FINITE = "the loss of the gradient step is not finite"

    def __init__(
        self,
        task: HasLoss,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        mitigations: Sequence[Mitigation] = (),
        statistics: Mapping[str, StepStatistic] | None = None,
    ):
        self._task = task
        self._model = model
        self._optimizer = optimizer
        self._mitigations = mitigations
        self._statistics = statistics or {}
        build_optimizer(optimizer, model.trainable_variables)

    def __call__(self, batch: Any) -> StepOutput:
        """One update on `batch`, a nest of arrays as the task's loss takes it."""
        advance(self._model)  # first, because a mitigation may have changed the weights since the last step
        variables = self._model.trainable_variables
        is_shared = num_replicas() > 1
        with self._recording() as activations:
            output, penalties, gradients = self.gradients(batch)
        loss = output.loss
        if is_shared:
            # Dense, which sparse gradients of embeddings are not: a sum over replicas takes tensors.
            gradients = sum_over_replicas([tf.convert_to_tensor(each) for each in gradients])
            loss = sum_over_replicas(loss)
        metrics = {**output.metrics, "gradient_norm": global_norm(gradients)}
        if penalties:
            metrics["penalty"] = tf.add_n(penalties)
        for name, statistic in self._statistics.items():
            metrics |= {tag_of(name, layer): statistic(values) for layer, values in activations.items()}
        for mitigation in self._mitigations:  # those that transform nothing return the same
            gradients = mitigation.transform_gradients(gradients, variables)
        if is_shared:  # Keras adds up the gradients of the replicas, some of its optimizers clipped
            gradients = [tf.where(replica_id() == 0, each, tf.zeros_like(each)) for each in gradients]
        with tf.control_dependencies([tf.debugging.assert_all_finite(loss, self.NOT_FINITE)]):
            self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return StepOutput(loss, output.per_example_loss, metrics)

    def gradients(self, batch: Any) -> tuple[TaskLoss, list[tf.Tensor], list[Any]]:
        """The loss, the mitigations' penalties, and the gradients of their sum before any is transformed."""
        variables = self._model.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(as_tf_variables(variables))
            output = self._task.loss(self._model, batch, training=True)
            penalties = [each.penalty(variables) for each in self._mitigations if each.adds_penalty]
            # A replica's loss is its part of the global batch's; penalties are of what all replicas share.
            replicas = num_replicas()
            parts = [penalty / replicas for penalty in penalties] if replicas > 1 else penalties
            total = tf.add_n([output.loss, *parts])
        gradients = tape.gradient(
            total, as_tf_variables(variables), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return output, penalties, gradients

    def _recording(self) -> contextlib.AbstractContextManager[Mapping[str, tf.Tensor]]:
        return recorded_activations(self._model) if self._statistics else contextlib.nullcontext({})
