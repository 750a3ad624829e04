"""Checks of arguments. Each error names the argument, the rule and the value received, on one line."""

import functools
import inspect
import math
import numbers
import os
import pathlib
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfplastic._text.near_names import near_matches

# Of control groups, version 2 and 1: how Docker and cluster managers bound a container.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_LONGEST = 200  # characters of what an error shows of a value


def check_positive_integer(name: str, value: Any) -> int:
    """Returns `value` if it is an integer of at least 1, else raises `ValueError`."""
    return check_integer(name, value, minimum=1)


def check_integer(name: str, value: Any, minimum: int = 0, maximum: int | None = None) -> int:
    """Returns `value` if it is an integer from `minimum` to `maximum`, else raises `ValueError`."""
    if maximum is not None and isinstance(value, numbers.Integral) and int(value) > maximum:
        raise ValueError(f"`{name}` must be at most {maximum}. Received: {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {shown(value)}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number above 0, else raises `ValueError`."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"`{name}` must be a finite number above 0. Received: {shown(value)}")
    return float(value)


def check_non_negative(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number of at least 0, else raises `ValueError`."""
    if not _is_number(value) or value < 0:
        raise ValueError(f"`{name}` must be a finite number of at least 0. Received: {shown(value)}")
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    """Returns `value` if it is a number in [0, 1], else raises `ValueError`."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a number in [0, 1]. Received: {shown(value)}")
    return float(value)


def check_finite(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number, else raises `ValueError`."""
    if not _is_number(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {shown(value)}")
    return float(value)


def check_boolean(name: str, value: Any) -> bool:
    """Returns `value` if it is True or False, else raises `ValueError`."""
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's too, without its import
        raise ValueError(f"`{name}` must be one of True, False. Received: {shown(value)}")
    return bool(value)


def check_seed(name: str, value: Any) -> int:
    """Returns `value` if it is an integer from 0 to 2**63 - 1, else raises `ValueError` or `TypeError`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer. Received: {shown(value)}")
    return check_integer(name, value, 0, 2**63 - 1)


def check_one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Returns `value` if it is among `choices`, else raises `ValueError` that lists them and near ones."""
    if not _is_among(value, choices):
        near = near_matches(value, [each for each in choices if isinstance(each, str)])
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {listed}. Received: {shown(value)}{near and '.'}{near}")
    return value


def check_interval(name: str, value: Any) -> tuple[float, float]:
    """Returns `value` as two floats if it is two ascending finite numbers, else raises `ValueError`."""
    is_pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
    if not is_pair or not value[0] < value[1]:
        raise ValueError(f"`{name}` must be two ascending numbers. Received: {shown(value)}")
    return float(value[0]), float(value[1])


def check_sequence(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is a sequence other than a text, else raises `ValueError` with an example."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"`{name}` must be a list, such as {example}. Received: {shown(value)}")
    return value


def check_mapping(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is a dictionary, else raises `ValueError` with an example."""
    if not isinstance(value, Mapping):
        raise ValueError(f"`{name}` must be a dictionary, such as {example}. Received: {shown(value)}")
    return value


def check_fits_in_memory(name: str, value: Any, num_bytes: float) -> Any:
    """Returns `value` if the machine has the `num_bytes` of memory it takes, else raises `ValueError`."""
    available = _memory_bytes()
    if num_bytes > available:
        rule = f"must fit into the memory of this machine, {_gigabytes(available)}"
        raise ValueError(f"`{name}` {rule}; it takes about {_gigabytes(num_bytes)}. Received: {shown(value)}")
    return value


def _memory_bytes() -> int:
    """Returns the memory that this process may have: the machine's or, if less, its control group's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_read_integer(file) for file in _MEMORY_LIMITS]
    return min([machine, *(limit for limit in limits if limit is not None)])


def _gigabytes(num_bytes: float) -> str:
    gigabytes = min(num_bytes, 10**30) / 1e9  # integers may be beyond all floats
    return f"{gigabytes:,.0f} GB" if gigabytes >= 10 else f"{gigabytes:.1f} GB"


def _read_integer(file: str) -> int | None:
    try:
        return int(pathlib.Path(file).read_text("ascii"))
    except (OSError, ValueError):  # there is none, or it says "max"
        return None


def check_instance(name: str, value: Any, kind: type, example: str) -> Any:
    """Returns `value` if it is an instance of `kind`, else raises `ValueError` that shows an example."""
    if not isinstance(value, kind):
        raise ValueError(
            f"`{name}` must be of type {kind.__name__}, such as {example}. Received: {shown(value)}"
        )
    return value


def check_callable(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is a function and no class, else raises `ValueError` that shows an example.

    Gin passes a class where a pair of parentheses was forgotten.
    """
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"`{name}` must be a function, such as {example}. Received: {shown(value)}")
    return value


def check_makes(name: str, value: Any, kind: type, example: str, takes: Sequence[str] = ()) -> Any:
    """Returns `value` if it is a function that may return a `kind`, else raises `ValueError`.

    Functions of this package, which gin files can name, declare their return type; all others pass.

    Args:
        name: name of the argument.
        value: the argument.
        kind: class that it is to return.
        example: example of such a function.
        takes: names of arguments that it must have.
    """
    check_callable(name, value, example)
    missing = _missing_parameters(value, takes)
    if missing:
        rule = f"must be a function that takes `{missing[0]}`, such as {example}"
        raise ValueError(f"`{name}` {rule}. Received: {shown(value)}")
    inner = value.func if isinstance(value, functools.partial) else value
    if not getattr(inner, "__module__", "").startswith("tfplastic."):
        return value
    says = inspect.signature(value).return_annotation
    if says is not inspect.Signature.empty and not _may_be(says, kind):
        rule = f"must be a function that returns a {kind.__name__}, such as {example}"
        raise ValueError(f"`{name}` {rule}. Received: {shown(value)}")
    return value


def check_optional_callable(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is None or, as for `check_callable`, a function."""
    return None if value is None else check_callable(name, value, example)


def shown(value: Any) -> str:
    """Returns `value` as errors show it, on one line: of an array its dtype and shape, of others the repr."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None and not isinstance(value, type) and len(shape):
        return f"{getattr(dtype, 'name', dtype)} of shape {list(shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of an integer of more than 4,300 digits, or an object that fails
        text = f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _missing_parameters(function: Any, names: Sequence[str]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a built-in function, which does not say
        return []
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return [] if takes_any else [name for name in names if name not in parameters]


def _may_be(says: Any, kind: type) -> bool:
    """Returns whether the annotation `says` allows for a `kind`; one that cannot be judged does."""
    if typing.get_origin(says) in (typing.Union, types.UnionType):
        return any(_may_be(each, kind) for each in typing.get_args(says))
    says = typing.get_origin(says) or says
    return not isinstance(says, type) or issubclass(says, kind) or issubclass(kind, says)


def _is_among(value: Any, choices: Collection[Any]) -> bool:
    try:
        return bool(value in choices)
    except (TypeError, ValueError):  # it has no hash, or is an array
        return False


def _is_number(value: Any) -> bool:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer or a fraction beyond all floats
        return False
