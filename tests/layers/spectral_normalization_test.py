import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.oracle import convolve
from tfplastic import layers
from tfplastic._keras import keras
from tfplastic.layers import SpectralConv2D, SpectralDense


def built(layer, shape):
    layer.build((None, *shape))
    return layer


def dense(units=5, inputs=7, **arguments):
    arguments = {"kernel_initializer": keras.initializers.HeNormal(seed=1), **arguments}
    return built(SpectralDense(units, **arguments), (inputs,))


def convolution(**arguments):
    arguments = {"kernel_initializer": keras.initializers.HeNormal(seed=1), **arguments}
    return built(SpectralConv2D(4, (3, 2), **arguments), (6, 5, 3))


def matrix(layer):
    kernel = layer.kernel.numpy().astype(np.float64)
    return kernel.reshape(-1, kernel.shape[-1])


def power_iteration(kernel, u, steps):
    """In float64, from the paper's Algorithm 1; sigma after each step."""
    sigmas = []
    for _ in range(steps):
        v = kernel.T @ u
        v /= np.linalg.norm(v)
        u = kernel @ v
        u /= np.linalg.norm(u)
        sigmas.append(u @ kernel @ v)
    return sigmas, u, v


@pytest.mark.parametrize("make", [dense, convolution])
def test_enough_steps_give_the_singular_value_and_vectors_of_svd(make):
    layer = make()
    for _ in range(200):
        layer.advance()
    left, singular, right = np.linalg.svd(matrix(layer))
    np.testing.assert_allclose(layer.singular_value(), singular[0], rtol=1e-6)
    assert abs(left[:, 0] @ layer.u.numpy()) > 1 - 1e-5
    assert abs(right[0] @ layer.v.numpy()) > 1 - 1e-5


@pytest.mark.parametrize("make", [dense, convolution])
def test_each_step_is_one_of_power_iteration(make):
    layer, start = make(initial_steps=1), make(initial_steps=1)
    expected, u, v = power_iteration(matrix(layer), start.u.numpy().astype(np.float64), 4)
    for sigma in expected:
        layer.advance()
        np.testing.assert_allclose(layer.singular_value(), sigma, rtol=1e-5)
    np.testing.assert_allclose(layer.u, u, atol=1e-5)
    np.testing.assert_allclose(layer.v, v, atol=1e-5)
    assert np.all(np.diff(expected) > 0) and expected[-1] < np.linalg.norm(matrix(layer), 2)


def test_the_initial_steps_are_taken_when_it_is_built():
    one, five = dense(initial_steps=1), dense(initial_steps=5)
    for _ in range(4):
        one.advance()
    np.testing.assert_array_equal(one.u, five.u)
    assert SpectralDense(1).initial_steps == 15


@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_dense_layer_has_the_kernel_divided_by_sigma(activation):
    layer = dense(activation=activation, bias_initializer="ones")
    inputs = np.random.default_rng(0).normal(size=(4, 3, 7)).astype(np.float32)
    for x in (inputs, inputs[0]):
        expected = x @ (matrix(layer) / float(layer.singular_value())) + 1
        expected = np.maximum(expected, 0) if activation else expected
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    without = dense(use_bias=False, activation=activation)
    assert not np.any(without(np.zeros((2, 7), np.float32)))


def test_a_convolution_has_the_kernel_divided_by_sigma():
    layer = built(SpectralConv2D(4, 3, strides=2, padding="same", bias_initializer="ones"), (6, 5, 3))
    images = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    kernel = layer.kernel.numpy().astype(np.float64) / float(layer.singular_value())
    np.testing.assert_allclose(layer(images), convolve(images, kernel, np.ones(4), 2, "same"), atol=1e-5)


@pytest.mark.parametrize("make", [dense, convolution])
def test_the_gradient_is_that_of_miyato_et_al(make):
    layer = make()
    shape = (4, 7) if make is dense else (4, 6, 5, 3)
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) ** 2)
    (gradient,) = tape.gradient(loss, [layer.trainable_variables[0]])
    gradient = np.reshape(gradient, matrix(layer).shape)

    # Of the same loss with respect to the divided kernel, by a layer that divides nothing.
    config = {key: value for key, value in layer.get_config().items() if key not in ("seed", "initial_steps")}
    plain = built((keras.layers.Dense if make is dense else keras.layers.Conv2D)(**config), shape[1:])
    sigma = float(layer.singular_value())
    plain.kernel.assign(layer.kernel.numpy() / sigma)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(plain(inputs) ** 2)
    (direct,) = tape.gradient(loss, [plain.trainable_variables[0]])
    direct = np.reshape(direct, gradient.shape).astype(np.float64)
    divided, u, v = (
        matrix(layer) / sigma,
        layer.u.numpy().astype(np.float64),
        layer.v.numpy().astype(np.float64),
    )
    expected = (direct - (direct * divided).sum() * np.outer(u, v)) / sigma
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_gradient_equals_central_differences():
    layer = dense(dtype="float64")
    inputs = tf.constant(np.random.default_rng(0).normal(size=(4, 7)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.tanh(layer(inputs)))
    (gradient,) = tape.gradient(loss, [layer.trainable_variables[0]])
    kernel = layer.kernel.numpy()
    for index in ((0, 0), (3, 2), (6, 4)):
        step = np.zeros_like(kernel)
        step[index] = 1e-6
        losses = []
        for sign in (1, -1):
            layer.kernel.assign(kernel + sign * step)
            losses.append(float(tf.reduce_sum(tf.tanh(layer(inputs)))))
        np.testing.assert_allclose(gradient[index], (losses[0] - losses[1]) / 2e-6, rtol=1e-6)


def test_it_follows_a_kernel_that_is_trained():
    layer = dense(units=6)
    inputs = tf.constant(np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32))

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs) - 0.5 * inputs[:, :6]) ** 2)
        for variable, gradient in zip(
            layer.trainable_variables, tape.gradient(loss, layer.trainable_variables), strict=True
        ):
            variable.assign(variable - 0.1 * gradient)
        layers.advance(layer)
        return loss

    before = matrix(layer)
    losses = [float(step()) for _ in range(300)]
    assert losses[-1] < 0.5 * losses[0] and np.abs(matrix(layer) - before).max() > 0.1
    np.testing.assert_allclose(layer.singular_value(), np.linalg.norm(matrix(layer), 2), rtol=1e-3)
    assert step.experimental_get_tracing_count() == 1


def test_the_scale_of_the_kernel_has_no_effect():
    layer, inputs = dense(), tf.ones([2, 7])
    before = layer(inputs)
    layer.kernel.assign(100 * layer.kernel)
    np.testing.assert_allclose(layer(inputs), before, rtol=1e-5)


def test_a_kernel_of_zeros_stays_one_and_is_left_again():
    layer, inputs = dense(kernel_initializer="zeros", initial_steps=2), tf.ones([2, 7])
    assert np.isfinite(layer.u).all() and not np.any(layer(inputs))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs))
    np.testing.assert_allclose(tape.gradient(loss, layer.trainable_variables[0]), np.full((7, 5), 2.0))
    layer.kernel.assign(np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32))
    for _ in range(100):
        layer.advance()
    np.testing.assert_allclose(layer.singular_value(), np.linalg.norm(matrix(layer), 2), rtol=1e-4)


def test_advance_compiled_equals_eager():
    for options in ({}, {"jit_compile": True}):
        one, other = dense(), dense()
        compiled = tf.function(other.advance, **options)
        for _ in range(3):
            one.advance()
            compiled()
        np.testing.assert_allclose(other.u, one.u, rtol=0, atol=0 if not options else 1e-6)
        assert compiled.experimental_get_tracing_count() == 1


def test_the_seed_is_that_of_the_initial_vector():
    one, same, other = (dense(seed=seed, initial_steps=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.u, same.u)
    assert np.abs(one.u.numpy() - other.u.numpy()).max() > 1e-3
    np.testing.assert_array_equal(one.kernel, other.kernel)


def test_wrong_initial_steps_are_refused():
    message = "`initial_steps` must be an integer of at least 1. Received: 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SpectralDense(3, initial_steps=0)


def test_channels_that_come_first_are_refused():
    message = "`data_format` must be one of 'channels_last'. Received: 'channels_first'. "
    message += "Did you mean 'channels_last'?"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SpectralConv2D(3, 3, data_format="channels_first")


def test_every_layer_of_a_model_advances_once():
    shared = SpectralDense(4)
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.SteppedDropout(0.5)])
    model = keras.Model(inputs, shared(inner(shared(inputs))))
    shared.kernel.assign(shared.kernel + 1.0)
    expected, u, _ = power_iteration(matrix(shared), shared.u.numpy().astype(np.float64), 1)
    layers.advance(model)
    np.testing.assert_allclose(shared.u, u, atol=1e-5)
    np.testing.assert_allclose(shared.singular_value(), expected[0], rtol=1e-5)
    assert int(inner.layers[-1].step) == 1
