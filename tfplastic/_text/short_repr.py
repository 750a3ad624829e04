"""Results that print as one short line, whatever arrays they hold."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

_MOST_ENTRIES = 6  # of an array that are shown
_DIGITS = 5


class ShortRepr:
    """A base of dataclasses that are made with `repr=False`.

    The line has the fields by name: for an array `[k]` the first entries and their number, for another one
    its shape and dtype. Texts and tuples that are empty are left out.

    Example:
        >>> import dataclasses, numpy as np
        >>> from tfplastic._text import short_repr
        >>> @dataclasses.dataclass(frozen=True, repr=False)
        ... class Found(short_repr.ShortRepr):
        ...     values: np.ndarray
        ...     vectors: np.ndarray
        ...     converged: bool
        >>> Found(np.array([1 / 3, 2]), np.zeros([4, 2], np.float32), True)
        Found(values=[0.33333, 2], vectors=float32 [4, 2], converged=True)
    """

    def __repr__(self) -> str:
        own: Any = self  # a dataclass, as the type of a base does not say
        parts = [(field.name, getattr(own, field.name)) for field in dataclasses.fields(own) if field.repr]
        shown = [f"{name}={short(value)}" for name, value in parts if not _is_empty(value)]
        return f"{type(self).__name__}({', '.join(shown)})"


def short(value: Any) -> str:
    """Returns a value as `ShortRepr` shows it."""
    if isinstance(value, float | np.floating):
        return f"{value:.{_DIGITS}g}"
    if isinstance(value, np.generic):
        return str(value.item())
    if isinstance(value, Mapping):
        return f"{{{', '.join(_first(value, lambda key: f'{key!r}: ...'))}}}"
    if isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1 and isinstance(value, np.ndarray):
        return f"[{', '.join(_first(value, short))}]"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{getattr(value.dtype, 'name', value.dtype)} {list(value.shape)}"
    return repr(value)


def _first(values: Collection[Any], show: Callable[[Any], str]) -> list[str]:
    entries = [show(each) for each in itertools.islice(values, _MOST_ENTRIES)]
    return entries + [f"... {len(values):,} in all"] * (len(values) > _MOST_ENTRIES)


def _is_empty(value: Any) -> bool:
    return isinstance(value, str | tuple) and not value
