"""Rules for the arguments of quantities besides the snapshot, each checked before any work and any run."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

import tensorflow as tf

from tfplastic import _checks

Function = TypeVar("Function", bound=Callable[..., Any])
Rule = Callable[[str, Any], Any]
"""A check of the name and the value of an argument; raises an error of one line."""


class _NoSubject:
    """Stand-in for the snapshot, model or activations in a call that only checks the other arguments."""


_NO_SUBJECT = _NoSubject()
SUBJECTS = {"snapshot": "a snapshot", "activations": "activations", "model": "a model and its inputs"}


def _optional(check: Rule) -> Rule:
    return lambda name, value: None if value is None else check(name, value)


def _at_least(minimum: int) -> Rule:
    return lambda name, value: _checks.check_integer(name, value, minimum)


def _embedding(name: str, value: Any) -> Any:
    return _checks.check_callable(name, value, "gradient_directions")


def _layer_names(name: str, value: Any) -> Sequence[str]:
    names = _checks.check_sequence(name, value, "['hidden1', 'hidden2']")
    for each in names:
        if not isinstance(each, str):
            raise ValueError(f"`{name}` must hold names of layers. Received: {_checks.shown(each)}")
    return names


def check_snapshot(name: str, value: Any) -> None:
    """Raises `TypeError` unless `value` is a snapshot."""
    if not hasattr(value, "require"):
        raise TypeError(f"`{name}` must be a Snapshot of a model. Received: {_checks.shown(value)}")


def _snapshot_or_activations(name: str, value: Any) -> None:
    if not hasattr(value, "require") and not tf.is_tensor(value):
        rule = "must be a Snapshot of a model, or a tensor of activations"
        raise TypeError(f"`{name}` {rule}. Received: {_checks.shown(value)}")


RULES: dict[str, Rule] = {
    "by_layer": _checks.check_boolean,
    "is_relative": _checks.check_boolean,
    "cluster_by": _embedding,
    "delta": _checks.check_fraction,
    "epsilon": _checks.check_non_negative,
    "layers": _optional(_layer_names),
    "max_products": _at_least(4),
    "max_steps": _checks.check_positive_integer,
    "max_values": _checks.check_positive_integer,
    "min_fraction": _checks.check_fraction,
    "normalization": _checks.check_boolean,
    "num_clusters": _checks.check_positive_integer,
    "num_examples": _checks.check_positive_integer,
    "num_minibatches": _checks.check_positive_integer,
    "num_points": _at_least(2),
    "num_probes": _checks.check_positive_integer,
    "num_steps": _checks.check_positive_integer,
    "per_position": _checks.check_boolean,
    "seed": _checks.check_seed,
    "tau": _checks.check_non_negative,
    "tol": _checks.check_positive,
    "tolerance": _optional(_checks.check_non_negative),
}
"""By the name of the argument, which means the same in all of them; others are not checked."""


def checked(
    function: Function, rules: Mapping[str, Rule] = MappingProxyType({}), subjects: Sequence[str] = ("model",)
) -> Function:
    """Returns a function that checks all arguments by `RULES` before it does anything.

    Args:
        function: function of the subject.
        rules: rules by the name of the argument, instead of `RULES`. Functions of other packages have only
            these.
        subjects: possible subjects of its first argument: 'snapshot', 'activations', 'model'.
    """
    signature = inspect.signature(function)
    by_name = {**RULES, **rules} if is_ours(function) else rules
    of_each = {name: by_name.get(name) for name in signature.parameters}
    if "snapshot" in subjects and of_each:
        of_each[next(iter(of_each))] = (
            _snapshot_or_activations if "activations" in subjects else check_snapshot
        )

    @functools.wraps(function)
    def checking(*arguments: Any, **keywords: Any) -> Any:
        given = signature.bind_partial(*arguments, **keywords).arguments
        only_checks = any(value is _NO_SUBJECT for value in given.values())
        for name, value in reversed(given.items()):  # the subject last, which is often not there yet
            rule = of_each[name]
            if rule is not None and value is not _NO_SUBJECT:
                rule(name, value)
        return None if only_checks else function(*arguments, **keywords)

    # gin looks up the parameters in the first, `check_function` the second.
    checking.__dict__.update(__signature__=signature, subjects=subjects)
    return cast(Function, checking)


def check_function(argument: str, function: Any, subject: str) -> None:
    """Checks a function of one subject, with its further arguments, bound by gin or a partial.

    Args:
        argument: name of the argument that holds it, for the error.
        function: one of this package's, a `functools.partial` of one, or a function of one argument.
        subject: subject of the functions of this package that fit: 'snapshot', 'activations'.

    Raises:
        TypeError: it is not a function, or not of that subject.
        ValueError: one of its own arguments breaks its rule.
    """
    if not hasattr(_unwrapped(function), "__name__") or not is_of(function, subject, 1):
        rule = f"must hold functions of {SUBJECTS[subject]}"
        raise TypeError(f"`{argument}` {rule}. Received: {_checks.shown(function)}")
    rehearse(function)


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def is_ours(function: Any) -> bool:
    """Returns whether a function or a `functools.partial` of one is of this package."""
    package = __name__.partition(".")[0]
    return (getattr(_unwrapped(function), "__module__", None) or "").startswith(f"{package}.")


def is_of(function: Any, subject: str, count: int) -> bool:
    """Returns whether a function is ours and of that subject, or another one that takes `count` arguments."""
    inner = _unwrapped(function)
    if not callable(function) or isinstance(inner, type):
        return False
    if is_ours(function) or hasattr(inner, "subjects"):
        return subject in getattr(inner, "subjects", ())
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a built-in function, which does not say
        return True
    return True


def rehearse(function: Callable[..., Any]) -> None:
    """Calls a `checked` function without a subject, so that it checks its other arguments alone."""
    if hasattr(_unwrapped(function), "subjects"):
        function(_NO_SUBJECT)
