"""The optimizer's update of Atari's network: one kernel for each weight, or all of them as one XLA program.

    .venv/bin/python benchmarks/update_passes.py [--rounds=40]

CPU milliseconds on one thread, medians of calls in turns, and ratios within the run: of the update alone,
and of the Double DQN step of batch 32 with it. XLA makes one pass over weights, slots and gradient;
TensorFlow's kernel of centered RMSProp makes four, that of Adam one.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

import tfplastic as tp
from benchmarks.processes import machine
from tfplastic._tf.determinism import deterministic_sums
from tfplastic.optimizers import slots
from tfplastic.training import GradientStep

_SLOTS = {
    "centered_rmsprop": ("average_gradient", "velocity"),
    "adam": ("momentum", "velocity"),
}


def xla_update(optimizer, names):
    """Returns the update of `optimizer` by its pure form, compiled by XLA."""

    @tf.function(jit_compile=True, autograph=False)
    def update(gradients, variables, states, step):
        for gradient, variable, state in zip(gradients, variables, states, strict=True):
            values = [tf.convert_to_tensor(each) for each in state]
            new, new_state = optimizer.pure.rule(gradient, tf.convert_to_tensor(variable), values, step)
            variable.assign(new)
            for slot, value in zip(state, new_state, strict=True):
                slot.assign(value)

    def apply(gradients, variables):
        states = []
        for variable in variables:
            found = slots(optimizer, variable)
            states.append([next(each for key, each in found.items() if name in key) for name in names])
        update(gradients, list(variables), states, tf.cast(optimizer.iterations, tf.int64) + 1)

    return apply


def programs(make_optimizer, names):
    """Returns {what: function of no argument} for the update alone and in a step, by kernel and by XLA."""
    task = tp.rl.AtariTask("Breakout", tp.rl.double_dqn, tp.networks.nature_dqn)
    task.build(seed=0)
    optimizer = make_optimizer()
    step = GradientStep(task, task.model, optimizer)
    batch = tf.nest.map_structure(tf.constant, task.example())
    variables = task.model.trainable_variables
    gradients = [0.01 * tf.ones_like(each) for each in variables]
    by_xla = xla_update(optimizer, names)

    def with_gradients(apply):
        def take():
            found = step.gradients(batch)
            apply(found.gradients, variables)
            return found.output.loss

        return tf.function(take, autograph=False)

    def by_kernel(found, trained):
        optimizer.apply_gradients(zip(found, trained, strict=True))

    return {
        "update, kernel": tf.function(lambda: by_kernel(gradients, variables), autograph=False),
        "update, XLA": tf.function(lambda: by_xla(gradients, variables), autograph=False),
        "step, kernel": with_gradients(by_kernel),
        "step, XLA": with_gradients(by_xla),
    }


def main(rounds):
    """Prints a table for each optimizer, and all as one line of JSON."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    found = {}
    for name, names in _SLOTS.items():
        seconds = {}
        with deterministic_sums():
            for what, program in programs(getattr(tp.optimizers, name), names).items():
                seconds[what] = (program, [])
            for _ in range(rounds + 3):
                for program, times in seconds.values():
                    begun = time.process_time()
                    program()
                    times.append(time.process_time() - begun)
        medians = {what: 1e3 * statistics.median(times[3:]) for what, (_, times) in seconds.items()}
        ratios = {part: medians[f"{part}, XLA"] / medians[f"{part}, kernel"] for part in ("update", "step")}
        for what, median in medians.items():
            print(f"{name:18}{what:16}{median:8.2f} ms")
        print(f"{name:18}XLA over kernel: {', '.join(f'{key} {each:.3f}' for key, each in ratios.items())}")
        found[name] = {"milliseconds": medians, "ratios": ratios}
    print(json.dumps({"machine": machine(), "found": found}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    main(parser.parse_args().rounds)
