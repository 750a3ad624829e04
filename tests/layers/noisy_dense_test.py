"""Noisy layers against Fortunato et al. 2018, Eqs. 9 to 11, in float64."""

import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfplastic import diagnostics, mitigations
from tfplastic._keras import keras
from tfplastic.diagnostics.reading.model_layers import variable_role
from tfplastic.layers import NoisyDense, advance
from tfplastic.layers.noisy_dense import noise_stream
from tfplastic.networks import minatar_cnn
from tfplastic.optimizers import sgd

X = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def made(units=4, inputs=5, **arguments):
    layer = NoisyDense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=1), **arguments)
    layer.build((None, inputs))
    return layer


def noise_of(layer):
    return [each.numpy().astype(np.float64) for each in layer.noise()]


def test_equals_the_formula_in_float64():
    layer = made(activation="tanh", sigma=0.3, seed=2)
    layer.bias.assign(np.arange(4) / 10)
    layer.kernel_scale.assign(np.linspace(-0.5, 0.5, 20).reshape(5, 4))
    layer.bias_scale.assign(np.linspace(0.1, 0.4, 4))
    weights = layer.kernel, layer.bias, layer.kernel_scale, layer.bias_scale
    kernel, bias, kernel_scale, bias_scale = (np.asarray(each).astype(np.float64) for each in weights)
    of_inputs, of_outputs = noise_of(layer)
    noisy = kernel + kernel_scale * np.outer(of_inputs, of_outputs)
    expected = np.tanh(X @ noisy + bias + bias_scale * of_outputs)
    np.testing.assert_allclose(layer(X, training=True), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(X), np.tanh(X @ kernel + bias), rtol=1e-5, atol=1e-6)


def test_scales_start_at_sigma_over_the_root_of_the_inputs():
    layer = made(inputs=16, sigma=0.5)
    assert set(layer.kernel_scale.numpy().ravel()) == set(layer.bias_scale.numpy()) == {np.float32(0.125)}
    assert made(use_bias=False).bias_scale is None


def test_noise_is_the_signed_root_of_normal_draws():
    noise = np.concatenate([np.ravel(each) for each in noise_of(made(1_000, 2_000, sigma=0.0))])
    assert stats.kstest(np.sign(noise) * noise**2, "norm").pvalue > 1e-3


def test_noise_changes_by_step_seed_and_stream_only():
    layer, other = made(seed=1), made(seed=2)
    first = noise_of(layer)[0]
    np.testing.assert_array_equal(first, noise_of(layer)[0])
    assert np.abs(first - noise_of(other)[0]).min() > 0
    with noise_stream(1):
        assert np.abs(first - noise_of(layer)[0]).min() > 0
    np.testing.assert_array_equal(first, noise_of(layer)[0])
    follower = made(seed=1)
    follower.follow(layer)
    advance(layer)
    assert np.abs(first - noise_of(layer)[0]).min() > 0
    np.testing.assert_array_equal(noise_of(follower)[0], noise_of(layer)[0])
    assert len(follower.trainable_variables) == 4 and int(follower.step) == 0


def test_xla_draws_the_same_noise():
    layer = made(sigma=0.5)
    expected = layer(X, training=True)
    compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(X)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dueling", [False, True])
def test_all_fully_connected_layers_of_a_network_are_noisy(dueling):
    network = minatar_cnn(3, seed=0, width=0.1, dueling=dueling, noise=0.5)
    names = [each.name for each in network.layers if isinstance(each, NoisyDense)]
    expected = ["value_dense", "advantage_dense", "value", "advantage"] if dueling else ["dense", "output"]
    assert names == expected
    plain = minatar_cnn(3, seed=0, width=0.1, dueling=dueling)
    observations = np.random.default_rng(0).integers(0, 2, (4, 10, 10, 4), dtype=np.uint8)
    np.testing.assert_allclose(network(observations), plain(observations), rtol=1e-5, atol=1e-6)
    assert np.abs(network(observations, training=True) - plain(observations)).max() > 1e-3


def test_quantities_and_resets_take_the_means_for_kernels():
    network = minatar_cnn(3, seed=0, width=0.1, noise=0.5)
    units = diagnostics.UnitMap(network)["dense"]
    roles = [variable_role(each.variable) for each in units.outgoing]
    assert roles == ["kernel", "kernel_scale"]
    reset = mitigations.ResetLastLayer()
    reset.build(network, sgd(), 0)
    assert [weight.role for weight in reset._weights] == ["kernel", "bias", "kernel_scale", "bias_scale"]
    assert [weight.is_kernel for weight in reset._weights] == [True, False, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": -0.1}, "`noise` must be a finite number of at least 0. Received: -0.1"),
        ({"noise": 0.5, "shared_bias": True}, "`shared_bias` must be False with `noise`. Received: True"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minatar_cnn(3, seed=0, **arguments)
