import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.ten_steps import KINDS, assert_as_by_hand, plus
from tfplastic._keras import keras
from tfplastic.mitigations import ParsevalRegularization


def slopes(weights, coefficient, scale):
    """The gradients: of the kernel K = W' the gradient is 4 K (K'K - s I)."""
    found = []
    for place, weight in enumerate(weights):
        if weight.ndim == 1 or place == len(weights) - 2:
            found.append(np.zeros_like(weight))
            continue
        k = weight.reshape(-1, weight.shape[-1])
        width = k.shape[1]
        by = 4 * k @ (k.T @ k - scale * np.eye(width)) * coefficient * (64 / width) ** 2
        found.append(by.reshape(weight.shape))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    penalty = plus(lambda weights, start, _: slopes(weights, 1e-4, 1.5))
    assert_as_by_hand(kind, [ParsevalRegularization(1e-4, 1.5)], penalty)


@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_an_orthogonal_start_costs_nothing(gain):
    initializer = keras.initializers.Orthogonal(gain, seed=1)
    layers = [keras.layers.Dense(each, kernel_initializer=initializer) for each in (8, 5, 5)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    parseval = ParsevalRegularization(1.0, scale=gain**2)
    parseval.build(model, None, 0)
    with tf.GradientTape() as tape:
        penalty = parseval.penalty(model.trainable_variables)
    np.testing.assert_allclose(penalty, 0, atol=1e-8)
    gradients = tape.gradient(penalty, model.trainable_variables)
    assert [each is not None for each in gradients] == [True, False, True, False, False, False]
    for each in gradients:
        assert each is None or np.abs(each).max() < 1e-2


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("normalize_rows", [False, True])
def test_options(groups, normalize_rows):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), keras.layers.Dense(1)])
    rows = model.trainable_variables[0].numpy().T.astype(np.float64)
    if normalize_rows:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    product = rows @ rows.T - 1.0 * np.eye(6)
    same_group = np.kron(np.eye(groups), np.ones((6 // groups,) * 2))
    parseval = ParsevalRegularization(0.1, 1.0, False, normalize_rows, groups)
    parseval.build(model, None, 0)
    expected = 0.1 * ((product * same_group) ** 2).sum()
    np.testing.assert_allclose(parseval.penalty(model.trainable_variables), expected, rtol=1e-5)


def test_networks_that_do_not_fit():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name="one")], name="single")
    with pytest.raises(ValueError) as error:
        ParsevalRegularization().build(model, None, 0)
    rule = "must have a layer with a kernel before its last one"
    action = "Add a hidden layer, or leave the method out"
    assert str(error.value) == f"`model` {rule}. Received: 'single'. {action}"
    model = keras.Sequential([*model.layers, keras.layers.Dense(1)])
    model.build((None, 4))
    with pytest.raises(ValueError) as error:
        ParsevalRegularization(groups=4).build(model, None, 0)
    assert str(error.value) == "`groups` must divide the 6 outputs of one. Received: 4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0}, "`scale` must be a finite number above 0. Received: 0"),
        ({"groups": 0}, "`groups` must be an integer of at least 1. Received: 0"),
        ({"normalize_rows": 1}, "`normalize_rows` must be one of True, False. Received: 1"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        ParsevalRegularization(**arguments)
    assert str(error.value) == message
