"""The diagnostics of a run: each at its own steps, all of them from one snapshot of a network."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from tfplastic.diagnostics import Reference, Snapshot
from tfplastic.diagnostics.declaration.quantity import QuantityFn
from tfplastic.diagnostics.objectives import Objective
from tfplastic.run_format import ARRAYS_DIRECTORY
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.brownian_twin import BrownianTwin
from tfplastic.training.events.event import Event
from tfplastic.training.events.measurements import twin_diagnostics
from tfplastic.training.events.measurements.diagnostics_plan import DiagnosticsPlan
from tfplastic.training.events.measurements.example_losses import example_losses
from tfplastic.training.events.measurements.measured_network import MeasuredNetwork
from tfplastic.training.run.write_errors import writing
from tfplastic.training.session import Session
from tfplastic.writers import Writer

REFERENCE_FILE = Path(ARRAYS_DIRECTORY, "diagnostics", "reference", "0.npz")
"""File in the run directory: the network at gradient step 0, for quantities of change."""


def task_snapshot(
    task: GraphTask | HostTask,
    batch: Any,
    inputs: Any,
    optimizer: Any = None,
    loss: Objective | None = None,
) -> Snapshot:
    """Returns a snapshot of a task's network and its loss, without penalties of mitigations.

    The task's loss has the regularizers of the network, as in a gradient step.

    Args:
        task: built.
        batch: batch of the task, such as its `diagnostics_batch`.
        inputs: inputs of the network in that batch.
        optimizer: for quantities of the next update.
        loss: `train.diagnostics_loss`, in place of the task's.
    """
    if loss is not None:
        return Snapshot(task.model, inputs, *loss(task.model, inputs), optimizer=optimizer)

    losses = functools.partial(example_losses, task)
    return Snapshot(task.model, inputs, batch, example_losses=losses, optimizer=optimizer)


class RunDiagnostics(Event):
    """Event that measures and writes the quantities that are due, at exactly their step; it only reads.

    Besides the trained network it measures its Brownian twin, if the run has one: at the same steps and on
    the same inputs, under tags that begin with `brownian_twin` instead of `diagnostics`.

    Args:
        plan: quantities to measure, and their steps.
        twin: twin of the run, built before the first measurement.
    """

    name = "diagnostics"
    title = "diagnostics"

    def __init__(self, plan: DiagnosticsPlan, twin: BrownianTwin | None = None):
        self._schedules = plan.schedules
        self._needs_reference = plan.needs_reference
        self._groups = [
            _Group(
                {name: each for name, each in plan.quantities.items() if plan.losses[name] == common},
                common,
                twin,
                plan.leaves_out,
            )
            for common in dict.fromkeys(plan.losses.values())
        ]
        self._has_snapshots = False
        self._has_twin = twin is not None

    def begin(self, session: Session) -> None:
        if not session.is_resumed:
            self.lay_out(session.writer)
        for warning in self.warnings:
            logging.warning("%s", warning)

    def run(self, session: Session) -> bool:
        def make_snapshot(loss: Objective | None) -> Snapshot:
            batch, inputs = session.driver.diagnostics_batch()
            return task_snapshot(session.task, batch, inputs, session.config.optimizer, loss)

        self.measure(session.step, make_snapshot, session.directory.path, session.writer)
        return True

    def next_after(self, step: int) -> int | None:
        return min(self.due_after(step), default=None)

    @property
    def warnings(self) -> list[str]:
        """Returns the quantities measured of the network alone and not of the twin, a line per reason."""
        return twin_diagnostics.warnings(self._not_of_twin)

    @property
    def _not_of_twin(self) -> dict[str, str]:
        return {name: reason for group in self._groups for name, reason in group.not_of_twin.items()}

    def describe(self) -> str:
        """Returns the period in words."""
        if not self._schedules:
            return "none"
        in_order = sorted(self._schedules.values(), key=lambda schedule: schedule.after(0) or 0)
        parts = [f"{count} {when}" for when, count in Counter(map(str, in_order)).items()]
        text = ", ".join(parts) + " gradient steps"
        if self._has_twin:
            text += f"; {sum(len(group.twin_network) for group in self._groups)} of the Brownian twin too"
        return text + (f", not {', '.join(self._not_of_twin)}" if self._not_of_twin else "")

    def is_due(self, step: int) -> bool:
        """Returns whether there is something to measure at gradient step `step`, or to compare with later."""
        return (step == 0 and self._needs_reference) or any(
            step in schedule for schedule in self._schedules.values()
        )

    def due_after(self, step: int) -> list[int]:
        """Returns for each quantity the next gradient step beyond `step` at which it is due, if any."""
        steps = [schedule.after(step) for schedule in self._schedules.values()]
        return [each for each in steps if each is not None]

    def lay_out(self, writer: Writer) -> None:
        """Arranges the quantities on TensorBoard's page of custom scalars."""
        page: dict[str, dict[str, str]] = {}
        for group in self._groups:
            for network in (group.network, group.twin_network):
                for category, charts in network.charts().items():
                    page[category] = page.get(category, {}) | charts
        if page:
            writer.layout(page)

    def measure(
        self,
        step: int,
        make_snapshot: Callable[[Objective | None], Snapshot],
        run_directory: Path,
        writer: Writer,
    ) -> None:
        """Measures and writes the quantities that are due at gradient step `step`.

        Args:
            step: gradient steps done.
            make_snapshot: function that makes a snapshot of the network with a loss, None for the task's;
                called once per loss, at the first measurement.
            run_directory: directory of the reference.
            writer: writer of the values.
        """
        if not self._has_snapshots:
            self._make_snapshots(step, make_snapshot, run_directory)
        due = [name for name, schedule in self._schedules.items() if step in schedule]
        for network in (
            *(each.network for each in self._groups),
            *(each.twin_network for each in self._groups),
        ):
            network.measure(step, due, writer)

    def _make_snapshots(
        self, step: int, make_snapshot: Callable[[Objective | None], Snapshot], run_directory: Path
    ) -> None:
        reference = None
        for place, group in enumerate(self._groups):
            snapshot = make_snapshot(group.loss)
            reference = reference if place else self._reference(step, snapshot, run_directory)
            snapshot.reference = reference
            group.look_at(snapshot)
        self._has_snapshots = True

    def _reference(self, step: int, snapshot: Snapshot, run_directory: Path) -> Any:
        """Returns the reference of the network, and so of its twin, at the beginning."""
        if not self._needs_reference:
            return None
        path = run_directory / REFERENCE_FILE
        if step == 0:
            reference = Reference.of(snapshot)
            with writing(run_directory):
                path.parent.mkdir(parents=True, exist_ok=True)
                reference.save(path)
        return Reference.load(path)


class _Group:
    """The quantities that see one loss, and the snapshots of the network and of its twin with that loss."""

    def __init__(
        self,
        quantities: Mapping[str, QuantityFn],
        loss: Objective | None,
        twin: BrownianTwin | None,
        leaves_out: Collection[str],
    ):
        self.loss = loss
        self._twin = twin
        self.network = MeasuredNetwork(quantities, leaves_out)
        of_twin, self.not_of_twin = twin_diagnostics.quantities_of_twin(quantities if twin else {}, loss)
        self.twin_network = MeasuredNetwork(
            of_twin, of_twin, twin_diagnostics.PREFIX, "Brownian twin", " of the Brownian twin"
        )

    def look_at(self, snapshot: Snapshot) -> None:
        """Takes the snapshot of the network, and makes that of the twin."""
        self.network.snapshot = snapshot
        if self._twin is not None:
            self.twin_network.snapshot = twin_diagnostics.snapshot_of_twin(self._twin, snapshot, self.loss)
