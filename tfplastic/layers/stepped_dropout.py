"""Dropout whose random numbers are a function of a seed and a step."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_seed
from tfplastic._keras import keras
from tfplastic._tf.random import random_bits
from tfplastic._tf.replicas import num_replicas, replica_id
from tfplastic.layers.advancing import Advancing


@keras.utils.register_keras_serializable(package="tfplastic")
class SteppedDropout(Advancing, keras.layers.Layer):
    """Dropout, which zeros inputs at random while training: y = x m / (1 - rate), m_i Bernoulli(1 - rate).

    Srivastava et al. 2014, in the usual form that scales while training and is the identity at inference. The
    mask is a function of `seed`, of the layer's step, a non-trainable weight, and of the shape of the inputs:
    no generator is advanced by a call. So a training run that resumes from a checkpoint draws the same masks
    as an uninterrupted one, and an extra forward pass changes nothing. `advance` moves to the next mask;
    without it every call while training has the same one.

    Args:
        rate: fraction of the inputs that are zeroed, in [0, 1).
        seed: an integer. Layers of one network should have seeds of their own.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: any shape of floats, unchanged.

    Raises:
        ValueError: if `rate` is not in [0, 1).

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.SteppedDropout(0.5, seed=0)
        >>> masks = []
        >>> for _ in range(3):
        ...     masks.append(layer(tf.ones([1, 6]), training=True).numpy().astype(int).tolist())
        ...     layer.advance()
        >>> sorted({value for mask in masks for value in mask[0]}), masks[0] == masks[1] == masks[2]
        ([0, 2], False)
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"`rate` must be a number in [0, 1). Received: {rate!r}")
        self.rate = float(rate)
        self.seed = check_seed("seed", seed)
        self._key = np.array(seeds.derive(seed, "dropout"))

    def build(self, input_shape: Any) -> None:
        self.step = self.add_weight(
            name="step", shape=(), dtype="int64", initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def advance(self) -> None:
        """Advances to the mask of the next step."""
        self.step.assign(self.step + 1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        if not training or self.rate == 0:
            return inputs
        step = tf.convert_to_tensor(self.step)
        draws = _draws(tf.shape(inputs), tf.stack([random_bits([], self._key, step.dtype), step]))
        threshold = min(round(self.rate * 2**32), 2**32 - 1) - 2**31
        kept = tf.where(draws >= threshold, inputs, tf.zeros_like(inputs))
        return kept / tf.cast(1 - self.rate, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def _draws(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Draws integers of 32 bits, in XLA the same, unlike floats. Replicas share the global batch's."""
    size = shape[0]
    if num_replicas() > 1:
        shape = tf.concat([[size * num_replicas()], shape[1:]], axis=0)
    draws = random_bits(shape, key)
    first = tf.convert_to_tensor(replica_id()) * size
    return draws if num_replicas() == 1 else draws[first : first + size]
