"""Partial resets (CPR) against the rule in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.oracle import Oracle
from tests.mitigations.small_run import SmallRun
from tfplastic._keras import keras
from tfplastic.mitigations import PartialResets

STRENGTH, PERIOD, STEEPNESS, DECAY = 0.4, 4, 3.0, 0.6
TRANSFORMS = {
    "sigmoid": lambda u: 2 / (1 + np.exp(STEEPNESS * (u - 1))),
    "exponential": lambda u: np.exp(-STEEPNESS * (u - 1)),
    "softplus": lambda u: np.log1p(np.exp(STEEPNESS * (1 - u))) / np.log(2),
    "linear": lambda u: np.maximum(1 - STEEPNESS * (u - 1), 0),
}


@pytest.mark.parametrize(
    ("name", "transform"),
    [
        ("dense", "linear"),
        ("convolutional", "sigmoid"),
        pytest.param("dense", "softplus", marks=pytest.mark.slow),
        pytest.param("convolutional", "exponential", marks=pytest.mark.slow),
    ],
)
def test_the_rule(tmp_path, name, transform):
    oracle = Oracle(PartialResets(STRENGTH, PERIOD, STEEPNESS, DECAY, transform), 12, name, silent=(3,))
    utilities = [np.ones(len(bias)) for bias in oracle.weights[1:-1:2]]
    he_uniform = keras.initializers.VarianceScaling(2.0, "fan_in", "uniform", seed=0)
    seen = []
    for step in oracle.steps():
        for layer in oracle.layers:
            gradient = np.abs(oracle.incoming(oracle.gradients[2 * layer])).mean(axis=0)
            score = gradient / (gradient.mean() + 1e-8)
            utilities[layer] = DECAY * utilities[layer] + (1 - DECAY) * score
        if step % PERIOD:
            continue
        shares = [STRENGTH * np.minimum(TRANSFORMS[transform](u), 1) for u in utilities]
        seen += list(np.concatenate(shares))
        fresh = oracle.fresh(step, he_uniform)
        for layer, share in enumerate(shares):
            oracle.weights[2 * layer] = (1 - share) * oracle.weights[2 * layer] + share * fresh[layer]
        for layer, share in enumerate(shares):
            kernel = oracle.weights[2 * layer + 2]
            rows = kernel if kernel.ndim == 4 else kernel.reshape(-1, len(share), kernel.shape[-1])
            oracle.weights[2 * layer + 2] = (rows * (1 - share)[:, None]).reshape(kernel.shape)
    assert min(seen) < 0.5 * STRENGTH and max(seen) == STRENGTH
    oracle.check(tmp_path)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_is_1_at_a_utility_of_1_and_falls(transform):
    mitigation = PartialResets(transform=transform, steepness=STEEPNESS)
    utilities = np.linspace(0.9, 2.5, 30)
    found = np.asarray(mitigation._transform(tf.constant(STEEPNESS * (1 - utilities))))
    expected = TRANSFORMS[transform](utilities)
    np.testing.assert_allclose(np.maximum(found, 0), expected, rtol=1e-12, atol=1e-15)
    assert (np.diff(expected) <= 0).all()
    np.testing.assert_allclose(TRANSFORMS[transform](np.ones(1)), 1)


def test_recurrent_weights_are_mixed_like_incoming_ones():
    layers = keras.layers.SimpleRNN(3, name="hidden"), keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((4, 2)), *layers])
    partial = PartialResets(0.5, reset_period=1)
    partial.build(model, None, 0)
    partial.state["hidden/utility"].assign([1.0, 9.0, 1.0])
    shares = np.array([0.5, 0.0, 0.5])
    kernel, recurrent = (each.numpy() for each in model.trainable_variables[:2])
    partial._mix(tf.constant([1, 2]), lambda each: {})
    after = [each.numpy() for each in model.trainable_variables[:2]]
    # Recurrent weights are outgoing ones too: their rows have been shrunk.
    mixed = after[0], after[1] / (1 - shares)[:, None]
    for before, found, fan_in in ((kernel, mixed[0], 2), (recurrent, mixed[1], 3)):
        np.testing.assert_allclose(found[:, 1], before[:, 1], atol=1e-6)
        fresh = 2 * found[:, ::2] - before[:, ::2]
        assert (np.abs(fresh) > 1e-6).all() and np.abs(fresh).max() <= np.sqrt(6 / fan_in)


def test_only_every_so_many_steps():
    training = SmallRun([PartialResets(reset_period=4, strength=0.5)])
    alone = SmallRun()
    for number in range(1, 5):
        same = all((a == b).all() for a, b in zip(training.everything(), alone.everything(), strict=True))
        assert same, number
        for each in (training, alone):
            each._step(np.int64(number))
    assert (training.weights()["hidden1/kernel"] != alone.weights()["hidden1/kernel"]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": 1.5}, "`strength` must be a number in [0, 1]. Received: 1.5"),
        ({"reset_period": 0}, "`reset_period` must be an integer of at least 1. Received: 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        PartialResets(**arguments)
    assert str(error.value) == message
