import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations import ten_steps
from tests.mitigations.small_run import SmallRun, network, same_bits
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand, plus
from tfplastic import seeds
from tfplastic.mitigations import L2Init, ResampledInit, WeightReinitializer
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.optimizers import sgd

SLOPES = {
    "l2": lambda d: 2 * d,
    "half_l2": lambda d: d,
    "l1": np.sign,
    "huber": lambda d: np.clip(d, -1, 1),
}
VALUES = {
    "l2": lambda d: d**2,
    "half_l2": lambda d: d**2 / 2,
    "l1": np.abs,
    "huber": lambda d: np.where(np.abs(d) < 1, d**2 / 2, np.abs(d) - 0.5),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", ["l2", pytest.param("huber", marks=pytest.mark.slow)])
def test_ten_steps(kind, distance):
    slope = SLOPES[distance]
    penalty = plus(
        lambda weights, start, _: [0.3 * slope(w - s) for w, s in zip(weights, start, strict=True)]
    )
    assert_as_by_hand(kind, [L2Init(0.3, distance)], penalty)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ten_steps_from_resampled_weights(jit_compile):
    weights = trainable_weights(ten_steps.network("convolutional"))
    fresh, root = WeightReinitializer(weights), seeds.derive(0, "resampled_init")

    def slopes(values, start, step):
        key = tf.random.experimental.stateless_fold_in(root, step, alg="philox")
        draws = [each.numpy().astype(np.float64) for each in fresh.draw(key)]
        return [2 * 0.1 * (value - draw) for value, draw in zip(values, draws, strict=True)]

    assert_as_by_hand("convolutional", [ResampledInit(0.1)], plus(slopes), jit_compile=jit_compile)


@pytest.mark.parametrize("distance", SLOPES)
def test_value_and_gradient(distance):
    training = SmallRun()
    init = L2Init(0.3, distance, weights="all")
    init.build(training.model, None, 0)
    start = training.weights()
    draw = np.random.default_rng(0)
    for each in training.model.trainable_variables:
        each.assign_add(2 * draw.normal(size=each.shape))  # on both sides of 1
    moved = {name: value.astype(np.float64) - start[name] for name, value in training.weights().items()}
    variables = training.model.trainable_variables
    with tf.GradientTape() as tape:
        penalty = init.penalty(variables)
    expected = 0.3 * sum(VALUES[distance](each).sum() for each in moved.values())
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)
    for gradient, each in zip(tape.gradient(penalty, variables), moved.values(), strict=True):
        np.testing.assert_allclose(gradient, 0.3 * SLOPES[distance](each), rtol=1e-4, atol=1e-6)


def test_gains_and_offsets_are_left_out_by_default():
    model = network()
    init = L2Init()
    init.build(model, None, 0)
    with tf.GradientTape() as tape:
        penalty = init.penalty(model.trainable_variables)
    reached = [each is not None for each in tape.gradient(penalty, model.trainable_variables)]
    assert reached == [
        "gamma" not in each.name and "beta" not in each.name for each in model.trainable_variables
    ]


def test_the_start_stays_where_the_weights_were():
    init = L2Init()
    training = SmallRun([init], optimizer=sgd(0.5))
    before = [each.numpy() for each in init.state.values()]
    training.train()
    assert same_bits([each.numpy() for each in init.state.values()], before)
    now = training.weights()
    assert all(
        (now[name.removeprefix("start/")] != each).any()
        for name, each in zip(init.state, before, strict=True)
    )


def test_resampled_weights_are_others_at_each_step_and_for_each_seed():
    def penalty(seed, step):
        training = SmallRun()
        init = ResampledInit()
        init.build(training.model, None, seed)
        return float(init.penalty(training.model.trainable_variables, type("Context", (), {"step": step})))

    assert penalty(0, 1) == penalty(0, 1)
    assert len({penalty(0, 1), penalty(0, 2), penalty(1, 1)}) == 3


@pytest.mark.parametrize("kind", [L2Init, ResampledInit])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": -1.0}, "`coefficient` must be a finite number of at least 0. Received: -1.0"),
        ({"distance": "l3"}, "`distance` must be one of 'l2', 'half_l2', 'l1', 'huber'. Received: 'l3'"),
    ],
)
def test_arguments_out_of_range(kind, arguments, message):
    with pytest.raises(ValueError) as error:
        kind(**arguments)
    assert str(error.value).startswith(message)
