"""A diagnosis of arrays, such as those of a PyTorch or Flax model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfplastic._checks import check_one_of, shown
from tfplastic.diagnostics.array_snapshot import Arrays, ArraySnapshot
from tfplastic.diagnostics.declaration.quantity import QuantityFn, group_of
from tfplastic.diagnostics.diagnose import measure_available, quantities_of_budget
from tfplastic.diagnostics.measure import check_quantities, measure_checked
from tfplastic.diagnostics.report import Report
from tfplastic.diagnostics.reporting.tables import WHOLE

_LAYOUTS = ("keras", "pytorch")


def from_arrays(
    activations: Mapping[str, Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    gradients: Mapping[str, Any] | None = None,
    *,
    pre_activations: Mapping[str, Any] | None = None,
    functions: Mapping[str, str] | None = None,
    layout: str = "keras",
    quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn] | None = None,
) -> Report:
    """Measures the quantities of `diagnose` that arrays suffice for, without a model.

    Values equal those of `diagnose` for a Keras model with these arrays. Quantities that need more than the
    given arrays are in `Report.left_out` with the reason.

    Args:
        activations: {layer: `[n, ..., units]`}, outputs of hidden nonlinearities in the order of calls, for
            quantities of units and of feature ranks. Any type that `numpy.asarray` takes.
        weights: {layer: array, list of arrays or {name: array}}. Of a list, arrays of two axes or more are
            kernels. Kernels are `[..., inputs, units]`.
        gradients: gradients of the loss by the weights, in the form of `weights`.
        pre_activations: {layer: `[n, ..., units]`}, inputs of the nonlinearities, of all layers or some.
        functions: {layer: name of the activation function}, such as `'relu'`, for `saturated_units` and
            `linearized_units`.
        layout: `'keras'`, and Flax's: units last. Or `'pytorch'`: activations `[n, units, height, width]`,
            kernels `[units, inputs]` and `[units, inputs, height, width]`, which are transposed here.
        quantities: functions of a snapshot, or {name: function}, whose errors are raised; None: all available
            ones.

    Returns:
        A `Report`, which prints as tables.

    Raises:
        TypeError: an argument is not a mapping, or an array does not hold numbers.
        ValueError: no array is given, layers or shapes do not go together, or `layout` is neither of the two;
            or from one of `quantities`.

    Example:
        >>> import numpy as np
        >>> from tfplastic import diagnostics
        >>> report = diagnostics.from_arrays(
        ...     activations={'hidden': np.array([[0.0, 1.0], [0.0, 2.0]])},
        ...     weights={'hidden': [np.array([[3.0, 4.0]])]},
        ... )
        >>> report.to_dict()['dead_units'], report.to_dict()['weight_norm']['hidden']
        ({'hidden': 0.5}, 5.0)
        >>> report.left_out['gradient_norm']
        'needs `gradients`'
    """
    check_one_of("layout", layout, _LAYOUTS)
    if activations is None and weights is None:
        raise ValueError("`activations` or `weights` must be given. Received: neither")
    values = None if activations is None else _activations("activations", activations, layout)
    before = _activations("pre_activations", pre_activations or {}, layout)
    for layer, each in before.items():
        if values is None or layer not in values:
            raise ValueError(f"`pre_activations` must be of layers of `activations`. Received: {layer!r}")
        _check_shape("pre_activations", layer, each, values[layer])
    kernels = None if weights is None else _weights("weights", weights, layout)
    slopes = None if gradients is None else _weights("gradients", gradients, layout)
    if slopes is not None:
        _check_gradients(slopes, kernels)
    snapshot = ArraySnapshot(values, kernels, slopes, before, dict(functions or {}))
    if quantities is not None:
        chosen = check_quantities("quantities", quantities)
        measured, left_out = measure_checked(snapshot, chosen), {}
    else:
        chosen = quantities_of_budget("full")
        measured, left_out = measure_available(snapshot, chosen)
        if slopes is None:
            left_out = {name: reason.replace("`loss`", "`gradients`") for name, reason in left_out.items()}
        empty = [name for name, by_layer in measured.items() if not set(by_layer) - {WHOLE}]
        left_out |= {name: "needs arrays that are not given" for name in empty}
        measured = {name: by_layer for name, by_layer in measured.items() if name not in empty}
    kinds = {name: group_of(quantity) for name, quantity in chosen.items()}
    return Report(measured, {}, left_out, kinds, [*(kernels or {}), *(values or {})])


def _activations(argument: str, given: Any, layout: str) -> dict[str, np.ndarray]:
    arrays = {layer: _array(argument, layer, each) for layer, each in _mapping(argument, given).items()}
    lengths = {layer: len(each) if each.ndim > 1 else 0 for layer, each in arrays.items()}
    for layer, length in lengths.items():
        if not length:
            rule = "must be arrays [n, ..., units] of at least one example"
            raise ValueError(f"`{argument}` {rule}. Received: {layer!r} of shape {arrays[layer].shape}")
        if length != (first := next(iter(lengths.values()))):
            rule = f"must have as many examples in all layers, here {first}"
            raise ValueError(f"`{argument}` {rule}. Received: {layer!r} with {length}")
    if layout == "pytorch":
        return {layer: np.moveaxis(each, 1, -1) for layer, each in arrays.items()}
    return arrays


def _weights(argument: str, given: Any, layout: str) -> Arrays:
    found = {}
    for layer, arrays in _mapping(argument, given).items():
        named = arrays if isinstance(arrays, Mapping) else _named(argument, layer, arrays)
        found[layer] = {
            str(name): _in_layout(_array(argument, layer, each), layout) for name, each in named.items()
        }
    return found


def _named(argument: str, layer: str, arrays: Any) -> dict[str, np.ndarray]:
    """Returns arrays by the names that Keras would give them."""
    every = list(arrays) if isinstance(arrays, list | tuple) and not _is_nested_numbers(arrays) else [arrays]
    named: dict[str, np.ndarray] = {}
    for each in every:
        array = _array(argument, layer, each)
        kind = "kernel" if array.ndim > 1 else "bias"
        count = sum(name.startswith(kind) for name in named)
        named[f"{kind}_{count}" if count else kind] = array
    return named


def _is_nested_numbers(arrays: Sequence[Any]) -> bool:
    return bool(arrays) and not any(hasattr(each, "shape") for each in arrays)


def _in_layout(array: np.ndarray, layout: str) -> np.ndarray:
    if layout == "keras" or array.ndim < 2:
        return array
    return np.transpose(array, [*range(2, array.ndim), 1, 0])


def _check_gradients(gradients: Arrays, weights: Arrays | None) -> None:
    if weights is None:
        raise ValueError("`weights` must be given with `gradients`. Received: None")
    if set(gradients) != set(weights):
        other = sorted(set(gradients) ^ set(weights))[0]
        raise ValueError(f"`gradients` must have the layers of `weights`. Received: {other!r} in one of them")
    for layer, named in weights.items():
        if set(named) != set(gradients[layer]):
            received = f"{layer!r} with {', '.join(gradients[layer])}"
            raise ValueError(f"`gradients` must have the arrays of `weights`. Received: {received}")
        for name, array in named.items():
            _check_shape("gradients", f"{layer}/{name}", gradients[layer][name], array)


def _check_shape(argument: str, name: str, array: np.ndarray, like: np.ndarray) -> None:
    if array.shape != like.shape:
        rule = f"must have the shape {like.shape} there"
        raise ValueError(f"`{argument}` {rule}. Received: {name!r} of shape {array.shape}")


def _mapping(argument: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"`{argument}` must be a mapping {{layer: array}}. Received: {shown(given)}")
    return given


def _array(argument: str, layer: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError):
        array = np.array("")
    if array.dtype.kind not in "biuf":
        rule = "must hold arrays of real numbers, off the graph and on the CPU"
        raise TypeError(f"`{argument}` {rule}. Received: {shown(value)} of {layer!r}")
    return array if array.dtype.kind == "f" and array.dtype.itemsize >= 4 else array.astype(np.float32)
