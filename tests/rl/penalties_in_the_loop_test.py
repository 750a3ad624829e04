"""Penalties, clipping and projection together in the training loop: a stream, an MDP and the Nature DQN."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.rl import atari_task_test
from tests.training.graph_loop_test import make_task, run, values_of, weights
from tfplastic import mitigations
from tfplastic.training import Loop, TrainConfig

STEPS = 12


def all_together():
    return [
        mitigations.WeightDecay(0.01, half=True),
        mitigations.L2Init(0.01, "huber"),
        mitigations.ResampledInit(0.01),
        mitigations.WassersteinInit(0.01),
        mitigations.SpectralRegularization(0.01, num_iterations=2),
        mitigations.ParsevalRegularization(1e-5),
        mitigations.GradientClipping(1.0),
        mitigations.WeightClipping(2.0, weights="all_but_norms"),
        mitigations.NormalizeAndProject(),
    ]


def make_loop(kind="stream", compiler="graph") -> Any:
    network = functools.partial(tp.networks.mlp, hidden=(16, 8), norm="layer")
    if kind == "mdp":
        task = tp.rl.ClassificationMdpTask(
            "digits",
            tp.tasks.true_label_mdp,
            tp.rl.double_dqn,
            network,
            replay_capacity=120,
            warm_up_agent_steps=40,
            target_update_period=3,
            batch_size=4,
            diagnostics_batch_size=8,
        )
    elif kind == "nature_dqn":
        protocol = dataclasses.replace(atari_task_test.SHORT, frame_size=36)
        task = atari_task_test.make(network=tp.networks.nature_dqn, protocol=protocol)
    else:
        task = make_task()
    periods: Any = dict(log_period=4, evaluation_period=6, checkpoint_period=5)
    optimizer = tp.optimizers.adam(1e-2)
    return Loop(TrainConfig(task, optimizer, STEPS, mitigations=all_together(), compiler=compiler, **periods))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, make_loop())[0]


def check_that_they_acted(path, loop):
    assert min(values_of(path, "train/penalty")) > 0
    *_, clipping, project = loop.config.mitigations
    for weight, bound in clipping._bounds[-2:]:  # those of the last layer, which nothing changes after it
        assert np.abs(weight.variable.numpy()).max() <= bound * (1 + 1e-6)
    for group, rho in zip(project._projected, project._rhos, strict=True):
        total = np.sqrt(sum((each.variable.numpy().astype(np.float64) ** 2).sum() for each in group))
        np.testing.assert_allclose(total, rho.numpy(), rtol=1e-5)


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
