"""Short runs with several methods at once: on a stream, an MDP and with the Nature DQN."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

import tfplastic as tp
from tests.rl import small_atari
from tests.training.graph_loop_test import make_task, run, weights
from tfplastic.mitigations import Mitigation
from tfplastic.training import Loop, TrainConfig

STEPS = 12


def make_loop(
    mitigations: Sequence[Mitigation], kind: str, compiler: str, nature_dqn: Any, steps: int = STEPS
) -> Any:
    """Makes the loop of a run; `nature_dqn` builds the network of the kind of that name."""
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
        protocol = dataclasses.replace(small_atari.SHORT, frame_size=36)
        task = small_atari.make(network=nature_dqn, protocol=protocol)
    else:
        task = make_task()
    periods: Any = dict(log_period=4, evaluation_period=6, checkpoint_period=5)
    optimizer = tp.optimizers.adam(1e-2)
    return Loop(TrainConfig(task, optimizer, steps, mitigations=mitigations, compiler=compiler, **periods))


def assert_resumes(path, make_one, whole):
    """Asserts that a run which is stopped and resumed ends as the whole one, to the last bit."""
    _, code = run(path, make_one(), interrupt_at_step=6)
    assert code != 0
    resumed, code = run(path, make_one())
    assert code == 0
    for one, other in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(resumed.config.mitigations, whole.config.mitigations, strict=True):
        assert one.state.keys() == other.state.keys()
        for name, variable in one.state.items():
            np.testing.assert_array_equal(variable, other.state[name])


def assert_nearly_same(loop, whole):
    """Asserts that two runs end alike, but for the rounding of their programs."""
    for one, other in zip(weights(loop), weights(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
