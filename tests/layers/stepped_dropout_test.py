import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import layers
from tfplastic._keras import keras
from tfplastic.layers import SteppedDropout


def masks(layer, count=3, shape=(4, 50)):
    """Ones after dropout, in `count` steps one after another."""
    found = []
    for _ in range(count):
        found.append(np.array(layer(tf.ones(shape), training=True)) > 0)
        layer.advance()
    return found


def test_the_same_seed_gives_the_same_masks_whatever_was_drawn_elsewhere():
    keras.utils.set_random_seed(1)
    first = masks(SteppedDropout(0.5, seed=7))
    keras.utils.set_random_seed(2)
    np.testing.assert_array_equal(masks(SteppedDropout(0.5, seed=7)), first)


def test_another_seed_another_step_and_another_row_have_other_masks():
    first, other = masks(SteppedDropout(0.5, seed=7)), masks(SteppedDropout(0.5, seed=8))
    arrays = [*first, *other, first[0][::-1]]
    for index, one in enumerate(arrays):
        for another in arrays[:index]:
            assert 0.35 < (one == another).mean() < 0.65  # half of 200, within 4 standard deviations


def test_a_call_goes_on_to_no_other_mask():
    layer, inputs = SteppedDropout(0.5), tf.ones([3, 40])
    first = layer(inputs, training=True)
    np.testing.assert_array_equal(layer(inputs), inputs)
    np.testing.assert_array_equal(layer(inputs, training=True), first)
    assert int(layer.step) == 0


def test_a_run_that_goes_on_draws_what_it_would_have_drawn():
    straight = masks(SteppedDropout(0.3, seed=1), 5)
    resumed = SteppedDropout(0.3, seed=1)
    resumed.build((None, 50))
    resumed.step.assign(3)
    np.testing.assert_array_equal(masks(resumed, 2), straight[3:])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_fraction_and_the_mean_are_right(rate):
    outputs = SteppedDropout(rate)(tf.fill([100, 1_000], 3.0), training=True).numpy()
    assert abs((outputs == 0).mean() - rate) < 5 * (rate * (1 - rate) / 1e5) ** 0.5
    np.testing.assert_allclose(outputs[outputs > 0], 3 / (1 - rate), rtol=1e-6)


def test_the_gradient_passes_the_same_mask():
    layer, inputs = SteppedDropout(0.5), tf.ones([2, 30])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_a_rate_of_zero_does_nothing():
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32))
    np.testing.assert_array_equal(SteppedDropout(0.0)(inputs, training=True), inputs)


def test_a_compiled_loop_draws_what_eager_steps_draw():
    eager = masks(SteppedDropout(0.5, seed=3), 4)
    for options in ({}, {"jit_compile": True}):
        model = keras.Sequential([keras.Input((50,)), SteppedDropout(0.5, seed=3)])

        def run(model=model):
            outputs = tf.zeros([4, 4, 50])
            for step in tf.range(4):
                row = model(tf.ones([4, 50]), training=True)
                outputs = tf.tensor_scatter_nd_update(outputs, [[step]], row[None])
                layers.advance(model)
            return outputs

        np.testing.assert_array_equal(tf.function(run, **options)() > 0, eager)


@pytest.mark.parametrize("rate", [1, -0.1, "a", True])
def test_a_wrong_rate_is_refused(rate):
    with pytest.raises(
        ValueError, match=re.escape(f"`rate` must be a number in [0, 1). Received: {rate!r}") + "$"
    ):
        SteppedDropout(rate)
