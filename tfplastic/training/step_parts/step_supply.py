"""The parts of a step's context that come from its task: further batches, passes over data, boundaries."""

import abc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._tf.random import fold_in, random_integers
from tfplastic.tasks import DataBatches, GraphTask, HostTask

Parts = dict[str, Callable[[], Any]]
"""{name of a part: function that makes it}; see `mitigations.StepContext`."""


class StepSupply(abc.ABC):
    """Source of the parts of the context of gradient steps."""

    def parts(self, step: Any, state: Any) -> Parts:
        """Returns the parts that a task supplies to one gradient step.

        Args:
            step: `[] int64`, its number, from 1.
            state: state of a `GraphTask`; in `fit` the batch.
        """
        return {
            "step": lambda: step,
            "at_boundary": lambda: self._at_boundary(step, state),
            "further_batch": lambda: self._further_batch(step, state),
            "data": lambda: self._data(state),
        }

    @abc.abstractmethod
    def _at_boundary(self, step: tf.Tensor, state: Any) -> tf.Tensor: ...

    @abc.abstractmethod
    def _further_batch(self, step: tf.Tensor, state: Any) -> Any: ...

    @abc.abstractmethod
    def _data(self, state: Any) -> DataBatches: ...


class GraphSupply(StepSupply):
    """Parts from a task whose data is in memory: all of them belong to the compiled program.

    Args:
        task: built.
        seed: root seed of the run.
    """

    def __init__(self, task: GraphTask, seed: int):
        self._task = task
        self._key = seeds.derive(seed, "further_batch")

    def _at_boundary(self, step: tf.Tensor, state: Any) -> tf.Tensor:
        return self._task.boundary(state)

    def _further_batch(self, step: tf.Tensor, state: Any) -> Any:
        return self._task.further_batch(state, fold_in(tf.constant(self._key), step))

    def _data(self, state: Any) -> DataBatches:
        return self._task.data_batches(state)


class HostSupply(StepSupply):
    """Parts from a task on the host: the program asks for them where a hook reads them.

    Args:
        task: built.
    """

    def __init__(self, task: HostTask):
        # TensorFlow keeps functions of the host for good; the task and its memory shall not be.
        self._task: Callable[[], Any] = weakref.ref(task)

    def _at_boundary(self, step: tf.Tensor, state: Any) -> tf.Tensor:
        task = self._task
        found = tf.numpy_function(lambda number: np.array(task().boundary(int(number))), [step], tf.bool)
        return tf.ensure_shape(found, [])

    def _further_batch(self, step: tf.Tensor, state: Any) -> Any:
        task = self._task
        return self._from_host(lambda number: task().further_batch(int(number)), step)

    def _data(self, state: Any) -> DataBatches:
        task, passes = self._task, []

        def begin() -> np.ndarray:
            passes[:] = [task().data_batches()]
            return np.array(len(passes[0]), np.int32)

        count = tf.ensure_shape(tf.numpy_function(begin, [], tf.int32), [])
        return DataBatches(count, lambda index: self._from_host(lambda n: passes[0][int(n)], index))

    def _from_host(self, draw: Callable[[np.ndarray], Any], number: tf.Tensor) -> Any:
        """Returns the host function's batch for a number, in the form of the task's batches."""
        example = tf.nest.map_structure(np.asarray, self._task().example())
        leaves = tf.nest.flatten(example)

        def flat(number: np.ndarray) -> list[np.ndarray]:
            drawn = tf.nest.flatten(draw(number))
            return [np.asarray(each, leaf.dtype) for each, leaf in zip(drawn, leaves, strict=True)]

        tensors = tf.numpy_function(flat, [number], [leaf.dtype for leaf in leaves])
        shaped = [
            tf.ensure_shape(each, leaf.shape)
            for each, leaf in zip(tf.nest.flatten(tensors), leaves, strict=True)
        ]
        return tf.nest.pack_sequence_as(example, shaped)


def supply_of(task: GraphTask | HostTask, seed: int) -> StepSupply:
    """Returns the supply of a task's gradient steps.

    Args:
        task: built.
        seed: root seed of the run.
    """
    return GraphSupply(task, seed) if isinstance(task, GraphTask) else HostSupply(task)


class ArraySupply(StepSupply):
    """Parts from arrays, which `fit` itself does not show.

    Args:
        arrays: a nest of tensors `[examples, ...]`, in the form of the batches; None if there are none.
        seed: root seed.
    """

    def __init__(self, arrays: Any, seed: int):
        self._arrays = arrays
        self._key = seeds.derive(seed, "further_batch")

    def _at_boundary(self, step: tf.Tensor, state: Any) -> tf.Tensor:
        raise ValueError("`at_boundary` cannot be read in `fit`, which knows no boundaries. Use a `period`")

    def _further_batch(self, step: tf.Tensor, state: Any) -> Any:
        examples, size = self._sizes(state)
        key = fold_in(tf.constant(self._key), step)
        places = random_integers([size], key, examples)
        return _each(lambda array: tf.gather(array, places), self._arrays)

    def _data(self, state: Any) -> DataBatches:
        examples, size = self._sizes(state)

        def at(index: tf.Tensor) -> Any:
            places = index * size + tf.range(size)
            return _each(lambda array: tf.gather(array, places), self._arrays)

        return DataBatches(examples // size, at)

    def _sizes(self, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the number of all examples, and that of the batch's."""
        if self._arrays is None:
            action = "Give them to `compile(..., data=(x, y))`."
            raise ValueError(f"`fit` shows no data beyond its batches. {action}")
        return _length(self._arrays), _length(batch)


def _length(nest: Any) -> tf.Tensor:
    first = next(each for each in tf.nest.flatten(nest) if each is not None)
    return tf.shape(first)[0]


def _each(function: Callable[[Any], Any], nest: Any) -> Any:
    """Returns a nest with the function's results, and None where it has None."""
    return tf.nest.map_structure(lambda each: None if each is None else function(each), nest)
