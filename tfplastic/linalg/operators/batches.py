"""The data of an operator, in minibatches."""

import abc
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks
from tfplastic._data.examples import as_numbers, batches, check_ends, is_stream
from tfplastic._data.numbers import check_not_text


class Batches(abc.ABC):
    """Minibatches of one structure, in the same order at each pass.

    Attributes:
        signature: a (nest of) `tf.TensorSpec` for each argument of a function of a batch.
        single: the one batch, where the data are known to be no more; else None.
    """

    signature: tuple[Any, ...]
    single: tuple[Any, ...] | None = None

    @property
    def num_examples(self) -> int | None:
        """Returns the number of examples of each batch, where the signature fixes it."""
        shapes = [spec.shape for spec in tf.nest.flatten(self.signature)]
        return shapes[0][0] if shapes and shapes[0].rank else None

    @abc.abstractmethod
    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        """Returns an iterator over (batch, number of its examples); 1 for a single batch.

        Raises:
            ValueError: there is no example.
        """


def make_batches(data: Any, batch_size: int | None, dtype: np.dtype) -> Batches:
    """Returns the minibatches of `data`; one empty batch without data.

    Args:
        data: None, a `tf.data.Dataset`, Keras `PyDataset` or other iterable of batches that can be read again
            and again, or arrays (an array, or a tuple or dict of arrays) with the examples along their first
            axis. Arrays of floating point are cast to `dtype`.
        batch_size: examples of the arrays per batch, fewer in the last one; None: all at once.
        dtype: the operator's.

    Raises:
        ValueError: no examples, arrays of unequal length, an endless dataset, or a `batch_size` that is not
            a positive integer or that has no arrays to cut.
    """
    if batch_size is not None:
        _checks.check_positive_integer("batch_size", batch_size)
        if data is None or is_stream(data):
            rule = "must be None unless `data` are arrays; a dataset comes in batches already"
            raise ValueError(f"`batch_size` {rule}. Received: {batch_size}")
    if data is None:
        return _Single(())
    if is_stream(data):
        check_ends("data", data)
        return _OfDataset(data) if isinstance(data, tf.data.Dataset) else _OfStream(data, dtype)
    arrays = _as_tensors(_arguments(data), dtype)
    size = _common_length(arrays)
    return _Single(arrays) if batch_size is None or batch_size >= size else _Cut(arrays, size, batch_size)


class _Single(Batches):
    """One batch, perhaps with nothing in it."""

    def __init__(self, batch: tuple[Any, ...]):
        self.single = self._batch = batch
        self.signature = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        yield self._batch, 1


class _Cut(Batches):
    """Arrays, a part at a time."""

    def __init__(self, arrays: tuple[Any, ...], size: int, batch_size: int):
        self._arrays, self._size, self._batch_size = arrays, size, batch_size
        self.signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), arrays
        )

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        for start in range(0, self._size, self._batch_size):
            part = slice(start, min(start + self._batch_size, self._size))
            batch = tf.nest.map_structure(lambda array, part=part: array[part], self._arrays)
            yield batch, part.stop - part.start


class _OfDataset(Batches):
    """The elements of a dataset that hold examples."""

    def __init__(self, dataset: tf.data.Dataset):
        self._dataset = dataset
        self.signature = _arguments(dataset.element_spec)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        empty = True
        for element in self._dataset:
            batch = _arguments(element)
            count = int(tf.shape(tf.nest.flatten(batch)[0])[0])
            if count:
                empty = False
                yield batch, count
        if empty:
            raise ValueError("`data` must hold at least one example. Received: an empty dataset")


class _OfStream(Batches):
    """The elements of an iterable of batches, such as a `PyDataset` of Keras."""

    def __init__(self, stream: Any, dtype: np.dtype):
        self._stream, self._dtype = stream, dtype
        first, _ = next(iter(self))
        self.signature = tf.nest.map_structure(
            lambda each: tf.TensorSpec([None, *each.shape[1:]], each.dtype), first
        )

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        empty = True
        for element in batches("data", self._stream):
            empty = False
            batch = _as_tensors(element, self._dtype)
            yield batch, int(tf.nest.flatten(batch)[0].shape[0])
        if empty:
            raise ValueError("`data` must hold at least one example. Received: an empty dataset")


def as_tensor(values: Any, name: str = "data") -> tf.Tensor:
    """Returns a tensor; of Python's numbers in float64, which TensorFlow itself rounds to float32.

    Args:
        values: an array of numbers.
        name: name of the argument, for the error.

    Raises:
        ValueError: it is none.
    """
    tensor = values if tf.is_tensor(values) else as_numbers(name, np.asarray(values))
    check_not_text(name, tensor)
    return tensor


def _arguments(element: Any) -> tuple[Any, ...]:
    return element if isinstance(element, tuple) else (element,)


def _as_tensors(data: Any, dtype: np.dtype) -> Any:
    if isinstance(data, tuple):
        return tuple(_as_tensors(each, dtype) for each in data)
    if isinstance(data, dict):
        return {name: _as_tensors(each, dtype) for name, each in data.items()}
    tensor = as_tensor(data)
    return tf.cast(tensor, dtype) if tensor.dtype.is_floating else tensor


def _common_length(arrays: tuple[Any, ...]) -> int:
    shapes = [array.shape.as_list() for array in tf.nest.flatten(arrays)]
    lengths = [int(shape[0]) if shape else 0 for shape in shapes]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"`data` must be arrays of one length of at least 1. Received: shapes {shapes}")
    return lengths[0]
