"""Files of probe_checkpoints.py as results of probes."""

import pathlib
from typing import NamedTuple

import numpy as np

from benchmarks.processes import BenchmarkError
from tfplastic.probing import FreshNetworks, ProbeResult


class Probed(NamedTuple):
    """One checkpoint and the result of its probe."""

    run: str
    step: int
    result: ProbeResult


def read(path: pathlib.Path) -> list[Probed]:
    """All checkpoints of a file; at least one."""
    try:
        with np.load(path) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    fresh = FreshNetworks(
        arrays["fresh_initial_losses"], arrays["fresh_final_losses"], arrays["fresh_curves"]
    )
    columns = (arrays[name] for name in ("run", "step", "initial_losses", "final_losses", "curves"))
    return [
        Probed(
            str(run),
            int(step),
            ProbeResult(initial, final, arrays["target_variances"], curves, fresh, how="as read"),
        )
        for run, step, initial, final, curves in zip(*columns, strict=True)
    ]
