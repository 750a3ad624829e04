import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.small_run import SmallRun, network
from tests.mitigations.ten_steps import assert_as_by_hand, plus
from tfplastic._keras import keras
from tfplastic.mitigations import WeightDecay
from tfplastic.optimizers import sgd


def built(model, **arguments):
    decay = WeightDecay(**arguments)
    decay.build(model, None, 0)
    return decay


@pytest.mark.parametrize("which", ["all", "kernels"])
def test_the_penalty_is_the_coefficient_times_the_sum_of_squares(which):
    training = SmallRun().train()
    decay = built(training.model, coefficient=0.3, weights=which)
    squares = {name: (value.astype(np.float64) ** 2).sum() for name, value in training.weights().items()}
    expected = 0.3 * sum(
        square for name, square in squares.items() if which == "all" or name.endswith("kernel")
    )
    penalty = decay.penalty(training.model.trainable_variables)
    assert penalty.shape == () and penalty.dtype == tf.float32
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)
    assert sum(squares.values()) > 1.1 * sum(square for name, square in squares.items() if "kernel" in name)


@pytest.mark.parametrize("which", ["all", "kernels"])
def test_its_gradient_is_twice_the_coefficient_times_the_weight(which):
    model = SmallRun().train().model
    decay, variables = built(model, coefficient=0.3, weights=which), model.trainable_variables
    with tf.GradientTape() as tape:
        penalty = decay.penalty(variables)
    gradients = tape.gradient(penalty, variables)
    reached = [gradient is not None for gradient in gradients]
    assert any(reached) and all(reached) == (which == "all")
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            np.testing.assert_allclose(gradient, 0.6 * variable.numpy(), rtol=1e-6)


def test_half_of_the_sum_has_the_gradient_of_a_decay_of_weights():
    model = network()
    whole, half = (built(model, coefficient=each, half=each > 0.3) for each in (0.3, 0.6))
    variables = model.trainable_variables
    np.testing.assert_array_equal(half.penalty(variables), whole.penalty(variables))
    half = built(model, coefficient=0.3, half=True)
    with tf.GradientTape() as tape:
        penalty = half.penalty(variables)
    for variable, gradient in zip(variables, tape.gradient(penalty, variables), strict=True):
        np.testing.assert_allclose(gradient, 0.3 * variable.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("kind", "half"), [("dense", False), ("convolutional", True)])
def test_ten_steps(kind, half):
    slope = plus(lambda weights, start, step: [(0.1 if half else 0.2) * each for each in weights])
    assert_as_by_hand(kind, [WeightDecay(0.1, half=half)], slope)


def test_gains_and_offsets_can_be_left_out():
    training = SmallRun().train()
    decay = built(training.model, coefficient=0.3, weights="all_but_norms")
    expected = 0.3 * sum(
        (value.astype(np.float64) ** 2).sum()
        for name, value in training.weights().items()
        if not name.endswith(("gamma", "beta"))
    )
    np.testing.assert_allclose(decay.penalty(training.model.trainable_variables), expected, rtol=1e-6)


def test_it_equals_the_regularizer_of_keras():
    model = network()
    decay = built(model, coefficient=0.01)
    expected = sum(float(keras.regularizers.L2(0.01)(each)) for each in model.trainable_variables)
    np.testing.assert_allclose(decay.penalty(model.trainable_variables), expected, rtol=1e-6)


def test_in_a_step_of_gradient_descent_weights_shrink_by_it():
    # theta - lr (g + 2 c theta) = (1 - 2 lr c) theta - lr g.
    without, with_it = (SmallRun(mitigations, optimizer=sgd(0.1)) for mitigations in ([], [WeightDecay(0.5)]))
    start = without.weights()
    for training in (without, with_it):
        training._step(tf.constant(1, tf.int64))
    for name, value in with_it.weights().items():
        expected = without.weights()[name] - 2 * 0.1 * 0.5 * start[name]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_the_paper_has_a_coefficient_of_1e_5():
    model = network(norm=None)
    for variable in model.trainable_variables:
        variable.assign(tf.ones(variable.shape))
    np.testing.assert_allclose(
        built(model).penalty(model.trainable_variables), 1e-5 * model.count_params(), rtol=1e-6
    )


def test_a_model_in_float64():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="float64", name="dense")])
    penalty = built(model, coefficient=1.0).penalty(model.trainable_variables)
    assert penalty.dtype == tf.float32
    np.testing.assert_allclose(penalty, (model.layers[-1].kernel.numpy() ** 2).sum(), rtol=1e-6)


def test_a_model_without_kernels():
    model = keras.Sequential([keras.Input((3,)), keras.layers.LayerNormalization()], name="norms")
    with pytest.raises(ValueError) as error:
        built(model, weights="kernels")
    assert str(error.value) == (
        "`model` must have kernels to decay. Received: 'norms'."
        " Choose other `weights`, or leave the method out"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": -1e-5}, "`coefficient` must be a finite number of at least 0. Received: -1e-05"),
        ({"weights": None}, "`weights` must be one of 'all', 'all_but_norms', 'kernels'. Received: None"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        WeightDecay(**arguments)
    assert str(error.value) == message
