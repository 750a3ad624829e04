"""Nests of arrays with the examples along their first axis, in blocks."""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf


def length_of(inputs: Any) -> int:
    """Returns the number of examples in a nest of tensors `[n, ...]`.

    Raises:
        ValueError: there are none, or the tensors are of different lengths.
    """
    if inputs is None or not tf.nest.flatten(inputs):
        raise ValueError(f"`inputs` must be a batch of at least one. Received: {inputs!r}")
    _check_no_text(inputs)
    shapes = [each.shape.as_list() for each in tf.nest.flatten(inputs)]
    for shape in shapes:
        if not shape or not shape[0]:
            raise ValueError(f"`inputs` must be a batch of at least one. Received: shape {shape}")
    if len({shape[0] for shape in shapes}) != 1:
        raise ValueError(f"`inputs` must be of one length. Received: shapes {', '.join(map(str, shapes))}")
    return shapes[0][0]


def _check_no_text(inputs: Any) -> None:
    """Raises `ValueError` for a text, such as the name of a file, where a batch should be."""
    for each in tf.nest.flatten(inputs):
        if each.dtype == tf.string and not each.shape.rank:
            text = each.numpy().decode(errors="replace")
            raise ValueError(
                f"`inputs` must be arrays, not the name of a file. Received: the text {text!r:.60}"
            )


def check_length(name: str, nest: Any, num_examples: int) -> None:
    """Raises `ValueError` unless tensors, if there are any, have an entry for each of the examples."""
    shapes = [each.shape.as_list() for each in tf.nest.flatten(() if nest is None else nest)]
    if any(not shape or shape[0] != num_examples for shape in shapes):
        rule = f"must have an entry for each of the {num_examples} inputs"
        raise ValueError(f"`{name}` {rule}. Received: shapes {', '.join(map(str, shapes))}")


def in_blocks(nest: Any, num_examples: int, batch_size: int) -> Iterator[tuple[Any, int]]:
    """Yields parts of a nest of tensors `[n, ...]`, and the number of examples in each."""
    if num_examples <= batch_size:
        yield nest, num_examples
        return
    for start in range(0, num_examples, batch_size):
        stop = min(start + batch_size, num_examples)
        yield tf.nest.map_structure(lambda each: each[start:stop], nest), stop - start  # noqa: B023


def concatenated(blocks: Sequence[Any]) -> Any:
    """Returns nests of tensors as one, concatenated along the first axis."""
    if len(blocks) == 1:
        return blocks[0]
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *blocks)


def mean_of_blocks(parts: list[tuple[Any, int]]) -> Any:
    """Returns the mean of nests of tensors, each with the number of its examples as its weight."""
    if len(parts) == 1:
        return parts[0][0]
    total = sum(count for _, count in parts)
    shares = [count / total for _, count in parts]
    return tf.nest.map_structure(
        lambda *tensors: tf.add_n(
            [tf.cast(share, tensor.dtype) * tensor for share, tensor in zip(shares, tensors, strict=True)]
        ),
        *[nest for nest, _ in parts],
    )
