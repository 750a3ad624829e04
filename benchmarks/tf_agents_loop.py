"""TF-Agents in train_loop.py: its own driver, replay buffer and `agent.train`, on the same MDP.

The driver of the benchmark starts it; `loop_blocks.py` says how they talk.
"""

import os
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from tf_agents.agents.dqn import dqn_agent
from tf_agents.drivers import dynamic_step_driver
from tf_agents.environments import tf_environment
from tf_agents.networks import sequential
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common

from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    DISCOUNT,
    EPSILON,
    LEARNING_RATE,
    NUM_CLASSES,
    NUM_ENVS,
    REPLAY_CAPACITY,
    TARGET_UPDATE_PERIOD,
    WARM_UP_AGENT_STEPS,
    Problem,
    TakeSteps,
    data,
    serve,
)


class LabelEnvironment(tf_environment.TFEnvironment):
    """`NUM_ENVS` environments: the state is a class, shown by an image of it; naming it gives a reward of 1.

    The next state is uniform, and no episode ends.
    """

    def __init__(self) -> None:
        images, labels = data()
        self.observed = ts.time_step_spec(tensor_spec.TensorSpec(images.shape[1:], tf.float32, "observation"))
        self.acted = tensor_spec.from_spec(
            array_spec.BoundedArraySpec((), np.int32, 0, NUM_CLASSES - 1, "action")
        )
        super().__init__(self.observed, self.acted, batch_size=NUM_ENVS)
        self._images, self._labels = tf.constant(images), tf.constant(labels)
        self._index = tf.Variable(tf.zeros([NUM_ENVS], tf.int32))  # classes are equally frequent
        self._reward = tf.Variable(tf.zeros([NUM_ENVS]))
        self._step_type = tf.Variable(tf.fill([NUM_ENVS], ts.StepType.FIRST))

    def _current_time_step(self) -> ts.TimeStep:
        return ts.TimeStep(
            step_type=self._step_type.value(),
            reward=self._reward.value(),
            discount=tf.ones([NUM_ENVS]),
            observation=tf.gather(self._images, self._index),
        )

    def _reset(self) -> ts.TimeStep:
        self._step_type.assign(tf.fill([NUM_ENVS], ts.StepType.FIRST))
        self._reward.assign(tf.zeros([NUM_ENVS]))
        self._index.assign(tf.random.uniform([NUM_ENVS], maxval=len(self._labels), dtype=tf.int32))
        return self._current_time_step()

    def _step(self, action: tf.Tensor) -> ts.TimeStep:
        right = tf.equal(tf.gather(self._labels, self._index), action)  # [envs]
        self._step_type.assign(tf.fill([NUM_ENVS], ts.StepType.MID))
        self._reward.assign(tf.cast(right, tf.float32))
        self._index.assign(tf.random.uniform([NUM_ENVS], maxval=len(self._labels), dtype=tf.int32))
        return self._current_time_step()


def _network(problem: Problem) -> sequential.Sequential:
    keras = tf.keras
    layers: list[Any] = [
        keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for filters in problem.filters
    ]
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, activation="relu") for units in problem.hidden]
    return sequential.Sequential([*layers, keras.layers.Dense(NUM_CLASSES)])


def make(problem: Problem) -> TakeSteps:
    """Gradient steps of a problem, each after a step of every environment."""
    environment = LabelEnvironment()
    agent = dqn_agent.DdqnAgent(
        environment.observed,
        environment.acted,
        q_network=_network(problem),
        optimizer=tf.keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON),
        epsilon_greedy=0.1,
        target_update_period=TARGET_UPDATE_PERIOD,
        td_errors_loss_fn=common.element_wise_huber_loss,
        gamma=DISCOUNT,
    )
    agent.initialize()
    replay = tf_uniform_replay_buffer.TFUniformReplayBuffer(
        agent.collect_data_spec, batch_size=NUM_ENVS, max_length=REPLAY_CAPACITY // NUM_ENVS
    )

    def driver(num_steps: int) -> dynamic_step_driver.DynamicStepDriver:
        return dynamic_step_driver.DynamicStepDriver(
            environment, agent.collect_policy, [replay.add_batch], num_steps=num_steps
        )

    driver(WARM_UP_AGENT_STEPS).run()
    collect = driver(NUM_ENVS)
    collect.run = common.function(collect.run)
    train = common.function(agent.train)
    dataset = replay.as_dataset(
        sample_batch_size=problem.batch_size, num_steps=2, single_deterministic_pass=False
    )
    batches = iter(dataset)
    time_step, policy_state = None, ()

    def take_steps(count: int) -> None:
        nonlocal time_step, policy_state
        for _ in range(count):
            time_step, policy_state = collect.run(time_step, policy_state)
            experience, _ = next(batches)
            train(experience)

    return take_steps


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(make, ("tensorflow", "tf-keras", "tf-agents", "numpy"))
