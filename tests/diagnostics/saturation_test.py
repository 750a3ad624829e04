"""Saturation of bounded, hard and one-sided activation functions."""

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
@pytest.mark.parametrize("function", ["gelu", "swish", "relu"])
def test_no_rule(keras, function):
    assert np.isnan(_fraction(keras, keras.layers.Activation(function)))
