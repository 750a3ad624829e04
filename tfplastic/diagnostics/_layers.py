"""Which layers a model has, by name, and the recording of what they return: for Keras 2 and Keras 3."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfplastic.linalg._variables import as_tf_variables

_WHOLE = ""  # no layer's name
# By name, because Keras 2 and Keras 3 share no class.
_NONLINEARITIES = {"Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "ThresholdedReLU"}


def named_layers(model: Any) -> dict[str, Any]:
    """`model` and the layers inside it, outer before inner; a name's later owners get '.1', '.2', ..."""
    layers: dict[str, Any] = {}
    for layer in model._flatten_layers():  # nothing public finds the layers inside custom layers as well
        if not any(layer is each for each in layers.values()):
            layers[_free_name(layer.name, ".", layers)] = layer
    return layers


def nonlinear_layers(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `layers` that end in a nonlinearity: activation layers, or with an `activation` not linear."""
    activations = [getattr(layer, "activation", None) for layer in layers.values()]
    return {
        name: layer
        for name, layer in layers.items()
        # A layer that serves as another's `activation` is that other's to report.
        if _is_nonlinear(layer) and not any(layer is activation for activation in activations)
    }


def _is_nonlinear(layer: Any) -> bool:
    if any(base.__name__ in _NONLINEARITIES for base in type(layer).__mro__):
        return getattr(getattr(layer, "activation", None), "__name__", None) != "linear"
    activation = getattr(layer, "activation", None)
    return callable(activation) and getattr(activation, "__name__", None) != "linear"


def layer_weights(layers: Mapping[str, Any]) -> dict[str, list[tf.Variable]]:
    """The trainable variables each of `layers` owns itself; a shared one goes to the first that owns it."""
    weights: dict[str, list[tf.Variable]] = {}
    taken: set[int] = set()
    for name, layer in layers.items():
        inner = layer._flatten_layers(recursive=False, include_self=False)
        not_own = taken | {id(variable) for child in inner for variable in child.trainable_variables}
        own = [variable for variable in layer.trainable_variables if id(variable) not in not_own]
        taken |= {id(variable) for variable in own}
        if own:
            weights[name] = as_tf_variables(own)
    return weights


@contextlib.contextmanager
def recording(layers: Mapping[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """While open, appends (name, what it returned) to the list it gives, for each call of one of `layers`.

    An instance's own `call` hides its class's; it is put into `__dict__` past Keras' tracking of attributes,
    and taken out on leaving, also by an error.
    """
    calls: list[tuple[str, Any]] = []
    originals = []
    try:
        for name, layer in layers.items():
            originals.append((vars(layer), vars(layer).get("call")))
            vars(layer)["call"] = _recorded(name, layer.call, calls)
        yield calls
    finally:
        for attributes, call in originals:
            if call is None:
                attributes.pop("call", None)
            else:
                attributes["call"] = call


def _recorded(name: str, call: Callable[..., Any], calls: list[tuple[str, Any]]) -> Callable[..., Any]:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        calls.append((name, result))
        return result

    return recorded


def hidden_outputs(calls: list[tuple[str, Any]], outputs: Any) -> dict[str, tf.Tensor]:
    """The recorded tensors that are not among the model's `outputs`; a name's later calls get ':1', ':2', ...

    Tensors made inside a loop, a branch or a function of its own cannot leave it, and are not among them
    either.
    """
    final = {id(output) for output in tf.nest.flatten(outputs)}
    graph = tf.compat.v1.get_default_graph()
    hidden: dict[str, tf.Tensor] = {}
    for name, result in calls:
        tensor = tf.nest.flatten(result)[0]  # recurrent layers may return their states after it
        if id(tensor) not in final and tensor.graph is graph:
            hidden[_free_name(name, ":", hidden)] = tensor
    return hidden


@contextlib.contextmanager
def recorded_activations(model: Any) -> Iterator[dict[str, tf.Tensor]]:
    """The outputs of the hidden nonlinearities in the first call of `model` while this is open.

    For code that traces a program around calls of a model that it does not make itself, such as a gradient
    step. The tensors are those of the call, gradients flow through them.

    Args:
        model: a Keras model, built.

    Yields:
        {layer name: `[batch, ..., units]`} in call order, filled when the context is left.

    Raises:
        ValueError: on leaving, if the model was not called.
    """
    hidden: dict[str, tf.Tensor] = {}
    layers = nonlinear_layers(named_layers(model))
    layers.pop(model.name, None)
    with recording({**layers, _WHOLE: model}) as calls:
        yield hidden
    names = [name for name, _ in calls]
    if _WHOLE not in names:
        raise ValueError(
            f"`model` must be called while its activations are recorded. Received: {model.name!r}"
        )
    first = names.index(_WHOLE)  # entered when the call returned, after those of its layers
    hidden |= hidden_outputs(calls[:first], calls[first][1])


def _free_name(name: str, separator: str, taken: Mapping[str, Any]) -> str:
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}{separator}{count}"
    return free
