"""The gradient steps of a probe as compiled programs: targets side by side, or one after another."""

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.programs import own_program
from tfplastic.probing._training.batched_trace import BatchedTrace, Value, as_stacked
from tfplastic.probing._training.training_copy import TrainingCopy

STEPS_PER_CALL = 100  # a compiled loop cannot be interrupted, so it comes back after these many


class Trainer(abc.ABC):
    """Training of a network on each of several targets, from the same weights.

    Args:
        training_copy: network and optimizer on which it trains.
        num_targets: number of targets.
        compiler: `'graph'` or `'xla'`.
    """

    def __init__(self, training_copy: TrainingCopy, num_targets: int, compiler: str):
        self._copy = training_copy
        self._num_targets = num_targets
        self._program = own_program(self._take_steps, jit_compile=compiler == "xla" or None)

    @abc.abstractmethod
    def train(
        self, weights: Any, slots: Any, targets: np.ndarray, batches: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns the errors of all steps, each before its update, and the predictions after the last.

        Args:
            weights: see `TrainingCopy.load`.
            slots: see `TrainingCopy.load`.
            targets: `[targets, n, ...]`.
            batches: `[targets, steps, batch] int32`, the inputs of each step by their places.

        Returns:
            `[targets, steps] float32`; and for each target `[n, ...]`.
        """

    @abc.abstractmethod
    def _take_steps(self, *arguments: Any) -> Any:
        """Returns some steps; compiled."""

    def _call(self, *arguments: Any) -> Any:
        with tf.summary.record_if(False), deterministic_sums():
            return self._program(*arguments)


class OneAfterAnother(Trainer):
    """One target at a time, on the variables of the copy itself: for any optimizer of Keras."""

    def train(
        self, weights: Any, slots: Any, targets: np.ndarray, batches: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        curves, predictions = [], []
        for target, places in zip(targets, batches, strict=True):
            self._copy.load(weights, slots)
            values, curve = tf.constant(target), []
            for part, count in _parts(places):
                curve.append(self._call(self._copy.inputs, values, part, count).numpy()[:count])
            curves.append(np.concatenate(curve))
            predictions.append(self._copy.predictions())
        return np.stack(curves), predictions

    def _take_steps(self, inputs: Any, targets: tf.Tensor, places: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        def body(step: tf.Tensor, curve: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x = tf.nest.map_structure(lambda each: tf.gather(each, places[step]), inputs)
            error = self._copy.traced_step(x, tf.gather(targets, places[step]))
            return step + 1, tf.tensor_scatter_nd_update(curve, [[step]], [error])

        curve = tf.zeros([places.shape[0]])
        return tf.while_loop(lambda step, _: step < count, body, (0, curve), parallel_iterations=1)[1]


class SideBySide(Trainer):
    """All targets at once: each operation of the step is batched over the networks.

    Raises:
        ValueError: if an operation of the step has effects that are not known how to batch.
    """

    def __init__(self, training_copy: TrainingCopy, num_targets: int, compiler: str):
        super().__init__(training_copy, num_targets, compiler)
        self._batched_trace = BatchedTrace(training_copy.traced_step, num_targets)
        self._are_stacked = [False] * len(self._batched_trace.variables)
        while True:  # what differs between networks makes more differ
            batch = len(tf.nest.flatten(training_copy.inputs)) + 1
            after = self._batched_trace.stacked_after([True] * batch, self._are_stacked)[1]
            after = [old or new for old, new in zip(self._are_stacked, after, strict=True)]
            if after == self._are_stacked:
                break
            self._are_stacked = after

    def train(
        self, weights: Any, slots: Any, targets: np.ndarray, batches: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        self._copy.load(weights, slots)
        variables = self._batched_trace.variables
        values = [
            tf.stack([variable.value()] * self._num_targets) if is_stacked else variable.value()
            for variable, is_stacked in zip(variables, self._are_stacked, strict=True)
        ]
        all_targets, curves = tf.constant(targets), []
        for part, count in _parts(batches.transpose(1, 0, 2)):
            errors, values = self._call(self._copy.inputs, all_targets, part, count, values)
            curves.append(errors.numpy()[:count])
        predictions = []
        for number in range(self._num_targets):
            for variable, value, is_stacked in zip(variables, values, self._are_stacked, strict=True):
                variable.assign(value[number] if is_stacked else value)
            predictions.append(self._copy.predictions())
        return np.concatenate(curves).T, predictions

    def _take_steps(
        self, inputs: Any, targets: tf.Tensor, places: tf.Tensor, count: tf.Tensor, values: list[tf.Tensor]
    ) -> Any:
        def body(step: tf.Tensor, curves: tf.Tensor, values: list[tf.Tensor]) -> Any:
            x = [tf.gather(each, places[step]) for each in tf.nest.flatten(inputs)]  # [targets, batch, ...]
            y = tf.gather(targets, places[step], batch_dims=1)  # [targets, batch, ...]
            arguments = [Value(True, each) for each in (*x, y)]
            given = [Value(*each) for each in zip(self._are_stacked, values, strict=True)]
            (error,), after = self._batched_trace(arguments, given)
            values = [
                as_stacked(value, self._num_targets) if is_stacked else value.tensor
                for value, is_stacked in zip(after, self._are_stacked, strict=True)
            ]
            errors = as_stacked(error, self._num_targets)[None]
            return step + 1, tf.tensor_scatter_nd_update(curves, [[step]], errors), values

        curves = tf.zeros([places.shape[0], self._num_targets])
        return tf.while_loop(lambda step, *_: step < count, body, (0, curves, values), parallel_iterations=1)[
            1:
        ]


def _parts(batches: np.ndarray) -> Any:
    """Yields pairs of `[steps of a call, ...]`, padded at the end, and the number of steps in it."""
    length = min(STEPS_PER_CALL, len(batches))
    for first in range(0, len(batches), length):
        part = batches[first : first + length]
        padding = [(0, length - len(part)), *[(0, 0)] * (batches.ndim - 1)]
        yield tf.constant(np.pad(part, padding)), tf.constant(len(part))
