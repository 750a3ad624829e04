"""The parts of a gradient step that the hooks of mitigations can read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic._keras import tf_variable
from tfplastic.diagnostics import RecordedCall, Units, recorded_call
from tfplastic.diagnostics.reading.model_layers import activation_name, named_layers
from tfplastic.diagnostics.units.feature_pairs import values_of_units
from tfplastic.diagnostics.units.unit_statistics import traced_statistics

PARTS = (
    "activations",
    "at_boundary",
    "batch",
    "data",
    "features",
    "further_batch",
    "gradients",
    "loss",
    "outputs",
    "step",
)
"""Names of the parts that a class of mitigations may list in its `reads`."""

HANDED_ON = ("activations", "batch", "features", "gradients", "loss", "outputs")
"""The parts that exist inside the gradient step only, which hands them on to later functions."""

STATISTICS = ("mean", "mean_abs", "variance", "zero_fraction")
"""Names for `StepContext.unit_statistic`."""

LossFunction = Callable[..., Any]
"""`(model, batch, training) -> TaskLoss`, as tasks have it."""


class StepContext:
    """One gradient step as the hooks of a mitigation see it: traceable, each part made when it is read.

    A hook can read the parts that its class lists in `reads`; parts that no class lists cost nothing. All
    belong to one gradient step: its batch, its forward pass before the update (there is no second one), its
    gradients.

    Args:
        mitigation: mitigation that reads.
        parts: {name: function that makes it}, of `PARTS`.
        model: the Keras model that is trained.
        loss: loss of the task.
        older: values of the trainable variables 1, 2, ... updates ago.

    Raises:
        ValueError: on reading a part that the class does not list, or that this run does not have.
    """

    def __init__(
        self,
        mitigation: Any,
        parts: Mapping[str, Callable[[], Any]],
        model: Any,
        loss: LossFunction,
        older: Sequence[Sequence[tf.Variable]] = (),
    ):
        self._mitigation, self._parts = mitigation, parts
        self._model, self._loss, self._older = model, loss, older

    @property
    def step(self) -> tf.Tensor:
        """Number of the gradient step, `[] int64`, from 1."""
        return self._read("step")

    @property
    def at_boundary(self) -> tf.Tensor:
        """Whether training has a new target after this step, `[] bool`: labels, a copy to the target network.

        False where the task has no boundaries.

        Raises:
            ValueError: in `fit`, which knows none.
        """
        return self._read("at_boundary")

    @property
    def batch(self) -> Any:
        """The nest of tensors that the step is taken on, as the task's loss takes it."""
        return self._read("batch")

    @property
    def loss(self) -> tf.Tensor:
        """The task's loss of the batch before the update, `[] float32`, without penalties."""
        return self._read("loss")

    @property
    def outputs(self) -> Any:
        """The result of the step's first call of the model, before the update."""
        return self._read("outputs")

    @property
    def activations(self) -> dict[str, tf.Tensor]:
        """Outputs of the hidden nonlinearities in that call, {name: `[batch, ..., units]`}, in its order.

        Names are those of `diagnostics.Snapshot.activations`. Where a mask leaves out positions only the
        others are given, as `[values, units]`.
        """
        return self._read("activations")

    @property
    def features(self) -> tf.Tensor:
        """Inputs of the last layer with a kernel in that call, `[batch, features]`: the penultimate layer.

        Of output layers side by side, such as those of a dueling head, they are joined.
        """
        return self._read("features")

    @property
    def gradients(self) -> list[tf.Tensor]:
        """Gradients of the loss with its penalties, one for each trainable variable, before any transform.

        They exist from the update on, so that `penalty` cannot read them.
        """
        return self._read("gradients")

    @property
    def further_batch(self) -> Any:
        """A second batch of the same distribution, drawn independently; the same for all that read it."""
        return self._read("further_batch")

    def gradient(self, variable: Any) -> tf.Tensor:
        """Returns the gradient by one of the model's trainable variables."""
        numbers = {id(tf_variable(each)): n for n, each in enumerate(self._model.trainable_variables)}
        return self.gradients[numbers[id(tf_variable(variable))]]

    def unit_gradients(self, units: Units) -> tf.Tensor:
        """Returns the mean magnitude of the gradient by each unit's incoming weights, `[units] float64`.

        Liu et al. 2025 (GraMa) divide it by the layer's mean.

        Args:
            units: units of one layer, from a `diagnostics.UnitMap` of the model.
        """
        parts = [part for part in (units.incoming, units.recurrent) if part is not None]
        magnitudes = [tf.cast(tf.abs(self.gradient(part.variable)), tf.float64) for part in parts]
        total = tf.add_n([part.sums(each) for part, each in zip(parts, magnitudes, strict=True)])  # [units]
        return total / sum(part.sizes for part in parts)

    def unit_values(self, units: Units) -> tf.Tensor:
        """Returns the activations of each unit on the batch, `[values, units]`: examples times positions.

        Units of CReLU and of deep Fourier features have one value for their two features: relu(x) - relu(-x),
        and the length of (sin x, cos x).

        Args:
            units: units of one layer, from a `diagnostics.UnitMap` of the model.

        Raises:
            ValueError: no nonlinearity follows the layer.
        """
        if not units.activations:
            name = units.incoming.variable.name
            raise ValueError(f"`units` must be of a layer with a nonlinearity after it. Received: {name!r}")
        layers = named_layers(self._model)
        functions = {name: activation_name(layers[name.partition(":")[0]]) for name in units.activations}
        found = [values_of_units(self.activations[name], function) for name, function in functions.items()]
        return tf.concat([tf.reshape(each, [-1, each.shape[-1]]) for each in found], axis=0)

    def unit_statistic(self, units: Units, name: str) -> tf.Tensor:
        """Returns a statistic of each unit's activations on the batch, `[units] float64`.

        Args:
            units: units of one layer, from a `diagnostics.UnitMap` of the model.
            name: 'mean', 'mean_abs', 'variance' or 'zero_fraction', as in `diagnostics.UnitStatistics`.

        Raises:
            ValueError: `name` is not one of these.
        """
        if name not in STATISTICS:
            raise ValueError(f"`name` must be one of {', '.join(STATISTICS)}. Received: {name!r}")
        return traced_statistics(self.unit_values(units), None, "", [name])[name]

    def older_weights(self, updates: int = 1) -> list[tf.Tensor]:
        """Returns the trainable variables' values as they were some updates ago.

        In `penalty`, 1 means the weights before the last update; in `after_update`, those before this step's.
        In the first steps they are the initial weights.

        Args:
            updates: number of updates to go back, from 1 to the `history` of the class.

        Raises:
            ValueError: the `history` of the class is shorter.
        """
        if check_positive_integer("updates", updates) > self._mitigation.history:
            action = f"Set `history = {updates}` in {type(self._mitigation).__name__}."
            rule = f"must be at most `history`, {self._mitigation.history}"
            raise ValueError(f"`updates` {rule}. Received: {updates}. {action}")
        return [tf.convert_to_tensor(each) for each in self._older[updates - 1]]

    def outputs_on(self, batch: Any, weights: Sequence[tf.Tensor] | None = None) -> Any:
        """Returns the outputs of the model on another batch, at inference.

        Args:
            batch: a nest of the form of `batch`, such as `further_batch`.
            weights: values for the trainable variables, such as `older_weights(2)`; by default their own, and
                then the result is differentiable in them. Other weights are assigned and then replaced by the
                model's own again, which takes two copies of all weights.
        """
        return self._called_on(batch, weights, lambda call: call.outputs)

    def activations_on(self, batch: Any, weights: Sequence[tf.Tensor] | None = None) -> dict[str, tf.Tensor]:
        """Returns the outputs of the hidden nonlinearities on another batch, in the form of `activations`.

        Args:
            batch: batch to evaluate, see `outputs_on`.
            weights: weights to use, see `outputs_on`.
        """
        if tf.executing_eagerly():  # where layers cannot be found by their operations
            return tf.function(lambda: self.activations_on(batch, weights), autograph=False)()
        return self._called_on(batch, weights, lambda call: call.activations(units_last=True))

    def features_on(self, batch: Any, weights: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """Returns the inputs of the last layer with a kernel on another batch, `[batch, features]`.

        Args:
            batch: batch to evaluate, see `outputs_on`.
            weights: weights to use, see `outputs_on`.
        """
        return self._called_on(batch, weights, lambda call: call.features)

    def gradients_on(self, batch: Any, training: bool = False) -> list[tf.Tensor]:
        """Returns the gradients of the task's loss on another batch, one for each trainable variable.

        Args:
            batch: a nest of the form of `batch`.
            training: whether layers act as in training. Such a pass changes their state, such as moving
                averages.
        """
        variables = [tf_variable(each) for each in self._model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = self._loss(self._model, batch, training=training).loss
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(each) for each in found]

    def pass_over_data(
        self, function: Callable[[Any, Any], Any], initial: Any, max_batches: int | None = None
    ) -> Any:
        """Returns the result of a function that is called with each batch of the data in turn.

        The data are those that the task trains on next: after the last step of a task its inputs with the
        labels of the next one, or the contents of the replay memory; each example at most once, whole batches
        only.

        Args:
            function: `(state, batch) -> state`, traceable.
            initial: the first state, a nest of tensors.
            max_batches: largest number of batches; None for all.
        """
        batches = self._read("data")
        count = batches.count if max_batches is None else tf.minimum(batches.count, max_batches)

        def body(index: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
            return index + 1, function(state, batches.at(index))

        start = tf.zeros([], tf.int32), initial
        return tf.while_loop(lambda index, _: index < count, body, start)[1]

    def _called_on(
        self,
        batch: Any,
        weights: Sequence[tf.Tensor] | None,
        read: Callable[[RecordedCall], Any],
    ) -> Any:
        """Returns tensors of the model's first call in the loss of a batch."""
        variables = [tf_variable(each) for each in self._model.trainable_variables]
        own = [] if weights is None else [tf.convert_to_tensor(each) for each in variables]
        if weights is not None:
            _assign(variables, weights)
        with recorded_call(self._model) as call:
            self._loss(self._model, batch, training=False)
        found = read(call)
        if weights is None:
            return found
        _assign(variables, own)  # after the reads: TensorFlow keeps the order of operations on a variable
        return tf.nest.map_structure(tf.stop_gradient, found)

    def _read(self, name: str) -> Any:
        kind = type(self._mitigation).__name__
        if name not in self._mitigation.reads:
            listed = tuple(sorted({*self._mitigation.reads, name}))
            raise ValueError(
                f"`{kind}` reads `{name}` without listing it. Set `reads = {listed}` in the class"
            )
        if name not in self._parts:
            remedy = _ABSENT.get(name, "this run has none; leave the mitigation out")
            raise ValueError(f"`{kind}` cannot read `{name}` here: {remedy}")
        return self._parts[name]()


def _assign(variables: Sequence[tf.Variable], values: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


_EAGER = "an eager step has none; compile the step"
_ABSENT = {
    "activations": _EAGER,
    "features": _EAGER,
    "gradients": "they exist from the update on, so read them in `after_update`",
    "outputs": _EAGER,
}


def check_reads(owner: str, reads: Collection[str]) -> None:
    """Raises `ValueError` unless `reads` are names of parts."""
    unknown = [reads] if isinstance(reads, str) else [each for each in reads if each not in PARTS]
    if unknown:
        rule = f"must be a tuple of names among {', '.join(PARTS)}"
        raise ValueError(f"`{owner}.reads` {rule}. Received: {unknown[0]!r}")
