"""Saturation of bounded, hard and one-sided activation functions."""

import functools

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tfplastic.diagnostics import Snapshot, saturated_units

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
# Of units with these pre-activations, whether each is saturated.
PRE_ACTIVATIONS = [-20.0, 0.5, 3.0, 500.0]
EXPECTED = {
    "relu6": [True, False, False, True],
    "hard_sigmoid": [True, False, True, True],  # 3 is past the end in either Keras
    "softsign": [False, False, False, True],
    "elu": [True, False, False, False],
    "selu": [True, False, False, False],
}


def _fraction(keras, layer):
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
    return next(iter(saturated_units(Snapshot(model, np.array([PRE_ACTIVATIONS], "float32"))).values()))


@BOTH
@pytest.mark.parametrize("function", EXPECTED)
def test_each_function(keras, function):
    layer = keras.layers.ReLU(6.0) if function == "relu6" else keras.layers.Activation(function)
    assert _fraction(keras, layer) == np.mean(EXPECTED[function])


@BOTH
@pytest.mark.parametrize(
    "make",
    [
        lambda keras: keras.layers.ELU(alpha=0.5),
        lambda keras: keras.layers.ReLU(max_value=3.0),
        lambda keras: keras.layers.ReLU(max_value=6.0, negative_slope=0.1),
        lambda keras: keras.layers.ReLU(max_value=6.0, threshold=1.0),
        lambda keras: keras.layers.Activation(functools.partial(keras.activations.elu, alpha=2.0)),
    ],
)
def test_no_rule_for_other_settings(keras, make):
    """Their ends are elsewhere, or they have none: at alpha 0.5 none is below -0.99."""
    assert np.isnan(_fraction(keras, make(keras)))


@BOTH
def test_settings_that_are_those_of_a_known_function(keras):
    six = functools.partial(keras.activations.relu, max_value=6.0)
    assert _fraction(keras, keras.layers.Activation(six)) == np.mean(EXPECTED["relu6"])
    assert _fraction(keras, keras.layers.ELU(alpha=1.0)) == np.mean(EXPECTED["elu"])


@BOTH
@pytest.mark.parametrize("function", ["gelu", "swish", "relu"])
def test_no_rule(keras, function):
    assert np.isnan(_fraction(keras, keras.layers.Activation(function)))
