import re

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import (
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    rmsprop_reference,
    train,
)
from tfplastic._keras import keras
from tfplastic.optimizers import centered_rmsprop
from tfplastic.optimizers.rmsprop import CenteredRMSprop


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"learning_rate": 0.01},
        {"decay": 0.5},
        {"epsilon": 1e-3},
        {"epsilon": 0.0, "outer_epsilon": 0.01},
    ],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    actual = train(centered_rmsprop(**settings), gradients(100))
    assert_within(actual, rmsprop_reference(gradients(100), **settings))


def test_equals_keras_own_for_a_hundred_steps():
    own = keras.optimizers.RMSprop(0.01, rho=0.95, epsilon=1e-3, centered=True)
    assert_within(train(centered_rmsprop(0.01, 0.95, 1e-3), gradients(100)), train(own, gradients(100)))


def test_the_first_step_has_epsilon_inside_the_root():
    # g = 0.02: mean 0.001, mean square 0.00002, so 0.02 / sqrt(0.00002 - 0.000001 + 0.0001) = 1.833397.
    weight = tf.Variable([1.0])
    centered_rmsprop(1.0, 0.95, 1e-4).apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [1 - 1.8333969], rtol=1e-5)


def test_the_first_step_has_the_outer_epsilon_outside_the_root():
    # g = 0.02: 0.02 / (sqrt(0.00002 - 0.000001) + 0.01) = 0.02 / 0.0143589 = 1.392865.
    weight = tf.Variable([1.0])
    centered_rmsprop(1.0, 0.95, 0.0, 0.01).apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [1 - 1.392865], rtol=1e-5)


def test_rounding_makes_no_variance_negative():
    # The mean square of a constant gradient is the square of its mean, but for rounding in float32.
    weight = tf.Variable(np.linspace(1.0, 2.0, 1_000, dtype=np.float32))
    gradient, optimizer = tf.constant(weight), centered_rmsprop(1e-3, 0.5, 0.0, 0.01)
    for _ in range(30):
        optimizer.apply_gradients([(gradient, weight)])
    assert np.isfinite(weight).all()


def test_the_configuration_makes_the_same_optimizer():
    for optimizer in (centered_rmsprop(), centered_rmsprop(0.1, 0.9, 0.0, 0.01)):
        copy = CenteredRMSprop.from_config(optimizer.get_config())
        assert copy.get_config() == optimizer.get_config()
        assert copy.pure.outer_epsilon == optimizer.pure.outer_epsilon


def test_the_defaults_are_those_of_the_source():
    optimizer = centered_rmsprop()
    assert float(optimizer.learning_rate) == np.float32(2.5e-4)
    assert (optimizer.rho, optimizer.epsilon, optimizer.centered) == (0.95, 0.01 / 1024, True)


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    assert_goes_on_from_a_checkpoint(centered_rmsprop, tmp_path)


def test_goes_on_exactly_from_a_checkpoint_with_an_outer_epsilon(tmp_path):
    assert_goes_on_from_a_checkpoint(lambda: centered_rmsprop(epsilon=0.0, outer_epsilon=0.01), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be a finite number above 0. Received: 0"),
        ({"decay": 1.1}, "`decay` must be a number in [0, 1]. Received: 1.1"),
        ({"epsilon": -1e-3}, "`epsilon` must be a finite number above 0. Received: -0.001"),
        ({"epsilon": 0}, "`epsilon` must be a finite number above 0. Received: 0"),
        ({"outer_epsilon": -1}, "`outer_epsilon` must be a finite number of at least 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        centered_rmsprop(**arguments)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [("momentum", 0.9, "0.0"), ("centered", False, "True"), ("clipnorm", 1.0, "None")],
)
def test_what_the_pure_form_cannot_do_is_refused(option, value, rule):
    message = f"`{option}` must be {rule}, which is all that PureCenteredRMSprop can do. Received: {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CenteredRMSprop(**{"learning_rate": 0.1, "centered": True, option: value})
