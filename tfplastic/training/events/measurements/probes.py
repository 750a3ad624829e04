"""The probes of a run: could its network still learn something else? Measured periodically."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfplastic import seeds
from tfplastic.run_format import ARRAY_FILE_ERRORS, ARRAYS_DIRECTORY
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.events.event import Event
from tfplastic.training.events.measurements.centering import uncentered_warning
from tfplastic.training.events.measurements.probe_plan import ProbePlan
from tfplastic.training.run.write_errors import writing
from tfplastic.training.session import Session
from tfplastic.writers import Writer, atomic_file

INPUTS_FILE = Path(ARRAYS_DIRECTORY, "probe", "inputs", "0.npz")
"""In the run directory: the inputs of all its probes, where these are the first ones."""
SHARED = "shared_probes"
"""The folder next to run directories with probes that several runs have in common."""
_DOTS_PER_INCH = 100


class RunProbes(Event):
    """Event that probes the network of a run at exactly the steps that are due, and writes the results.

    Nothing that training reads is changed: a run with probes is the run without, bit for bit.

    Args:
        plan: the probe, its steps and its inputs.
    """

    name = "probe"
    title = "probes"

    def __init__(self, plan: ProbePlan):
        self._plan = plan
        self._inputs: Any = None

    def run(self, session: Session) -> bool:
        found = self.measure(
            session.step,
            session.task,
            session.config.optimizer,
            session.driver.probe_inputs,
            session.directory.path,
            session.config.seed,
            session.writer,
        )
        text = ", ".join(f"{name} {found[name]:.4g}" for name in ("loss_of_plasticity", "final_loss"))
        logging.info("Probe at gradient step %d: %s", session.step, text)
        return True

    def next_after(self, step: int) -> int | None:
        return None if self._plan.probe is None else self._plan.schedule.after(step)

    def describe(self) -> str:
        """Returns the period in words."""
        return "none" if self._plan.probe is None else f"{self._plan.schedule} gradient steps"

    def is_due(self, step: int) -> bool:
        """Returns whether gradient step `step` is one to probe at."""
        return self._plan.probe is not None and step in self._plan.schedule

    def measure(
        self,
        step: int,
        task: HostTask | GraphTask,
        optimizer: Any,
        draw: Callable[[int, np.ndarray], Any],
        run_directory: Path,
        seed: int,
        writer: Writer,
    ) -> dict[str, float]:
        """Probes the network at gradient step `step`.

        Args:
            step: gradient steps done.
            task: task whose network is probed.
            optimizer: optimizer of the run.
            draw: function that draws inputs of that network, by their number and a key: the task's
                `probe_inputs`.
            run_directory: directory of the inputs.
            seed: root seed of the run.
            writer: writer of scalars and an image under `probe/`, and of arrays under `probe/curves`.

        Returns:
            The scalars by name.
        """
        if self._plan.draws_again:
            inputs = draw(self._plan.num_inputs, seeds.derive(seed, "probe", step))
        else:
            if self._inputs is None:
                path = run_directory / INPUTS_FILE
                if step == self._plan.schedule.first:
                    drawn = draw(self._plan.num_inputs, seeds.derive(seed, "probe"))
                    with writing(run_directory):
                        _save(path, drawn)
                try:
                    self._inputs = load_inputs(path)
                except (FileNotFoundError, UnreadableInputsError) as error:
                    action = "Restore the file, or start again in another run directory"
                    raise UnreadableInputsError(f"{error}. {action}") from error
            inputs = self._inputs
        probe = self._plan.probe
        if step == 0 and self._plan.shares_first:
            probe = probe.kept_in(run_directory.absolute().parent / SHARED)
        result = probe.measure(task.model, inputs, optimizer)
        scalars = result.to_dict()
        warning = uncentered_warning(scalars, inputs) if step == 0 else ""
        if warning:
            logging.warning(warning)
        writer.scalars(step, {f"probe/{name}": value for name, value in scalars.items()})
        writer.arrays(step, "probe/curves", **result.arrays())
        writer.image(step, "probe/curves", _image(result))
        return scalars


def _save(path: Path, inputs: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez_compressed(file, inputs=np.asarray(inputs))


class UnreadableInputsError(ValueError):
    """The inputs of a run's probes cannot be read; the message names the file."""


def load_inputs(path: Path) -> np.ndarray:
    """Returns the inputs of a run's probes, `[n, ...]`.

    Raises:
        FileNotFoundError: there are none.
        UnreadableInputsError: the file is damaged.
    """
    try:
        with np.load(path) as arrays:
            return arrays["inputs"]
    except FileNotFoundError:
        raise
    except ARRAY_FILE_ERRORS as error:
        raise UnreadableInputsError(f"The inputs of probes in {path} cannot be read") from error


def _image(result: Any) -> np.ndarray:
    """Returns the figure of a probe, `[height, width, 3] uint8`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    result.plot(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return tf.io.decode_png(buffer.getvalue(), channels=3).numpy()
