"""This library's contender in atari_throughput.py: its own training loop, run in blocks.

The driver starts it; `blocks.py` says how they talk.
"""

import functools
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf

from benchmarks.blocks import Watched, serve, settings
from tfplastic.networks import nature_dqn
from tfplastic.optimizers import centered_rmsprop
from tfplastic.rl import AtariTask, LinearEpsilon, double_dqn, dqn, replay_task
from tfplastic.rl.agents import QAgent
from tfplastic.rl.atari import AtariEnvironment
from tfplastic.rl.replay import FrameReplay
from tfplastic.training.loop import Loop, TrainConfig
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.progress import Progress

NEVER = 10**9
_AGENTS = {"dqn": dqn, "double_dqn": double_dqn}
# The time that no part takes is that of the gradient step: the loop around it costs microseconds.
_WATCHED = (
    Watched(AtariEnvironment, "step", "environment"),
    Watched(replay_task, "epsilon_greedy", "acting"),
    Watched(QAgent, "greedy_actions", "acting"),
    Watched(FrameReplay, "add_batch", "replay add"),
    Watched(FrameReplay, "sample", "replay sample"),
    Watched(AtariTask, "next", "bookkeeping"),
    Watched(AtariTask, "after_step", "bookkeeping"),
)


class Blocks(Progress):
    """The loop's progress, shown to nobody: where a block of agent steps ends, it waits for the next.

    Args:
        total_steps: see `Progress`.
        initial_step: see `Progress`.
        fields: see `Progress`.
        lengths: lengths of the blocks in agent steps, in the order of requests.
    """

    def __init__(self, total_steps: int, initial_step: int, fields: Sequence[str], lengths: Iterator[int]):
        super().__init__(total_steps, initial_step, fields, stream=io.StringIO())
        self._lengths = lengths
        self._until = 0

    def update(self, step: int, *, agent_steps: int | None = None, **shown: Any) -> None:
        """Called by the loop during the warm-up (step 0) and after each gradient step."""
        super().update(step, agent_steps=agent_steps, **shown)
        if step > 0 and agent_steps is not None and agent_steps >= self._until:
            length = next(self._lengths, None)
            if length is None:
                raise SystemExit(0)
            self._until = agent_steps + length


def main() -> None:
    asked = settings()
    tf.config.threading.set_intra_op_parallelism_threads(asked["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(asked["threads"])
    # The numbers are those of gin/atari_dqn.gin, except what all contenders share.
    task = AtariTask(
        "Breakout",
        _AGENTS[asked["agent"]],
        functools.partial(nature_dqn, norm=asked["norm"], shared_bias=True),
        num_envs=asked["num_envs"],
        warm_up_agent_steps=asked["warm_up_agent_steps"],
        target_update_period=asked["target_update_agent_steps"] // 4,
        epsilon=LinearEpsilon(begin=1.0, end=asked["epsilon"], decay_agent_steps=0),
        diagnostics_batch_size=1,
    )
    config = TrainConfig(
        task,
        centered_rmsprop(),
        total_steps=NEVER,
        log_period=NEVER,
        diagnostics_period=NEVER,
        evaluation_period=NEVER,
        checkpoint_period=NEVER,
        compute=asked["compute"],
    )
    about = {"optimizer": "centered RMSProp 2.5e-4", "rest": "gradient step"}
    packages = ("tensorflow", "tf-keras", "tf-agents", "ale-py", "numpy")
    lengths = serve(_WATCHED, about, packages)
    with tempfile.TemporaryDirectory() as folder, RunDirectory.open(folder, "", "train.seed = 0\n") as run:
        Loop(config).run(run, progress=functools.partial(Blocks, lengths=lengths))


if __name__ == "__main__":
    main()
