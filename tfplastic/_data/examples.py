"""Examples as arrays, from whatever holds them.

Arrays are nests (lists, tuples, dicts) of arrays or tensors `[n, ...]`, of pandas' frames and series, and of
lists of numbers. Streams give batches one after another: a `tf.data.Dataset`, a Keras `PyDataset` or
`Sequence`, a generator or another iterable such as PyTorch's `DataLoader`. Their elements are taken as `fit`
takes them: inputs, `(inputs,)`, `(inputs, targets)` or `(inputs, targets, sample_weight)`, where a list or a
named tuple is as good as a tuple.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checks import check_positive_integer, shown

MAX_EXAMPLES = 512
"""Number of examples taken from a stream by default."""

_SCALARS = (bool, int, float, complex, str, bytes, np.generic)
_ALL = 1 << 62
_SHOWN = 4  # shapes in a message


@dataclasses.dataclass(frozen=True)
class Examples:
    """Nests of tensors `[n, ...]`.

    Attributes:
        inputs: inputs of a model.
        targets: None without.
        sample_weight: None without.
        note: a line on how many examples of a stream were taken; empty where all are there.
    """

    inputs: Any
    targets: Any = None
    sample_weight: Any = None
    note: str = ""


def is_stream(data: Any) -> bool:
    """Returns whether `data` gives batches one after another, rather than being a nest of arrays."""
    if isinstance(data, tf.data.Dataset) or _is_sequence(data):
        return True
    is_nest = isinstance(data, (*_SCALARS, Mapping, list, tuple)) or dataclasses.is_dataclass(data)
    is_array = tf.is_tensor(data) or hasattr(data, "__array__") or hasattr(data, "to_tensor")
    return isinstance(data, Iterable) and not is_nest and not is_array


def can_be_read_again(data: Any) -> bool:
    """Returns whether each pass over a stream begins at its beginning: not over a generator."""
    return not isinstance(data, Iterator)


def is_endless(data: Any) -> bool:
    """Returns whether a stream says that it never ends. A generator does not say."""
    if isinstance(data, tf.data.Dataset):
        return bool(data.cardinality() == tf.data.INFINITE_CARDINALITY)
    return _is_sequence(data) and _num_batches(data) is None


def check_ends(name: str, stream: Any, action: str = "") -> None:
    """Raises `ValueError` unless a stream can be read to its end, and again.

    Args:
        name: name of the argument that it came from, for the error.
        stream: see above.
        action: a sentence with the remedy; if empty, the one for arguments that take arrays as well.
    """
    if is_endless(stream) or not can_be_read_again(stream):
        rule = "must be arrays, or a dataset that ends"
        received = f"an endless {_kind(stream).partition(' ')[2]}" if is_endless(stream) else _kind(stream)
        action = action or "`dataset.take(n)` ends after n batches, `next(iter(...))` is one batch."
        raise ValueError(f"`{name}` {rule}. Received: {received}. {action}")


def examples(
    name: str,
    inputs: Any,
    targets: Any = None,
    sample_weight: Any = None,
    max_examples: int | None = None,
    targets_name: str = "targets",
) -> Examples:
    """Returns examples as tensors.

    Args:
        name: name of the argument that `inputs` came from, for errors.
        inputs: arrays or a stream; the elements of a stream may hold targets and weights as well.
        targets: arrays, of inputs that are arrays or a stream of inputs alone. Where only the first examples
            of a stream are taken, so are the first targets. Lengths that differ are left to the caller.
        sample_weight: like `targets`.
        max_examples: most examples to take, the first ones; None: of a stream `MAX_EXAMPLES`, of arrays all.
            One more batch of a stream is read to know whether there are more; none of a generator, of which
            `note` says how many were taken even if these are all.
        targets_name: name of the argument that `targets` came from.

    Raises:
        ValueError: there are no numbers in it, no examples, or targets both in a stream and next to it.
    """
    if max_examples is not None:
        check_positive_integer("max_examples", max_examples)
    note, most_of_all = "", max_examples
    if is_stream(inputs):
        kind, most = _kind(inputs), max_examples or MAX_EXAMPLES
        found = _taken(name, inputs, most)
        for given, own, other in (
            (targets_name, targets, found.targets),
            ("sample_weight", sample_weight, found.sample_weight),
        ):
            if own is not None and other is not None:
                rule = f"must be None where the elements of `{name}` have them"
                raise ValueError(f"`{given}` {rule}. Received: {shown(own)}")
        inputs, note = found.inputs, found.note and f"`{name}` is {kind}: {found.note}"
        most_of_all = most if found.note else None
        targets = found.targets if targets is None else targets
        sample_weight = found.sample_weight if sample_weight is None else sample_weight
    parts = [
        None if part is None else as_tensors(argument, part)
        for argument, part in ((name, inputs), (targets_name, targets), ("sample_weight", sample_weight))
    ]
    if most_of_all is not None and (note or _are_of_one_length(parts)):
        first = functools.partial(_first, most=most_of_all)
        parts = [tf.nest.map_structure(first, part) for part in parts]
    return Examples(*parts, note=note)


def all_examples(name: str, inputs: Any, targets: Any = None, sample_weight: Any = None) -> Examples:
    """Returns all `examples`.

    Raises:
        ValueError: see `examples`; or a stream never ends, or does not say whether it does.
    """
    if is_stream(inputs):
        check_ends(name, inputs)
    most = _ALL if is_stream(inputs) else None
    return examples(name, inputs, targets, sample_weight, most)


def as_tensors(name: str, nest: Any) -> Any:
    """Returns a nest of arrays, frames and lists of numbers as one of tensors.

    Args:
        name: name of the argument, for errors.
        nest: lists and tuples of numbers alone are an array each, as for `tf.convert_to_tensor`.

    Raises:
        ValueError: it is a stream, or something in it is not a dense array.
    """
    if is_stream(nest):
        rule = "must be arrays, one for each example"
        action = "A stream that holds them too is given as the inputs." if name != "inputs" else ""
        raise ValueError(f"`{name}` {rule}. Received: {_kind(nest)}. {action}".rstrip())
    if isinstance(nest, Mapping):
        parts = {key: as_tensors(name, each) for key, each in nest.items()}
        return collections.OrderedDict(parts) if isinstance(nest, collections.OrderedDict) else parts
    if isinstance(nest, list | tuple) and not _holds_scalars(nest):
        parts = [as_tensors(name, each) for each in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else type(nest)(parts)
    if not isinstance(nest, list | tuple) and tf.nest.is_nested(nest):  # such as an attrs class
        return tf.nest.map_structure(lambda each: as_numbers(name, each), nest)
    return as_numbers(name, nest)


def as_numbers(name: str, value: Any) -> tf.Tensor:
    """Returns one array as a tensor; of texts too, which some models take.

    Raises:
        ValueError: it is not a dense array of numbers.
    """
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        action = (
            "`.to_tensor()` makes one." if isinstance(value, tf.RaggedTensor) else "Use `tf.sparse.to_dense`."
        )
        raise ValueError(f"`{name}` must be dense arrays. Received: a {type(value).__name__}. {action}")
    if not tf.is_tensor(value) and hasattr(value, "__array__"):
        value = np.asarray(value)
    try:
        if value is None:
            raise ValueError
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"`{name}` must be an array of numbers. Received: {shown(value)}") from None


def batches(name: str, data: Any) -> Iterator[tuple[Any, ...]]:
    """Yields the elements of a stream as tuples of nests of tensors `[b, ...]`, from its beginning.

    Raises:
        ValueError: an element is not a batch of at most three parts.
    """
    elements: Iterable[Any] = data
    if _is_sequence(data):
        count = _num_batches(data)
        elements = (data[index] for index in (itertools.count() if count is None else range(count)))
    for element in elements:
        parts = tuple(element) if isinstance(element, list | tuple) else (element,)
        if not 1 <= len(parts) <= 3:
            rule = "must have elements of inputs, targets and sample weights"
            raise ValueError(f"`{name}` {rule}. Received: elements of {len(parts)} parts")
        parts = tuple(None if each is None else as_tensors(name, each) for each in parts)
        shapes = [each.shape.as_list() for each in tf.nest.flatten(parts) if each is not None]
        if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
            rule = "must give batches, with the examples along the first axis"
            action = "`dataset.batch(32)` makes them."
            raise ValueError(f"`{name}` {rule}. Received: elements of shapes {_shown(shapes)}. {action}")
        yield parts


def check_batch(name: str, batch: Any) -> None:
    """Raises `ValueError` if a stream is given where one batch belongs."""
    if is_stream(batch):
        action = f"`next(iter({name}))` takes one."
        raise ValueError(f"`{name}` must be one batch. Received: {_kind(batch)}. {action}")


def describe(data: Any) -> str:
    """Describes the received value in a few words, for an error."""
    return _kind(data) if is_stream(data) else shown(data)


def _taken(name: str, stream: Any, most: int) -> Examples:
    taken: list[tuple[Any, ...]] = []
    count = 0
    elements = batches(name, stream)
    for parts in elements:
        taken.append(parts)
        count += int(tf.nest.flatten(parts)[0].shape[0])
        if count >= most:
            break
    if not count:
        kind = "generator" if isinstance(stream, Iterator) else "dataset"
        raise ValueError(f"`{name}` must hold at least one example. Received: an empty {kind}")
    try:
        joined = tf.nest.map_structure(
            lambda *each: None if each[0] is None else _first(tf.concat(each, 0), most), *taken
        )
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        shapes = [[each.shape.as_list() for each in tf.nest.flatten(parts)] for parts in taken]
        rule = "must give batches of one form and one shape but for their length"
        action = "`padded_batch` and `map` make them so."
        raise ValueError(f"`{name}` {rule}. Received: shapes {_shown(shapes)}. {action}") from None
    is_cut = count > most or (count == most and _has_more(stream, elements))
    return Examples(*joined, note=f"its first {most:,} examples were taken" if is_cut else "")


def _has_more(stream: Any, elements: Iterator[Any]) -> bool:
    """Returns whether elements are left; perhaps, of a generator, which would lose the one looked at."""
    return not can_be_read_again(stream) or next(elements, None) is not None


def _are_of_one_length(parts: list[Any]) -> bool:
    shapes = [each.shape for each in tf.nest.flatten(parts) if each is not None]
    return len({shape[0] for shape in shapes if shape.rank}) == 1


def _first(each: Any, most: int) -> Any:
    if each is None or not each.shape.rank or each.shape[0] <= most:
        return each
    return each[:most]


def _holds_scalars(nest: Any) -> bool:
    """Returns whether a list or tuple holds numbers or texts alone, at any depth."""
    if isinstance(nest, list | tuple):
        return bool(nest) and not hasattr(nest, "_fields") and all(map(_holds_scalars, nest))
    return isinstance(nest, _SCALARS)


def _is_sequence(data: Any) -> bool:
    """Returns whether `data` is a `PyDataset` of Keras 3 or a `Sequence` of Keras 2."""
    return any(
        base.__name__ in ("PyDataset", "Sequence")
        and base.__module__.partition(".")[0] in ("keras", "tf_keras")
        for base in type(data).__mro__
    )


def _num_batches(data: Any) -> int | None:
    """Returns the length of a Keras sequence; None for an endless one."""
    return data.num_batches if hasattr(type(data), "num_batches") else len(data)


def _kind(data: Any) -> str:
    if isinstance(data, tf.data.Dataset):
        return "a tf.data.Dataset"
    if _is_sequence(data):
        return f"a {type(data).__name__} of Keras"
    return "a generator" if isinstance(data, Iterator) else f"a {type(data).__name__} of batches"


def _shown(shapes: list[Any]) -> str:
    more = f" and {len(shapes) - _SHOWN:,} more" if len(shapes) > _SHOWN else ""
    return ", ".join(map(str, shapes[:_SHOWN])) + more
