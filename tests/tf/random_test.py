"""Keys and integers are those of `tf.random`'s own functions, however they are run."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._tf import random

# Corners of the type, and some in between.
KEYS = ([0, 0], [-1, -2], [2**31 - 1, -(2**31)], [-1_803_245_990, 77])

OURS_AND_THEIRS = {
    "bits": (
        lambda key: [random.random_bits(shape, key, kind) for shape, kind in drawn()],
        lambda key: [
            tf.random.stateless_uniform(shape, key, None, None, kind, alg="philox") for shape, kind in drawn()
        ],
    ),
    "integers": (
        lambda key: [random.random_integers([3, 5], key, below) for below in (1, 10, tf.constant(60_000))],
        lambda key: [
            tf.random.stateless_uniform([3, 5], key, maxval=below, dtype=tf.int32, alg="philox")
            for below in (1, 10, 60_000)
        ],
    ),
    "keys": (
        lambda key: [random.fold_in(key, 7), random.fold_in(key, tf.constant(-7, tf.int64))],
        lambda key: [
            tf.random.experimental.stateless_fold_in(key, number, alg="philox") for number in (7, -7)
        ],
    ),
    "split": (
        lambda key: [random.split(key, 3)],
        lambda key: [tf.random.split(key, 3, alg="philox")],
    ),
}


def drawn():
    return [([], tf.int32), ([7], tf.uint32), ([2, 3], tf.int64), ([5], tf.uint64)]


@pytest.mark.parametrize("name", OURS_AND_THEIRS)
def test_bits_are_those_of_tensorflow(name):
    ours, theirs = OURS_AND_THEIRS[name]
    forms = [ours, tf.function(ours), tf.function(ours, jit_compile=True)]
    for words in KEYS:
        key = tf.constant(words, tf.int32)
        expected = theirs(key)
        for form in forms:
            for draw, right in zip(form(key), expected, strict=True):
                assert draw.dtype == right.dtype and draw.shape == right.shape
                np.testing.assert_array_equal(draw, right)


def test_a_key_may_be_of_64_bits_and_an_array():
    """Such as those of `layers.SteppedDropout`."""
    key = np.array([-(2**40), 3])
    expected = tf.random.stateless_uniform([4], key, None, None, tf.int32, alg="philox")
    np.testing.assert_array_equal(random.random_bits([4], key), expected)
