"""Keras in probe.py: `fit` on one target, 100 steps for each call of its program. The driver starts it."""

import tensorflow as tf

from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    NUM_CLASSES,
    Problem,
    TakeSteps,
    serve,
)
from benchmarks.probe_problems import PROBLEMS, probe_data


def make(problem: Problem) -> TakeSteps:
    """Gradient steps of one target."""
    keras = tf.keras
    images, targets = probe_data()
    layers = [keras.layers.InputLayer(images.shape[1:])]
    layers += [
        keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for filters in problem.filters
    ]
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, activation="relu") for units in problem.hidden]
    model = keras.Sequential([*layers, keras.layers.Dense(NUM_CLASSES)])
    optimizer = keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    model.compile(optimizer, "mse", steps_per_execution=100)
    x, y = tf.constant(images), tf.constant(targets[0])

    def batch(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.random.uniform([problem.batch_size], maxval=len(images), dtype=tf.int32)
        return tf.gather(x, places), tf.gather(y, places)

    dataset = tf.data.Dataset.counter().map(batch)

    def take_steps(count: int) -> None:
        model.fit(dataset, steps_per_epoch=count, epochs=1, verbose=0)

    return take_steps


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(make, ("tensorflow", "keras", "numpy"), PROBLEMS)
