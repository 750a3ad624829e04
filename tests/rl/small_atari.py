"""A task on short games of Atari with a small network, for tests of what trains on one."""

import math
from typing import Any

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.rl import AtariProtocol, AtariTask, Evaluation, LinearEpsilon, double_dqn

SHORT = AtariProtocol(frame_size=12, stack_size=2, max_frames_per_episode=132)  # 33 agent steps
WARM_UP = 40


def dense(num_outputs, observation_shape, seed):
    def draw(name):
        return keras.initializers.RandomNormal(stddev=1.0, seed=seeds.derive_integer(seed, name))

    shape = (num_outputs,) if isinstance(num_outputs, int) else num_outputs
    return keras.Sequential(
        [
            keras.layers.InputLayer(observation_shape, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "tanh", kernel_initializer=draw("hidden")),
            keras.layers.Dense(math.prod(shape), kernel_initializer=draw("output")),
            keras.layers.Reshape(shape),
        ]
    )


def make(game: Any = "Breakout", agent=double_dqn, network=dense, **arguments):
    defaults = {
        "protocol": SHORT,
        "replay_capacity": 600,
        "batch_size": 4,
        "warm_up_agent_steps": WARM_UP,
        "target_update_period": 3,
        "epsilon": LinearEpsilon(1.0, 0.2, 60),
        "evaluation": Evaluation(num_episodes=2, num_envs=2),
        "diagnostics_batch_size": 6,
    }
    return AtariTask(game, agent, network, **{**defaults, **arguments})


def built(seed=0, **arguments):
    task = make(**arguments)
    task.build(seed)
    return task
