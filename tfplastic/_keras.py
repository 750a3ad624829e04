"""The Keras that `tf.keras` is: Keras 3, or Keras 2 under `TF_USE_LEGACY_KERAS=1`.

What this library creates (layers, networks, optimizers) follows `keras` below. What it inspects may be a
model of either Keras, so nothing here or elsewhere tests `isinstance(model, keras.Model)`.
"""

import tensorflow as tf

keras = tf.keras


def is_legacy() -> bool:
    """Whether `tf.keras` is Keras 2 (the package tf_keras), which TF-Agents needs."""
    return keras.layers.Layer.__module__.startswith("tf_keras.")
