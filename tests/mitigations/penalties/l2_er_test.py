import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.numpy_network import backward, outputs
from tests.mitigations.ten_steps import KINDS, SIZE, assert_as_by_hand, data, plus
from tfplastic.mitigations import L2ER
from tfplastic.mitigations.penalties.l2_er import effective_rank

STEP_SIZE, DECAY, EPSILON = 0.05, 0.1, 1e-8


def rank_and_slope(activations):
    """The effective rank of `[examples, ...]` and its gradient."""
    u, s, v = np.linalg.svd(activations.reshape(len(activations), -1), full_matrices=False)
    p = s / s.sum()
    rank = np.exp(-(p * np.log(p + EPSILON)).sum())
    by_p = -rank * (np.log(p + EPSILON) + p / (p + EPSILON))
    by_s = (by_p - by_p @ p) / s.sum()
    return rank, (u * by_s @ v).reshape(activations.shape)


class Ascent:
    """The ascent after each update by hand."""

    def __init__(self, kind, num_layers):
        self._x, self._step = data(kind)[0].astype(np.float64), 0
        self._num_layers = num_layers

    def take(self, weights, start):
        x = self._x[self._step * SIZE : (self._step + 1) * SIZE]
        self._step += 1
        hidden = outputs(weights, x)[:-1]
        counted = range(len(hidden))[-self._num_layers if self._num_layers else None :]
        total = [np.zeros_like(each) for each in weights]
        for layer in counted:
            slope = rank_and_slope(hidden[layer])[1] / len(counted) * (hidden[layer] > 0)
            for number, each in enumerate(backward(weights[: 2 * layer + 2], x, slope)):
                total[number] += each
        return [weight + STEP_SIZE * each for weight, each in zip(weights, total, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_ten_steps(kind, num_layers):
    decay = plus(lambda weights, start, step: [DECAY * each for each in weights])
    ascent = Ascent(kind, num_layers)
    assert_as_by_hand(kind, [L2ER(STEP_SIZE, DECAY, num_layers)], decay, ascent.take)


def test_effective_rank_and_its_gradient():
    values = np.random.default_rng(0).normal(size=(5, 2, 2))
    activations = tf.constant(values, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(activations)
        rank = effective_rank(activations)
    expected, slope = rank_and_slope(values)
    np.testing.assert_allclose(rank, expected, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(rank, activations), slope, rtol=1e-3, atol=1e-5)
    step = 1e-6
    moved = values.copy()
    moved[1, 0, 1] += step
    np.testing.assert_allclose((rank_and_slope(moved)[0] - expected) / step, slope[1, 0, 1], rtol=1e-4)


@pytest.mark.parametrize("activations", [np.zeros((4, 3)), np.ones((4, 3)), np.eye(4), np.ones((1, 3))])
def test_ranks_that_are_known(activations):
    constant = tf.constant(activations, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(constant)
        rank = effective_rank(constant)
    expected = 4 if activations.shape == (4, 4) else 1
    np.testing.assert_allclose(rank, expected, rtol=1e-5)
    assert np.isfinite(tape.gradient(rank, constant)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_size": -1.0}, "`step_size` must be a finite number of at least 0. Received: -1.0"),
        ({"decay": -1.0}, "`decay` must be a finite number of at least 0. Received: -1.0"),
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1. Received: 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        L2ER(**arguments)
    assert str(error.value).startswith(message)
