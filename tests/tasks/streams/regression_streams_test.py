"""Regression streams on images and on two inputs, against transcriptions in numpy."""

import functools
import math

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

import tfplastic as tp
from tests.tasks.supervised_stream_test import taken
from tfplastic import seeds

MLP = functools.partial(tp.networks.mlp, hidden=(4,))


def built(kind, **settings):
    task = kind("digits", MLP, **(dict(num_examples=40, batch_size=8, steps_per_task=3) | settings))
    task.build(0)
    return task


def fold_in(key, number):
    return tf.random.experimental.stateless_fold_in(key, number, alg="philox")


def normal(shape, key):
    """N(0, 1) by the inverse distribution function of 23 bits, in float64."""
    bits = tf.random.stateless_uniform(shape, key, None, None, tf.uint32, alg="philox").numpy()
    return scipy.special.ndtri(((bits >> 9).astype(np.float64) + 0.5) * 2.0**-23)


def targets_of(task, count):
    """The content of each task, and that targets of batches are those of their images."""
    batches, states = taken(task, count)
    images, found = [image.tobytes() for image in task.images.numpy()], {}
    for (inputs, targets), state in zip(batches, states, strict=True):
        content = found.setdefault(int(state.task), state.content.numpy())
        numbers = [images.index(image.tobytes()) for image in inputs.numpy()]
        np.testing.assert_array_equal(targets.numpy()[:, 0], content[numbers])
    return found


@pytest.mark.parametrize("offsets", [(100.0, 0.0), (5.0,)])
def test_offset_regression(offsets):
    task = built(tp.tasks.OffsetRegression, offsets=offsets, noise=0.5)
    found = targets_of(task, 9)
    key = seeds.derive(0, "offset_regression", "noise")
    for number in range(3):
        noise = 0.5 * normal([40], fold_in(key, number))
        expected = offsets[min(number, len(offsets) - 1)] + noise
        np.testing.assert_allclose(found[number], expected, rtol=1e-5, atol=1e-5)
    assert task.model.output_shape == (None, 1)


def test_random_network_regression():
    task = built(tp.tasks.RandomNetworkRegression, hidden=(6, 5))
    found = targets_of(task, 9)
    root = seeds.derive(0, "random_network_regression", "target")
    for number in range(3):
        key, outputs = fold_in(root, number), task.images.numpy().reshape(40, -1).astype(np.float64)
        for place, (inputs, units) in enumerate([(64, 6), (6, 5), (5, 1)]):
            weights = normal([inputs, units], fold_in(key, place)) / math.sqrt(inputs)
            outputs = (np.maximum(outputs, 0) if place else outputs) @ weights
        np.testing.assert_allclose(found[number], outputs[:, 0], rtol=1e-4, atol=1e-5)
    assert len({each.tobytes() for each in found.values()}) == 3


@pytest.mark.parametrize("changes", ["inputs", "sign"])
def test_two_input_regression(changes):
    settings = dict(replicates=2, changes=changes, num_inputs=6, scale=3.0, steps_per_task=2, batch_size=4)
    task = tp.tasks.TwoInputRegression(tp.networks.replicated_mlp, **settings)
    task.build(0)
    batches, _ = taken(task, 10)
    for step, (inputs, targets) in enumerate(batches):
        number = step // 2
        first = 2 * number % 6 if changes == "inputs" else 0
        sign = 1 if changes == "inputs" else (-1) ** number
        expected = 3.0 * sign * (inputs.numpy()[..., first] + inputs.numpy()[..., first + 1]) / 2
        np.testing.assert_allclose(targets, expected, rtol=1e-5, atol=1e-6)
    drawn = np.stack([inputs for inputs, _ in batches])  # 480 numbers
    assert abs(drawn.mean()) < 0.2 and 0.85 < drawn.std() < 1.15
    assert len(np.unique(drawn)) > 470


def test_a_part_of_the_learners_has_the_same_examples():
    whole = tp.tasks.TwoInputRegression(tp.networks.replicated_mlp, replicates=4)
    part = tp.tasks.TwoInputRegression(tp.networks.replicated_mlp, replicates=2, first_replicate=1)
    batches = []
    for task in (whole, part):
        task.build(3)
        batches.append(task.next(task.initial_state(), tf.constant([5, 6]))[0])
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one[:, 1:3], other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: built(tp.tasks.OffsetRegression, offsets=()), "`offsets` must have one entry at least"),
        (lambda: built(tp.tasks.OffsetRegression, noise=0), "`noise` must be a finite number above 0"),
        (
            lambda: built(tp.tasks.RandomNetworkRegression, hidden=(0,)),
            "`hidden[0]` must be an integer of at least 1. Received: 0",
        ),
        (
            lambda: tp.tasks.TwoInputRegression(tp.networks.replicated_mlp, num_inputs=3),
            "`num_inputs` must be even. Received: 3",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)
