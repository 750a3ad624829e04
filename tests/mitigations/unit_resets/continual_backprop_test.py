"""Continual backprop against its rule in float64, its utilities, and the correction of biases."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.oracle import Oracle
from tests.mitigations.small_run import SmallRun, network
from tfplastic import networks
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in
from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import ContinualBackprop
from tfplastic.mitigations.fresh import unit_uniform
from tfplastic.mitigations.unit_resets._outgoing_bias import OutgoingBias
from tfplastic.mitigations.unit_resets._unit_utility import UTILITIES, unit_utility
from tfplastic.mitigations.unit_resets.continual_backprop import _initializer

DECAY, MATURITY = 0.9, 2


def factors(oracle, layer):
    """E|h|, E|h - f_hat| as a function, mean|w_out| and mean|w_in| of a layer's units."""
    h = oracle.hidden[layer]
    outgoing = np.abs(oracle.outgoing(layer)).mean(axis=1)
    incoming = np.abs(oracle.incoming(oracle.weights[2 * layer])).mean(axis=0)
    return np.abs(h).mean(0), lambda f_hat: np.abs(h - f_hat).mean(0), outgoing, incoming


def given(oracle, layer, outputs):
    """The contribution of constant outputs of a layer to the biases of the next one."""
    kernel = oracle.weights[2 * layer + 2]
    by_unit = kernel if kernel.ndim == 4 else kernel.reshape(-1, len(outputs), kernel.shape[-1])
    return outputs @ by_unit.sum(axis=tuple(range(by_unit.ndim - 2)))


@pytest.mark.parametrize(
    ("name", "utility", "accumulate", "correct_bias"),
    [
        ("dense", "contribution", True, True),
        ("convolutional", "adaptable_contribution", False, True),
        pytest.param("convolutional", "contribution", True, False, marks=pytest.mark.slow),
    ],
)
def test_the_rule(tmp_path, name, utility, accumulate, correct_bias):
    rate = 0.05 if accumulate else 0.2
    arguments: Any = dict(utility=utility, accumulate=accumulate, correct_bias=correct_bias)
    oracle = Oracle(ContinualBackprop(rate, MATURITY, DECAY, **arguments), 12, name, silent=(3, 5))
    kept: Any = [[np.zeros(h) for _ in range(3)] + [0.0] for h in map(len, oracle.weights[1:-1:2])]
    replaced = np.zeros(len(kept), int)
    for step in oracle.steps():
        chosen = []
        for layer in oracle.layers:
            age, u, f, due = kept[layer]
            activity, deviation, outgoing, incoming = factors(oracle, layer)
            age, f = age + 1, DECAY * f + (1 - DECAY) * oracle.hidden[layer].mean(0)
            unbias = 1 - DECAY**age
            y = activity * outgoing
            if utility == "adaptable_contribution":
                y = deviation(f / unbias) * outgoing / incoming
            u = DECAY * u + (1 - DECAY) * y
            mature = np.flatnonzero(age > MATURITY)
            number = rate * len(mature)
            if accumulate:
                due += number
                count, due = int(due), due - int(due)
            else:
                own = fold_in(fold_in(fold_in(oracle.key(step), -2), layer), 1)
                count = int(unit_uniform([], own).numpy() < number) if number < 1 else int(number)
            which = np.zeros(len(age), bool)
            which[mature[np.argsort((u / unbias)[mature], kind="stable")[:count]]] = True
            if correct_bias:
                oracle.weights[2 * layer + 3] = oracle.weights[2 * layer + 3] + given(
                    oracle, layer, np.where(which, f / unbias, 0)
                )
            kept[layer] = [np.where(which, 0, each) for each in (age, u, f)] + [due]
            chosen.append(which)
            replaced[layer] += which.sum()
        initializer = keras.initializers.VarianceScaling(2.0, "fan_in", "uniform", seed=0)
        oracle.reset(chosen, oracle.fresh(step, initializer))
    assert replaced.sum() >= 5 and (replaced > 0).sum() >= 2
    oracle.check(tmp_path)


class Fixed:
    """A context of fixed activations."""

    def __init__(self, values):
        self.values = values

    def unit_values(self, units):
        return tf.constant(self.values, tf.float32)

    def unit_statistic(self, units, name):
        values = np.abs(self.values) if name == "mean_abs" else self.values
        return tf.constant(values.mean(0))


@pytest.mark.parametrize("name", UTILITIES)
def test_utilities(name):
    model = network(norm=None)
    h = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32).astype(np.float64)
    mean, key = h[:3].mean(0), tf.constant([1, 2])
    found = unit_utility(name, UnitMap(model)["hidden1"], Fixed(h), tf.constant(mean), key).numpy()
    incoming = np.abs(model.layers[0].kernel.numpy().astype(np.float64)).mean(0)
    outgoing = np.abs(model.layers[2].kernel.numpy().astype(np.float64)).mean(1)
    deviation = np.abs(h - mean).mean(0)
    expected = {
        "contribution": np.abs(h).mean(0) * outgoing,
        "zero_contribution": deviation * outgoing,
        "adaptable_contribution": deviation * outgoing / incoming,
        "weight": outgoing,
        "adaptation": 1 / incoming,
        "feature_by_input": deviation / incoming,
        "random": unit_uniform([6], key).numpy(),
    }
    np.testing.assert_allclose(found, expected[name], rtol=1e-12)


@pytest.mark.parametrize("corrects", [True, False])
def test_a_constant_unit_is_replaced_without_a_trace_if_biases_are_corrected(corrects):
    training = SmallRun(model=network(norm=None)).train()
    model = training.model
    first, second = model.layers[0], model.layers[2]
    first.kernel.assign(np.where(np.arange(6) == 2, 0, first.kernel))
    first.bias.assign([0.1, 0.1, 0.7, 0.1, 0.1, 0.1])
    second.kernel.assign(second.kernel * np.where(np.arange(6) == 2, 0.01, 1)[:, None].astype(np.float32))
    before, kernel = model(training.inputs[0]).numpy(), first.kernel.numpy()
    training.act(ContinualBackprop(rate=1 / 6, maturity=0, correct_bias=corrects))
    changed = (first.kernel.numpy() != kernel).any(axis=0)
    np.testing.assert_array_equal(changed, np.arange(6) == 2)
    change = np.abs(model(training.inputs[0]).numpy() - before).max()
    assert change < 1e-6 if corrects else change > 1e-4


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("kaiming", 3 * np.sqrt(3 / 30)),
        ("xavier", 3 * np.sqrt(6 / 70)),
        ("lecun", np.sqrt(3 / 30)),
        ("default", 1 / np.sqrt(30)),
    ],
)
def test_bounds_of_new_incoming_weights(name, bound):
    initializer: Any = _initializer(name, gain=3.0)
    largest = np.abs(np.asarray(initializer((30, 40)))).max()
    assert 0.99 * bound < largest <= bound
    assert _initializer("own", 3.0) is None


def test_a_decay_of_1_is_refused():
    with pytest.raises(ValueError) as error:
        ContinualBackprop(decay=1.0)
    assert str(error.value) == "`decay` must be a number in [0, 1), below 1. Received: 1.0"


def test_units_with_two_features_are_replaced_without_a_correction():
    model = networks.mlp(3, (6, 5), input_shape=(4,), activation="crelu")
    head = model.layers[-1]
    OutgoingBias(model).add(UnitMap(model)["hidden2"], tf.ones([5], tf.float64), slots=None)
    assert not head.bias.numpy().any()
    model = networks.mlp(3, (6, 5), input_shape=(4,))
    OutgoingBias(model).add(UnitMap(model)["hidden2"], tf.ones([5], tf.float64), slots=None)
    np.testing.assert_allclose(model.layers[-1].bias, model.layers[-1].kernel.numpy().sum(0), rtol=1e-5)
