"""The noisy self-target objective: its derivatives against dense ones, and its noise."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import oracles
from tfplastic import diagnostics

KERAS = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
INPUTS, HIDDEN, OUTPUTS, EXAMPLES = 3, 4, 2, 5
X = np.random.default_rng(0).normal(size=(EXAMPLES, INPUTS))


def tanh_mlp(keras, dtype="float64"):
    """3-4-2 with 26 weights, drawn in NumPy."""
    with oracles.policy(keras, dtype):
        layers = [
            keras.Input((INPUTS,)),
            keras.layers.Dense(HIDDEN, "tanh", name="hidden"),
            keras.layers.Dense(OUTPUTS, name="output"),
        ]
        model = keras.Sequential(layers)
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def outputs_of(theta):
    """The same network in NumPy, `[examples, outputs]`, from all of its weights in one vector."""
    sizes = np.cumsum([INPUTS * HIDDEN, HIDDEN, HIDDEN * OUTPUTS])
    kernel, bias, head, head_bias = np.split(theta, sizes)
    hidden = np.tanh(X @ kernel.reshape(INPUTS, HIDDEN) + bias)
    return hidden @ head.reshape(HIDDEN, OUTPUTS) + head_bias


def differences(function, theta, step):
    """Central differences of a function of all weights, first axis the weights."""
    rows = step * np.eye(len(theta))
    return np.stack([(function(theta + row) - function(theta - row)) / (2 * step) for row in rows])


def second_differences(function, theta, step=2e-4):
    return differences(lambda point: differences(function, point, step), theta, step)


def measured(model, noise=None):
    """Snapshot, noise and weights of a model, with other noise if that is given."""
    drawn, loss = diagnostics.noisy_self_targets(model, X)
    noise = drawn if noise is None else noise
    theta = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return diagnostics.Snapshot(model, X, noise, loss), noise, theta


def dense(operator):
    return np.stack([operator.matvec(row) for row in np.eye(operator.shape[0])])


@KERAS
def test_the_hessian_is_that_of_differences_with_the_targets_held(keras):
    snapshot, noise, theta = measured(tanh_mlp(keras))
    held = outputs_of(theta)
    wanted = second_differences(lambda point: np.mean((outputs_of(point) - held + noise) ** 2), theta)
    np.testing.assert_allclose(dense(snapshot.hessian), wanted, atol=1e-6)


@KERAS
def test_the_hessian_is_a_gauss_newton_matrix_and_a_term_of_the_noise(keras):
    snapshot, noise, theta = measured(tanh_mlp(keras))
    # [weights, examples, outputs], and twice the weights.
    slopes, curvatures = differences(outputs_of, theta, 1e-5), second_differences(outputs_of, theta)
    gauss_newton = 2 * np.einsum("ino,jno->ij", slopes, slopes) / (EXAMPLES * OUTPUTS)
    of_noise = 2 * np.einsum("no,ijno->ij", noise, curvatures) / (EXAMPLES * OUTPUTS)
    assert np.abs(of_noise).max() > 0.1
    np.testing.assert_allclose(dense(snapshot.hessian), gauss_newton + of_noise, atol=1e-6)
    without_noise, _, _ = measured(tanh_mlp(keras), np.zeros((EXAMPLES, OUTPUTS)))
    np.testing.assert_allclose(dense(without_noise.hessian), gauss_newton, atol=1e-8)


@KERAS
def test_gradients_are_those_of_the_outputs_times_the_noise(keras):
    model = tanh_mlp(keras)
    snapshot, noise, theta = measured(model)
    slopes = differences(outputs_of, theta, 1e-5)
    of_examples = 2 * np.einsum("no,ino->ni", noise, slopes) / OUTPUTS
    gram = diagnostics.gram_matrices(snapshot)["all"]
    np.testing.assert_allclose(gram, of_examples @ of_examples.T, atol=1e-7)
    assert float(snapshot.loss) == pytest.approx(np.mean(noise**2))


@KERAS
def test_the_loss_of_an_example_is_the_mean_over_its_outputs(keras):
    snapshot, noise, _ = measured(tanh_mlp(keras))
    np.testing.assert_allclose(snapshot.losses_of(snapshot.examples), np.mean(noise**2, axis=1))
    blocks = diagnostics.Snapshot(
        snapshot.model, X, *diagnostics.noisy_self_targets(snapshot.model, X), batch_size=2
    )
    np.testing.assert_allclose(dense(blocks.hessian), dense(snapshot.hessian), atol=1e-12)


def test_every_logit_of_a_categorical_head_counts():
    layers = [keras_2.layers.Dense(6, name="head"), keras_2.layers.Reshape((2, 3))]
    model = keras_2.Sequential([keras_2.Input((INPUTS,)), *layers])
    noise, loss = diagnostics.noisy_self_targets(model, X)
    assert noise.shape == (EXAMPLES, 2, 3) and noise.dtype == np.float32
    snapshot = diagnostics.Snapshot(model, X, noise, loss)
    losses = snapshot.losses_of(snapshot.examples).numpy()
    np.testing.assert_allclose(losses, np.mean(noise**2, axis=(1, 2)), rtol=1e-6)


def test_noise_is_standard_normal_and_its_seed_decides():
    model = keras_2.Sequential([keras_2.Input((1,)), keras_2.layers.Dense(10)])
    inputs = np.zeros((1_000, 1), np.float32)
    draws = [diagnostics.noisy_self_targets(model, inputs, seed=seed)[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).mean() > 0.99
    # Of 10,000 draws the mean has the deviation 0.01, the variance 0.014.
    assert abs(draws[0].mean()) < 0.04 and abs(draws[0].var() - 1) < 0.06


def test_other_weights_have_the_same_noise():
    first, second = tanh_mlp(keras_2), tanh_mlp(keras_2)
    second.set_weights([2 * weight for weight in second.get_weights()])
    one, other = (diagnostics.noisy_self_targets(model, X)[0] for model in (first, second))
    np.testing.assert_array_equal(one, other)


def test_errors():
    entry = keras_2.Input((INPUTS,))
    model = keras_2.Model(entry, [entry, tf.square(entry)])
    with pytest.raises(ValueError, match="^`model` must return one tensor. Received: list$"):
        diagnostics.noisy_self_targets(model, X)
