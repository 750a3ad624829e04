"""The declaration of quantities: functions of a snapshot with their cost, needs and reads."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar, get_args

from tfplastic import _checks
from tfplastic._text.near_names import near_matches
from tfplastic.diagnostics.declaration.arguments import Rule, checked
from tfplastic.diagnostics.declaration.registry import declare
from tfplastic.diagnostics.units.unit_statistics import ARRAYS

Cost = Literal["cheap", "medium", "full"]
Need = Literal["loss", "optimizer", "reference"]
QuantityFn = Callable[..., dict[str, Any]]
"""Maps a snapshot to {layer name: value}: a quantity, a `functools.partial` of one, or your function."""
F = TypeVar("F", bound=Callable[..., Any])

COSTS: tuple[Cost, ...] = get_args(Cost)
PARTS = ("activations", "pre_activations", "linear_outputs", "gradients", *ARRAYS)
"""A part that a quantity may declare to read, see `Snapshot.prepare`."""
OTHERS = "others"
"""The group of functions that name none."""


class Quantity(Protocol):
    """A function of a snapshot that returns {layer name: value}; values of the whole network go by 'all'.

    A value is a float, or an array: `[k]`, a distribution, or `[k, k]`, a matrix.

    Attributes:
        cost: see `quantity`.
        group: see `quantity`.
        needs: see `quantity`.
        reads: see `quantity`.
    """

    cost: Cost
    group: str
    needs: tuple[Need, ...]
    reads: tuple[str, ...]

    def __call__(self, snapshot: Any, /) -> dict[str, Any]:
        """Computes the quantity."""
        ...


def quantity(
    cost: Cost,
    *,
    group: str = OTHERS,
    needs: tuple[Need, ...] = (),
    reads: tuple[str, ...] = (),
    rules: Mapping[str, Rule] = MappingProxyType({}),
    of_activations: bool = False,
) -> Callable[[F], F]:
    """Returns a decorator that makes a function of a snapshot a quantity.

    This decorator is the only declaration of a quantity, in this package and outside: it makes the function
    belong to the budgets of `diagnose` and `train.diagnostics`, gives it a column in the table of its group,
    tags `diagnostics/<name>/<layer name>`, and a name in gin files (`@<name>`, once the module is imported).
    `python -m tfplastic.diagnostics.declaration.quantities_page` prints the page of all quantities, from the
    sections Formula, Range, NaN, Cost and Source of their docstrings.

    Args:
        cost: `'cheap'`: at most one forward pass; `'medium'`: gradients; `'full'`: products with curvature,
            or gradients of single examples. A budget holds the quantities of its cost and of lower ones.
        group: title of the table in which a report prints it.
        needs: arguments of the snapshot without which it cannot be measured: `'loss'`, `'optimizer'` and
            `'reference'`. Without one, a report leaves it out and says why.
        reads: names of the parts of a snapshot (see `Snapshot.prepare`) that it reads, so that many
            quantities share one pass; reading others is allowed and slower.
        rules: {name of an argument besides the snapshot: a function of its name and a value that raises an
            error of one line}.
        of_activations: whether it takes one layer's activations as well, instead of a snapshot.

    Raises:
        TypeError: the decorated object is not a function.
        ValueError: an argument is none of the names above, a rule is for an argument that the function does
            not have, or another function has declared the name.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> @diagnostics.quantity('cheap', group='units', reads=('activations',))
        ... def largest_activation(snapshot):
        ...     return {layer: float(each.numpy().max()) for layer, each in snapshot.activations.items()}
        >>> model = tf.keras.Sequential([tf.keras.layers.ReLU(name='relu'), tf.keras.layers.Dense(1)])
        >>> _ = model(tf.constant([[-1., 2.]]))  # builds it
        >>> report = diagnostics.diagnose(model, tf.constant([[-1., 2.]]), budget='cheap')
        >>> report.to_dict()['largest_activation']
        {'relu': 2.0}
    """
    _checks.check_one_of("cost", cost, COSTS)
    if not isinstance(group, str) or not group:
        raise ValueError(f"`group` must be the title of a table, such as 'units'. Received: {group!r}")
    for name, value, known in (("needs", needs, get_args(Need)), ("reads", reads, PARTS)):
        for each in _checks.check_sequence(name, value, repr(known[:1])):
            _checks.check_one_of(name, each, known)
    for name, rule in _checks.check_mapping("rules", rules, "{'tau': check_tau}").items():
        _checks.check_callable(f"rules[{name!r}]", rule, "check_tau")
    subjects = ("snapshot", "activations") if of_activations else ("snapshot",)

    def decorate(function: F) -> F:
        if not hasattr(function, "__name__") or not callable(function):
            rule = "must decorate a function of a snapshot"
            raise TypeError(f"`quantity` {rule}. Received: {_checks.shown(function)}")
        _check_names(rules, function)
        declared = checked(function, rules, subjects)
        for name, value in (("cost", cost), ("group", group), ("needs", needs), ("reads", reads)):
            setattr(declared, name, value)
        declare(declared)
        return declared

    return decorate


def _check_names(rules: Mapping[str, Rule], function: Callable[..., Any]) -> None:
    names = list(inspect.signature(function).parameters)[1:]
    for name in rules:
        if name not in names:
            known = ", ".join(names) or "none"
            rule = f"must be for arguments of {function.__name__} besides its first ({known})"
            near = near_matches(name, names)
            raise ValueError(f"`rules` {rule}. Received: {name!r}{near and '.'}{near}")


def needs_of(function: Callable[..., Any]) -> tuple[Need, ...]:
    """Returns the needs of a quantity or a `functools.partial` of one; none of a function without any."""
    return _attribute_of(function, "needs", ())


def reads_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Returns the parts that such a function reads."""
    return _attribute_of(function, "reads", ())


def group_of(function: Callable[..., Any]) -> str:
    """Returns the group of such a function; 'others' of a function that is not a quantity."""
    return _attribute_of(function, "group", OTHERS)


def _attribute_of(function: Callable[..., Any], name: str, default: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, name, default)
