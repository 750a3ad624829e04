"""The check of the mitigations of one run."""

import itertools
from collections.abc import Sequence
from typing import Any

from tfplastic._checks import check_sequence
from tfplastic.mitigations.mitigation import Mitigation

_PLAIN = bool, int, float, complex, str, bytes, type(None), list, tuple, dict, set, frozenset
"""Types of arguments that are compared by their values; others are the same only if they are one object."""


def check_mitigations(mitigations: Any, example: str) -> Sequence[Mitigation]:
    """Returns `mitigations` if it is a list of mitigations that can act in one run.

    Args:
        mitigations: any value.
        example: text of a mitigation, for the errors.

    Raises:
        ValueError: it is not a list of mitigations; one excludes another; or two of one class have the same
            arguments, probably one that is given twice by mistake.
    """
    for each in check_sequence("mitigations", mitigations, f"[{example}]"):
        if not isinstance(each, Mitigation):
            raise ValueError(f"`mitigations` must hold mitigations, such as {example}. Received: {each!r}")
    for one, other in itertools.combinations(mitigations, 2):
        _check_pair(one, other)
    return mitigations


def is_excluded(by: Any, kind: Any) -> bool:
    """Returns whether a class excludes another, or a base class of it, by its name.

    Args:
        by: class, which may have `excludes`.
        kind: the other class.
    """
    names = {each.__name__ for each in getattr(kind, "__mro__", ())}
    return not names.isdisjoint(getattr(by, "excludes", ()))


def _check_pair(one: Mitigation, other: Mitigation) -> None:
    names = type(one).__name__, type(other).__name__
    if is_excluded(type(one), type(other)) or is_excluded(type(other), type(one)):
        rule = "must not hold two that exclude each other"
        raise ValueError(f"`mitigations` {rule}. Received: {names[0]} and {names[1]}. Give one of the two")
    if type(one) is type(other) and _have_same_arguments(one, other):
        rule = "must not hold two of one class with the same arguments"
        action = "Give it once, or let their arguments differ"
        raise ValueError(f"`mitigations` {rule}. Received: {names[0]} twice. {action}")


def _have_same_arguments(one: Mitigation, other: Mitigation) -> bool:
    first, second = vars(one), vars(other)
    return first.keys() == second.keys() and all(_is_same(first[name], second[name]) for name in first)


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return isinstance(one, _PLAIN) and bool(one == other)
    except ValueError:  # of a list of arrays, which have no single truth value
        return False
