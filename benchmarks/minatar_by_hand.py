"""A loop by hand in minatar_throughput.py: DQN in 60 lines of TensorFlow and numpy, as fast as it is short.

The gradient step is one XLA program, the convolution a matrix product of patches, acting is numpy, the replay
is two arrays. It cannot stop, resume or measure, and its draws come from one generator. The driver starts
it; `blocks.py` says how they talk.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf

from benchmarks.blocks import serve, settings
from tfplastic.rl import MinAtarEnvironment

NUM_ENVS, CAPACITY, BATCH, ACTIONS = 8, 100_000 // 8, 32, 6
LEARNING_RATE, DECAY, EPSILON = 2.5e-4, 0.95, 0.01


def q_values(weights, x, concatenate=tf.concat, reshape=tf.reshape, relu=tf.nn.relu):
    """Q-values of images `[batch, 10, 10, channels] float32`, by TensorFlow or by numpy's functions."""
    (kernel, bias), (kernel2, bias2), (kernel3, bias3) = weights
    patches = concatenate([x[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)], -1)
    hidden = relu(reshape(patches, [-1, kernel.shape[0]]) @ kernel + bias)
    return relu(reshape(hidden, [-1, kernel2.shape[0]]) @ kernel2 + bias2) @ kernel3 + bias3


IN_NUMPY = (np.concatenate, np.reshape, lambda x: np.maximum(x, 0))


def pairs(arrays):
    return list(zip(arrays[::2], arrays[1::2], strict=True))


class Trainer:
    """DQN on breakout in eight environments; `train` continues for a number of agent steps."""

    def __init__(self, epsilon: float, target_update_agent_steps: int):
        self._epsilon, self._period = epsilon, target_update_agent_steps
        self._draw = np.random.default_rng(0)
        shapes = [(36, 16), (16,), (1_024, 128), (128,), (128, ACTIONS), (ACTIONS,)]
        bounds = np.repeat([36, 1_024, 128], 2) ** -0.5
        drawn = [self._draw.uniform(-b, b, s).astype(np.float32) for b, s in zip(bounds, shapes, strict=True)]
        self._weights, self._target = ([tf.Variable(each) for each in drawn] for _ in range(2))
        self._means, self._squares = ([tf.Variable(tf.zeros_like(w)) for w in drawn] for _ in range(2))
        self._environment = MinAtarEnvironment("breakout", NUM_ENVS)
        self._time_step = self._environment.reset()
        self._seen = np.zeros((2, CAPACITY, NUM_ENVS, 10, 10, 4), np.uint8)  # before and after an action
        self._facts = np.zeros((3, CAPACITY, NUM_ENVS), np.float32)  # action, reward, discount
        self._rows = self._steps = 0

    def train(self, agent_steps: int, learns: bool = True) -> None:
        for _ in range(agent_steps // NUM_ENVS):
            before = self._time_step.observation
            actions = self._draw.integers(ACTIONS, size=NUM_ENVS)
            if learns:
                arrays = pairs([weight.numpy() for weight in self._weights])
                greedy = q_values(arrays, before.astype(np.float32), *IN_NUMPY)
                explores = self._draw.random(NUM_ENVS) < self._epsilon
                actions = np.where(explores, actions, greedy.argmax(-1))
            self._time_step = after = self._environment.step(actions)
            row = self._rows % CAPACITY
            self._seen[:, row] = before, after.observation
            self._facts[:, row] = actions, after.reward, after.discount
            self._rows += 1
            self._steps += NUM_ENVS
            for _ in range(NUM_ENVS // 4 if learns else 0):
                self._gradient_step()
            if self._steps % self._period < NUM_ENVS:
                for target, weight in zip(self._target, self._weights, strict=True):
                    target.assign(weight)

    def _gradient_step(self):
        rows = self._draw.integers(min(self._rows, CAPACITY), size=BATCH)
        environments = self._draw.integers(NUM_ENVS, size=BATCH)
        seen, facts = self._seen[:, rows, environments], self._facts[:, rows, environments]
        self._update(tf.constant(seen), tf.constant(facts))

    @tf.function(jit_compile=True)
    def _update(self, seen, facts):
        before, after = tf.cast(seen, tf.float32)[0], tf.cast(seen, tf.float32)[1]
        returns = facts[1] + 0.99 * facts[2] * tf.reduce_max(q_values(pairs(self._target), after), -1)
        with tf.GradientTape() as tape:
            taken = tf.one_hot(tf.cast(facts[0], tf.int32), ACTIONS)
            error = tf.abs(returns - tf.reduce_sum(q_values(pairs(self._weights), before) * taken, -1))
            loss = tf.reduce_mean(tf.where(error < 1, error**2 / 2, error - 0.5))
        gradients = tape.gradient(loss, self._weights)
        for g, w, mean, square in zip(gradients, self._weights, self._means, self._squares, strict=True):
            m, s = DECAY * mean + (1 - DECAY) * g, DECAY * square + (1 - DECAY) * g * g
            mean.assign(m)
            square.assign(s)
            w.assign_sub(LEARNING_RATE * g / (tf.sqrt(tf.maximum(s - m * m, 0)) + EPSILON))


def main() -> None:
    asked = settings()
    tf.config.threading.set_intra_op_parallelism_threads(asked["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(asked["threads"])
    trainer = Trainer(asked["epsilon"], asked["target_update_agent_steps"])
    trainer.train(asked["warm_up_agent_steps"], learns=False)
    about = {"optimizer": "centered RMSProp 2.5e-4", "rest": "bookkeeping"}
    for agent_steps in serve((), about, ("tensorflow", "minatar", "numpy")):
        trainer.train(agent_steps)


if __name__ == "__main__":
    main()
