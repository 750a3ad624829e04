"""The parameters of a mitigation's hooks, of today and of the release before."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

HOOKS = {
    "penalty": ("variables", "context"),
    "after_update": ("step", "model", "slots", "key", "context"),
}
"""{hook that takes a context: its parameters}."""


def with_context(owner: str, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a hook that takes a context: itself, or, written before there was one, a hook that drops it.

    Args:
        owner: name of the class.
        name: name of a hook in `HOOKS`.
        hook: the hook of the class, with `self`.

    Raises:
        TypeError: it takes neither these parameters nor those of before.
    """
    if not inspect.isroutine(hook):
        return hook
    count = len(HOOKS[name])
    if _takes(hook, count):
        return hook
    if not _takes(hook, count - 1):
        rule = f"must take (self, {', '.join(HOOKS[name])})"
        raise TypeError(f"`{owner}.{name}` {rule}. Received: {inspect.signature(hook)}")
    action = f"Add it: {name}(self, {', '.join(HOOKS[name])})."
    text = f"`{owner}.{name}` takes no `context`, which is an error from the next release on. {action}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)

    @functools.wraps(hook)
    def without_context(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("context", None)
        return hook(self, *args[: count - 1], **kwargs)

    return without_context


def _takes(hook: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(hook).bind(None, *[None] * count)
    except TypeError:
        return False
    return True
