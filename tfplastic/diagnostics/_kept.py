"""What a quantity leaves with a snapshot, so that others that need the same do not make it again."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from tfplastic.diagnostics.snapshot import Snapshot

Value = TypeVar("Value")


def kept_value(snapshot: Snapshot, key: Hashable, make: Callable[[], Value]) -> Value:
    """What `make` returns, made once until the snapshot's `refresh`."""
    return _kept(snapshot._values, key, make)


def kept_program(snapshot: Snapshot, key: Hashable, make: Callable[[], Value]) -> Value:
    """What `make` returns, made once for good: what is compiled, and reads the weights when it runs."""
    return _kept(snapshot._programs.kept, key, make)


def _kept(store: Any, key: Hashable, make: Callable[[], Value]) -> Value:
    if key not in store:
        store[key] = make()
    return store[key]
