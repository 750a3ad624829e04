"""Methods that change or average networks, together in the loop: a stream, an MDP and the Nature DQN."""

import functools
from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.rl import methods_together
from tests.training.graph_loop_test import run, values_of, weights
from tfplastic.mitigations import DASH, FIRE, HareAndTortoise, PlasticityInjection
from tfplastic.mitigations.network_resets._frozen_heads import frozen_heads_of
from tfplastic.training.mitigated_network import evaluation_weights


def all_together(kind):
    head = None if kind == "nature_dqn" else "hidden2"
    return [HareAndTortoise(7, 0.9), DASH(6, max_batches=2), FIRE(5), PlasticityInjection(4, head=head)]


def make_loop(kind="stream", compiler="graph") -> Any:
    return methods_together.make_loop(
        all_together(kind), kind, compiler, functools.partial(tp.networks.nature_dqn, width=0.1)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, make_loop())[0]


def check_that_they_acted(path, loop):
    """The tortoise alone is evaluated, and each method has left its trace."""
    hare, *_ = loop.config.mitigations
    slow = [tortoise.numpy() for _, tortoise in hare.evaluation_weights]
    assert all(np.isfinite(each).all() for each in (*slow, *weights(loop)))
    moved = [np.abs(one - two).max() for one, two in zip(slow, hare_of(hare), strict=True)]
    assert min(moved) > 0
    heads: Any = frozen_heads_of(loop.task.model)
    assert float(heads.is_on) == 1
    with evaluation_weights([hare]):
        scalars = loop.driver.evaluate(methods_together.STEPS, lambda: False)
    for tag, value in scalars.items():
        np.testing.assert_equal(values_of(path, tag)[-1], value)


def hare_of(mitigation):
    return [variable.numpy() for variable, _ in mitigation.evaluation_weights]


def test_a_stream(whole):
    check_that_they_acted(*whole)


def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    methods_together.assert_resumes(tmp_path, make_loop, whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdp", "nature_dqn"])
def test_reinforcement_learning(tmp_path, kind):
    check_that_they_acted(tmp_path, run(tmp_path, make_loop(kind))[0])


@pytest.mark.slow
def test_xla(tmp_path, whole):
    loop, _ = run(tmp_path, make_loop(compiler="xla"))
    methods_together.assert_nearly_same(loop, whole[1])
