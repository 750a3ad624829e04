"""This library's contender in minatar_throughput.py: its own training loop, run in blocks.

The driver starts it; `blocks.py` says how they talk.
"""

import functools
import os
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf

from benchmarks.blocks import Watched, serve, settings
from benchmarks.tfplastic_dqn import NEVER, Blocks
from tfplastic.networks import minatar_cnn
from tfplastic.optimizers import centered_rmsprop
from tfplastic.rl import FrameReplay, LinearEpsilon, MinAtarEnvironment, MinAtarTask, QAgent, dqn, replay_task
from tfplastic.training.loop import Loop, TrainConfig
from tfplastic.training.run.directory import RunDirectory

# The time that no part takes is that of the gradient step: the loop around it costs microseconds.
_WATCHED = (
    Watched(MinAtarEnvironment, "step", "environment"),
    Watched(replay_task, "epsilon_greedy", "acting"),
    Watched(QAgent, "greedy_actions", "acting"),
    Watched(FrameReplay, "add_batch", "replay add"),
    Watched(FrameReplay, "sample", "replay sample"),
    Watched(MinAtarTask, "next", "bookkeeping"),
    Watched(MinAtarTask, "after_step", "bookkeeping"),
)


def main() -> None:
    asked = settings()
    tf.config.threading.set_intra_op_parallelism_threads(asked["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(asked["threads"])
    # The numbers are those of gin/minatar_dqn.gin with gin/sizes/minatar_cpu.gin.
    task = MinAtarTask(
        "breakout",
        dqn,
        functools.partial(minatar_cnn, norm=asked["norm"]),
        num_envs=8,
        warm_up_agent_steps=asked["warm_up_agent_steps"],
        replay_ratio=0.25,
        target_update_period=asked["target_update_agent_steps"] // 4,
        epsilon=LinearEpsilon(begin=1.0, end=asked["epsilon"], decay_agent_steps=0),
        diagnostics_batch_size=1,
    )
    config = TrainConfig(
        task,
        centered_rmsprop(epsilon=0.0, outer_epsilon=0.01),
        total_steps=NEVER,
        log_period=NEVER,
        diagnostics_period=NEVER,
        evaluation_period=NEVER,
        checkpoint_period=NEVER,
    )
    about = {"optimizer": "centered RMSProp 2.5e-4", "rest": "gradient step"}
    lengths = serve(_WATCHED, about, ("tensorflow", "tf-keras", "tf-agents", "minatar", "numpy"))
    with tempfile.TemporaryDirectory() as folder, RunDirectory.open(folder, "", "train.seed = 0\n") as run:
        Loop(config).run(run, progress=functools.partial(Blocks, lengths=lengths))


if __name__ == "__main__":
    main()
