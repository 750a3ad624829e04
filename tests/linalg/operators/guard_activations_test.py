"""Products through all activations of both Keras: right against central differences, or refused."""

import inspect

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.linalg.central_differences import relative_error
from tfplastic import linalg

_NOT_ACTIVATIONS = {"deserialize", "get", "serialize"}
_ARGUMENTS = {"threshold": (0.1, 0.2)}


def _names(keras):
    functions = vars(keras.activations).items()
    return [name for name, each in functions if inspect.isfunction(each) and name not in _NOT_ACTIVATIONS]


CASES = [(keras, name) for keras in (keras_2, keras_3) for name in _names(keras)]
IDS = [f"{keras.__name__}-{name}" for keras, name in CASES]


def _check(keras, name):
    weights = [tf.Variable(np.random.default_rng(0).normal(size=shape)) for shape in ((4, 8), (8, 4))]
    x = tf.constant(np.random.default_rng(2).normal(size=(3, 4)))
    activation = getattr(keras.activations, name)

    def loss():
        hidden = activation(x @ weights[0], *_ARGUMENTS.get(name, ()))  # glu has half of the units
        return tf.reduce_mean((hidden @ weights[1][: hidden.shape[1]] - 1) ** 2)

    operator = linalg.HessianOperator(loss, weights)
    try:
        assert relative_error(operator, loss, step=1e-5) < 1e-5
    except ValueError as error:
        assert "must be twice differentiable in TensorFlow. Received: the operation" in str(error)


@pytest.mark.parametrize(("keras", "name"), [(keras_2, "softsign"), (keras_3, "silu")])
def test_an_activation_is_right_or_refused(keras, name):
    _check(keras, name)


@pytest.mark.slow
@pytest.mark.parametrize(("keras", "name"), CASES, ids=IDS)
def test_every_activation_is_right_or_refused(keras, name):
    _check(keras, name)
