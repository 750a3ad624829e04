"""Streams that subclass `SupervisedStream` in a few lines each, of every kind that it carries."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in
from tfplastic.tasks import (
    REGRESSION,
    StreamBatch,
    StreamState,
    SupervisedStream,
    TaskLoss,
)


class SlowlyChangingRegression(SupervisedStream):
    """Several learners next to each other in one network, each on a stream of its own (Dohare et al. 2024).

    One of `num_slow` bits of the input flips at the end of each task, the others are drawn for each example;
    targets are those of a fixed network of threshold units with weights of +-1.
    """

    name = "slowly_changing_regression"
    objective = REGRESSION

    def __init__(
        self,
        network: Callable[..., keras.Model],
        *,
        num_learners: int,
        num_bits: int = 20,
        num_slow: int = 15,
        num_units: int = 100,
        **settings: Any,
    ):
        super().__init__(network, **settings)
        self.num_learners, self.num_bits, self.num_slow = num_learners, num_bits, num_slow
        self.num_units = num_units
        self.score_shape = (num_learners,)

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        shape = [self.num_learners, self.num_bits + 2, self.num_units]
        draws = seeds.generator(seeds.derive(seed, "target")).choice([-1.0, 1.0], shape).astype(np.float32)
        self._weights, self._outgoing = (
            draws[:, :-1],
            draws[:, -1],
        )  # [learners, bits + 1, units], [.., units]
        negative = (self._weights < 0).sum(1)  # [learners, units]
        self._thresholds = ((self.num_bits + 1) * 0.7 - negative).astype(np.float32)
        return self.num_learners, (self.num_learners, self.num_bits + 1)

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        key = fold_in(tf.constant(seeds.derive(self.seed, "slow_bits")), task)
        shape = [self.num_learners, self.num_slow]
        if previous is None:
            return tf.random.stateless_uniform(shape, key, maxval=2, dtype=tf.int32, alg="philox")
        chosen = tf.random.stateless_uniform(
            shape[:1], key, maxval=self.num_slow, dtype=tf.int32, alg="philox"
        )
        return tf.bitwise.bitwise_xor(previous, tf.one_hot(chosen, self.num_slow, dtype=tf.int32))

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        leading = [indices.shape[0], self.num_learners]
        num_fast = self.num_bits - self.num_slow
        fast = tf.random.stateless_uniform([*leading, num_fast], key, maxval=2, dtype=tf.int32, alg="philox")
        slow = tf.broadcast_to(state.content, [*leading, self.num_slow])
        bits = tf.concat([slow, fast, tf.ones([*leading, 1], tf.int32)], axis=-1)
        inputs = tf.cast(bits, tf.float32)  # [batch, learners, bits + 1]
        fires = tf.einsum("nlb,lbu->nlu", inputs, self._weights) > self._thresholds
        return StreamBatch(inputs, tf.einsum("nlu,lu->nl", tf.cast(fires, tf.float32), self._outgoing))

    def loss(self, model: keras.Model, batch: StreamBatch, training: bool = False) -> TaskLoss:
        outputs = model(batch.inputs, training=training)  # [batch, learners]
        errors = tf.math.squared_difference(outputs, batch.targets)
        # The sum over the learners, so that the gradient of each is that of its own loss.
        loss = tf.reduce_sum(tf.reduce_mean(errors, axis=0))
        return TaskLoss(loss, tf.reshape(errors, [-1]), {"error": tf.reduce_mean(errors)})

    def step_score(self, output: TaskLoss) -> tf.Tensor:
        return tf.reduce_mean(tf.reshape(output.per_example_loss, [-1, self.num_learners]), axis=0)


class LearnersDense(keras.layers.Layer):
    """A dense layer for each learner: `[batch, learners, inputs] -> [batch, learners, units]`."""

    def __init__(self, units: int, seed: int, **arguments: Any):
        super().__init__(**arguments)
        self.units, self._init_seed = units, seed

    def build(self, input_shape: Any) -> None:
        _, learners, inputs = input_shape
        initializer = keras.initializers.RandomNormal(0, inputs**-0.5, self._init_seed)
        self.kernel = self.add_weight(
            name="kernel", shape=(learners, inputs, self.units), initializer=initializer
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.einsum("nli,liu->nlu", inputs, self.kernel)


def learners(num_outputs: int, input_shape: Sequence[int], seed: int) -> keras.Model:
    """Builds a network of one hidden layer of five units for each learner; output k is that of learner k."""
    assert num_outputs == input_shape[0]
    return keras.Sequential(
        [
            keras.layers.InputLayer(tuple(input_shape)),
            LearnersDense(5, seeds.derive_integer(seed, "hidden"), name="hidden"),
            keras.layers.Activation("relu", name="relu"),
            LearnersDense(1, seeds.derive_integer(seed, "output"), name="output"),
            keras.layers.Reshape((num_outputs,), name="learners"),
        ]
    )
