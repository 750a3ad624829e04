"""Values that an argument may be given by mistake, by its annotation."""

import inspect
import math
import re
from collections.abc import Callable, Collection
from typing import Any

NAN, INF = math.nan, math.inf
HUGE = 10**13

_NUMBERS: tuple[Any, ...] = (-1, 0, 0.5, NAN, INF, HUGE, "x", None, [], True, int)
_BOOLEANS: tuple[Any, ...] = ("x", 2, 0.5, None, [])
_TEXTS: tuple[Any, ...] = ("misspelt", 5, None, [], str)
_SEQUENCES: tuple[Any, ...] = (-1, "x", None, [], [-1], [NAN], ["x"], [None], {}, [HUGE])
_OBJECTS: tuple[Any, ...] = (5, "x", None, [], dict, object())

Key = tuple[str, str]
"""An argument, and a value as its repr, or '*' for any."""


def wrong_values(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """Returns candidates, most of which are wrong."""
    says = str(parameter.annotation)
    if any(word in says for word in ("Callable", "Any", "Head", "Protocol", "Evaluation", "Cache")):
        return _OBJECTS
    if any(word in says for word in ("Sequence", "Mapping", "tuple[")):
        return _SEQUENCES
    if "bool" in says:
        return _BOOLEANS
    if "int" in says or "float" in says:
        return _NUMBERS
    return _TEXTS if "str" in says else _OBJECTS


def faults(
    function: Callable[..., Any],
    call: Callable[..., Any],
    allowed: Collection[Key],
    arguments: Collection[str] | None = None,
) -> list[str]:
    """Calls with each wrong value of each argument, one at a time.

    Args:
        function: function whose signature gives the arguments.
        call: call with one argument by name; the others have values that fit.
        allowed: values that may pass.
        arguments: names of those to try; all by default.

    Returns:
        A line for each value that may not pass and is not refused by one line of its name, rule and value.
    """
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        for value in wrong_values(parameter) if arguments is None or name in arguments else ():
            shown = "object()" if type(value) is object else repr(value)
            if {(name, shown), (name, "*")}.isdisjoint(allowed):
                fault = fault_of(call, name, value)
                found += [f"{name} = {shown}: {fault}"] if fault else []
    return found


def fault_of(call: Callable[..., Any], name: str, value: Any) -> str:
    """Describes a fault in the refusal of a wrong value; empty where one line refuses it."""
    try:
        call(**{name: value})
    except (TypeError, ValueError) as error:
        text = str(error).split("\n  In call to configurable")[0]  # what gin appends
        is_named = re.search(rf"`(\w+\.)?{name}", text) is not None
        is_right = is_named and "Received: " in text and "\n" not in text
        return "" if is_right else f"{type(error).__name__}: {text}"
    except Exception as error:  # a traceback to a user
        return f"{type(error).__name__}: {error}"
    return "passed"
