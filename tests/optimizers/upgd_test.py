import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import (
    SHAPES,
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    train,
    train_pure,
)
from tests.optimizers.upgd_reference import upgd_reference
from tfplastic._tf import random
from tfplastic.optimizers import PureAdaUPGD, PureUPGD, ada_upgd, slots, upgd
from tfplastic.optimizers.any_keras import seed_optimizer
from tfplastic.optimizers.upgd import UPGD
from tfplastic.seeds import derive

SETTINGS = [
    {},
    {"protects": False},
    {"scaling": "local"},
    {"scaling": "local", "protects": False, "noise_scale": 1e-3},
    {"corrects_maximum": True, "utility_decay": 0.9},
    {"step_factor": 2.0, "weight_decay": 1e-3, "utility_decay": 0.999, "noise_scale": 1e-3, "seed": 7},
    {"utility_decay": 0.0, "noise_scale": 0.0, "max_gradient_norm": 0.1},
]
ADA = [
    {},
    {"learning_rate": 0.1, "protects": False},
    {"learning_rate": 0.1, "beta_1": 0.0, "step_factor": 1.0},
]


def noises(pure, num_steps=20, shapes=SHAPES):
    zeros = [tf.zeros(shape) for shape in shapes]
    return [[np.asarray(each) for each in pure.noise(tf.constant(t), zeros)] for t in range(1, num_steps + 1)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_a_float64_transcription(settings):
    settings = {"learning_rate": 0.1, **settings}
    expected = upgd_reference(gradients(20), noises(upgd(**settings).pure), **settings)
    assert_within(train(upgd(**settings), gradients(20)), expected)
    assert_within(train_pure(PureUPGD(**settings), list(gradients(20)), True)[0], expected)


@pytest.mark.parametrize("scaling", ["global", "local"])
def test_ten_steps_on_the_weights_of_a_convolutional_network(scaling):
    shapes = [(3, 3, 2, 4), (4,), (2, 2, 4, 3), (3,), (12, 5), (5,)]
    steps, settings = list(gradients(10, shapes=shapes)), {"learning_rate": 0.1, "scaling": scaling}
    expected = upgd_reference(steps, noises(upgd(**settings).pure, 10, shapes), **settings, shapes=shapes)
    variables = [tf.Variable(tf.zeros(shape)) for shape in shapes]
    assert_within(train(upgd(**settings), steps, variables), expected, tolerance=3e-6)


@pytest.mark.parametrize("settings", ADA, ids=str)
def test_with_moments_equals_a_float64_transcription(settings):
    optimizer, steps = ada_upgd(**settings), list(gradients(20))
    defaults = {"learning_rate": 1e-5, "weight_decay": 1e-3, "utility_decay": 0.999, "step_factor": 2.0}
    expected = upgd_reference(steps, noises(optimizer.pure), adam=True, **{**defaults, **settings})
    assert_within(train(optimizer, steps), expected, 1e-5)


def test_the_second_order_reads_the_curvature_that_the_caller_assigns():
    # g = -1, theta = 2, S = 3: U = 2 + 0.5 x 3 x 4 = 8, the largest, so s = sigmoid(8 / 8); without S, U = 2.
    for curvature in (0.0, 3.0):
        weight, other = tf.Variable([2.0]), tf.Variable([1.0])
        settings: dict[str, Any] = {"utility_decay": 0.0, "noise_scale": 0.0, "weight_decay": 0.0}
        optimizer = upgd(1.0, order=2, **settings)
        optimizer.build([weight, other])
        slots(optimizer, weight)["curvature"].assign([curvature])
        optimizer.apply_gradients([(tf.constant([-1.0]), weight), (tf.constant([-4.0]), other)])
        # The other weight has U = 4: M is 8 with the curvature, 4 without.
        s = [1 / (1 + np.exp(-u)) for u in ((8 / 8, 4 / 8) if curvature else (2 / 4, 4 / 4))]
        np.testing.assert_allclose([weight[0], other[0]], [2 + 1 - s[0], 1 + 4 * (1 - s[1])], rtol=1e-6)
        assert float(slots(optimizer, weight)["curvature"][0]) == curvature


def one_step(utilities, **settings):
    """The s of weights with these utilities: of weights of 1 and gradients of minus the utility."""
    settings = {"utility_decay": 0.0, "noise_scale": 0.0, "weight_decay": 0.0, **settings}
    pure, start = PureUPGD(learning_rate=1.0, **settings), [tf.ones(len(utilities))]
    gradient = -np.array(utilities, np.float32)
    (new,), _ = pure.update([tf.constant(gradient)], pure.init(start), start)
    return 1 - (1 - new.numpy()) / gradient


def test_where_no_utility_is_above_zero_the_most_useful_weight_keeps_the_largest_s():
    # M = -1: divided by its magnitude, here by the largest, 4, these are -1, -0.5 and -0.25.
    guarded, released = one_step([-4.0, -2.0, -1.0]), one_step([-4.0, -2.0, -1.0], guards_maximum=False)
    np.testing.assert_allclose(guarded, 1 / (1 + np.exp([1, 0.5, 0.25])), rtol=1e-5)
    np.testing.assert_allclose(released, 1 / (1 + np.exp([-4, -2, -1.0])), rtol=1e-4)
    assert (np.argsort(guarded) == [0, 1, 2]).all() and (np.argsort(released) == [2, 1, 0]).all()


def test_weights_of_zero_have_an_s_of_one_half_and_the_released_division_is_nan():
    start = [tf.zeros(2)]
    for guards, expected in ((True, -0.5), (False, np.nan)):
        pure = PureUPGD(learning_rate=1.0, noise_scale=0.0, guards_maximum=guards)
        (new,), _ = pure.update([tf.ones(2)], pure.init(start), start)
        np.testing.assert_array_equal(new, [expected] * 2)


def test_the_noise_has_its_scale_and_differs_by_step_seed_and_weight():
    pure = PureUPGD(learning_rate=1.0, noise_scale=0.5)
    draws = np.concatenate(
        [np.ravel(each) for each in pure.noise(tf.constant(3), [tf.zeros([100, 100])] * 2)]
    )
    assert abs(draws.mean()) < 0.02 and abs(draws.std() / 0.5 - 1) < 0.02
    assert len(set(draws.tolist())) > 19_900
    others = [PureUPGD(learning_rate=1.0, seed=1).noise(tf.constant(3), [tf.zeros(4)])]
    others += [pure.noise(tf.constant(step), [tf.zeros(4)]) for step in (3, 4)]
    assert len({each[0].numpy().tobytes() for each in others}) == 3


def test_a_graph_and_xla_draw_the_same_normals():
    key = tf.constant(derive(0, "noise"))
    eager = random.normal([50, 200], key).numpy()
    for jit_compile in (False, True):
        program = tf.function(lambda: random.normal([50, 200], key), jit_compile=jit_compile)
        np.testing.assert_allclose(program(), eager, rtol=1e-4, atol=1e-5)
    assert abs(eager.mean()) < 0.03 and abs(eager.var() - 1) < 0.04 and abs((eager**4).mean() - 3) < 0.3


def test_the_root_seed_of_a_run_is_used_where_no_seed_is_given():
    def after(optimizer, root=None):
        if root is not None:
            seed_optimizer(optimizer, root)
        return np.asarray(train(optimizer, gradients(1))[0])

    assert (after(upgd()) == after(upgd(seed=0))).all()
    assert (after(upgd(), 5) == after(upgd(seed=5))).all()
    assert (after(upgd(seed=3), 5) == after(upgd(seed=3))).all()
    assert (after(upgd()) != after(upgd(), 5)).any()


@pytest.mark.parametrize("make", [upgd, lambda: upgd(order=2, scaling="local"), ada_upgd])
def test_goes_on_exactly_from_a_checkpoint(tmp_path, make):
    assert_goes_on_from_a_checkpoint(make, tmp_path)


def test_config_makes_the_same_optimizer_again():
    optimizer = upgd(0.1, noise_scale=0.2, protects=False, max_gradient_norm=1.0)
    again = UPGD.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_that_are_missing_leave_their_weights():
    optimizer, weights = upgd(), [tf.Variable([1.0]), tf.Variable([2.0])]
    optimizer.build(weights)
    optimizer.apply_gradients([(None, weights[0]), (tf.constant([1.0]), weights[1])])
    assert float(weights[0][0]) == 1 and float(weights[1][0]) != 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_scale": -1}, "`noise_scale` must be a finite number of at least 0. Received: -1"),
        ({"utility_decay": 1}, "`utility_decay` must be a number in [0, 1). Received: 1"),
        ({"scaling": "unit"}, "`scaling` must be one of 'global', 'local'. Received: 'unit'"),
        ({"order": 3}, "`order` must be one of 1, 2. Received: 3"),
        ({"seed": 0.5}, "`seed` must be an integer. Received: 0.5"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    for make in (upgd, lambda **given: PureAdaUPGD(learning_rate=0.1, **given)):
        with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
            make(**arguments)
