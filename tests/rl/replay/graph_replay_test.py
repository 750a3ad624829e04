import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfplastic import seeds
from tfplastic.rl import GraphReplay

SPEC = {"number": tf.TensorSpec([], tf.int32), "pair": tf.TensorSpec([2], tf.float32)}


def key(number=0):
    return tf.constant(seeds.derive(0, "test", number))


def items(numbers):
    """Items that are known by a number."""
    numbers = tf.convert_to_tensor(numbers, tf.int32)
    return {"number": numbers, "pair": tf.cast(tf.stack([numbers, -numbers], axis=1), tf.float32)}


def filled(capacity, *batches):
    replay = GraphReplay.empty(capacity, SPEC)
    for batch in batches:
        replay = replay.add(items(batch))
    return replay


@settings(max_examples=40, deadline=None)
@given(capacity=st.integers(1, 9), sizes=st.lists(st.integers(1, 9), max_size=8))
def test_the_replay_keeps_the_last_items(capacity, sizes):
    replay, oracle, added = GraphReplay.empty(capacity, SPEC), [], 0
    for size in sizes:
        batch = list(range(added + 1, added + 1 + min(size, capacity)))
        replay = replay.add(items(batch))
        oracle, added = (oracle + batch)[-capacity:], added + len(batch)
    assert replay.capacity == capacity and int(replay.num_added) == added
    newest = replay.newest(capacity)
    assert newest["number"].numpy().tolist() == oracle[::-1]
    assert newest["pair"].numpy().tolist() == [[number, -number] for number in oracle[::-1]]
    if oracle:
        sampled = replay.sample(400, key())
        assert set(sampled["number"].numpy().tolist()) == set(oracle)
        np.testing.assert_array_equal(sampled["pair"][:, 0], sampled["number"])
        assert replay.newest(1)["number"].numpy().tolist() == oracle[-1:]


@pytest.mark.parametrize("batches", [[range(1, 8)], [range(1, 11)] * 3], ids=["part", "wrapped"])
def test_sampling_is_uniform_and_independent(batches):
    replay = filled(10, *map(list, batches))
    size = len(batches[0])
    sampled = replay.sample(40_000, key())["number"].numpy() - 1
    assert stats.chisquare(np.bincount(sampled, minlength=size)).pvalue > 0.01
    pairs = size * sampled[::2] + sampled[1::2]
    assert stats.chisquare(np.bincount(pairs, minlength=size**2)).pvalue > 0.01


def test_the_same_key_gives_the_same_bits_and_another_other_bits():
    replay = filled(50, list(range(50)))
    one, same, other = (replay.sample(20, key(number))["number"].numpy() for number in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_adding_leaves_the_replay_as_it_was():
    replay = filled(3, [1, 2])
    replay.add(items([7, 8]))
    assert replay.items["number"].numpy().tolist() == [1, 2, 0] and int(replay.num_added) == 2


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_loop_gives_the_same_bits(jit_compile):
    def step(number, replay, total):
        replay = replay.add(items(tf.stack([number, number + 1])))
        sampled = replay.sample(5, tf.stack([number, 0]))["number"]
        return number + 1, replay, total + tf.reduce_sum(sampled)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def compiled(replay):
        return tf.while_loop(lambda number, *_: number < 11, step, (tf.constant(1), replay, tf.constant(0)))

    carry = (tf.constant(1), GraphReplay.empty(7, SPEC), tf.constant(0))
    for _ in range(10):
        carry = step(*carry)
    loop = compiled(GraphReplay.empty(7, SPEC))
    assert isinstance(loop[1], GraphReplay)
    for one, other in zip(tf.nest.flatten(loop), tf.nest.flatten(carry), strict=True):
        np.testing.assert_array_equal(one, other)


def test_errors():
    message = "`capacity` must be an integer of at least 1. Received: 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GraphReplay.empty(0, SPEC)
    message = "`items` must be at most as many as the capacity, 2. Received: 3"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        filled(2, [1, 2, 3])
