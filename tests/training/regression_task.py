"""A task small enough to run the whole loop on in a second: noisy linear regression."""

import json

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.tasks import HostTask, TaskLoss


class RegressionTask(HostTask):
    """Batches of y = x w + noise, drawn by counter; every hook notes that it was called."""

    name = "regression"
    boundary_period = None

    def __init__(self, warm_up_pieces=3, evaluation_steps=2, bad_step=None):
        self.warm_up_pieces = warm_up_pieces
        self.evaluation_steps = evaluation_steps
        self.bad_step = bad_step
        self.calls = []

    def build(self, seed):
        self.seed = seed

        def dense(units, activation, name):
            initializer = keras.initializers.RandomUniform(-1, 1, seed=seeds.derive_integer(seed, name))
            return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)

        layers = [keras.layers.InputLayer((3,)), dense(4, "relu", "hidden"), dense(1, None, "output")]
        self.model = keras.Sequential(layers)
        self.warmed_up = 0
        self.batches = 0

    def start(self):
        self.calls.append("start")

    def warm_up(self):
        while self.warmed_up < self.warm_up_pieces:
            yield
            self.warmed_up += 1

    def next(self):
        self.batches += 1
        return self._batch("data", self.batches)

    def _batch(self, *names):
        generator = seeds.generator(seeds.derive(self.seed, *names))
        x = generator.normal(size=(8, 3)).astype(np.float32)
        y = x.sum(axis=1, keepdims=True) + generator.normal(size=(8, 1)).astype(np.float32)
        return (x, y * np.nan) if names[-1] == self.bad_step else (x, y)

    def loss(self, model, batch, training=False):
        per_example = tf.reduce_sum((model(batch[0], training=training) - batch[1]) ** 2, axis=-1)
        return TaskLoss(tf.reduce_mean(per_example), per_example, {})

    def after_step(self, step):
        self.calls.append(("after_step", step))

    def metrics(self):
        return {"train/batches": self.batches}

    def progress(self):
        return {"agent_steps": self.batches}

    def evaluate(self, step, should_stop):
        for _ in range(self.evaluation_steps):
            if should_stop():
                return None
        x, y = self._batch("evaluation", step)
        return {"evaluation/loss": float(np.mean((self.model(x).numpy() - y) ** 2))}

    def diagnostics_batch(self):
        batch = tf.nest.map_structure(tf.constant, self._batch("diagnostics"))
        return batch, batch[0]

    def probe_inputs(self, count, key):
        return seeds.generator(key).normal(size=(count, 3)).astype(np.float32)

    def trackables(self):
        return {"model": self.model}

    def save(self, directory, shared):
        (directory / "task.json").write_text(json.dumps([self.warmed_up, self.batches]))
        name = f"batches-{self.batches}"
        (shared / name).write_text("shared")
        return [name]

    def restore(self, directory, shared, shared_files):
        assert all((shared / name).exists() for name in shared_files)
        self.warmed_up, self.batches = json.loads((directory / "task.json").read_text())
        self.calls.append("restore")

    def example(self):
        return self._batch("example")

    def seconds_per_batch(self):
        return 0.0

    def describe(self, total_steps, checkpoint_period, keep_checkpoints):
        return [("gradient steps", f"{total_steps}")]

    def close(self):
        self.calls.append("close")
