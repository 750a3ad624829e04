"""A diagnosis of every layer of a model by one call."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfplastic import _checks
from tfplastic._data.numbers import check_all_finite
from tfplastic._data.shapes import check_targets, names_keras_loss
from tfplastic._text.lines import last_line, one_line
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.quantity import Need, QuantityFn, group_of, needs_of, reads_of
from tfplastic.diagnostics.measure import check_quantities, measure_checked, measured, prepare
from tfplastic.diagnostics.quantities.shared.convergence import convergence_remarks
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.diagnostics.report import Report
from tfplastic.diagnostics.reporting.progress import Progress
from tfplastic.diagnostics.reporting.writing import charts, write
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import ARRAYS
from tfplastic.writers import TensorBoardWriter

_MOST_CHARACTERS = 400  # of a reason


def diagnose(
    model: Any,
    inputs: Any,
    targets: Any = None,
    loss: Any = None,
    budget: str = "medium",
    *,
    quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn] | None = None,
    optimizer: Any = None,
    reference: Any = None,
    layers: Any = None,
    batch_size: int = 512,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    include_model_losses: bool = False,
    max_examples: int | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    step: int = 0,
) -> Report:
    """Measures every quantity of a budget on a batch; the model is left bit-identical.

    Measurements of more than ten seconds report their progress and remaining time on the standard error.

    Args:
        model: a Keras model, of Keras 2 or Keras 3, built.
        inputs: a batch of its inputs, `[n, ...]`: an array, a tensor, a frame of pandas or a nest of them. Or
            a `tf.data.Dataset`, a Keras `PyDataset`, a generator or another iterable of batches, which may
            hold targets and sample weights as well; its first 512 examples are taken. See `Snapshot`.
        targets: arguments of the loss besides the outputs, `[n, ...]`.
        loss: None: with targets, exactly the loss that the model was compiled with; a Keras loss, its name or
            a nest of them, or a function of targets and outputs; see `Snapshot`. Without any, quantities of
            the loss are left out.
        budget: `'cheap'`: quantities of one forward pass and of the weights; `'medium'`: with gradients and
            the next update too; `'full'`: with gradients of single examples, the kernel and curvature as
            well, which take minutes for large models. Quantities that lack an argument or do not suit the
            model are in `Report.left_out` with the reason.
        quantities: functions of a snapshot, or {name: function}, in place of the budget's; their errors are
            raised.
        optimizer: the model's Keras optimizer, for quantities of its next update.
        reference: a `Reference`, for quantities of change.
        layers: layers to measure; see `Snapshot`. None: all.
        batch_size: most examples to take at a time.
        sample_weight: weights of the examples, as in `fit`; see `Snapshot`.
        class_weight: {class: weight}, as in `fit`.
        include_model_losses: whether regularizers and `add_loss` are added to a `loss` that is given.
        max_examples: most examples to take, the first ones; None: of a stream of batches 512, of arrays all.
        log_dir: directory for TensorBoard, where all values are written, histograms of activations and
            gradients among them, under `diagnostics/<quantity>/<layer name>`; None: nowhere.
        step: gradient step under which the values are written.

    Returns:
        A `Report`, which prints as tables.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `budget` is none of the three, arguments do not go together, or the model is not built or
            its call changes variables or draws random numbers.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([
        ...     tf.keras.layers.Dense(4, 'relu', kernel_initializer='ones', name='hidden'),
        ...     tf.keras.layers.Dense(1, name='output'),
        ... ])
        >>> inputs, targets = tf.constant([[1., 2.], [-3., 1.]]), tf.ones([2, 1])
        >>> _ = model(inputs)  # builds it
        >>> report = diagnostics.diagnose(model, inputs, targets, 'mse')
        >>> report.to_dict()['active_units'], report.left_out['churn']
        ({'hidden': 0.5}, 'needs `optimizer`')
    """
    _checks.check_integer("step", step)
    if log_dir is not None and not isinstance(log_dir, str | os.PathLike):
        raise TypeError(f"`log_dir` must be a directory. Received: {_checks.shown(log_dir)}")
    snapshot = Snapshot(
        model,
        inputs,
        targets,
        loss,
        optimizer=optimizer,
        reference=reference,
        layers=layers,
        batch_size=batch_size,
        sample_weight=sample_weight,
        class_weight=class_weight,
        include_model_losses=include_model_losses,
        max_examples=max_examples,
    )
    _check_data(snapshot, targets, loss)
    if quantities is None:
        report = diagnose_snapshot(snapshot, budget)
    else:
        report = _diagnose_by(snapshot, quantities)
    if log_dir is not None:
        _write_to_tensorboard(report, log_dir, step)
    return report


def _check_data(snapshot: Snapshot, targets: Any, loss: Any) -> None:
    """Checks that the data are finite and that targets fit the outputs, where a Keras loss is given."""
    for name in ("inputs", "targets", "sample_weight"):
        check_all_finite(name, getattr(snapshot, name))
    outputs = getattr(snapshot.model, "outputs", None)  # only functional and Sequential models say them
    if (
        snapshot.targets is not None and outputs and names_keras_loss(loss)
    ):  # a compiled one may leave some out
        check_targets(snapshot.targets, outputs, loss)


def _diagnose_by(snapshot: Snapshot, quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn]) -> Report:
    chosen = check_quantities("quantities", quantities)
    with Progress(snapshot.model.name, chosen) as progress:
        reasons = snapshot.unmeasured
        values = measure_checked(snapshot, progress.watched(chosen))
    return _report(snapshot, reasons, chosen, values, {})


def _write_to_tensorboard(report: Report, log_dir: str | os.PathLike[str], step: int) -> None:
    written: dict[str, dict[str, Any]] = dict(report.to_dict())
    for name, arrays in report.arrays.items():
        written[name] = {**written.get(name, {}), **arrays}
    with TensorBoardWriter(log_dir) as writer:
        writer.layout(charts(written))
        write(writer, step, written)


def diagnose_snapshot(snapshot: Snapshot, budget: str = "medium") -> Report:
    """Diagnoses an existing snapshot, such as that of a run's task.

    Args:
        snapshot: snapshot to measure. It is not refreshed here.
        budget: see `diagnose`.

    Raises:
        ValueError: `budget` is none of the three, or the model's call changes variables or draws random
            numbers.
    """
    chosen = quantities_of_budget(budget)
    with Progress(snapshot.model.name, chosen) as progress:
        reasons = snapshot.unmeasured
        values, left_out = measure_available(snapshot, progress.watched(chosen), unsuited=Exception)
    return _report(snapshot, reasons, chosen, values, left_out)


def quantities_of_budget(budget: str) -> Mapping[str, QuantityFn]:
    """Returns the quantities of a budget by their names.

    Raises:
        ValueError: `budget` is none of the three.
    """
    return check_quantities("budget", BUDGETS[_checks.check_one_of("budget", budget, tuple(BUDGETS))])


def measure_available(
    snapshot: Snapshot,
    quantities: Mapping[str, QuantityFn],
    unsuited: type[Exception] = ValueError,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Measures the available quantities.

    Args:
        snapshot: the snapshot.
        quantities: the quantities by name.
        unsuited: errors that leave a quantity out; others are raised.

    Returns:
        {quantity: {layer name: value}}, and {quantity: reason} of the others.
    """
    values: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    prepare(snapshot, quantities)
    for name, quantity in quantities.items():
        missing = [f"`{need}`" for need in needs_of(quantity) if not _has(snapshot, need)]
        if missing:
            left_out[name] = f"needs {' and '.join(missing)}"
            continue
        try:
            values[name] = measured(snapshot, name, quantity)
        except unsuited as error:
            left_out[name] = _reason(error)
    return values, left_out


def _reason(error: Exception) -> str:
    """Returns one line: what the quantity says of a model that it does not suit, or what failed in it."""
    if isinstance(error, ValueError):
        return one_line(error)[:_MOST_CHARACTERS]
    return f"failed: {type(error).__name__}: {last_line(error)[:_MOST_CHARACTERS]}"


def left_out_layers(snapshot: Snapshot, quantities: Mapping[str, QuantityFn]) -> dict[str, str]:
    """Returns the layers with weights without quantities of units or features: {layer name: reason}."""
    reads = {part for quantity in quantities.values() for part in reads_of(quantity)}
    units, features = bool(reads & set(ARRAYS)), "linear_outputs" in reads
    return snapshot.left_out(units, features) if units or features else {}


def _report(
    snapshot: Snapshot,
    reasons: Mapping[str, str],
    quantities: Mapping[str, QuantityFn],
    values: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
) -> Report:
    faults = _faults(snapshot, quantities, left_out)
    nothing = _without_nonlinearity(quantities, values)
    if nothing and not reasons and not snapshot.activations:
        left_out = {**left_out, **nothing}
    left_out = {**left_out, **left_out_layers(snapshot, quantities)}
    kinds = {name: group_of(quantity) for name, quantity in quantities.items()}
    notes = [note for note in (snapshot.data_note, snapshot.note) if note]
    remarks = [*notes, *convergence_remarks(snapshot).values()]
    return Report(values, reasons, left_out, kinds, list(named_layers(snapshot.model)), remarks, faults)


def _faults(
    snapshot: Snapshot, quantities: Mapping[str, QuantityFn], left_out: Mapping[str, str]
) -> list[str]:
    """Returns the problem of the loss for which its quantities are left out: one line, or none."""
    if snapshot.targets is not None and not _has(snapshot, "loss"):
        is_wanted = any("loss" in needs_of(quantity) for quantity in quantities.values())
        return ["No quantities of the loss: `loss` is missing."] if is_wanted else []
    misfits = [reason for reason in left_out.values() if reason.startswith("`loss` must fit")]
    return [f"No quantities of the loss: {misfits[0].rstrip('.')}."] if misfits else []


def _without_nonlinearity(
    quantities: Mapping[str, QuantityFn], values: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Returns why quantities of hidden nonlinearities have no values: {quantity: reason}."""
    reason = "needs a hidden nonlinearity, and no layer that is looked at has one"
    of_units = {"activations", *ARRAYS}
    empty = [name for name, by_layer in values.items() if not by_layer]
    return {name: reason for name in empty if of_units.intersection(reads_of(quantities[name]))}


def _has(snapshot: Snapshot, need: Need) -> bool:
    try:
        snapshot.require(need)
    except ValueError:
        return False
    return True
