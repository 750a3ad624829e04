"""State that the probes of one run share."""

import collections
from collections.abc import Callable, Hashable
from typing import Any

_KEPT = 4  # of a kind; each may hold a network and its optimizer


class ProbeCache:
    """The last few programs, targets and fresh networks, by the inputs that they depend on.

    A probe that is repeated on the same architecture, inputs, protocol and seed trains no fresh network
    again and compiles nothing again. Share one among probes of one run; the oldest entries are dropped.

    Example:
        >>> import tfplastic as tp
        >>> tp.probing.ProbeCache()
        ProbeCache(0 kept)
    """

    def __init__(self) -> None:
        self._kinds: dict[str, collections.OrderedDict[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """Returns the value kept for the key, or makes it now.

        Args:
            kind: kind of value; the last few of each kind are kept.
            key: everything that the value depends on.
            make: function that makes it.
        """
        entries = self._kinds.setdefault(kind, collections.OrderedDict())
        if key not in entries:
            entries[key] = make()
            if len(entries) > _KEPT:
                entries.popitem(last=False)
        entries.move_to_end(key)
        return entries[key]

    def __repr__(self) -> str:
        return f"ProbeCache({sum(map(len, self._kinds.values()))} kept)"
