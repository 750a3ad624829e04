"""Another network of the same architecture, initialized by a seed: of either Keras, or of TF-Agents."""

import contextlib
import inspect
import itertools
import random
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from tfplastic import seeds
from tfplastic._keras import is_of, keras_of

MakeModel = Callable[[int], Any]
"""From a seed to a model of the architecture, initialized by it."""

_CLONEABLE = ("Functional", "Sequential")


def rebuild(model: Any, seed: int, example: Any, make_model: MakeModel | None = None) -> Any:
    """Returns a network of the architecture of `model` whose initial weights are a function of the seed.

    Layers are made again from their configurations with other seeds. Statistics that `adapt` has computed
    from data, as in Keras' `Normalization`, belong to the architecture and are kept. Global random states
    stay as they are.

    Args:
        model: a Keras model, of Keras 2 or Keras 3, or a TF-Agents network; built.
        seed: an integer in [0, 2^31).
        example: a nest of inputs `[1, ...]`, to build it with.
        make_model: function that makes the network instead, from a seed.

    Raises:
        ValueError: if it cannot be rebuilt, or is another one.
    """
    with _own_randomness(seed):
        if make_model is not None:
            other = make_model(seed)
            _call(other, example)
        elif is_of(model, "tf_agents"):
            other = model.copy(name=model.name)
            other.create_variables()
            _draw_again(other, seed)
        else:
            other = _rebuilt(model, seed)
            _call(other, example)
    _copy_adapted(model, other)
    shapes, expected = _shapes(other), _shapes(model)
    if shapes != expected:
        name, what = ("make_model", "return") if make_model else ("model", "be rebuilt as")
        rule = f"must {what} a network with the weights of `model`, of shapes {_short(expected)}"
        raise ValueError(f"`{name}` {rule}. Received: {_short(shapes)}")
    return other


def call(model: Any, inputs: Any, training: bool) -> Any:
    """Returns the outputs of a Keras model or a TF-Agents network."""
    outputs = _outputs(model, inputs, training)
    if not tf.is_tensor(outputs):
        action = "Probe a model of one of them, such as keras.Model(model.inputs, model.outputs[0])."
        received = type(outputs).__name__
        raise ValueError(f"`model` must have one output, a tensor. Received: {received}. {action}")
    return outputs


def _outputs(model: Any, inputs: Any, training: bool) -> Any:
    takes_training = "training" in inspect.signature(model.call).parameters
    outputs = model(inputs, **({"training": training} if takes_training else {}))
    return outputs[0] if is_of(model, "tf_agents") else outputs  # the other is the state of the network


def architecture(model: Any, make_model: MakeModel | None) -> Any:
    """Returns a hashable key that identifies the architecture."""
    adapted = tuple(weight.tobytes() for layer in _adapted(model) for weight in layer.get_weights())
    if make_model is not None:
        return make_model, _shapes(model), adapted
    if is_of(model, "tf_agents"):
        return type(model), _shapes(model), adapted
    config = _reseeded(_config(model), 0)  # a network that is made again has other seeds anyway
    numbers = {name: number for number, name in enumerate(_names(config))}
    return type(model), repr(_renamed(config, numbers)), _shapes(model), adapted


def _rebuilt(model: Any, seed: int) -> Any:
    """Rebuilds by the model's own Keras."""
    keras = keras_of(model)
    if any(base.__name__ in _CLONEABLE for base in type(model).__mro__):
        # By the place of a layer, because Keras counts on when it makes up names.
        places = itertools.count()
        with _generators_with_state(keras):
            return keras.models.clone_model(
                model, clone_function=lambda layer: _layer(layer, seeds.derive_integer(seed, next(places)))
            )
    try:
        with _generators_with_state(keras):
            return type(model).from_config(_reseeded(_config(model), seed))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        raise _cannot_rebuild(model) from None


def _layer(layer: Any, seed: int) -> Any:
    if any(base.__name__ in _CLONEABLE for base in type(layer).__mro__):
        return _rebuilt(layer, seed)
    try:
        return type(layer).from_config(_reseeded(layer.get_config(), seed))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        raise _cannot_rebuild(layer) from None


def _config(model: Any) -> Any:
    try:
        return model.get_config()
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        raise _cannot_rebuild(model) from None


def _names(config: Any) -> list[str]:
    """Returns the names in a configuration, in the order in which they come."""
    if isinstance(config, dict):
        own = [config["name"]] if isinstance(config.get("name"), str) else []
        return own + [name for value in config.values() for name in _names(value)]
    return [name for each in config for name in _names(each)] if type(config) in (list, tuple) else []


def _renamed(config: Any, numbers: dict[str, int]) -> Any:
    """Returns the configuration with numbers for names, also where layers refer to each other."""
    if isinstance(config, dict):
        return {key: _renamed(value, numbers) for key, value in config.items()}
    if type(config) in (list, tuple):
        return [_renamed(each, numbers) for each in config]
    return numbers.get(config, config) if isinstance(config, str) else config


def _cannot_rebuild(layer: Any) -> ValueError:
    rule = "must be rebuilt by `get_config` and `from_config`, or `make_model` be given"
    return ValueError(f"`model` {rule}. Received: {layer.name!r} of type {type(layer).__name__}")


def _reseeded(config: Any, seed: int, *path: str) -> Any:
    """Returns the configuration with another integer for each `seed`, wherever it is."""
    if isinstance(config, dict):
        return {
            key: seeds.derive_integer(seed, *path, key)
            if key == "seed" and (value is None or isinstance(value, int))
            else _reseeded(value, seed, *path, str(key))
            for key, value in config.items()
        }
    if type(config) in (list, tuple):
        return type(config)(_reseeded(each, seed, *path, str(place)) for place, each in enumerate(config))
    return config


def _draw_again(network: Any, seed: int) -> None:
    """Draws the weights of all layers that keep their initializers, for networks without configuration."""
    for number, layer in enumerate(network._flatten_layers()):
        for name, initializer in list(vars(layer).items()):
            variable: Any = getattr(layer, name.removesuffix("_initializer"), None)
            if name.endswith("_initializer") and hasattr(variable, "assign") and initializer is not None:
                config = _reseeded(initializer.get_config(), seed, str(number), name)
                again = type(initializer).from_config(config)
                # A graph of its own, for initializers of TensorFlow 1 draw on where they were in eager code.
                with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                    values = session.run(again(variable.shape, dtype=variable.dtype))
                variable.assign(values)


def _copy_adapted(model: Any, other: Any) -> None:
    for layer, copy in zip(model._flatten_layers(), other._flatten_layers(), strict=False):
        if hasattr(layer, "adapt") and type(layer) is type(copy):
            copy.set_weights(layer.get_weights())
            if hasattr(copy, "finalize_state"):
                copy.finalize_state()


def _call(model: Any, example: Any) -> None:
    if not hasattr(model, "weights") or not callable(model):
        raise ValueError(f"`make_model` must return a Keras model. Received: {model!r}")
    try:
        _outputs(model, example, training=False)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        received = _short(tuple(each.shape for each in tf.nest.flatten(example)))
        rule = "must fit `model`"
        raise ValueError(f"`inputs` {rule}. Received: shape {received}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Returns the line that describes the error, of the several in colors that Keras has."""
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.startswith("Exception encountered")), "unknown")


def _adapted(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if hasattr(layer, "adapt")]


def _shapes(model: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(weight.shape) for weight in model.weights)


def _short(shapes: tuple[tuple[int, ...], ...]) -> str:
    text = ", ".join(str(list(shape)) for shape in shapes[:4])
    return f"{text}, ... ({len(shapes)} in all)" if len(shapes) > 4 else text or "none"


@contextlib.contextmanager
def _generators_with_state(keras: Any) -> Iterator[None]:
    """While open, Keras 2 makes layers such as Dropout with random states in variables, as Keras 3 does."""
    switch = getattr(keras.backend, "experimental", None)
    if switch is None or switch.is_tf_random_generator_enabled():
        yield
        return
    switch.enable_tf_random_generator()
    try:
        yield
    finally:
        switch.disable_tf_random_generator()


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """While open, seeds that would come from global generators are a function of `seed`."""
    generators = [random, getattr(context.context(), "_rng", None)]
    backend = sys.modules.get("tf_keras.src.backend")
    generators.append(getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None))
    known = [each for each in generators if each is not None]
    states, numpy_state = [each.getstate() for each in known], np.random.get_state()
    for each in known:
        each.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        for each, state in zip(known, states, strict=True):
            each.setstate(state)
        np.random.set_state(numpy_state)


def weights_of(model: Any) -> list[np.ndarray]:
    """Returns the values of all weights, also of those that are not trained."""
    return [np.array(tf.convert_to_tensor(weight)) for weight in model.weights]
