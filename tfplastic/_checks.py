"""Checks of arguments. Each error says the argument, the rule and what was received, on one line."""

import difflib
import math
import numbers
import os
from collections.abc import Collection, Sequence
from typing import Any


def check_positive_integer(name: str, value: Any) -> int:
    """Returns `value` if it is an integer of at least 1, else raises `ValueError`."""
    return check_integer(name, value, minimum=1)


def check_integer(name: str, value: Any, minimum: int = 0) -> int:
    """Returns `value` if it is an integer of at least `minimum`, else raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number above 0, else raises `ValueError`."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"`{name}` must be a finite number above 0. Received: {value!r}")
    return float(value)


def check_non_negative(name: str, value: Any) -> float:
    """Returns `value` if it is a finite number of at least 0, else raises `ValueError`."""
    if not _is_number(value) or value < 0:
        raise ValueError(f"`{name}` must be a finite number of at least 0. Received: {value!r}")
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    """Returns `value` if it is a number in [0, 1], else raises `ValueError`."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a number in [0, 1]. Received: {value!r}")
    return float(value)


def check_one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Returns `value` if it is among `choices`, else raises `ValueError` that lists them."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {value!r}")
    return value


def check_interval(name: str, value: Any) -> tuple[float, float]:
    """Returns `value` as two floats if it is two ascending finite numbers, else raises `ValueError`."""
    is_pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
    if not is_pair or not value[0] < value[1]:
        raise ValueError(f"`{name}` must be two ascending numbers. Received: {value!r}")
    return float(value[0]), float(value[1])


def check_sequence(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is a sequence other than a text, else raises `ValueError` with an example."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"`{name}` must be a list, such as {example}. Received: {value!r}")
    return value


def check_fits_in_memory(name: str, value: int, num_bytes: int) -> int:
    """Returns `value` if the machine has the `num_bytes` of memory it takes, else raises `ValueError`."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > available:
        rule = f"must fit into the memory of this machine, {available / 1e9:,.0f} GB"
        raise ValueError(f"`{name}` {rule}; it takes about {num_bytes / 1e9:,.0f} GB. Received: {value!r}")
    return value


def check_instance(name: str, value: Any, kind: type, example: str) -> Any:
    """Returns `value` if it is an instance of `kind`, else raises `ValueError` that shows an example."""
    if not isinstance(value, kind):
        raise ValueError(f"`{name}` must be of type {kind.__name__}, such as {example}. Received: {value!r}")
    return value


def check_callable(name: str, value: Any, example: str) -> Any:
    """Returns `value` if it is a function and no class, else raises `ValueError` that shows an example.

    A class is what gin hands over where a pair of parentheses was forgotten.
    """
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"`{name}` must be a function, such as {example}. Received: {value!r}")
    return value


def near_matches(word: str, choices: Collection[str], count: int = 3) -> str:
    """A phrase such as " Did you mean 'Pong' or 'Boxing'?", empty where nothing is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.6)
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(by_lower[match]) for match in near)}?"


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
