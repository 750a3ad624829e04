"""What a quantity is: a function of a snapshot that says what it costs and needs."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import gin

from tfplastic.diagnostics._arguments import Rule, checked

Cost = Literal["cheap", "medium", "full"]
Need = Literal["loss", "optimizer", "reference"]
Function = TypeVar("Function", bound=Callable[..., Any])


class Quantity(Protocol):
    """A function of a snapshot that returns {layer name: value}; values of the whole network go by 'all'.

    A value is a float, or an array: `[k]`, a distribution, or `[k, k]`, a matrix.

    Attributes:
        cost: 'cheap': at most one forward pass; 'medium': gradients; 'full': products with curvature,
            gradients of single examples.
        needs: what the snapshot must have been given.
        reads: see `quantity`.
    """

    cost: Cost
    needs: tuple[Need, ...]
    reads: tuple[str, ...]

    def __call__(self, snapshot: Any, /) -> dict[str, Any]:
        """Computes it."""
        ...


def quantity(
    cost: Cost,
    needs: tuple[Need, ...] = (),
    reads: tuple[str, ...] = (),
    rules: Mapping[str, Rule] = MappingProxyType({}),
    of_activations: bool = False,
) -> Callable[[Function], Function]:
    """A decorator that makes a function of a snapshot a quantity, which gin files can name.

    Args:
        cost: `'cheap'`, `'medium'` or `'full'`, see `Quantity`.
        needs: of `'loss'`, `'optimizer'` and `'reference'`.
        reads: what of `Snapshot.prepare` it takes, so that many quantities share a pass; others may be read
            all the same.
        rules: of its arguments, where they differ from `_arguments.RULES`.
        of_activations: whether it takes one layer's activations as well, instead of a snapshot.
    """

    def decorate(function: Function) -> Function:
        function = checked(function, rules, ("snapshot", *(["activations"] if of_activations else [])))
        for name, value in (("cost", cost), ("needs", needs), ("reads", reads)):
            setattr(function, name, value)
        return gin.register(module="tfplastic.diagnostics")(function)

    return decorate


def needs_of(function: Callable[..., Any]) -> tuple[Need, ...]:
    """The needs of a quantity or a `functools.partial` of one; none of a function that does not say."""
    return _said(function, "needs")


def reads_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """What such a function reads, in the same way."""
    return _said(function, "reads")


def _said(function: Callable[..., Any], what: str) -> tuple[Any, ...]:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, what, ())
