"""The layers of a model by name, and their kinds: for Keras 2 and Keras 3."""

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfplastic._text.near_names import near_matches
from tfplastic._tf.variables import as_tf_variables

# Names of the activations that layers stand for. By class name, because Keras 2 and Keras 3 share no class.
_ACTIVATION_LAYERS = {
    "Activation": "",
    "CReLU": "crelu",
    "DeepFourier": "deep_fourier",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "Rational": "rational",
    "ReLU": "relu",
    "ThresholdedReLU": "thresholded_relu",
}

# What layers call those of their variables that are not kernels, whatever their shape: gains, slopes and
# offsets for each position, a token.
_NO_KERNELS = ("alpha", "beta", "bias", "gamma", "scale", "token")


def named_layers(model: Any) -> dict[str, Any]:
    """Returns `model` and the layers inside it by name, outer before inner, each of them once.

    A layer's name is its path below `model`, such as 'block_1/attention/query', and of a shared layer the
    shortest, so that a layer directly in the model keeps its own. Later siblings of one name get '.1', '.2',
    ... The model itself, which comes first, goes by its own name. Layers of the network in a `PlasticModel`
    have the names that they have below the network.
    """
    inner: dict[str, Any] = {}
    inner_of: dict[int, list[str]] = {}
    seen, outer_layers = {id(model)}, [("", model)]
    for prefix, outer in outer_layers:  # level by level, so that the shortest path comes first
        for layer in _directly_inside(outer):
            if id(layer) not in seen:
                seen.add(id(layer))
                name = free_name(prefix + layer.name, ".", inner)
                inner[name] = layer
                inner_of.setdefault(id(outer), []).append(name)
                is_network = layer is network_of(model) and outer is model
                outer_layers.append(("" if is_network else f"{name}/", layer))

    def in_order(outer: Any) -> Iterator[str]:
        for name in inner_of.get(id(outer), ()):
            yield name
            yield from in_order(inner[name])

    return {free_name(model.name, ".", inner): model, **{name: inner[name] for name in in_order(model)}}


def network_of(model: Any) -> Any:
    """Returns the network that a `PlasticModel` trains; other models themselves."""
    return model.network if getattr(type(model), "is_named_as_its_network", False) else model


def _directly_inside(layer: Any) -> Any:
    # Nothing public finds the layers inside custom layers as well.
    return layer._flatten_layers(recursive=False, include_self=False)


def nonlinear_layers(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the `layers` that have a nonlinearity: activation layers, or a nonlinear `activation`."""
    activations = [getattr(layer, "activation", None) for layer in layers.values()]
    return {
        name: layer
        for name, layer in layers.items()
        # A layer that serves as another's `activation` is that other's to report.
        if _is_nonlinear(layer) and not any(layer is activation for activation in activations)
    }


def _is_nonlinear(layer: Any) -> bool:
    activation = getattr(_innermost_cell(layer), "activation", None)
    if getattr(activation, "__name__", None) == "linear":
        return False
    return is_activation_layer(layer) or callable(activation)


def _innermost_cell(layer: Any) -> Any:
    """Returns the cell of a recurrent layer, of stacked ones the last; else the layer itself."""
    while hasattr(layer, "cell"):
        layer = layer.cell
    return _innermost_cell(layer.cells[-1]) if hasattr(layer, "cells") else layer


def is_activation_layer(layer: Any) -> bool:
    """Returns whether `layer` is nothing but a nonlinearity."""
    return any(base.__name__ in _ACTIVATION_LAYERS for base in type(layer).__mro__)


def has_own_function(layer: Any) -> bool:
    """Returns whether `layer` applies an activation function of its own after other work.

    Recurrent layers do not: theirs is their cell's. Nor do cells, for which it is one of several.
    """
    is_cell = hasattr(layer, "state_size")
    return "activation" in vars(layer) and not is_cell and not is_activation_layer(layer)


def activation_name(layer: Any) -> str:
    """Returns the name of the nonlinearity of `layer`, such as 'relu'.

    That of a function of Keras with its own settings; 'clipped_relu' and 'scaled_elu' with any others.
    """
    for base in type(layer).__mro__:
        if _ACTIVATION_LAYERS.get(base.__name__):
            return _with_settings(_ACTIVATION_LAYERS[base.__name__], vars(layer))
    function, settings = _innermost_cell(layer).activation, {}
    while isinstance(function, functools.partial):
        function, settings = function.func, {**function.keywords, **settings}
    if isinstance(name := getattr(function, "__name__", None), str):
        return _with_settings(name, settings)
    return activation_name(function) if is_activation_layer(function) else type(function).__name__


def _with_settings(name: str, settings: Mapping[str, Any]) -> str:
    """Returns the name of an activation function with these settings, such as 'relu6' of 'relu'."""
    if name == "elu":
        return "elu" if float(settings.get("alpha", 1.0)) == 1 else "scaled_elu"
    if name != "relu":
        return name
    top = settings.get("max_value")
    slope, threshold = (float(settings.get(each, 0.0)) for each in ("negative_slope", "threshold"))
    if threshold or (slope and top is not None):
        return "clipped_relu"
    if top is None:
        return "leaky_relu" if slope else "relu"
    return "relu6" if float(top) == 6 else "clipped_relu"


def owns_variables(layer: Any) -> bool:
    """Returns whether `layer` has variables that no layer inside it has."""
    inner = _directly_inside(layer)
    not_own = {id(variable) for child in inner for variable in child.variables}
    return any(id(variable) not in not_own for variable in layer.variables)


def owns_weights(layer: Any) -> bool:
    """Returns whether `layer` has weights, trained or not, that no layer inside it has.

    States of random generators are none.
    """
    return bool(_own_weights(layer))


def owns_kernel(layer: Any) -> bool:
    """Returns whether `layer` has a kernel among them, by which it mixes the units that it is given."""
    # A layer that keeps frozen copies of others says so.
    return getattr(layer, "mixes_units", True) and any(map(is_kernel, _own_weights(layer)))


def is_kernel(variable: Any) -> bool:
    """Returns whether a variable is a matrix of weights by its shape and the name that its layer gives it."""
    return len(variable.shape) >= 2 and not variable_role(variable).endswith(_NO_KERNELS)


def variable_role(variable: Any) -> str:
    """Returns the name of a variable in its layer, such as 'kernel'."""
    return variable.name.split("/")[-1].split(":")[0]


def time_distributed(layers: Mapping[str, Any]) -> dict[str, str]:
    """Returns {layer name: name of the wrapper that applies it to every step}, among `layers`."""
    names = {id(layer): name for name, layer in layers.items()}
    return {
        names[id(inner)]: name
        for name, layer in layers.items()
        if any(base.__name__ == "TimeDistributed" for base in type(layer).__mro__)
        for inner in _directly_inside(layer)
        if id(inner) in names
    }


def _own_weights(layer: Any) -> list[Any]:
    not_own = {id(each) for child in _directly_inside(layer) for each in child.weights}
    return [each for each in layer.weights if id(each) not in not_own and tf.as_dtype(each.dtype).is_floating]


def layer_weights(layers: Mapping[str, Any]) -> dict[str, list[tf.Variable]]:
    """Returns each layer's own trainable variables; a shared one belongs to its first owner."""
    weights: dict[str, list[tf.Variable]] = {}
    taken: set[int] = set()
    for name, layer in layers.items():
        inner = _directly_inside(layer)
        not_own = taken | {id(variable) for child in inner for variable in child.trainable_variables}
        own = [variable for variable in layer.trainable_variables if id(variable) not in not_own]
        taken |= {id(variable) for variable in own}
        if own:
            weights[name] = as_tf_variables(own)
    return weights


def free_name(name: str, separator: str, taken: Mapping[str, Any]) -> str:
    """Returns `name`, or with the first free number after `separator` where it is taken."""
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}{separator}{count}"
    return free


def chosen_layers(layers: Mapping[str, Any], choice: Any) -> dict[str, Any]:
    """Returns the named `layers` that `choice` selects: see `Snapshot`.

    Raises:
        TypeError: `choice` is not a function of a layer, class, name of one, or list of names.
        ValueError: it is for none of them, or a name is not among them.
    """
    if choice is None:
        return dict(layers)
    if isinstance(choice, str):
        found = {
            name: layer
            for name, layer in layers.items()
            if any(base.__name__ == choice for base in type(layer).__mro__)
        }
    elif isinstance(choice, type):
        found = {name: layer for name, layer in layers.items() if isinstance(layer, choice)}
    elif callable(choice):
        found = {name: layer for name, layer in layers.items() if choice(layer)}
    elif isinstance(choice, Collection):
        for name in choice:
            if name not in layers:
                hint = near_matches(str(name), list(layers))
                raise ValueError(f"`layers` must be names of the model's layers. Received: {name!r}.{hint}")
        found = {name: layer for name, layer in layers.items() if name in choice}
    else:
        rule = "must be a function of a layer, a class or its name, or a list of names"
        raise TypeError(f"`layers` {rule}. Received: {choice!r}")
    if not found:
        raise ValueError(f"`layers` must fit a layer of the model. Received: {choice!r}")
    return found
