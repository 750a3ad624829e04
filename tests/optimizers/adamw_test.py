import re
from typing import Any

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
from tfplastic.optimizers import adam, adamw, sgd
from tfplastic.optimizers.adamw import AdamW

OF_PYTORCH = {"learning_rate": 1e-3, "epsilon": 1e-8, "bias_correction": "means", "weight_decay": 0.01}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"learning_rate": 0.1, "weight_decay": 1.0},
        {"learning_rate": 0.1, "weight_decay": 1.0, "decay_vectors": False},
        {"epsilon_root": 1e-3, "weight_decay": 0.5},
        {"bias_correction": "step_size", "max_gradient_norm": 0.1},
        {"learning_rate": 0.1, "weight_decay": 1.0, "per_entry_steps": True},
    ],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    expected = adam_reference(gradients(100), **{**OF_PYTORCH, **settings})
    assert_within(train(adamw(**settings), gradients(100)), expected)


def test_equals_keras_own_for_a_hundred_steps():
    # Betas that float32 holds exactly, as in the test of Adam.
    settings: dict[str, Any] = {"beta_1": 0.75, "beta_2": 0.875, "epsilon": 1e-3, "weight_decay": 0.5}
    own = keras.optimizers.AdamW(0.1, **settings)
    ours = adamw(0.1, bias_correction="step_size", **settings)
    assert_within(train(ours, gradients(100)), train(own, gradients(100)))


def test_the_decay_is_not_part_of_the_gradient():
    # lr 0.5, decay 0.5, no gradient: 4 (1 - 0.25) = 3; an L2 term in the gradient would move it by lr = 0.5.
    weight = tf.Variable([4.0])
    adamw(0.5, weight_decay=0.5).apply_gradients([(tf.zeros(1), weight)])
    np.testing.assert_array_equal(weight, [3.0])


def test_kernels_alone_decay_where_gains_have_three_axes():
    # lr 0.5, decay 0.5, no gradient: a kernel of ones becomes 1 - 0.25, gains of ones stay.
    norm = keras.layers.LayerNormalization(axis=[1, 2, 3])
    norm.build((None, 4, 4, 2))
    kernel = tf.Variable(tf.ones([2, 2]), name="kernel")
    optimizer = adamw(0.5, weight_decay=0.5, decay_vectors=False)
    optimizer.build([kernel, norm.gamma])
    optimizer.apply_gradients([(tf.zeros([2, 2]), kernel), (tf.zeros([4, 4, 2]), norm.gamma)])
    np.testing.assert_array_equal(kernel, np.full([2, 2], 0.75))
    np.testing.assert_array_equal(norm.gamma, np.ones([4, 4, 2]))


def test_without_decay_it_is_adam_bit_for_bit():
    settings: dict[str, Any] = {"learning_rate": 0.01, "epsilon": 1e-8, "bias_correction": "means"}
    with_zero = train(adamw(weight_decay=0.0, **settings), gradients(20))
    for one, other in zip(with_zero, train(adam(**settings), gradients(20)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_config_makes_the_same_optimizer_again():
    optimizer = adamw(0.1, weight_decay=0.5, decay_vectors=False, per_entry_steps=True)
    again = AdamW.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("settings", [{}, {"per_entry_steps": True}], ids=["kernel", "steps"])
def test_goes_on_exactly_from_a_checkpoint(tmp_path, settings):
    assert_goes_on_from_a_checkpoint(lambda: adamw(0.1, weight_decay=0.5, **settings), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_decay": -1}, "`weight_decay` must be a finite number of at least 0. Received: -1"),
        ({"decay_vectors": 2}, "`decay_vectors` must be one of True, False. Received: 2"),
        ({"per_entry_steps": None}, "`per_entry_steps` must be one of True, False. Received: None"),
        ({"beta_2": 1}, "`beta_2` must be a number in [0, 1). Received: 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        adamw(**arguments)


def test_other_optimizers_still_refuse_a_decay():
    with pytest.raises(ValueError, match="`weight_decay` must be None"):
        type(sgd())(learning_rate=0.1, weight_decay=0.1)
