import re

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import (
    adam_reference,
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    train,
)
from tfplastic._keras import keras
from tfplastic.optimizers import adam
from tfplastic.optimizers.adam import Adam

# Lyle et al. 2023, appendix A.1.
DEFAULT_OF_THE_PAPER = {"learning_rate": 1e-3, "epsilon": 1e-9, "bias_correction": "means"}
TUNED = {**DEFAULT_OF_THE_PAPER, "beta_2": 0.9, "epsilon_root": 1e-3}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"learning_rate": 0.01},
        {"beta_1": 0.0},
        {"beta_2": 0.9},
        {"epsilon": 1e-2},
        {"max_gradient_norm": 0.1},
        {"max_gradient_norm": 10},
        {"epsilon_root": 1e-3},
        {"bias_correction": "means"},
        DEFAULT_OF_THE_PAPER,
        TUNED,
    ],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    assert_within(train(adam(**settings), gradients(100)), adam_reference(gradients(100), **settings))


def test_equals_keras_own_for_a_hundred_steps():
    # The first steps of Keras are off by 1.3e-5, because it takes 1 - 0.999 in float32: hence another decay.
    own = keras.optimizers.Adam(0.01, beta_1=0.75, beta_2=0.875, epsilon=1e-3)
    ours = adam(0.01, beta_1=0.75, beta_2=0.875, epsilon=1e-3)
    assert_within(train(ours, gradients(100)), train(own, gradients(100)))


def test_the_first_step_has_epsilon_outside_the_root():
    # g = 0.02: m = 0.002, v = 4e-7, step size sqrt(0.001) / 0.1 = 0.3162278,
    # so 0.3162278 x 0.002 / (0.0006324555 + 0.001) = 0.3874259.
    weight = tf.Variable([1.0])
    adam(1.0, epsilon=1e-3).apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [1 - 0.3874259], rtol=1e-5)


def test_the_two_epsilons_of_equation_6():
    # g = 0.02: m_hat = 0.02, v_hat = 4e-4, so 0.02 / (sqrt(4e-4 + 5e-4) + 0.01) = 0.02 / 0.04 = 0.5.
    weight = tf.Variable([1.0])
    optimizer = adam(1.0, epsilon=0.01, epsilon_root=5e-4, bias_correction="means")
    optimizer.apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [0.5], rtol=1e-5)


def test_the_root_keeps_the_tuned_step_small_where_gradients_vanish():
    # After g = 1e-6, sqrt(v_hat) is 1e-6: the default step is lr, the tuned one lr 1e-6 / sqrt(1e-3).
    for settings, step in ((DEFAULT_OF_THE_PAPER, 1e-3 / 1.001), (TUNED, 1e-3 * 1e-6 / 1e-3**0.5)):
        weight = tf.Variable([0.0])
        adam(**settings).apply_gradients([(tf.constant([1e-6]), weight)])
        np.testing.assert_allclose(weight, [-step], rtol=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    # (3, 4) has norm 5: clipped to 1 it is (0.6, 0.8), which a learning rate far below epsilon makes visible:
    # the first step is 0.3162278 x 0.1 g / (0.0316228 |g| + epsilon), near linear in g for a large epsilon.
    variables = [tf.Variable([0.0]), tf.Variable([0.0])]
    adam(1.0, epsilon=1e6, max_gradient_norm=1.0).apply_gradients(
        zip([tf.constant([3.0]), tf.constant([4.0])], variables, strict=True)
    )
    np.testing.assert_allclose(variables, [[-0.6 * 3.162278e-8], [-0.8 * 3.162278e-8]], rtol=1e-5)


def test_the_defaults_are_those_of_the_source():
    optimizer = adam()
    assert float(optimizer.learning_rate) == np.float32(2.5e-4)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 0.01 / 32)
    assert (optimizer.epsilon_root, optimizer.bias_correction) == (0.0, "step_size")
    assert optimizer.global_clipnorm is None


def test_config_makes_the_same_optimizer_again():
    optimizer = adam(max_gradient_norm=1.0, **TUNED)
    again = Adam.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("settings", [{}, TUNED], ids=["kernel", "rule"])
def test_goes_on_exactly_from_a_checkpoint(tmp_path, settings):
    assert_goes_on_from_a_checkpoint(lambda: adam(max_gradient_norm=1.0, **settings), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": float("nan")}, "`learning_rate` must be a finite number above 0. Received: nan"),
        ({"beta_1": -0.1}, "`beta_1` must be a number in [0, 1]. Received: -0.1"),
        ({"beta_1": 1}, "`beta_1` must be a number in [0, 1). Received: 1"),
        ({"beta_2": 1.0}, "`beta_2` must be a number in [0, 1). Received: 1.0"),
        ({"epsilon": 0}, "`epsilon` must be a finite number above 0. Received: 0"),
        ({"epsilon_root": -1e-3}, "`epsilon_root` must be a finite number of at least 0. Received: -0.001"),
        (
            {"bias_correction": "none"},
            "`bias_correction` must be one of 'step_size', 'means'. Received: 'none'",
        ),
        ({"max_gradient_norm": 0.0}, "`max_gradient_norm` must be a finite number above 0. Received: 0.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        adam(**arguments)


@pytest.mark.parametrize(
    ("option", "value", "off"),
    [
        ("amsgrad", True, False),
        ("weight_decay", 0.1, None),
        ("clipvalue", 1.0, None),
        ("use_ema", True, False),
    ],
)
def test_what_the_pure_form_cannot_do_is_refused(option, value, off):
    rule = f"`{option}` must be {off!r}, which is all that PureAdam can do. Received: {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}$"):
        Adam(learning_rate=0.1, **{option: value})
