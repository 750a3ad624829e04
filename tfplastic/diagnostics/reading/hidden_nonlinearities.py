"""The hidden nonlinearities in a call of a model: of layers, and called as bare functions."""

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics.reading import functional_activations, model_layers
from tfplastic.diagnostics.reading.data_flow import Flow
from tfplastic.diagnostics.reading.masks import noted_masks
from tfplastic.diagnostics.reading.recording import Call, ModelCall, hidden_calls, recorded_model_calls


@contextlib.contextmanager
def model_calls(
    layers: Mapping[str, Any], watched: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[list[ModelCall]]:
    """While open, appends to the list it gives each call of a model; see `recorded_model_calls`.

    Args:
        layers: the model's, itself first, as `model_layers.named_layers` has them.
        watched: others of them whose calls are recorded, beside nonlinearities and layers with weights.
    """
    model = next(iter(layers.values()))
    nonlinear, others = model_layers.nonlinear_layers(layers), {**weighted_layers(layers), **watched}
    with noted_masks(layers) as masks, recorded_model_calls(model, nonlinear, others, masks) as made:
        yield made


def weighted_layers(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the named `layers` that have variables of their own, without the model, which comes first."""
    names = list(layers)[1:]
    return {name: layers[name] for name in names if model_layers.owns_variables(layers[name])}


def flow_of(made: ModelCall) -> Flow:
    """How data flow through the graph of a call that is being traced."""
    inputs = [each for each in tf.nest.flatten((made.args, made.kwargs)) if tf.is_tensor(each)]
    return Flow(tf.compat.v1.get_default_graph(), inputs, made.span[1])


def hidden_calls_of(made: ModelCall, model_name: str, flow: Flow | None = None) -> dict[str, Call]:
    """The calls of hidden nonlinearities in a call of a model, {name: call}, in their order."""
    hidden = hidden_calls(made.calls, made.result)
    if not hasattr(tf.compat.v1.get_default_graph(), "internal_captures"):
        return hidden
    bare = functional_activations.bare_calls(
        made.calls, hidden, flow or flow_of(made), made.span[0], model_name
    )
    return dict(sorted({**hidden, **bare}.items(), key=lambda item: item[1].span[1])) if bare else hidden


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
    layers = model_layers.named_layers(model)
    with model_calls(layers) as made:
        yield hidden
    if not made:
        raise ValueError(
            f"`model` must be called while its activations are recorded. Received: {model.name!r}"
        )
    for name, call in hidden_calls_of(made[0], next(iter(layers))).items():
        mask = made[0].masks.of(call.result)
        hidden[name] = call.result if mask is None else tf.boolean_mask(call.result, mask)
