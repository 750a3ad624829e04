"""THE gradient step: every task, and everything that changes or watches training, goes through it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic._text.tags import tag_of
from tfplastic._tf.replicas import num_replicas, replica_id, sum_over_replicas
from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics import RecordedCall, recorded_call
from tfplastic.layers import advance
from tfplastic.mitigations import Mitigation, StepContext
from tfplastic.mitigations.build_all import own_weights
from tfplastic.mitigations.step_context import HANDED_ON
from tfplastic.optimizers.any_keras import build_optimizer, draws_noise
from tfplastic.tasks import TaskLoss
from tfplastic.training.step_parts.composites import is_composite
from tfplastic.training.step_parts.global_norm import global_norm
from tfplastic.training.step_parts.sample_plasticity import sample_plasticity
from tfplastic.training.step_parts.step_supply import Parts, StepSupply
from tfplastic.training.step_parts.weight_history import WeightHistory

StepStatistic = Callable[[tf.Tensor], tf.Tensor]
"""A scalar of a layer's activations `[batch, ..., units]`; traceable, such as `diagnostics.dead_units`."""


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
    """The report of one gradient step.

    Attributes:
        loss: `[] float32`, the task's loss: the mean of the batch before the update, without penalties.
        per_example_loss: `[batch] float32`.
        metrics: scalars by name: those of the task's loss; `gradient_norm`, of the loss with its penalties;
            `penalty`, if mitigations add some; `<statistic>/<layer>`; and `sample_plasticity`, if asked for.
        parts: parts of the step's context that mitigations read in `after_update`, by name.
    """

    loss: tf.Tensor
    per_example_loss: tf.Tensor
    metrics: dict[str, tf.Tensor]
    parts: Mapping[str, Any] = MappingProxyType({})


class Differentiated(NamedTuple):
    """A loss and its gradients, before any update.

    Attributes:
        output: output of the task's loss.
        penalties: penalties of the mitigations that add one, each `[]`.
        gradients: gradients of their sum, one for each trainable variable of the model.
        own_gradients: gradients for the weights that mitigations have of their own.
        parts: parts of the step's context, {name: function that makes it}.
        call: the model's first call, recorded if anything reads it.
    """

    output: TaskLoss
    penalties: list[tf.Tensor]
    gradients: list[Any]
    own_gradients: list[Any]
    parts: Parts
    call: RecordedCall | None


class HasLoss(Protocol):
    """The part of a task that the gradient step needs; every `GraphTask` and `HostTask` has it."""

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        """Returns the loss of a batch; traceable, differentiable in the weights of `model`."""
        ...


class GradientStep:
    """theta <- optimizer(theta, transform(grad(loss + penalties))) on a batch; traceable by `tf.function`.

    Weights that mitigations have of their own are trained with the model's, by gradients as they are.

    Layers that change between steps (`layers.advance`) do so before all else.

    A loss that is NaN or infinite raises `tf.errors.InvalidArgumentError` with `NOT_FINITE` in its message
    and leaves the weights as they were; only under XLA, which drops such checks, the update is made.

    Under a `tf.distribute` strategy it is one step on the global batch: the task's loss is this replica's
    part of the loss, and gradients are summed over the replicas before they are transformed.

    Args:
        task: supplies `loss(model, batch, training) -> TaskLoss`.
        model: its trainable variables are updated.
        optimizer: a Keras optimizer.
        mitigations: mitigations that add penalties to the loss and transform the gradients, in this
            order.
        statistics: by name, of the activations of each hidden nonlinearity in the first call of the model,
            before the update.
        supply: parts of the step's context that come from the task; None where no mitigation reads any.
        measures_plasticity: whether `metrics` has `sample_plasticity`, of another forward pass on the batch
            after the update; the update stays the same.

    Attributes:
        history: older copies of the weights, as many as the mitigations ask for.
        reads_step: whether calls must give the number of the step, because a penalty reads it or a batch.
        prefers_graph: whether the optimizer or a mitigation takes longer under XLA than in the graph.
    """

    NOT_FINITE = "the loss of the gradient step is not finite"

    def __init__(
        self,
        task: HasLoss,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        mitigations: Sequence[Mitigation] = (),
        statistics: Mapping[str, StepStatistic] | None = None,
        supply: StepSupply | None = None,
        measures_plasticity: bool = False,
    ):
        self._task = task
        self._model = model
        self._optimizer = optimizer
        self._mitigations = mitigations
        self._statistics = statistics or {}
        self._supply = supply
        self._measures_plasticity = measures_plasticity
        self.history = WeightHistory(
            model.trainable_variables, max((each.history for each in mitigations), default=0)
        )
        self.prefers_graph = draws_noise(optimizer) or any(each.prefers_graph for each in mitigations)
        self.reads_step = any(each.adds_penalty and each.reads for each in mitigations)
        after = [set(each.reads) for each in mitigations if each.acts_after_update]
        self._handed_on = [name for name in HANDED_ON if any(name in reads for reads in after)]
        every = {name for each in mitigations for name in each.reads}
        self._records = bool(self._statistics or every & {"activations", "features", "outputs"})
        self._own_weights = own_weights(mitigations)
        build_optimizer(optimizer, [*self._own_weights, *model.trainable_variables])

    def __call__(self, batch: Any, step: tf.Tensor | None = None, state: Any = None) -> StepOutput:
        """Takes one update on a batch.

        Args:
            batch: a nest of arrays as the task's loss takes it.
            step: `[] int64`, number of the gradient step, from 1; needed if `reads_step`.
            state: state in the form that the supply takes, such as that of a `GraphTask`.
        """
        advance(self._model)  # first, because a mitigation may have changed the weights since the last step
        variables = self._model.trainable_variables
        is_shared = num_replicas() > 1
        output, penalties, gradients, own, parts, call = self.gradients(batch, step, state)
        loss = output.loss  # []
        if is_shared:
            # Dense, which sparse gradients of embeddings are not: a sum over replicas takes tensors.
            gradients = sum_over_replicas([tf.convert_to_tensor(each) for each in gradients])
            own = sum_over_replicas(own) if own else own
            loss = sum_over_replicas(loss)
        metrics = {**output.metrics, "gradient_norm": global_norm(gradients, _is_one_example(batch))}
        if penalties:
            metrics["penalty"] = tf.add_n(penalties)
        if self._statistics and call is not None:
            activations = call.activations(of_units=True)  # each [batch, ..., units]
            for name, statistic in self._statistics.items():
                metrics |= {tag_of(name, layer): statistic(each) for layer, each in activations.items()}
        # An eager step has no activations; who reads them is told so by the context.
        handed_on = {name: parts[name]() for name in self._handed_on if name in parts}
        for mitigation in self._mitigations:  # those that transform nothing return the same
            gradients = mitigation.transform_gradients(gradients, variables)
        gradients, trained = [*own, *gradients], [*self._own_weights, *variables]
        if is_shared:  # Keras adds up the gradients of the replicas, some of its optimizers clipped
            gradients = [tf.where(replica_id() == 0, each, tf.zeros_like(each)) for each in gradients]
        with tf.control_dependencies([tf.debugging.assert_all_finite(loss, self.NOT_FINITE)]):
            self.history.note()
            self._optimizer.apply_gradients(zip(gradients, trained, strict=True))
        if self._measures_plasticity:
            after = self._task.loss(self._model, batch, training=False).per_example_loss  # [batch]
            metrics["sample_plasticity"] = sample_plasticity(output.per_example_loss, after)
        return StepOutput(loss, output.per_example_loss, metrics, handed_on)

    def gradients(
        self, batch: Any, step: tf.Tensor | None = None, state: Any = None, all_penalties: bool = True
    ) -> Differentiated:
        """Differentiates the loss with the mitigations' penalties.

        Args:
            batch: batch of the step, see `__call__`.
            step: number of the step, see `__call__`.
            state: state of the task, see `__call__`.
            all_penalties: whether those that read the context have a part in it.
        """
        variables = self._model.trainable_variables
        penalized = self.penalized(all_penalties)
        parts: Parts = {} if self._supply is None else self._supply.parts(step, state)
        parts["batch"] = lambda: batch
        differentiated = as_tf_variables([*self._own_weights, *variables])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(differentiated)
            with self._recording() as call:
                output = self._task.loss(self._model, batch, training=True)
            parts["loss"] = lambda: output.loss
            if call is not None:
                parts["outputs"] = lambda: call.outputs
                parts["activations"] = lambda: call.activations(units_last=True)
                parts["features"] = lambda: call.features
            penalties = [each.penalty(variables, self.context(each, parts)) for each in penalized]  # each []
            # A replica's loss is its part of the global batch's; penalties are of what all replicas share.
            replicas = num_replicas()
            shares = [penalty / replicas for penalty in penalties] if replicas > 1 else penalties
            total = tf.add_n([output.loss, *shares])  # []
        found = tape.gradient(  # each of its variable's shape
            total, differentiated, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        own, gradients = found[: len(self._own_weights)], found[len(self._own_weights) :]
        parts["gradients"] = lambda: [tf.convert_to_tensor(each) for each in gradients]
        return Differentiated(output, penalties, gradients, own, parts, call)

    def penalized(self, all_penalties: bool = True) -> list[Mitigation]:
        """Returns the mitigations that add penalties, in the order of `Differentiated.penalties`.

        Args:
            all_penalties: whether those that read the context are among them.
        """
        found = [each for each in self._mitigations if each.adds_penalty]
        return found if all_penalties else [each for each in found if not each.reads]

    def context(self, mitigation: Mitigation, parts: Parts) -> StepContext:
        """Returns the context of a mitigation.

        Args:
            mitigation: mitigation of this step.
            parts: {name: function that makes it}.
        """
        return StepContext(mitigation, parts, self._model, self._task.loss, self.history.older)

    def context_after(
        self, mitigation: Mitigation, step: tf.Tensor, handed_on: Mapping[str, Any], state: Any
    ) -> StepContext:
        """Returns the context of a mitigation that acts after the step.

        Args:
            mitigation: mitigation of this step.
            step: `[] int64`, its number.
            handed_on: the `parts` of its output.
            state: state of a `GraphTask`.
        """
        parts: Parts = {} if self._supply is None else self._supply.parts(step, state)
        return self.context(
            mitigation, {**parts, **{name: lambda part=part: part for name, part in handed_on.items()}}
        )

    def _recording(self) -> contextlib.AbstractContextManager[RecordedCall | None]:
        # An eager call has no graph in which layers could be found by their operations.
        records = self._records and not tf.executing_eagerly()
        return recorded_call(self._model) if records else contextlib.nullcontext()


def _is_one_example(batch: Any) -> bool:
    """Returns whether a batch is known to have a single example."""
    parts = [each for each in tf.nest.flatten(batch) if each is not None]
    sizes = {(each if is_composite(each) else tf.convert_to_tensor(each)).shape[:1] for each in parts}
    return sizes == {tf.TensorShape([1])}
