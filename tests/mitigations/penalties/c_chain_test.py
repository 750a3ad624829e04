import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.numpy_network import backward, outputs
from tests.mitigations.ten_steps import KINDS, SIZE, assert_as_by_hand, data
from tfplastic import seeds
from tfplastic.mitigations import CChain

FIRST, SHARE = 3.0, 0.5


class Churn:
    """The penalty by hand: its gradient, and the losses and churns that it remembers."""

    def __init__(self, kind, warm_up, window, updates):
        self._x, self._y = (each.astype(np.float64) for each in data(kind))
        self._warm_up, self._window, self._updates = warm_up, window, updates
        self._weights, self._losses, self._churns, self.factors = [], [], [], []

    def add(self, found, weights, start, step):
        part = slice((step - 1) * SIZE, step * SIZE)
        loss = np.mean((outputs(weights, self._x[part])[-1] - self._y[part]) ** 2)
        self._weights.append(weights)
        factor = FIRST
        if step > self._warm_up:
            losses, churns = self._losses[-self._window :], self._churns[-self._window :]
            factor = SHARE * np.mean(losses) / (np.mean(churns) + 1e-8)
        self.factors.append(factor)
        self._losses.append(loss)
        if step <= self._updates:
            return found
        other = self._x[places(step, len(self._x))]
        older = self._weights[-1 - self._updates]
        change = outputs(weights, other)[-1] - outputs(older, other)[-1]
        self._churns.append(np.mean(change**2))
        slopes = backward(weights, other, factor * 2 * change / change.size)
        return [one + two for one, two in zip(found, slopes, strict=True)]


def places(step, examples):
    """The examples of the second batch of a step, as `fit` draws them from `data`."""
    key = tf.constant(seeds.derive(0, "further_batch"))
    own = tf.random.experimental.stateless_fold_in(key, step, alg="philox")
    return tf.random.stateless_uniform([SIZE], own, 0, examples, tf.int32, alg="philox").numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("updates", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ten_steps(kind, updates, jit_compile):
    warm_up, window = 4, 3
    churn = Churn(kind, warm_up, window, updates)
    chain = CChain(FIRST, SHARE, warm_up, window, updates)
    assert_as_by_hand(kind, [chain], churn.add, data=data(kind), jit_compile=jit_compile)
    assert len(set(churn.factors)) == 7  # six of them adaptive


def test_the_defaults_are_those_of_the_code():
    chain = CChain()
    chain.build(None, None, 0)
    assert [each.shape for each in chain.state.values()] == [(50_000,), (50_000,)]
    assert chain.history == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": -1.0}, "`first` must be a finite number of at least 0. Received: -1.0"),
        ({"share": -1.0}, "`share` must be a finite number of at least 0. Received: -1.0"),
        ({"window": 0}, "`window` must be an integer of at least 1. Received: 0"),
        ({"updates": 0}, "`updates` must be an integer of at least 1. Received: 0"),
        ({"updates": 3, "warm_up": 3}, "`updates` must be at most 2. Received: 3"),
        ({"warm_up": 1}, "`warm_up` must be an integer of at least 2. Received: 1"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        CChain(**arguments)
    assert str(error.value).startswith(message)
