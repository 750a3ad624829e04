"""Cost of `Probe.quick_steps` in accuracy, against the full protocol on checkpoints of real runs.

    python benchmarks/probe_checkpoints.py --out=runs/default.npz runs/plasticity/default_adam-seed*
    python benchmarks/probe_estimator.py runs/*.npz

Nothing is trained: a quick probe has the first steps of the full one, bit for bit, so that it is made from
those (tests/probing/probe_test.py). Final losses are means over targets, one number for a checkpoint.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.probe_results import Probed, read
from benchmarks.processes import ROOT, BenchmarkError, exit_code, table
from tfplastic.probing import FreshNetworks, ProbeResult
from tfplastic.probing._measuring.extrapolation import at_full_length


def quick(full: ProbeResult, steps: int) -> ProbeResult:
    """The quick probe that takes as many steps."""
    return at_full_length(dataclasses.replace(full, curves=full.curves[:, :steps]))


def left_out(result: ProbeResult) -> list[Probed]:
    """Each of the fresh networks as the probed one, next to the others."""
    fresh, found = result.fresh, []
    for number in range(len(fresh.curves)):
        others = FreshNetworks(
            *(
                np.delete(each, number, axis=0)
                for each in (fresh.initial_losses, fresh.final_losses, fresh.curves)
            )
        )
        alone = ProbeResult(
            fresh.initial_losses[number],
            fresh.final_losses[number],
            result.target_variances,
            fresh.curves[number],
            others,
            how="as read",
        )
        found.append(Probed(f"fresh network {number}", 0, alone))
    return found


def compare(probed: Sequence[Probed], steps: int) -> dict[str, Any]:
    """Errors of final losses of quick probes, as they are and in target variances b, and changed verdicts."""
    results = [each.result for each in probed]
    estimates = [quick(result, steps) for result in results]
    pairs = list(zip(estimates, results, strict=True))
    errors = np.array([quick.final_loss - full.final_loss for quick, full in pairs])
    in_b = errors / [full.target_variance for full in results]
    changed = [
        f"{each.run}, step {each.step:,}: {full.verdict}, by the quick probe {quick.verdict}"
        for each, (quick, full) in zip(probed, pairs, strict=True)
        if quick.verdict != full.verdict
    ]
    return {
        "quick_steps": steps,
        "checkpoints": len(probed),
        "mean_absolute_error": float(np.mean(np.abs(errors))),
        "mean_absolute_error_in_b": float(np.mean(np.abs(in_b))),
        "largest_error_in_b": float(np.max(np.abs(in_b))),
        "bias_in_b": float(np.mean(in_b)),
        "changed_verdicts": changed,
    }


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    count = found["checkpoints"]
    return (
        name,
        f"{found['quick_steps']:,}",
        f"{found['mean_absolute_error']:.4f}",
        f"{found['mean_absolute_error_in_b']:.3f}",
        f"{found['largest_error_in_b']:.3f}",
        f"{found['bias_in_b']:+.3f}",
        f"{count - len(found['changed_verdicts'])} of {count}",
    )


def _run(options: argparse.Namespace) -> None:
    groups = {path.stem: read(path) for path in options.files}
    groups["all"] = [each for group in groups.values() for each in group]
    # Networks that have lost nothing, for a verdict may be wrong in both directions.
    groups["fresh"] = [each for path in options.files for each in left_out(groups[path.stem][0].result)]
    longest = min(each.result.fresh.curves.shape[-1] for each in groups["all"])
    if not 1 <= min(options.steps) <= max(options.steps) <= longest:
        raise BenchmarkError(f"--steps must be of 1 to {longest}, the full probe. Received: {options.steps}")
    found = {name: [compare(group, steps) for steps in options.steps] for name, group in groups.items()}
    rows = [("checkpoints", "steps", "mean error", "in b", "largest in b", "bias in b", "verdict stays")]
    rows += [_row(name, each) for name, of_group in found.items() for each in of_group]
    print(table(rows))
    for each in (*found["all"], *found["fresh"]):
        for changed in each["changed_verdicts"]:
            print(f"{each['quick_steps']:,} steps: {changed}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"wrote {options.json}")


def main() -> int:
    """Compares and returns the exit code."""
    parser = argparse.ArgumentParser(description="Quick probes against full ones, on the same checkpoints.")
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="files of probe_checkpoints.py")
    parser.add_argument(
        "--steps", nargs="+", type=int, default=[100, 200, 500, 1_000], help="of quick probes"
    )
    path = ROOT / "runs/probe_estimator.json"
    parser.add_argument("--json", type=pathlib.Path, default=path, help="where the result is written")
    options = parser.parse_args()
    return exit_code(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
