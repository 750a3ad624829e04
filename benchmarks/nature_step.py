"""The gradient step of Double DQN on Atari's network: the times of its parts, as ratios within one run.

    python benchmarks/nature_step.py [--steps=30]

CPU milliseconds of a step on a batch of 32, medians of interleaved calls on one thread. Variants: a
`tf.function` that takes the batch as a nest (as before), a traced program that takes flat tensors (as
`HostSteps` calls it), that program without the norm of the gradient, and that without the layer that divides
pixels by 255, the first kernel being divided instead.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

import tfplastic as tp
from tfplastic._keras import keras, replaced_attribute
from tfplastic._tf.determinism import deterministic_sums
from tfplastic.training import GradientStep, step


def traced(with_norm=True, folded=False):
    """A task's gradient step, its batch, and the step as a program of flat tensors."""
    task = tp.rl.AtariTask("Breakout", tp.rl.double_dqn, tp.networks.nature_dqn)
    task.build(seed=0)
    gradient_step = GradientStep(task, task.model, tp.optimizers.adam(1e-4))
    batch = task.example()
    norm = step.global_norm if with_norm else lambda *_: tf.zeros([])
    rescale, convolve = keras.layers.Rescaling.call, keras.layers.Conv2D.convolution_op

    def convolve_scaled(layer, inputs, kernel):
        return convolve(layer, inputs, kernel / 255 if layer.name == "conv1" else kernel)

    def take(*flat):
        return gradient_step(tf.nest.pack_sequence_as(batch, flat))

    specs = [tf.TensorSpec(each.shape, each.dtype) for each in tf.nest.flatten(batch)]
    with (
        replaced_attribute(step, "global_norm", norm),
        replaced_attribute(
            keras.layers.Rescaling,
            "call",
            (lambda layer, inputs: tf.cast(inputs, tf.float32)) if folded else rescale,
        ),
        replaced_attribute(keras.layers.Conv2D, "convolution_op", convolve_scaled if folded else convolve),
    ):
        program = tf.function(take, autograph=False).get_concrete_function(*specs)
    return gradient_step, batch, program


def main(steps):
    """Prints a table, and the same as one line of JSON."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    gradient_step, batch, flat = traced()
    _, _, without_norm = traced(with_norm=False)
    _, _, folded = traced(with_norm=False, folded=True)
    nested = tf.function(gradient_step, autograph=False)
    programs = {
        "nest": lambda leaves: nested(batch),
        "flat": lambda leaves: flat(*leaves),
        "flat, no norm": lambda leaves: without_norm(*leaves),
        "flat, no norm, folded": lambda leaves: folded(*leaves),
    }
    seconds = {name: [] for name in programs}
    with deterministic_sums():
        for _ in range(steps + 3):
            for name, program in programs.items():
                begun = time.process_time()
                float(program([tf.convert_to_tensor(each) for each in tf.nest.flatten(batch)]).loss)
                seconds[name].append(time.process_time() - begun)
    medians = {name: statistics.median(each[3:]) for name, each in seconds.items()}
    for name, median in medians.items():
        print(f"{name:24}{1e3 * median:8.2f} ms {median / medians['nest']:8.3f}")
    ratios = {name: round(median / medians["nest"], 4) for name, median in medians.items()}
    print(json.dumps({"ratios": ratios, "tensorflow": tf.__version__, "numpy": np.__version__}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30)
    main(parser.parse_args().steps)
