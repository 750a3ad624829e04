# gin has no annotations; without these a checker takes what it decorates for a function without arguments.
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

@overload
def configurable(name_or_fn: _Decorated) -> _Decorated: ...
@overload
def configurable(
    name_or_fn: str | None = None,
    module: str | None = None,
    allowlist: Sequence[str] | None = None,
    denylist: Sequence[str] | None = None,
) -> Callable[[_Decorated], _Decorated]: ...
@overload
def register(name_or_fn: _Decorated) -> _Decorated: ...
@overload
def register(
    name_or_fn: str | None = None,
    module: str | None = None,
    allowlist: Sequence[str] | None = None,
    denylist: Sequence[str] | None = None,
) -> Callable[[_Decorated], _Decorated]: ...
def __getattr__(name: str) -> Any: ...
