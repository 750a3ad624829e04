"""This library in probe.py: the compiled programs of a probe. The driver starts it."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "0"

import numpy as np
import tensorflow as tf

import tfplastic as tp
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
from benchmarks.probe_problems import NUM_TARGETS, PROBLEMS, STEPS, probe_data
from tfplastic.probing import Regression
from tfplastic.probing._training.execution import make_trainer
from tfplastic.probing._training.reinitialized import rebuild, weights_of
from tfplastic.probing._training.training_copy import TrainingCopy


def make(problem: Problem, execution: str = "auto", program: str = "auto") -> TakeSteps:
    """Gradient steps of a probe, counted over all targets.

    Args:
        problem: the problem to train.
        execution: execution of a `Probe`.
        program: compiler of a `Probe`.
    """
    images, targets = probe_data()
    if problem.filters:
        model = tp.networks.cnn(
            NUM_CLASSES,
            filters=problem.filters,
            kernel_sizes=[3] * len(problem.filters),
            strides=[2] * len(problem.filters),
            hidden=problem.hidden,
            input_shape=images.shape[1:],
        )
    else:
        model = tp.networks.mlp(NUM_CLASSES, hidden=problem.hidden, input_shape=images.shape[1:])
    optimizer = tf.keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    training_copy = TrainingCopy(rebuild(model, 0, images[:1]), optimizer, Regression())
    training_copy.inputs = tf.constant(images)
    training_copy.trace(targets[0], problem.batch_size)
    trainer, _ = make_trainer(training_copy, NUM_TARGETS, execution, program)
    size = (NUM_TARGETS, STEPS, problem.batch_size)
    batches = np.random.default_rng(0).integers(len(images), size=size, dtype=np.int32)
    weights = weights_of(model)

    def take_steps(count: int) -> None:
        for _ in range(count // (NUM_TARGETS * STEPS)):
            trainer.train(weights, None, targets, batches)

    return take_steps


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(make, ("tensorflow", "keras", "numpy"), PROBLEMS)
