"""The diagnostics of a run: each at its own period, all of them from one snapshot."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from tfplastic._checks import check_one_of, check_positive_integer
from tfplastic.diagnostics import Reference, Snapshot, measure
from tfplastic.diagnostics.budgets import BUDGETS
from tfplastic.diagnostics.diagnose import measure_possible, within
from tfplastic.diagnostics.measure import Function, check_quantities
from tfplastic.diagnostics.quantity import needs_of
from tfplastic.diagnostics.writing import charts, write
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.writers import ARRAYS_DIRECTORY, Writer

REFERENCE_FILE = Path(ARRAYS_DIRECTORY, "diagnostics", "reference", "0.npz")
"""In the run directory: what the network was at gradient step 0, for quantities of change."""


def task_snapshot(task: GraphTask | HostTask, batch: Any, inputs: Any, optimizer: Any = None) -> Snapshot:
    """A snapshot of a task's network and its loss, without penalties of mitigations.

    Args:
        task: built.
        batch: of the task, such as its `diagnostics_batch`.
        inputs: of the network, in that batch.
        optimizer: for quantities of the next update.
    """

    def example_losses(batch: Any) -> tf.Tensor:
        return task.loss(task.model, batch).per_example_loss

    return Snapshot(task.model, inputs, batch, example_losses=example_losses, optimizer=optimizer)


class RunDiagnostics:
    """Measures and writes what is due, at exactly its step; nothing that it reads is changed.

    Args:
        quantities: functions of a `diagnostics.Snapshot`; or a budget, `'cheap'`, `'medium'` or `'full'`, of
            whose quantities those that do not suit the network are left out, with a warning that says why.
        period: gradient steps between measurements of a quantity that is not in `periods`.
        periods: {name of a quantity: its own period}.

    Raises:
        TypeError: `quantities` are not functions with names.
        ValueError: a period is not a positive integer, or there is no quantity of a name in `periods`.
    """

    def __init__(
        self,
        quantities: str | Sequence[Function] | Mapping[str, Function],
        period: int,
        periods: Mapping[str, int],
    ):
        self._leaves_out = isinstance(quantities, str)
        if isinstance(quantities, str):
            quantities = within(check_one_of("diagnostics", quantities, tuple(BUDGETS)))
        self._quantities = dict(check_quantities("diagnostics", quantities))
        check_positive_integer("diagnostics_period", period)
        for name, own in periods.items():
            if name not in self._quantities:
                there = ", ".join(self._quantities) or "none"
                rule = f"must name quantities of `diagnostics` ({there})"
                raise ValueError(f"`diagnostics_periods` {rule}. Received: {name!r}")
            check_positive_integer(f"diagnostics_periods[{name!r}]", own)
        self._periods = {name: periods.get(name, period) for name in self._quantities}
        self._snapshot: Snapshot | None = None

    @property
    def periods(self) -> set[int]:
        """All of them, in gradient steps."""
        return set(self._periods.values())

    def describe(self) -> str:
        """How often, in words."""
        counts = {period: list(self._periods.values()).count(period) for period in sorted(self.periods)}
        parts = [f"{count} every {period:,}" for period, count in counts.items()]
        return (", ".join(parts) or "none") + " gradient steps" * bool(parts)

    def is_due(self, step: int) -> bool:
        """Whether there is something to measure at gradient step `step`."""
        return any(step % period == 0 for period in self.periods)

    def lay_out(self, writer: Writer) -> None:
        """Groups the quantities on TensorBoard's page of custom scalars."""
        if self._quantities:
            writer.layout(charts(self._quantities))

    def measure(
        self, step: int, make_snapshot: Callable[[], Snapshot], run_directory: Path, writer: Writer
    ) -> None:
        """Measures what is due at gradient step `step`, and writes it.

        Args:
            step: gradient steps done.
            make_snapshot: called once, at the first measurement.
            run_directory: holds the reference.
            writer: where to.
        """
        if self._snapshot is None:
            self._snapshot = make_snapshot()
            self._snapshot.reference = self._reference(step, self._snapshot, run_directory / REFERENCE_FILE)
        self._snapshot.refresh()
        due = {name: each for name, each in self._quantities.items() if step % self._periods[name] == 0}
        write(writer, step, self._measure(self._snapshot, due))

    def _measure(self, snapshot: Snapshot, due: Mapping[str, Function]) -> dict[str, dict[str, Any]]:
        if not self._leaves_out:
            return measure(snapshot, due)
        values, left_out = measure_possible(snapshot, due)
        for name, reason in left_out.items():
            logging.warning("%s is not measured: %s", name, reason)
            del self._quantities[name]
        return values

    def _reference(self, step: int, snapshot: Snapshot, path: Path) -> Any:
        if not any("reference" in needs_of(each) for each in self._quantities.values()):
            return None
        if step == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            Reference.of(snapshot).save(path)
        return Reference.load(path)
