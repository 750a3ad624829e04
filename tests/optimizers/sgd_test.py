import re

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import (
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    sgd_reference,
    train,
)
from tfplastic._keras import keras
from tfplastic.optimizers import sgd
from tfplastic.optimizers.sgd import SGD


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"learning_rate": 0.1},
        {"momentum": 0.9},
        {"momentum": 1},
        {"momentum": 0.5, "max_gradient_norm": 0.1},
    ],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    assert_within(train(sgd(**settings), gradients(100)), sgd_reference(gradients(100), **settings))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_keras_own_for_a_hundred_steps(momentum):
    own = keras.optimizers.SGD(0.01, momentum=momentum)
    assert_within(train(sgd(0.01, momentum), gradients(100)), train(own, gradients(100)))


def test_a_new_learning_rate_leaves_past_increments_as_they_are():
    # lr 1, momentum 0.5: u = -1; lr 0: u = -0.5; so the weight is -1 - 0.5.
    weight, optimizer = tf.Variable([0.0]), sgd(1.0, momentum=0.5)
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    optimizer.learning_rate = 0.0
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    np.testing.assert_array_equal(weight, [-1.5])


def test_the_defaults_are_those_of_the_source():
    assert float(sgd().learning_rate) == np.float32(1e-3)
    assert (sgd().momentum, sgd().global_clipnorm) == (0.0, None)


def test_config_makes_the_same_optimizer_again():
    optimizer = sgd(0.1, 0.9, max_gradient_norm=1.0)
    again = SGD.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    assert_goes_on_from_a_checkpoint(lambda: sgd(momentum=0.9), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be a finite number above 0. Received: 0"),
        ({"momentum": 1.1}, "`momentum` must be a number in [0, 1]. Received: 1.1"),
        ({"max_gradient_norm": -1}, "`max_gradient_norm` must be a finite number above 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sgd(**arguments)


def test_what_the_pure_form_cannot_do_is_refused():
    message = "`nesterov` must be False, which is all that PureSGD can do. Received: True"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SGD(learning_rate=0.1, nesterov=True)
