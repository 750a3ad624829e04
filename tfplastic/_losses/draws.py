"""Random draws of layers, such as the sampling of a variational autoencoder, from a seed of ours."""

import contextlib
import itertools
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import gen_random_ops

from tfplastic._keras import replaced_attribute

_SEED = 20_230_302  # any number: the same for each call, so that all quantities see the same draws


@contextlib.contextmanager
def fixed_draws() -> Iterator[None]:
    """While open, random draws of a traced call come from a fixed seed, and no random state moves.

    For operations of `tf.random`, `tf.random.Generator`, and Keras' seed generators, given or global. States
    of Python's and NumPy's generators, from which Keras draws seeds, are put back on leaving.
    """
    count = itertools.count()

    def key() -> list[int]:
        return [_SEED, next(count)]

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        for name, draw in _stateless(key).items():
            stack.enter_context(replaced_attribute(gen_random_ops, name, draw))
        skip = lambda generator, delta: tf.constant([next(count), 0, _SEED], tf.int64)  # noqa: E731
        stack.enter_context(replaced_attribute(tf.random.Generator, "skip", skip))
        keras_seeds: Any = sys.modules.get("keras.src.random.seed_generator")
        if keras_seeds is not None:
            draw_seed = lambda *args, **kwargs: tf.constant(key(), tf.int32)  # noqa: E731
            source = types.SimpleNamespace(next=draw_seed)
            stack.enter_context(replaced_attribute(keras_seeds.SeedGenerator, "next", draw_seed))
            stack.enter_context(replaced_attribute(keras_seeds, "global_seed_generator", lambda: source))
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _stateless(key: Callable[[], list[int]]) -> dict[str, Callable[..., tf.Tensor]]:
    """Returns stand-ins for TensorFlow's operations that draw from a state, by their names."""
    draws = tf.random

    def normal(shape: Any, dtype: Any, *_: Any, **__: Any) -> tf.Tensor:
        return draws.stateless_normal(shape, key(), dtype=dtype)

    def truncated(shape: Any, dtype: Any, *_: Any, **__: Any) -> tf.Tensor:
        return draws.stateless_truncated_normal(shape, key(), dtype=dtype)

    def uniform(shape: Any, dtype: Any, *_: Any, **__: Any) -> tf.Tensor:
        return draws.stateless_uniform(shape, key(), dtype=dtype)

    def integers(shape: Any, minval: Any, maxval: Any, *_: Any, **__: Any) -> tf.Tensor:
        low = tf.convert_to_tensor(minval)
        return draws.stateless_uniform(shape, key(), low, maxval, low.dtype)

    def categories(logits: Any, num_samples: Any, *_: Any, output_dtype: Any = tf.int64, **__: Any) -> Any:
        return draws.stateless_categorical(logits, num_samples, key(), dtype=output_dtype)

    return {
        "random_standard_normal": normal,
        "truncated_normal": truncated,
        "random_uniform": uniform,
        "random_uniform_int": integers,
        "multinomial": categories,
    }
