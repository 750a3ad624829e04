"""A run with probes is the run without, bit for bit: everything it ends with, and its metrics."""

import functools
import re

import numpy as np
import pytest

from tests.rl import small_atari
from tests.training.loop_test import QuietProgress, rows
from tfplastic import networks, optimizers, probing, rl
from tfplastic._keras import keras
from tfplastic.tasks import RandomLabelTask, true_label_mdp
from tfplastic.training import Loop, RunDirectory, TrainConfig

STEPS, PERIOD = 7, 3
MLP = functools.partial(networks.mlp, hidden=(8,))


def supervised():
    # Batch normalization has weights of its own that a gradient step moves.
    network = functools.partial(MLP, norm="batch")
    return RandomLabelTask("digits", network, num_examples=30, steps_per_task=4, batch_size=8)


def mdp():
    return rl.ClassificationMdpTask(
        "digits",
        true_label_mdp,
        rl.double_dqn,
        MLP,
        replay_capacity=40,
        batch_size=4,
        warm_up_agent_steps=20,
        target_update_period=2,
        evaluation_size=20,
    )


def atari():
    return rl.AtariTask(
        "Breakout",
        rl.double_dqn,
        small_atari.dense,
        protocol=rl.AtariProtocol(frame_size=12, stack_size=2, max_frames_per_episode=132),
        replay_capacity=200,
        batch_size=4,
        warm_up_agent_steps=20,
        target_update_period=2,
        evaluation=rl.Evaluation(num_episodes=1),
    )


def ended(path, task, probe):
    """The rows of the metrics and all bytes of the last checkpoint and of shared files."""
    keras.backend.reset_uids()  # names are part of a checkpoint
    config = TrainConfig(
        task=task(),
        optimizer=optimizers.adam(1e-2),
        total_steps=STEPS,
        log_period=2,
        evaluation_period=STEPS,
        checkpoint_period=STEPS,
        probe=probe,
        probe_period=PERIOD,
        probe_on="current",
        compiler="graph",
    )
    with RunDirectory.open(path, "", f"train.total_steps = {STEPS}") as directory:
        Loop(config).run(directory, progress=lambda total, step, _: QuietProgress(total, step))
    # Without the manifest, which counts rows of the metrics.
    files = [each for each in sorted(path.glob("checkpoints/*/*")) if each.name != "manifest.json"]
    return rows(path), {str(each.relative_to(path)): each.read_bytes() for each in files}


@pytest.mark.parametrize(
    "task",
    [pytest.param(supervised, marks=pytest.mark.slow), pytest.param(mdp, marks=pytest.mark.slow), atari],
)
def test_a_run_with_probes_is_the_run_without(tmp_path, task):
    probe = probing.Probe(
        num_targets=1,
        num_steps=4,
        batch_size=4,
        baselines=1,
        num_inputs=12,
        execution="one_after_another",
        compiler="graph",
    )
    without, files = ended(tmp_path / "without", task, None)
    found, others = ended(tmp_path / "with", task, probe)
    probed = [(step, value) for step, tag, value in found if tag == "probe/final_loss"]
    assert [step for step, _ in probed] == [0, 3, 6] and np.all(np.isfinite(probed))
    assert [row for row in found if not row[1].startswith("probe/")] == without
    assert any("variables" in name for name in files) and list(others) == list(files)
    assert [name for name in files if files[name] != others[name]] == []


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            probing.TwoHot(head=networks.CategoricalHead(-10.0, 10.0, num_bins=51)),
            "`Probe.head` must suit the network, which has outputs [10] for an example. Received: TwoHot(",
        ),
        (
            probing.Regression(outputs=[0, 10]),
            "`Probe.head` must suit the network, which has outputs [10] for an example. Received: Regressio",
        ),
    ],
)
@pytest.mark.parametrize("task", [supervised, mdp])
def test_a_head_that_does_not_suit_the_network_is_refused_before_the_run(task, head, message):
    config = TrainConfig(task(), optimizers.adam(), total_steps=STEPS, probe=probing.Probe(head=head))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Loop(config)
