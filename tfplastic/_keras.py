"""The Keras that `tf.keras` is: Keras 3, or Keras 2 under `TF_USE_LEGACY_KERAS=1`.

Objects that this library creates (layers, networks, optimizers) follow `keras` below. Models that it inspects
may be of either Keras, so nothing here or elsewhere tests `isinstance(model, keras.Model)`.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

keras = tf.keras


def is_legacy() -> bool:
    """Returns whether `tf.keras` is Keras 2 (the package tf_keras), which TF-Agents needs."""
    return keras.layers.Layer.__module__.startswith("tf_keras.")


def is_of(received: Any, package: str) -> bool:
    """Returns whether the class of `received`, or a base of it, comes from a package such as `'tf_keras'`."""
    return any(base.__module__.partition(".")[0] == package for base in type(received).__mro__)


def is_of_keras_2(model: Any) -> bool:
    """Returns whether a model is of the package tf_keras."""
    return is_of(model, "tf_keras")


def keras_of(model: Any) -> Any:
    """Returns the Keras, as a module, that a model is of."""
    return importlib.import_module("tf_keras" if is_of_keras_2(model) else "keras")


def tf_variable(variable: Any) -> tf.Variable:
    """Returns TensorFlow's own variable behind a variable of Keras 2 or Keras 3."""
    # In Keras 2 `value` is a method, in Keras 3 a property that holds the tf.Variable.
    return variable if isinstance(variable, tf.Variable) else variable.value


@contextlib.contextmanager
def replaced_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """While open, `owner.name` is `value`; of an object, past Keras' tracking of attributes.

    Args:
        owner: an object with a `__dict__`, a class or a module.
        name: an attribute of its own, or one that it inherits.
        value: the replacement.
    """
    attributes = vars(owner)
    is_own, before = name in attributes, attributes.get(name)
    _set_attribute(owner, name, value)
    try:
        yield
    finally:
        if is_own:
            _set_attribute(owner, name, before)
        elif isinstance(owner, type):
            delattr(owner, name)
        else:
            attributes.pop(name, None)


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, type):  # whose `vars` can only be read
        setattr(owner, name, value)
    else:
        vars(owner)[name] = value


def check_backend(argument: str, received: Any) -> None:
    """Raises `ValueError` if `received` belongs to a Keras 3 that computes with JAX, PyTorch or NumPy.

    Args:
        argument: name of the argument, for the error.
        received: a model, layer, optimizer or variable. Whatever is not of Keras 3 passes.
    """
    if not is_of(received, "keras"):
        return
    backend = sys.modules["keras"].config.backend()
    if backend != "tensorflow":
        action = "Set KERAS_BACKEND=tensorflow before Keras is imported."
        raise ValueError(f"`{argument}` must compute with TensorFlow. Received: Keras on {backend}. {action}")
