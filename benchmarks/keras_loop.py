"""Keras in train_loop.py: `fit`, with a given number of gradient steps for each call of its program.

The driver starts it, with Keras 2 or Keras 3 as `tf.keras`; `loop_blocks.py` says how they talk.
"""

import tensorflow as tf

from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    NUM_CLASSES,
    Problem,
    TakeSteps,
    data,
    serve,
    settings,
)


def make(problem: Problem, steps_per_execution: int) -> TakeSteps:
    """Gradient steps of a problem."""
    keras = tf.keras
    x, y = data()
    layers = [keras.layers.InputLayer(x.shape[1:])]
    layers += [
        keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for filters in problem.filters
    ]
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, activation="relu") for units in problem.hidden]
    model = keras.Sequential([*layers, keras.layers.Dense(NUM_CLASSES)])
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
        jit_compile=settings()["jit_compile"],
    )
    images, labels = tf.constant(x), tf.constant(y)

    def batch(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        indices = tf.random.uniform([problem.batch_size], maxval=len(x), dtype=tf.int32)
        return tf.gather(images, indices), tf.gather(labels, indices)

    dataset = tf.data.Dataset.counter().map(batch)

    def take_steps(count: int) -> None:
        model.fit(dataset, steps_per_epoch=count, epochs=1, verbose=0)

    return take_steps


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(make, ("tensorflow", settings()["package"], "numpy"))
