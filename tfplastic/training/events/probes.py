"""The probes of a run: how well its network could still learn something else, every so often."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfplastic import seeds
from tfplastic._checks import check_one_of
from tfplastic.run_format import ARRAY_FILE_ERRORS, ARRAYS_DIRECTORY
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.events.centering import uncentred_warning
from tfplastic.training.events.schedule import Schedule
from tfplastic.training.run.write_errors import writing
from tfplastic.writers import Writer, atomic_file

INPUTS_FILE = Path(ARRAYS_DIRECTORY, "probe", "inputs", "0.npz")
"""In the run directory: the inputs of all its probes, where these are the first ones."""
SHARED = "shared_probes"
"""The folder next to run directories with probes that several runs have in common."""
PROBED_INPUTS = ("first", "current")
_NUM_INPUTS = 5_000  # of a probe that does not say
_DOTS_PER_INCH = 100


class RunProbes:
    """Probes the network of a run at exactly the steps that are due, and writes what was found.

    Nothing that training reads is changed: a run with probes is the run without, bit for bit.

    Args:
        probe: a `probing.Probe`; None for a run without. Of its `num_inputs`, 5,000 if it does not say, the
            task may give fewer.
        period: gradient steps between probes, of which step 0 is the first; or a list of steps.
        on: the inputs X: `'first'`, drawn once, at the first probe, so that the fresh networks that a probe
            compares with train once for the run; or `'current'`, drawn anew for each, as Lyle et al. 2023
            have it (section 3.1), which takes 1 + `Probe.baselines` times as long.

        shares_first: whether the probe at step 0 is taken from `SHARED` next to the run directory, or left
            there for other runs, see `TrainConfig.share_first_probe`.

    Raises:
        ValueError: if an argument is out of its range, or `probe` is no probe.
    """

    def __init__(
        self, probe: Any, period: int | Sequence[int], on: str = "first", shares_first: bool = False
    ):
        self._probe: Any = None
        self._count = 0
        if probe is not None:
            if not hasattr(probe, "measure") or isinstance(probe, type):
                raise ValueError(f"`probe` must be a probe, such as @Probe(). Received: {probe!r}")
            self._count = probe.num_inputs or _NUM_INPUTS
            self._probe = dataclasses.replace(probe, num_inputs=None)  # all that the task gives, maybe fewer
        self._schedule = Schedule("probe_period", period)
        self._draws_anew = check_one_of("probe_on", on, PROBED_INPUTS) == "current"
        self._shares_first = check_one_of("share_first_probe", shares_first, (True, False))
        if shares_first and not hasattr(probe, "kept_in"):
            rule = "can be True where `probe` is a probe that can be kept, such as @Probe()"
            raise ValueError(f"`share_first_probe` {rule}. Received: a probe {probe!r}")
        self._inputs: Any = None

    def due_after(self, step: int) -> list[int]:
        """The next gradient step beyond `step` that is probed, if there is one."""
        following = None if self._probe is None else self._schedule.after(step)
        return [] if following is None else [following]

    def describe(self) -> str:
        """How often, in words."""
        return "none" if self._probe is None else f"{self._schedule} gradient steps"

    def is_due(self, step: int) -> bool:
        """Whether gradient step `step` is one to probe at."""
        return self._probe is not None and step in self._schedule

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
            task: whose network is probed.
            optimizer: of the run.
            draw: inputs of that network, from their number and a key: the task's `probe_inputs`.
            run_directory: holds the inputs.
            seed: root seed of the run.
            writer: where to: scalars and an image under `probe/`, arrays under `probe/curves`.

        Returns:
            The scalars by name.
        """
        if self._draws_anew:
            inputs = draw(self._count, seeds.derive(seed, "probe", step))
        else:
            if self._inputs is None:
                path = run_directory / INPUTS_FILE
                if step == self._schedule.first:
                    drawn = draw(self._count, seeds.derive(seed, "probe"))
                    with writing(run_directory):
                        _save(path, drawn)
                try:
                    self._inputs = load_inputs(path)
                except (FileNotFoundError, UnreadableInputsError) as error:
                    action = "Restore the file, or start again in another run directory"
                    raise UnreadableInputsError(f"{error}. {action}") from error
            inputs = self._inputs
        probe = self._probe
        if step == 0 and self._shares_first:
            probe = probe.kept_in(run_directory.absolute().parent / SHARED)
        result = probe.measure(task.model, inputs, optimizer)
        scalars = result.to_dict()
        warning = uncentred_warning(scalars, inputs) if step == 0 else ""
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
    """The figure of a probe, `[height, width, 3] uint8`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    result.plot(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return tf.io.decode_png(buffer.getvalue(), channels=3).numpy()
