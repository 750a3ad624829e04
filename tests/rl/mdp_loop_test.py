"""A classification MDP in the training loop, with every mitigation running."""

import functools

import numpy as np
import pytest

import tfplastic as tp
from tests.training.graph_loop_test import rows, run, steps_of, values_of, weights
from tfplastic import mitigations
from tfplastic.training import BrownianTwin, Loop, TrainConfig


def make_loop(seed=0, compiler="graph", **config):
    network = functools.partial(
        tp.networks.mlp, hidden=(16,), norm="layer", spectral_norm_layers=("hidden1",)
    )
    task = tp.rl.ClassificationMdpTask(
        "digits",
        tp.tasks.sparse_reward_mdp,
        config.pop("agent", tp.rl.double_dqn),
        network,
        replay_capacity=120,  # 200 agent steps, so that the ring wraps around
        warm_up_agent_steps=40,
        target_update_period=10,
        batch_size=8,
        diagnostics_batch_size=16,
    )
    everything = [
        mitigations.WeightDecay(0.1),
        mitigations.ShrinkAndPerturb(period=7),
        mitigations.ResetLastLayer(),
        mitigations.ResetOptimizerState(period=13),
    ]
    settings = dict(log_period=8, diagnostics_period=20, evaluation_period=20, checkpoint_period=9)
    return Loop(
        TrainConfig(
            task=task,
            optimizer=tp.optimizers.adam(1e-2),
            total_steps=40,
            seed=seed,
            compiler=compiler,
            mitigations=everything,
            twin=BrownianTwin(),
            step_statistics=(tp.diagnostics.dead_units,),
            **{**settings, **config},
        )
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory and the loop of a run that nothing interrupts."""
    path = tmp_path_factory.mktemp("whole")
    loop, code = run(path, make_loop())
    assert code == 0
    return path, loop


def test_it_reports(whole):
    path, _ = whole
    assert steps_of(path, "evaluation/accuracy") == [20, 40]
    assert values_of(path, "train/agent_steps") == [40 + 4 * step for step in (8, 16, 24, 32, 40)]
    assert all(0 <= value <= 1 for value in values_of(path, "train/dead_units/hidden1_relu"))
    assert min(values_of(path, "train/penalty")) > 0


def test_the_target_network_is_the_online_one_of_its_last_update(tmp_path, whole):
    _, loop = whole
    at_40, target = loop.task.model.get_weights(), loop.task.trackables()["target_model"].get_weights()
    # The head is drawn anew after the copy, all else is as it was copied.
    equal = [bool((online == copy).all()) for online, copy in zip(at_40, target, strict=True)]
    names = [variable.name for variable in loop.task.model.variables]
    different = {name.split("/")[0] for name, is_equal in zip(names, equal, strict=True) if not is_equal}
    assert different == {"output"}


@pytest.mark.parametrize("interrupt_at", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole, interrupt_at):
    _, code = run(tmp_path, make_loop(), interrupt_at)
    resumed, second_code = run(tmp_path, make_loop())
    assert (code, second_code) == (143, 0)
    assert rows(tmp_path) == rows(whole[0])
    np.testing.assert_array_equal(weights(resumed), weights(whole[1]))


def test_seeds(tmp_path, whole):
    other, _ = run(tmp_path, make_loop(seed=1))
    assert (weights(other) != weights(whole[1])).any()


@pytest.mark.parametrize("agent", [tp.rl.dqn, tp.rl.two_hot_dqn, tp.rl.c51])
def test_every_agent_trains(tmp_path, agent):
    _, code = run(tmp_path, make_loop(agent=agent))
    assert code == 0
    assert np.isfinite(values_of(tmp_path, "train/loss")).all()
