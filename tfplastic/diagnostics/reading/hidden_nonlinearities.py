"""The hidden nonlinearities in a call of a model: of layers, and called as bare functions."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from tfplastic._tf import unit_axes
from tfplastic.diagnostics.reading import functional_activations, model_layers
from tfplastic.diagnostics.reading.data_flow import Flow
from tfplastic.diagnostics.reading.masks import noted_masks
from tfplastic.diagnostics.reading.output_layers import output_layers
from tfplastic.diagnostics.reading.recording import Call, ModelCall, hidden_calls, recorded_model_calls
from tfplastic.diagnostics.units.feature_pairs import has_feature_pairs, values_of_units


@contextlib.contextmanager
def model_calls(
    layers: Mapping[str, Any], watched: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[list[ModelCall]]:
    """While open, appends to the list it gives each call of a model; see `recorded_model_calls`.

    Args:
        layers: the model's, itself first, as `model_layers.named_layers` has them.
        watched: further layers whose calls are recorded, besides nonlinearities and layers with weights.
    """
    model = next(iter(layers.values()))
    nonlinear, others = model_layers.nonlinear_layers(layers), {**weighted_layers(layers), **watched}
    with noted_masks(layers) as masks, recorded_model_calls(model, nonlinear, others, masks) as made:
        yield made


def weighted_layers(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the named `layers` that have variables of their own, without the model, which comes first."""
    names = list(layers)[1:]
    return {name: layers[name] for name in names if model_layers.owns_variables(layers[name])}


def flow_of(made: ModelCall) -> Flow:
    """Returns the flow of data through the graph of a call that is being traced."""
    inputs = [each for each in tf.nest.flatten((made.args, made.kwargs)) if tf.is_tensor(each)]
    return Flow(tf.compat.v1.get_default_graph(), inputs, made.span[1])


def hidden_calls_of(made: ModelCall, model_name: str, flow: Flow | None = None) -> dict[str, Call]:
    """Returns the calls of hidden nonlinearities in a call of a model, {name: call}, in their order."""
    hidden = hidden_calls(made.calls, made.result)
    if not hasattr(tf.compat.v1.get_default_graph(), "internal_captures"):
        return hidden
    bare = functional_activations.bare_calls(
        made.calls, hidden, flow or flow_of(made), made.span[0], model_name
    )
    return dict(sorted({**hidden, **bare}.items(), key=lambda item: item[1].span[1])) if bare else hidden


class RecordedCall:
    """The first call of a model while `recorded_call` is open, for the program that is being traced."""

    def __init__(self, layers: Mapping[str, Any]):
        self._layers, self._model_name = layers, next(iter(layers))
        self._made: list[ModelCall] = []
        self._hidden: dict[str, Call] | None = None

    @property
    def outputs(self) -> Any:
        """The result of the call."""
        return self._first.result

    @property
    def features(self) -> tf.Tensor:
        """The inputs of the last layer with a kernel, `[batch, features]`.

        Of output layers side by side, such as those of a dueling head, they are joined, in call order.

        Raises:
            ValueError: no layer has one.
        """
        mixing = [
            call
            for call in self._first.calls
            if not call.activation and model_layers.owns_kernel(self._layers[call.name])
        ]
        if not mixing:
            raise ValueError(f"`model` must have a layer with a kernel. Received: {self._model_name!r}")
        outputs = output_layers(self._layers[self._model_name], [self._layers[call.name] for call in mixing])
        last = {
            call.name: call for call in mixing if any(self._layers[call.name] is each for each in outputs)
        }
        inputs = {id(call.inputs): tf.convert_to_tensor(call.inputs) for call in last.values()}
        flat = [tf.reshape(each, [tf.shape(each)[0], math.prod(each.shape[1:])]) for each in inputs.values()]
        return flat[0] if len(flat) == 1 else tf.concat(flat, axis=-1)

    def activations(self, units_last: bool = False, of_units: bool = False) -> dict[str, tf.Tensor]:
        """Returns the outputs of the hidden nonlinearities, {layer name: tensor} in call order.

        Args:
            units_last: whether the axes of units, wherever the model has them, come last and as one.
            of_units: whether units with two features have one value, see `values_of_units`; they come last.
        """
        if self._hidden is None:
            self._hidden = hidden_calls_of(self._first, self._model_name)
        found = {}
        for name, call in self._hidden.items():
            mask = self._first.masks.of(call.result)
            values = call.result
            is_paired = of_units and has_feature_pairs(call.activation)
            if units_last or is_paired:
                values = unit_axes.units_last(values, unit_axes.unit_axes(values))
            if is_paired:
                values = values_of_units(values, call.activation)
            found[name] = values if mask is None else tf.boolean_mask(values, mask)
        return found

    @property
    def _first(self) -> ModelCall:
        if not self._made:
            rule = "must be called while its activations are recorded"
            raise ValueError(f"`model` {rule}. Received: {self._model_name!r}")
        return self._made[0]


@contextlib.contextmanager
def recorded_call(model: Any) -> Iterator[RecordedCall]:
    """The outputs and activations in the first call of `model` while this is open.

    For code that traces a program around calls of a model that it does not make itself, such as a gradient
    step. The tensors are those of the call, gradients flow through them, and no operation is added.

    Args:
        model: a Keras model, built.

    Yields:
        A `RecordedCall`, filled by the call.
    """
    layers = model_layers.named_layers(model)
    recorded = RecordedCall(layers)
    with model_calls(layers) as made:
        recorded._made = made
        yield recorded


@contextlib.contextmanager
def recorded_activations(model: Any) -> Iterator[dict[str, tf.Tensor]]:
    """The outputs of the hidden nonlinearities in the first call of `model` while this is open.

    For code that traces a program around calls of a model that it does not make itself, such as a gradient
    step. The tensors are those of the call, gradients flow through them. Where a mask leaves out positions,
    only the others are given, as `[values, units]`.

    Args:
        model: a Keras model, built.

    Yields:
        {layer name: `[batch, ..., units]`} in call order, filled when the context is left.

    Raises:
        ValueError: on leaving, if the model was not called.
    """
    hidden: dict[str, tf.Tensor] = {}
    with recorded_call(model) as call:
        yield hidden
    hidden |= call.activations()
