"""The inputs that a probe is made on, from whatever holds them."""

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._data.examples import (
    all_examples,
    as_tensors,
    can_be_read_again,
    check_ends,
    examples,
    is_endless,
    is_stream,
)

_SHOWN = 4  # shapes in a message


def as_inputs(inputs: Any, num_inputs: int | None, seed: int) -> Any:
    """Returns a nest of arrays `[n, ...]` from arrays, a dataset or a replay buffer.

    Args:
        inputs: a nest of arrays or of lists of numbers; a `tf.data.Dataset`, Keras `PyDataset` or other
            iterable of batches, whose `(inputs, targets)` elements give their inputs; or a replay buffer,
            which gives observations: this library's draws `num_inputs`, another gives all that it holds, by
            `gather_all`.
        num_inputs: number of inputs to draw, without replacement and by the seed, in their own order; None
            for all. Of a dataset that never ends, or a generator, the first `num_inputs`.
        seed: seed of the probe.

    Raises:
        ValueError: if there are none or too few, their lengths differ, or the dataset is endless.
    """
    key = seeds.derive(seed, "inputs")
    if is_stream(inputs) and not hasattr(inputs, "gather_all"):
        inputs = _of_stream(inputs, num_inputs)
    elif hasattr(inputs, "gather_all") and hasattr(inputs, "sample"):
        if num_inputs is None:
            raise ValueError("`num_inputs` must be given for a replay buffer. Received: None")
        first = tf.nest.map_structure(lambda each: each[:, 0], inputs.sample(num_inputs, key).observation)
        return tf.nest.map_structure(np.asarray, first)
    elif hasattr(inputs, "gather_all"):
        inputs = _of_buffer(inputs)
    elif not isinstance(inputs, np.ndarray):
        inputs = as_tensors("inputs", inputs)
    arrays = tf.nest.map_structure(np.asarray, inputs)
    shapes = [each.shape for each in tf.nest.flatten(arrays)]
    if not shapes or not all(shapes) or len({shape[0] for shape in shapes}) != 1 or not shapes[0][0]:
        received = [list(shape) for shape in shapes[:_SHOWN]]
        more = f" and {len(shapes) - _SHOWN:,} more" if len(shapes) > _SHOWN else ""
        rule = "must be arrays of one length of at least 1"
        raise ValueError(f"`inputs` {rule}. Received: shapes {received}{more}")
    for each in tf.nest.flatten(arrays):
        check_numbers("inputs", each)
    length = shapes[0][0]
    if num_inputs is None or num_inputs == length:
        return arrays
    if num_inputs > length:
        raise ValueError(f"`num_inputs` must be at most {length}, all there are. Received: {num_inputs}")
    chosen = np.sort(seeds.generator(key).permutation(length)[:num_inputs])
    return tf.nest.map_structure(lambda each: each[chosen], arrays)


def check_numbers(name: str, array: np.ndarray) -> None:
    """Raises `ValueError` unless an array holds numbers, all of them finite."""
    # Of other kinds, `V` has bfloat16, and what is not a number.
    if array.dtype.kind in "OSUMmV" and array.dtype != tf.bfloat16.as_numpy_dtype:
        raise ValueError(f"`{name}` must be numbers. Received: {array.dtype}")
    if array.dtype.kind not in "iub" and not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(f"`{name}` must be finite. Received: {count:,} of {array.size:,} that are not")


def digest(arrays: Any) -> str:
    """Returns a fingerprint of shapes, dtypes and values of a nest of arrays."""
    state = hashlib.blake2b(digest_size=16)
    for array in tf.nest.flatten(arrays):
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _of_stream(stream: Any, num_inputs: int | None) -> Any:
    if not is_endless(stream) and can_be_read_again(stream):
        return tf.nest.map_structure(np.asarray, all_examples("inputs", stream).inputs)
    if num_inputs is None:
        check_ends("inputs", stream, "`num_inputs` says how many to take of it.")
    return tf.nest.map_structure(np.asarray, examples("inputs", stream, max_examples=num_inputs).inputs)


def _of_buffer(replay: Any) -> Any:
    observations = replay.gather_all().observation  # [environments or segments, time, ...]
    return tf.nest.map_structure(lambda each: np.concatenate(list(np.asarray(each))), observations)
