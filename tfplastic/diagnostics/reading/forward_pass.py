"""One traced call of a model, and compiled programs that return parts of it."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._tf import unit_axes
from tfplastic._tf.read_only import ReadOnlyProgram, compile_read_only
from tfplastic.diagnostics.reading import (
    functional_activations,
    hidden_nonlinearities,
    model_layers,
    recording,
)
from tfplastic.diagnostics.reading.data_flow import Flow
from tfplastic.diagnostics.reading.linear_layers import Linear, LinearLayers
from tfplastic.diagnostics.reading.masks import Masks, noted_masks
from tfplastic.diagnostics.units import unit_statistics


class ForwardPass:
    """A call of a model, traced once, with the inputs and outputs of its nonlinearities.

    Args:
        call: call of the model.
        layers: the model's, itself first, as `model_layers.named_layers` has them.
        chosen: names of the nonlinearities to include.
        signature: spec of the inputs, a nest of `tf.TensorSpec`.
        is_chosen: whether `chosen` was asked for, so that the outputs of all of them are wanted.

    Attributes:
        functions: names of the activation functions, {name of the entry: name of the function}.
        unit_axes: the axes of their units, {name of the entry: axes}, see `unit_axes`.
        unmeasured: {layer name: reason}, see `functional_activations.unmeasured`.
        linear: linear layers that are not measured.
        outputs_are_tensors: whether they can leave a compiled program.
        masked: names of the entries of which a mask leaves out some positions.
        has_output_masks: whether one leaves out some positions of the outputs.
    """

    def __init__(
        self,
        call: Callable[[Any], Any],
        layers: Mapping[str, Any],
        chosen: Mapping[str, Any],
        signature: Any,
        is_chosen: bool = False,
    ):
        self.functions: dict[str, str] = {}
        self.unit_axes: dict[str, tuple[int, ...]] = {}
        self.outputs_are_tensors = True
        self.masked: list[str] = []
        self.has_output_masks = False
        self.unmeasured: dict[str, str] = {}
        self._call, self._layers, self._chosen = call, layers, chosen
        self._signature = signature
        self.linear = Linear()
        self._linear_layers = LinearLayers(layers, chosen if is_chosen else None)
        self._linear_names: list[str] = []
        self._unmeasured: dict[str, str] = {}
        self._whole = compile_read_only("`model`", self._trace, signature)

    def program(self, select: Callable[[Mapping[str, Any]], Any]) -> ReadOnlyProgram:
        """Returns a program for the part of a pass that `select` returns; it computes no more than that.

        Args:
            select: function of a mapping with the entries 'activations', 'pre_activations', 'linear_outputs'
                and 'masks', {name: tensor}, 'outputs', and 'output_masks', {number of an output: tensor}.
        """
        # TensorFlow puts the traced call into the new program, and leaves out what that does not use.
        return compile_read_only("`model`", lambda inputs: select(self._whole(inputs)), self._signature)

    def selected(
        self, traced: Mapping[str, Any], wholes: Sequence[str], arrays: Sequence[str]
    ) -> dict[str, Any]:
        """Returns parts of a pass, and of the units' statistics in it.

        Args:
            traced: result of `program` for `select`.
            wholes: names of the parts: its entries, or 'features', the last of the activations.
            arrays: names of arrays of `UnitStatistics`.

        Returns:
            {part: its value, 'statistics': {name: result of `traced_statistics`}}.
        """
        activations = traced["activations"]
        parts = {**traced, "features": dict(list(activations.items())[-1:])}
        statistics = {
            name: unit_statistics.traced_statistics(
                unit_axes.units_last(values, self.unit_axes[name]),
                unit_axes.units_last(traced["pre_activations"].get(name), self.unit_axes[name]),
                self.functions[name],
                arrays,
                traced["masks"].get(name),
            )
            for name, values in activations.items()
        }
        return {**{part: parts[part] for part in wholes}, "statistics": statistics if arrays else {}}

    @contextlib.contextmanager
    def observed(self, inputs: Any) -> Iterator[list[Mapping[str, Any]]]:
        """While this is open, others may call the model; on leaving, the list it gives holds a pass.

        That is theirs if they made one call, of these inputs and as it is made here, else one of its own.

        Args:
            inputs: inputs of the pass, in the graph under construction.
        """
        passes: list[Mapping[str, Any]] = []
        with hidden_nonlinearities.model_calls(self._layers, self._linear_layers.watched) as made:
            yield passes
        passes.append(self._pass_of(made, inputs) or self._whole(inputs))

    def _pass_of(self, made: Sequence[recording.ModelCall], inputs: Any) -> Mapping[str, Any] | None:
        """Returns the pass of the calls that others made; None where it is another than this one."""
        if len(made) != 1 or not _is_plain_call(next(iter(self._layers.values())), made[0], inputs):
            return None
        if not hasattr(tf.compat.v1.get_default_graph(), "internal_captures"):
            return None
        hidden, flow = self._hidden_calls(made[0])
        linear = self._linear_layers.of_call(made[0].calls, hidden, self._unmeasured, flow)
        found = self._pass(hidden, linear, made[0].result, made[0].masks)
        # Of a call in a graph of its own, such as a loop's, names are missing.
        names = list(found["activations"]), list(found["linear_outputs"])
        return found if names == (list(self.functions), self._linear_names) else None

    def _trace(self, inputs: Any) -> dict[str, Any]:
        nonlinear = model_layers.nonlinear_layers(self._layers)
        others = {**hidden_nonlinearities.weighted_layers(self._layers), **self._linear_layers.watched}
        start = len(tf.compat.v1.get_default_graph().get_operations())
        with noted_masks(self._layers) as masks, recording.recording(nonlinear, others) as calls:
            outputs = self._call(inputs)
        end = len(tf.compat.v1.get_default_graph().get_operations())
        made = recording.ModelCall((inputs,), {}, outputs, calls, (start, end), masks)
        hidden, flow = self._hidden_calls(made)
        model_name = next(iter(self._layers))
        self._unmeasured = functional_activations.unmeasured(
            self._known(calls), nonlinear, hidden, flow, model_name
        )
        self.unmeasured = {
            name: reason
            for name, reason in self._unmeasured.items()
            if name.partition(":")[0] in self._chosen
        }
        linear = self._linear_layers.of_call(calls, hidden, self._unmeasured, flow)
        self.linear = dataclasses.replace(linear, outputs={})  # tensors of this graph
        self._linear_names = list(linear.outputs)
        self.outputs_are_tensors = all(tf.is_tensor(each) for each in tf.nest.flatten(outputs))
        self.functions = {name: call.activation for name, call in hidden.items() if call.name in self._chosen}
        self.unit_axes = {name: unit_axes.unit_axes(hidden[name].result) for name in self.functions}
        found = self._pass(hidden, linear, outputs, masks)
        self.masked, self.has_output_masks = list(found["masks"]), bool(found["output_masks"])
        return found

    def _hidden_calls(self, made: recording.ModelCall) -> tuple[dict[str, recording.Call], Flow]:
        """Returns the hidden nonlinearities in a call of the model, and its flow."""
        flow = hidden_nonlinearities.flow_of(made)
        made = dataclasses.replace(made, calls=self._known(made.calls))
        return hidden_nonlinearities.hidden_calls_of(made, next(iter(self._layers)), flow), flow

    def _known(self, calls: Sequence[recording.Call]) -> list[recording.Call]:
        """Returns the calls of nonlinearities and layers with weights, by which bare functions are named."""
        weighted = hidden_nonlinearities.weighted_layers(self._layers)
        return [call for call in calls if call.activation or call.name in weighted]

    def _pass(
        self, hidden: Mapping[str, recording.Call], linear: Linear, outputs: Any, masks: Masks
    ) -> dict[str, Any]:
        hidden = {name: call for name, call in hidden.items() if call.name in self._chosen}
        axes = {name: (call.result, min(self.unit_axes[name])) for name, call in hidden.items()}
        axes |= {name: (each, each.shape.rank - 1) for name, each in linear.outputs.items()}
        masks_of_layers = {name: masks.of(each) for name, (each, _) in axes.items()}
        masks_of_outputs = {
            str(number): masks.of(each) for number, each in enumerate(tf.nest.flatten(outputs))
        }
        return {
            "activations": {name: call.result for name, call in hidden.items()},
            "pre_activations": {
                name: call.argument for name, call in hidden.items() if call.argument is not None
            },
            "masks": {
                name: mask
                for name, mask in masks_of_layers.items()
                if mask is not None and mask.shape.rank <= axes[name][1]
            },
            "linear_outputs": linear.outputs,
            "outputs": outputs if self.outputs_are_tensors else (),
            "output_masks": {name: mask for name, mask in masks_of_outputs.items() if mask is not None},
        }


def _is_plain_call(model: Any, made: recording.ModelCall, inputs: Any) -> bool:
    """Returns whether a call was of these very inputs, with `training=False` and nothing else."""
    given = inspect.signature(model.call).bind(*made.args, **made.kwargs).arguments
    first, *others = given.items()
    leaves, own = tf.nest.flatten(first[1]), tf.nest.flatten(inputs)
    is_same = len(leaves) == len(own) and all(a is b for a, b in zip(leaves, own, strict=True))
    takes_training = "training" in inspect.signature(model.call).parameters
    is_inference = not takes_training or given.get("training") is False
    rest = tf.nest.flatten([value for name, value in others if name != "training"])
    return is_same and is_inference and all(each is None for each in rest)
