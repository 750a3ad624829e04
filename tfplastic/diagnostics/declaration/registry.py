"""All quantities that were declared, and their names in gin."""

from typing import Any

import gin

from tfplastic.diagnostics.declaration.arguments import is_ours

_declared: dict[str, Any] = {}  # {name: quantity}, in the order of their declarations


def declared_quantities() -> dict[str, Any]:
    """Returns all quantities there are, {name: quantity}, in the order of their declarations."""
    return dict(_declared)


def declare(function: Any) -> None:
    """Enters a quantity here and in gin. A function that is defined again, as in a notebook, replaces it.

    Raises:
        ValueError: another function has the name.
    """
    name = function.__name__
    other = _declared.get(name)
    if other is not None and _place(other) != _place(function):
        rule = f"must have a name of its own, and {other.__module__} has a quantity of this name"
        raise ValueError(f"`quantity` {rule}: give yours another. Received: {name}, of {function.__module__}")
    gin.enter_interactive_mode()  # in which a name can be registered again
    try:
        with gin.unlock_config():
            gin.register(module="tfplastic.diagnostics" if is_ours(function) else None)(function)
    finally:
        gin.exit_interactive_mode()
    _declared[name] = function


def _place(function: Any) -> tuple[str, str]:
    return function.__module__, function.__qualname__
