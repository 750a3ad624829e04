import math

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import (
    Snapshot,
    gradient_reliability,
    gradient_signal_to_noise,
    gradient_strength,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def _linear(rows):
    """A snapshot of f = w.x with loss f, so that the gradient of an example is its input."""
    inputs = np.asarray(rows, "float32")
    model = keras_2.Sequential([keras_2.Input(inputs.shape[1:]), keras_2.layers.Dense(1, use_bias=False)])
    return Snapshot(model, inputs, loss=lambda _, outputs: outputs[:, 0])


def test_golden():
    """Gradients (1, 0), (1, 2), (1, 4): mean (1, 2), squared norm 5; variance of the second entry 4."""
    snapshot = _linear([[1, 0], [1, 2], [1, 4]])
    assert gradient_strength(snapshot)["all"] == pytest.approx(5)
    assert gradient_signal_to_noise(snapshot)["all"] == pytest.approx(5 / 4)
    assert gradient_reliability(snapshot)["all"] == pytest.approx(5 / ((1 + 5 + 17) / 3))
    assert gradient_reliability(snapshot, num_minibatches=1)["all"] == pytest.approx(1)
    # Of two minibatches the first has two examples and counts twice: means (1, 1) and (1, 4).
    expected = 5 / ((2 * 2 + 17) / 3)
    assert gradient_reliability(snapshot, num_minibatches=2)["all"] == pytest.approx(expected)
    # Of the first two: mean (1, 1), variance 2.
    assert gradient_signal_to_noise(snapshot, num_examples=2)["all"] == pytest.approx(2 / 2)
    assert gradient_reliability(snapshot, num_examples=2)["all"] == pytest.approx(2 / 3)


@BOTH
def test_against_float64(keras):
    model, (inputs, targets) = models.cnn(keras), oracles.data((6, 6, 2), 7, 2)
    snapshot = Snapshot(model, inputs, targets, oracles.squares, batch_size=3)
    rows = oracles.example_gradients(oracles.double(keras, models.cnn, model), inputs, targets)
    noise, strength = gradient_signal_to_noise(snapshot), gradient_strength(snapshot)
    reliability = gradient_reliability(snapshot, num_minibatches=3)
    assert list(noise) == list(strength) == list(reliability) == list(rows)
    for layer, gradients in rows.items():
        signal = np.sum(gradients.mean(axis=0) ** 2)
        assert noise[layer] == pytest.approx(signal / gradients.var(axis=0, ddof=1).sum(), rel=1e-3)
        assert strength[layer] == pytest.approx(signal, rel=1e-3)
        parts = [gradients[:3], gradients[3:5], gradients[5:]]
        power = sum(len(part) / 7 * np.sum(part.mean(axis=0) ** 2) for part in parts)
        assert reliability[layer] == pytest.approx(signal / power, rel=1e-3)
        assert 0 <= reliability[layer] <= 1


def test_unrelated_gradients():
    """k gradients at right angles: |mean|^2 is 1 / k, their total variance k / (k - 1) (1 - 1 / k) = 1."""
    snapshot = _linear(np.eye(8))
    assert gradient_signal_to_noise(snapshot)["all"] == pytest.approx(1 / 8)
    assert gradient_reliability(snapshot)["all"] == pytest.approx(1 / 8)
    assert gradient_reliability(snapshot, num_minibatches=4)["all"] == pytest.approx(1 / 4)


def test_edges():
    one, zeros, same = _linear([[1, 2]]), _linear(np.zeros((3, 2))), _linear([[0.1, 0.7]] * 5)
    assert math.isnan(gradient_signal_to_noise(one)["all"]) and gradient_reliability(one)["all"] == 1
    assert math.isnan(gradient_signal_to_noise(zeros)["all"]) and gradient_strength(zeros)["all"] == 0
    assert math.isnan(gradient_reliability(zeros)["all"])
    assert gradient_signal_to_noise(same)["all"] == math.inf
    assert gradient_reliability(same)["all"] == pytest.approx(1, abs=1e-12)
    opposed = _linear([[1, 2], [-1, -2]])
    assert gradient_signal_to_noise(opposed)["all"] == gradient_reliability(opposed)["all"] == 0
    bad = _linear([[1, 2], [math.inf, 0]])
    for quantity in (gradient_signal_to_noise, gradient_reliability):
        assert math.isnan(quantity(bad)["all"])


def test_arguments():
    snapshot = _linear([[1, 2]])
    rule = r"^`num_minibatches` must be an integer of at least 1\. Received: 0$"
    with pytest.raises(ValueError, match=rule):
        gradient_reliability(snapshot, num_minibatches=0)
    for quantity in (gradient_signal_to_noise, gradient_strength, gradient_reliability):
        with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
            quantity(Snapshot(snapshot.model, snapshot.inputs))
