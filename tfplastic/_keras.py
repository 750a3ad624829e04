"""The Keras that `tf.keras` is: Keras 3, or Keras 2 under `TF_USE_LEGACY_KERAS=1`.

What this library creates (layers, networks, optimizers) follows `keras` below. What it inspects may be a
model of either Keras, so nothing here or elsewhere tests `isinstance(model, keras.Model)`.
"""

import sys
from typing import Any

import tensorflow as tf

keras = tf.keras


def is_legacy() -> bool:
    """Whether `tf.keras` is Keras 2 (the package tf_keras), which TF-Agents needs."""
    return keras.layers.Layer.__module__.startswith("tf_keras.")


def check_backend(argument: str, received: Any) -> None:
    """Raises `ValueError` if `received` belongs to a Keras 3 that computes with JAX, PyTorch or NumPy.

    Args:
        argument: name of the argument, for the error.
        received: a model, layer, optimizer or variable. Whatever is not of Keras 3 passes.
    """
    if not any(base.__module__.startswith("keras.") for base in type(received).__mro__):
        return
    backend = sys.modules["keras"].config.backend()
    if backend != "tensorflow":
        action = "Set KERAS_BACKEND=tensorflow before Keras is imported."
        raise ValueError(f"`{argument}` must compute with TensorFlow. Received: Keras on {backend}. {action}")
