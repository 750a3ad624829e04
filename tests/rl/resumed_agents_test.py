"""Agents on MinAtar in the loop: a run that stops and resumes ends as one that does not, to the last bit."""

import functools
from typing import Any

import pytest

from tests.contracts.tasks_table import on_policy
from tests.rl import game_sequences_test
from tests.rl.minatar_task_test import make
from tests.training.graph_loop_test import run
from tests.training.loop_test import rows
from tfplastic import networks, optimizers, rl
from tfplastic._keras import keras
from tfplastic.training import Loop, TrainConfig

# The stop is between two copies to the target network, two rows of metrics and two evaluations, within the
# second game and the second rollout. The replay is full by then.
STEPS, STOP = 14, 10
TINY = {"replay_capacity": 48}


def rainbow() -> Any:
    network = functools.partial(networks.minatar_cnn, width=0.25, dueling=True, noise=0.5)
    prioritization = rl.Prioritization(importance_steps=STEPS)
    return make(agent=rl.rainbow, network=network, prioritization=prioritization, num_envs=2, **TINY)


def games_with_heads() -> Any:
    sequence = rl.GameSequence(["breakout", "freeway"], agent_steps=32, head_per_game=True)
    return game_sequences_test.make(sequence, **TINY)  # 8 gradient steps each


TASKS = {
    "c51": functools.partial(make, agent=rl.c51, **TINY),
    "qr_dqn": functools.partial(make, agent=functools.partial(rl.qr_dqn, num_quantiles=7), **TINY),
    "two_hot_dqn": functools.partial(make, agent=rl.two_hot_dqn, **TINY),
    "dqn of 3 steps": functools.partial(make, agent=functools.partial(rl.dqn, n_step=3), **TINY),
    "rainbow": rainbow,
    "games with heads": games_with_heads,
    "ppo": functools.partial(on_policy, 0),  # 6 gradient steps per rollout
}
FAST = ("games with heads", "ppo")


def trained(path, make_task, stops):
    """Returns the rows of a run with these stops and the end, and the files of its last checkpoint."""
    for stop in [*stops, None]:
        keras.backend.reset_uids()  # names are part of a checkpoint
        config = TrainConfig(
            task=make_task(),
            optimizer=optimizers.adam(1e-2),
            total_steps=STEPS,
            log_period=4,
            evaluation_period=6,
            checkpoint_period=STEPS,
        )
        _, code = run(path, Loop(config), interrupt_at_step=stop)
        assert code == (0 if stop is None else 143)
    # Without the manifest, which names segments of the replay.
    files = [each for each in max(path.glob("checkpoints/step_*")).iterdir() if each.name != "manifest.json"]
    return rows(path), {each.name: each.read_bytes() for each in files}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in TASKS]
)
def test_a_run_resumes_bit_for_bit_with_every_agent(tmp_path, name):
    whole, files = trained(tmp_path / "whole", TASKS[name], [])
    parts, others = trained(tmp_path / "parts", TASKS[name], [STOP])
    assert parts == whole
    assert any(each.startswith("variables.data") for each in files) and others.keys() == files.keys()
    assert [each for each in files if others[each] != files[each]] == []
