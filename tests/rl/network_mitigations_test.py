"""Methods that change or average networks, together in the loop: a stream, an MDP and the Nature DQN."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.rl import atari_task_test
from tests.training.graph_loop_test import make_task, run, values_of, weights
from tfplastic.mitigations import DASH, FIRE, HareAndTortoise, PlasticityInjection
from tfplastic.mitigations._frozen_heads import frozen_heads_of
from tfplastic.training import Loop, TrainConfig
from tfplastic.training.mitigated_network import evaluation_weights

STEPS = 12


def all_together(kind):
    head = None if kind == "nature_dqn" else "hidden2"
    return [HareAndTortoise(7, 0.9), DASH(6, max_batches=2), FIRE(5), PlasticityInjection(4, head=head)]


def make_loop(kind="stream", compiler="graph") -> Any:
    network = functools.partial(tp.networks.mlp, hidden=(16, 8), norm="layer")
    if kind == "mdp":
        settings: Any = dict(replay_capacity=120, warm_up_agent_steps=40, diagnostics_batch_size=8)
        task = tp.rl.ClassificationMdpTask(
            "digits",
            tp.tasks.true_label_mdp,
            tp.rl.double_dqn,
            network,
            target_update_period=3,
            batch_size=4,
            **settings,
        )
    elif kind == "nature_dqn":
        protocol = dataclasses.replace(atari_task_test.SHORT, frame_size=36)
        network = functools.partial(tp.networks.nature_dqn, width=0.1)
        task = atari_task_test.make(network=network, protocol=protocol, target_update_period=3)
    else:
        task = make_task()
    periods: Any = dict(log_period=4, evaluation_period=6, checkpoint_period=5)
    mitigations = all_together(kind)
    optimizer = tp.optimizers.adam(1e-2)
    return Loop(TrainConfig(task, optimizer, STEPS, mitigations=mitigations, compiler=compiler, **periods))


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
        scalars = loop.driver.evaluate(STEPS, lambda: False)
    for tag, value in scalars.items():
        np.testing.assert_equal(values_of(path, tag)[-1], value)


def hare_of(mitigation):
    return [variable.numpy() for variable, _ in mitigation.evaluation_weights]


def test_a_stream(whole):
    check_that_they_acted(*whole)


def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    _, code = run(tmp_path, make_loop(), interrupt_at_step=6)
    assert code != 0
    resumed, code = run(tmp_path, make_loop())
    assert code == 0
    for one, other in zip(weights(resumed), weights(whole[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(resumed.config.mitigations, whole[1].config.mitigations, strict=True):
        assert one.state.keys() == other.state.keys()
        for name, variable in one.state.items():
            np.testing.assert_array_equal(variable, other.state[name])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdp", "nature_dqn"])
def test_reinforcement_learning(tmp_path, kind):
    check_that_they_acted(tmp_path, run(tmp_path, make_loop(kind))[0])


@pytest.mark.slow
def test_xla(tmp_path, whole):
    loop, _ = run(tmp_path, make_loop(compiler="xla"))
    for one, other in zip(weights(loop), weights(whole[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
