import numpy as np
import pytest
import tensorflow as tf

from tfplastic import diagnostics, networks, seeds
from tfplastic.layers import Rational
from tfplastic.layers.rational import rational_fit
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer

POINTS = np.linspace(-3, 3, 601)


def rational(x, a, b):
    return sum(each * x**i for i, each in enumerate(a)) / (
        1 + np.abs(sum(each * x ** (j + 1) for j, each in enumerate(b)))
    )


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
def test_equals_the_formula_in_float64(shape):
    layer, generator = Rational(dtype="float64"), np.random.default_rng(0)
    inputs = 2 * generator.normal(size=shape)
    layer(inputs)
    a, b = generator.normal(size=6), generator.normal(size=4)
    layer.set_weights([a, b])
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        loss = tf.reduce_sum(outputs)
    np.testing.assert_allclose(outputs, rational(inputs, a, b), rtol=1e-12, atol=1e-12)
    gradients = np.concatenate(tape.gradient(loss, layer.trainable_variables))
    for place in range(10):  # central differences
        step = 1e-6 * np.eye(10)[place]
        up, down = (rational(inputs, a + s * step[:6], b + s * step[6:]).sum() for s in (1, -1))
        np.testing.assert_allclose(gradients[place], (up - down) / 2e-6, rtol=1e-5, atol=1e-6)


# Largest differences on [-3, 3]; tanh and sigmoid are nearly rational there.
@pytest.mark.parametrize(
    ("name", "function", "bound"),
    [
        ("relu", lambda x: np.maximum(x, 0), 0.034),
        ("tanh", np.tanh, 1e-4),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 1e-4),
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x)), 1e-3),
        ("linear", lambda x: x, 1e-9),
    ],
)
def test_the_first_coefficients_are_a_least_squares_fit(name, function, bound):
    a, b = (np.array(each) for each in rational_fit(name))
    residuals = rational(POINTS, a, b) - function(POINTS)
    assert np.abs(residuals).max() <= bound
    total = (residuals**2).sum()
    for place in range(10):  # no small step along a coefficient is better
        for step in (1e-4, -1e-4):
            moved = np.concatenate([a, b]) + step * np.eye(10)[place]
            assert ((rational(POINTS, moved[:6], moved[6:]) - function(POINTS)) ** 2).sum() >= total - 1e-12


def test_the_fit_of_relu_is_the_best_of_many_starts():
    # 0.018923543 was reached from each of six starts.
    a, b = rational_fit("relu")
    assert ((rational(POINTS, a, b) - np.maximum(POINTS, 0)) ** 2).sum() == pytest.approx(
        0.018923543, rel=1e-6
    )


@pytest.mark.parametrize("initial", ["reluu", "softmax", None, 3])
def test_another_initial_function_is_refused(initial):
    with pytest.raises(ValueError, match="`initial` must name an entrywise Keras activation. Received: "):
        Rational(initial)


def test_its_units_are_entries_and_its_coefficients_can_be_drawn_again():
    model = networks.mlp(2, (4,), input_shape=(3,), activation="rational")
    units = diagnostics.UnitMap(model)["hidden1"]
    assert units.num_units == 4 and units.activations == ("hidden1_rational",)
    layer = model.get_layer("hidden1_rational")
    weights = [each for each in trainable_weights(model) if each.layer is layer]
    assert [each.role for each in weights] == ["numerator", "denominator"]
    assert not any(each.is_kernel for each in weights)
    before = layer.get_weights()
    layer.set_weights([np.ones(6), np.ones(4)])
    for value, old in zip(WeightReinitializer(weights).draw(seeds.derive(0, "fresh")), before, strict=True):
        np.testing.assert_allclose(value, old, rtol=1e-6)
