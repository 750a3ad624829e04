"""This library in diagnostics_overhead.py: its training loop, and diagnostics of its network.

The driver starts it; `diagnostics_blocks.py` says how they talk.
"""

import functools
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import tfplastic as tp
from benchmarks.diagnostics_blocks import Contender, Values, serve
from benchmarks.diagnostics_problem import BATCH_SIZE, DELTA, FLOORS, LEARNING_RATE, TAU, Problem
from tfplastic import diagnostics
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.quantity import QuantityFn
from tfplastic.diagnostics.quantities.shared.spectra import Spectrum
from tfplastic.tasks import StreamBatch, StreamState, SupervisedStream, TaskLoss
from tfplastic.training import GradientStep
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.events.measurements.diagnostics import task_snapshot
from tfplastic.training.execution.compilation import choose_compiler
from tfplastic.training.execution.graph_steps import GraphSteps

_NEVER = 10**9
_RANKS = (
    diagnostics.feature_effective_rank,
    functools.partial(diagnostics.feature_approximate_rank, delta=DELTA),
    functools.partial(diagnostics.feature_srank, delta=DELTA),
    diagnostics.feature_numerical_rank,
)
_DORMANT = (diagnostics.dead_units, functools.partial(diagnostics.dormant_units, tau=TAU))
_METRICS = (
    functools.partial(diagnostics.dormant_units, tau=TAU),
    diagnostics.active_units,
    functools.partial(diagnostics.feature_srank, delta=DELTA),
    diagnostics.weight_norm,
    diagnostics.gradient_norm,
)
_SETS: dict[str, Sequence[QuantityFn]] = {
    "cheap": BUDGETS["cheap"],
    "medium": BUDGETS["medium"],
    "ranks": _RANKS,
    "dormant": _DORMANT,
    "metrics": _METRICS,
    "together": (*_RANKS, *_DORMANT, *_METRICS[1:2], *_METRICS[3:]),
}
_WHOLE = ("weight_norm", "gradient_norm")  # of which the peers have the network's only


class ProblemTask(SupervisedStream):
    """Trains the network of a problem on its data, batches drawn with replacement.

    Args:
        problem: problem in the driver's form.
    """

    name = "problem"

    def __init__(self, problem: Problem):
        super().__init__(
            self._network,
            num_examples=len(problem.images),
            steps_per_task=_NEVER,
            batch_size=BATCH_SIZE,
            sampling="replacement",
        )
        self._problem = problem

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        self._images, self._labels = tf.constant(self._problem.images), tf.constant(self._problem.labels)
        return self._problem.network.outputs, self._problem.images.shape[1:]

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        return StreamBatch(tf.gather(self._images, indices), tf.gather(self._labels, indices))

    def loss(self, model: Any, batch: StreamBatch, training: bool = False) -> TaskLoss:
        if not self._problem.network.is_q:
            return super().loss(model, batch, training)
        values = model(batch.inputs, training=training)  # [batch, outputs]
        errors = values - tf.one_hot(batch.targets, values.shape[-1])
        losses = 0.5 * tf.reduce_sum(tf.square(errors), axis=1)
        return TaskLoss(tf.reduce_mean(losses), losses, {"accuracy": tf.zeros([])})

    def _network(self, num_outputs: int, input_shape: Sequence[int], seed: int) -> Any:
        network = self._problem.network
        if network.is_q:
            model = tp.networks.nature_dqn(num_outputs, seed=seed)
        elif network.filters:
            model = tp.networks.cnn(
                num_outputs,
                input_shape=input_shape,
                filters=network.filters,
                kernel_sizes=network.kernel_sizes,
                strides=network.strides,
                hidden=network.hidden,
            )
        else:
            model = tp.networks.mlp(num_outputs, network.hidden, input_shape=input_shape)
        model.set_weights(self._problem.weights)
        return model


class Tfplastic(Contender):
    """Quantities of one snapshot of a batch, the loop's own program for gradient steps."""

    packages = ("tensorflow", "tf-keras", "numpy", "scikit-learn")

    def __init__(self, problem: Problem):
        super().__init__(problem)
        task = ProblemTask(problem)
        task.build(seed=0)
        optimizer = tp.optimizers.adam(LEARNING_RATE)
        gradient_step = GradientStep(task, task.model, optimizer)
        after_updates = AfterUpdates([], task.model, optimizer, 0, task.boundary_period, in_program=True)
        compiler = choose_compiler("auto", task.kind, task.model, "CPU")
        self._steps = GraphSteps(task, gradient_step, after_updates, seed=0, compiler=compiler)
        self._steps.start()
        self._step = 0
        images = tf.constant(problem.images[:BATCH_SIZE])
        batch = StreamBatch(images, tf.constant(problem.labels[:BATCH_SIZE]))
        self._snapshot = task_snapshot(task, batch, images, optimizer)
        self._snapshot.reference = diagnostics.Reference.of(self._snapshot)

    def names(self) -> dict[str, list[str]]:
        return {"expensive": [_name(each) for each in _expensive()]}

    def block(self, task: str, repeats: int) -> Callable[[], Any]:
        if task == "training":
            return functools.partial(self._train, repeats)
        if task in FLOORS:
            return functools.partial(self._repeat_floor, task, repeats)
        alone = {_name(each): (each,) for each in _expensive()}
        quantities = _SETS[task] if task in _SETS else alone[task]
        return functools.partial(self._repeat, quantities, repeats)

    def values(self, task: str) -> Values:
        self._snapshot.refresh()
        measured = diagnostics.measure(self._snapshot, _SETS[task])
        return {name: [of["all"]] if name in _WHOLE else list(of.values()) for name, of in measured.items()}

    def diagnose_all(self) -> None:
        self._snapshot.refresh()
        diagnostics.measure(self._snapshot, BUDGETS["full"])

    def _train(self, count: int) -> None:
        last, sums = self._step + count, {}
        while self._step < last:
            self._step, sums = self._steps.advance(self._step, last, sums)

    def _repeat(self, quantities: Sequence[QuantityFn], count: int) -> None:
        for _ in range(count):
            self._snapshot.refresh()
            diagnostics.measure(self._snapshot, quantities)

    def _repeat_floor(self, task: str, count: int) -> None:
        if task == "forward":
            for _ in range(count):
                self._snapshot.refresh()
                self._snapshot.prepare(["activations"])
            return
        activations = self._snapshot.activations.values()
        matrices = [np.asarray(each).reshape(BATCH_SIZE, -1) for each in activations]
        of_matrix = _float32_spectrum if task == "spectra_float32" else lambda matrix: Spectrum(matrix).values
        for _ in range(count):
            for matrix in matrices:
                of_matrix(matrix)


def _float32_spectrum(matrix: np.ndarray) -> np.ndarray:
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return np.linalg.eigvalsh(tall.T @ tall)


def _expensive() -> list[QuantityFn]:
    others = BUDGETS["medium"]
    return [each for each in BUDGETS["full"] if each not in others]


def _name(quantity: Any) -> str:
    return quantity.__name__


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(Tfplastic)
