"""Optimizers of whole networks for several seeds side by side, and in programs of both compilers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers import problems
from tests.optimizers.problems import gradients
from tfplastic.optimizers import (
    PureAdamO,
    PureAdamW,
    PureAdaUPGD,
    PureMuon,
    PureObGD,
    PureSGD,
    PureTRAC,
    PureUPGD,
)

RATE = 0.01
PURE = {
    "adamo": PureAdamO(learning_rate=RATE, strength=0.1, hidden=(True, False)),
    "adamw": PureAdamW(learning_rate=RATE),
    "muon": PureMuon(learning_rate=RATE, hidden=(True, False)),
    "obgd": PureObGD(learning_rate=RATE),
    "trac": PureTRAC(learning_rate=RATE, base=PureSGD(learning_rate=RATE)),
    "upgd": PureUPGD(learning_rate=RATE),
    "local second-order upgd": PureUPGD(learning_rate=RATE, scaling="local", order=2),
    "ada_upgd": PureAdaUPGD(learning_rate=RATE),
}
STEPS, SEEDS = 3, 2


def starts():
    draw = np.random.default_rng(1)
    return [[draw.normal(size=shape).astype(np.float32) for shape in problems.SHAPES] for _ in range(SEEDS)]


def alone(pure, start, stream):
    weights, state = [tf.constant(each) for each in start], None
    state = pure.init(weights)
    for step in stream:
        weights, state = pure.update([tf.constant(each) for each in step], state, weights)
    return weights


@pytest.mark.parametrize("name", PURE)
def test_seeds_side_by_side_equal_each_alone(name):
    pure, streams = PURE[name], [list(gradients(STEPS, seed)) for seed in range(SEEDS)]
    parameters = [tf.stack(each) for each in zip(*starts(), strict=True)]
    state = pure.init([each[0] for each in parameters])
    # All seeds are at one step, so that the noise of a step is one draw for all of them.
    stacked = tf.nest.map_structure(lambda each: tf.stack([each] * SEEDS), (state.slots, state.shared))

    @tf.function(autograph=False)
    def update(step, found, stacked, parameters):
        def one(arguments):
            found, (slots, shared), parameters = arguments
            new, after = pure.update(found, state._replace(step=step, slots=slots, shared=shared), parameters)
            return new, (after.slots, after.shared)

        return tf.vectorized_map(one, (found, stacked, parameters), fallback_to_while_loop=False)

    for number, steps in enumerate(zip(*streams, strict=True)):
        found = [tf.stack(each) for each in zip(*steps, strict=True)]
        parameters, stacked = update(tf.constant(number, tf.int64), found, stacked, parameters)
    for seed, (start, stream) in enumerate(zip(starts(), streams, strict=True)):
        for found, expected in zip(parameters, alone(pure, start, stream), strict=True):
            np.testing.assert_allclose(found[seed], expected, rtol=1e-4, atol=1e-6)
