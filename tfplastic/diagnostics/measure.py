"""Many quantities of one snapshot."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfplastic._checks import shown
from tfplastic._tf.read_only import RunError
from tfplastic.diagnostics.declaration.arguments import SUBJECTS, check_function
from tfplastic.diagnostics.declaration.quantity import QuantityFn, reads_of
from tfplastic.diagnostics.snapshot import Snapshot


def measure(
    snapshot: Snapshot, quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn]
) -> dict[str, dict[str, Any]]:
    """Computes each of `quantities` from one snapshot; shared inputs are made once for all, in one pass.

    Args:
        snapshot: snapshot to measure. It is not refreshed here.
        quantities: functions of a snapshot that return {layer name: value}, such as `dead_units`. Results are
            named after the functions, a `functools.partial` after its function; to measure one function
            twice, with different arguments, give a mapping {name: function}.

    Returns:
        {quantity name: {layer name: value}}, in the order of `quantities`.

    Raises:
        TypeError: one of `quantities` is not callable, has no name, or returns something else.
        ValueError: two of `quantities` have the same name; or from a quantity.

    Example:
        >>> import functools, tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.ReLU(name='relu'), tf.keras.layers.Dense(1)])
        >>> inputs = tf.constant([[-1., .01, 2., 3.]])
        >>> _ = model(inputs)  # builds it
        >>> strict = functools.partial(diagnostics.dormant_units, tau=0.)
        >>> snapshot = diagnostics.Snapshot(model, inputs)
        >>> diagnostics.measure(snapshot, {'strict': strict, 'dormant': diagnostics.dormant_units})
        {'strict': {'relu': 0.25}, 'dormant': {'relu': 0.5}}
    """
    if not isinstance(snapshot, Snapshot):
        raise TypeError(f"`snapshot` must be a Snapshot of a model. Received: {shown(snapshot)}")
    return measure_checked(snapshot, check_quantities("quantities", quantities))


def measure_checked(snapshot: Snapshot, quantities: Mapping[str, QuantityFn]) -> dict[str, dict[str, Any]]:
    """Computes quantities as `measure` does, without checking their arguments."""
    prepare(snapshot, quantities)
    return {name: measured(snapshot, name, quantity) for name, quantity in quantities.items()}


def measured(snapshot: Snapshot, name: str, quantity: QuantityFn) -> dict[str, Any]:
    """Returns the values of one quantity, {layer name: number or array}.

    Raises:
        TypeError: the function returns something else.
    """
    values = quantity(snapshot)
    is_fit = isinstance(values, Mapping) and all(map(_is_number_or_array, values.values()))
    if not is_fit:
        rule = "must return {layer name: number or array}"
        raise TypeError(f"`quantities` {rule}. Received: {shown(values)} of {name!r}")
    return values


def _is_number_or_array(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "fiub"
    except (TypeError, ValueError):  # a list of rows of several lengths
        return False


def prepare(snapshot: Snapshot, quantities: Mapping[str, QuantityFn]) -> None:
    """Precomputes the inputs that the quantities declare; errors surface when a quantity reads them.

    Raises:
        ValueError: the first pass over the data fails, such as on tokens that an embedding does not have.
    """
    try:
        snapshot.prepare([part for quantity in quantities.values() for part in reads_of(quantity)])
    except RunError:
        raise
    except ValueError:
        return


def check_quantities(
    argument: str, quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn], subject: str = "snapshot"
) -> Mapping[str, QuantityFn]:
    """Returns the quantities by name, in the form of `measure`, with checked arguments.

    Args:
        argument: name of the argument, for the error.
        quantities: quantities, as for `measure`.
        subject: subject of the functions: 'snapshot' or 'activations'.

    Raises:
        TypeError: one of `quantities` is not a function of the subject, or has no name; or it is not a
            sequence or mapping.
        ValueError: two of `quantities` have the same name, or an argument of one breaks its rule.
    """
    if isinstance(quantities, Mapping):
        for quantity in quantities.values():
            check_function(argument, quantity, subject)
        return quantities
    if not isinstance(quantities, Sequence) or isinstance(quantities, str):
        rule = f"must be a list of functions of {SUBJECTS[subject]}, or a mapping {{name: function}}"
        raise TypeError(f"`{argument}` {rule}. Received: {shown(quantities)}")
    for quantity in quantities:
        check_function(argument, quantity, subject)
    names = [_name(quantity) for quantity in quantities]
    if len(set(names)) < len(names):
        rule = "must have distinct names, or be a mapping {name: function}"
        raise ValueError(f"`{argument}` {rule}. Received: {', '.join(names)}")
    return dict(zip(names, quantities, strict=True))


def _name(quantity: Any) -> str:
    while isinstance(quantity, functools.partial):
        quantity = quantity.func
    return quantity.__name__
