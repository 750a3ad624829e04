"""The inputs that the network of a run is probed on."""

from typing import Any

import numpy as np

from tfplastic import seeds
from tfplastic.command_line.diagnose.checkpoints import Checkpoint
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.training.run_probes import INPUTS_FILE


def of_run(run: TrainedRun, checkpoint: Checkpoint, count: int) -> tuple[Any, str]:
    """Inputs, `[n, ...]`, and where they are from, in words.

    Those that the run's own probes were made on, where it has kept at least `count` of them; else as many as
    the task draws at `checkpoint`, by the seed by which the run's first probe would.

    Args:
        run: built.
        checkpoint: the first of those to probe.
        count: how many; tasks may have fewer.

    Raises:
        UsageError: the checkpoint cannot be read.
    """
    path = checkpoint.run_directory / INPUTS_FILE
    if path.exists():
        with np.load(path) as arrays:
            kept = arrays["inputs"]
        if len(kept) >= count:
            return kept, "of the run's own probes"
    drawn = run.probe_inputs(checkpoint, count, seeds.derive(run.config.seed, "probe"))
    return drawn, f"drawn at gradient step {checkpoint.step:,}"
