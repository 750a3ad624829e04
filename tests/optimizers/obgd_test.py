import re

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.obgd_reference import obgd_reference
from tests.optimizers.problems import (
    SHAPES,
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    train,
)
from tfplastic.optimizers import PureObGD, obgd, slots
from tfplastic.optimizers.obgd import ObGD


@pytest.mark.parametrize(
    "settings",
    [{}, {"kappa": 3.0, "learning_rate": 0.1}, {"trace_decay": 0.0}, {"max_gradient_norm": 0.1}],
    ids=str,
)
def test_equals_a_float64_transcription(settings):
    assert_within(train(obgd(**settings), gradients(40)), obgd_reference(gradients(40), **settings), 5e-6)


def test_errors_and_ends_of_episodes_of_a_stream():
    errors, ends = np.random.default_rng(2).normal(scale=2, size=20).astype(np.float32), (3, 11)
    optimizer, variables = obgd(0.5), [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    pure, parameters = PureObGD(learning_rate=0.5), [tf.zeros(shape) for shape in SHAPES]
    state = pure.init(parameters)
    for t, step in enumerate(gradients(20)):
        optimizer.error.assign(errors[t])
        optimizer.ends.assign(t in ends)
        train(optimizer, [step], variables)
        if t in ends:
            assert not any(slots(optimizer, each)["trace"].numpy().any() for each in variables)
        given = [tf.constant(each) for each in step]
        parameters, state = pure.update_unclipped(given, state, parameters, errors[t], t in ends)
    expected = obgd_reference(gradients(20), 0.5, errors=errors.astype(np.float64), ends=ends)
    assert_within(variables, expected, 5e-6)
    assert_within(parameters, expected, 5e-6)


def test_the_step_never_overshoots():
    # With |error| >= 1 the step is at most 1 / (kappa |error| |z|_1).
    for error in (1.0, -5.0, 100.0):
        pure, start = PureObGD(learning_rate=1.0, kappa=2.0), [tf.zeros(4)]
        gradient = tf.constant([1e3, -2.0, 0.5, 0.0])
        (new,), _ = pure.update_unclipped([gradient], pure.init(start), start, error)
        step = -new.numpy()[0] / (error * 1e3)
        np.testing.assert_allclose(step * 2 * abs(error) * 1002.5, 1, rtol=1e-5)


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    assert_goes_on_from_a_checkpoint(obgd, tmp_path)


def test_config_makes_the_same_optimizer_again():
    optimizer = obgd(0.5, kappa=3.0)
    again = ObGD.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kappa": 0}, "`kappa` must be a finite number above 0. Received: 0"),
        ({"discount": 1.5}, "`discount` must be a number in [0, 1]. Received: 1.5"),
        ({"trace_decay": -1}, "`trace_decay` must be a number in [0, 1]. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        obgd(**arguments)
