"""Probes all checkpoints of runs by the paper's protocol, for probe_estimator.py and probe_verdicts.py.

    python benchmarks/probe_checkpoints.py --out=runs/default.npz runs/plasticity/default_adam-seed*

The runs are of one network and one optimizer, on images of MNIST in [0, 1]. The inputs are test images, which
none of them has trained on, so that one set of fresh networks serves all. 10 targets, 2,000 steps of 32.
"""

import argparse
import os
import pathlib
import sys

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # that runs of bin/train are of
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.processes import BenchmarkError, exit_code
from tfplastic.command_line.diagnose.checkpoints import find_checkpoints
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.configuration.errors import UsageError
from tfplastic.probing import Probe
from tfplastic.tasks import load_dataset, scale_pixels

_OF_ALL = "target_variances"  # the same for all networks, as all that is of fresh networks


def measure(runs: list[str], num_inputs: int) -> dict[str, np.ndarray]:
    """The arrays of `ProbeResult`, those of the networks stacked, with the `run` and `step` of each."""
    probe, inputs = Probe(), scale_pixels(load_dataset("mnist").x_test[:num_inputs])
    names, steps, found = [], [], []
    for directory in runs:
        checkpoints = find_checkpoints(directory)
        run = TrainedRun(checkpoints[0])
        for checkpoint in run.read_each(checkpoints):
            result = probe.measure(run.model, inputs, run.config.optimizer)
            if found and result.fresh is not found[0].fresh:
                raise BenchmarkError(f"{directory} has another network or optimizer than {runs[0]}")
            names.append(run.name)
            steps.append(checkpoint.step)
            found.append(result)
            print(
                f"{run.name}, step {checkpoint.step:,}: {result.final_loss:.4f}, {result.verdict}", flush=True
            )
    arrays = [result.arrays() for result in found]
    return {
        "run": np.array(names),
        "step": np.array(steps),
        **{
            name: first
            if name == _OF_ALL or name.startswith("fresh_")
            else np.stack([a[name] for a in arrays])
            for name, first in arrays[0].items()
        },
    }


def _run(options: argparse.Namespace) -> None:
    try:
        arrays = measure(options.runs, options.num_inputs)
    except UsageError as error:
        raise BenchmarkError(str(error)) from error
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, allow_pickle=False, **arrays)
    print(f"wrote {options.out}")


def main() -> int:
    """Runs it and returns the exit code."""
    parser = argparse.ArgumentParser(description="Probes all checkpoints of runs by the paper's protocol.")
    parser.add_argument("runs", nargs="+", help="run directories")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the .npz to write")
    parser.add_argument(
        "--num-inputs", type=int, default=1_000, help="test images that targets are fitted on"
    )
    options = parser.parse_args()
    return exit_code(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
