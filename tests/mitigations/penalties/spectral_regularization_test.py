import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.small_run import SmallRun
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand, plus
from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in
from tfplastic.mitigations import SpectralRegularization

NUM_ITERATIONS = 3


def iterated(matrix, number):
    """The vectors of power iteration from the start that the kernel of this number has."""
    key = fold_in(seeds.derive(0, "spectral_regularization"), number)
    bits = tf.random.stateless_uniform([len(matrix)], key, None, None, tf.int32, alg="philox")
    u = bits.numpy().astype(np.float64)
    for _ in range(NUM_ITERATIONS):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u, v


def slopes(weights, k, target, power):
    """The gradients of the penalty, with a coefficient of 0.01."""
    found = []
    for place, weight in enumerate(weights):
        if weight.ndim == 1:
            found.append(0.01 * 2 * power * (weight**2).sum() ** (power - 1) * weight)
            continue
        matrix = weight.reshape(-1, weight.shape[-1])
        u, v = iterated(matrix, place // 2)
        sigma = u @ matrix @ v
        by_sigma = 2 * (sigma**k - target) * k * sigma ** (k - 1)
        found.append(0.01 * (by_sigma * np.outer(u, v)).reshape(weight.shape))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("k", "target", "squared_biases"),
    [(2, 1.0, False), pytest.param(1, 2.0, True, marks=pytest.mark.slow)],
)
def test_ten_steps(kind, k, target, squared_biases):
    penalty = plus(lambda weights, start, _: slopes(weights, k, target, 1 if squared_biases else k))
    spectral = SpectralRegularization(0.01, k, target, NUM_ITERATIONS, squared_biases)
    assert_as_by_hand(kind, [spectral], penalty)


@pytest.mark.parametrize(("k", "squared_biases"), [(1, False), (2, False), (3, False), (2, True)])
def test_the_value_with_norms(k, squared_biases):
    training = SmallRun().train()
    draw = np.random.default_rng(0)
    for each in training.model.trainable_variables:
        each.assign_add(0.3 * draw.normal(size=each.shape))
    spectral = SpectralRegularization(0.1, k, 1.5, 100, squared_biases)
    spectral.build(training.model, None, 0)
    expected = 0.0
    for name, each in training.weights().items():
        each = each.astype(np.float64)
        if name.endswith("kernel"):
            expected += (np.linalg.norm(each, 2) ** k - 1.5) ** 2
        elif name.endswith("gamma"):
            expected += ((each - 1) ** 2).sum()
        else:
            expected += np.linalg.norm(each) ** (2 if squared_biases else 2 * k)
    np.testing.assert_allclose(
        spectral.penalty(training.model.trainable_variables), 0.1 * expected, rtol=1e-4
    )


def test_few_iterations_give_a_smaller_singular_value_and_no_other_gradient():
    draws = keras.initializers.GlorotUniform(seed=0)
    layer = keras.layers.Dense(30, use_bias=False, kernel_initializer=draws)
    model = keras.Sequential([keras.Input((40,)), layer])
    (kernel,) = model.trainable_variables
    true = np.linalg.norm(kernel.numpy(), 2)
    found = []
    for count in (1, 10, 300):
        spectral = SpectralRegularization(1.0, 1, 1e-30, count)  # sigma^2
        spectral.build(model, None, 0)
        found.append(float(spectral.penalty([kernel])) ** 0.5)
    assert found[0] < found[1] < found[2] <= true * (1 + 1e-5)
    np.testing.assert_allclose(found[1:], true, rtol=0.05)
    np.testing.assert_allclose(found[2], true, rtol=1e-4)


def test_weights_of_zero_have_no_gradient():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for each in model.trainable_variables:
        each.assign(tf.zeros(each.shape))
    spectral = SpectralRegularization()
    spectral.build(model, None, 0)
    with tf.GradientTape() as tape:
        penalty = spectral.penalty(model.trainable_variables)
    gradients = tape.gradient(penalty, model.trainable_variables)
    assert not any(np.asarray(each).any() for each in gradients)
    np.testing.assert_allclose(penalty, 1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "`k` must be an integer of at least 1. Received: 0"),
        ({"target": 0}, "`target` must be a finite number above 0. Received: 0"),
        ({"num_iterations": 0}, "`num_iterations` must be an integer of at least 1. Received: 0"),
        ({"squared_biases": 2}, "`squared_biases` must be one of True, False. Received: 2"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        SpectralRegularization(**arguments)
    assert str(error.value) == message
