"""The inputs that the network of a run is probed on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfplastic import seeds
from tfplastic._checkpoint_files import Checkpoint
from tfplastic.command_line.diagnose import checkpoints
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.command_line.entry_point import print_line
from tfplastic.training.events.measurements.probes import INPUTS_FILE, UnreadableInputsError, load_inputs


def of_run(run: TrainedRun, found: Sequence[Checkpoint], count: int) -> tuple[Any, str]:
    """Returns inputs, `[n, ...]`, and where they are from, in words.

    Those that the run's own probes were made on, where it has kept at least `count` of them; else as many as
    the task draws at the first checkpoint that can be read, by the seed by which the run's first probe would.

    Args:
        run: built.
        found: the checkpoints to probe.
        count: number of inputs; tasks may have fewer.

    Raises:
        UsageError: no checkpoint can be read.
    """
    path = checkpoints.run_directory_of(found[0]) / INPUTS_FILE
    try:
        kept = load_inputs(path)
        if len(kept) >= count:
            return kept, "of the run's own probes"
    except FileNotFoundError:
        pass
    except UnreadableInputsError as error:
        print_line(f"{error}. Inputs are drawn again")

    def draw(checkpoint: Checkpoint) -> np.ndarray:
        return run.probe_inputs(checkpoint, count, seeds.derive(run.config.seed, "probe"))

    checkpoint, drawn = checkpoints.first_readable(found, draw)
    return drawn, f"drawn at gradient step {checkpoint.step:,}"
