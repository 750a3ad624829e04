"""The runs of a report: existing runs in run roots, and expected ones."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfplastic.reports.runs import Run, Runs, read_runs
from tfplastic.run_format import SWEEP_FILE


class Found(NamedTuple):
    """Runs, and the errors of those that left no directory.

    Attributes:
        runs: in the order of their arms in the sweep or experiment.
        errors: {(arm, seed): error in the records of the sweep}.
        experiment: the gin file that the sweep was of, '' where none is known.
    """

    runs: Runs
    errors: dict[tuple[str, int], str]
    experiment: str


def find(paths: Sequence[str], grid: Mapping[str, Iterable[int]] | None = None) -> Found:
    """Reads the runs of `paths`, and arms and seeds of `sweep.json` there or a level below.

    Runs that a sweep took from elsewhere are read there. A malformed `sweep.json` is ignored and listed among
    the runs' problems.

    Args:
        paths: directories.
        grid: {arm: seeds} that are expected, in place of the entries of `sweep.json`.

    Raises:
        ValueError: one of `paths` is not a directory.
    """
    runs = list(read_runs(*paths))
    known = {run.path.resolve() for run in runs}
    there = {(run.arm, run.seed) for run in runs}
    expected: dict[str, list[int]] = {}
    errors: dict[tuple[str, int], str] = {}
    experiments, problems = [], []
    for root in map(Path, paths):
        for file in sorted([*root.glob(SWEEP_FILE), *root.glob(f"*/{SWEEP_FILE}")]):
            folder = file.parent.relative_to(root).as_posix()
            prefix = "" if folder == "." else f"{folder}/"
            try:
                sweep = _read(file)
            except ValueError as error:
                problems.append(f"{prefix}{SWEEP_FILE} cannot be read: {' '.join(str(error).split())}")
                continue
            experiments.append(sweep["experiment"])
            for arm in sweep["arms"]:
                expected.setdefault(f"{prefix}{arm}", [])
            for entry in sweep["runs"]:
                key = f"{prefix}{entry['arm']}", entry["seed"]
                if key[1] not in expected.setdefault(key[0], []):
                    expected[key[0]].append(key[1])
                if key not in there:  # a run root that was copied has its own
                    there.add(key)
                    runs += _elsewhere(entry, known, prefix)
                if entry.get("error"):
                    errors[key] = str(entry["error"])
    wanted = {arm: list(seeds) for arm, seeds in grid.items()} if grid is not None else expected
    order = {arm: position for position, arm in enumerate(wanted)}
    runs.sort(key=lambda run: order.get(run.arm, len(order)))  # stable: by name within an arm
    found = Runs(runs, wanted or None, problems)
    missing = set(found.missing())
    return Found(
        found,
        {key: error for key, error in errors.items() if key in missing},
        experiments[0] if len(experiments) == 1 else "",
    )


def _elsewhere(entry: Mapping[str, Any], known: set[Path], prefix: str) -> list[Run]:
    """Returns the run of an entry that is in another directory, with a name and arm of this run root."""
    directory = Path(entry["directory"])
    if "://" in entry["directory"] or not directory.is_dir() or directory.resolve() in known:
        return []
    found = [run for run in read_runs(directory) if run.path.resolve() not in known]
    known |= {run.path.resolve() for run in found}
    return [dataclasses.replace(run, name=f"{prefix}{run.name}", arm=f"{prefix}{run.arm}") for run in found]


def _read(file: Path) -> dict[str, Any]:
    try:
        sweep = json.loads(file.read_bytes())
    except (OSError, RecursionError) as error:
        raise ValueError(str(error)) from error
    kinds = {"experiment": str, "arms": dict, "seeds": list, "runs": list}
    for name, kind in kinds.items():
        value = sweep.get(name) if isinstance(sweep, dict) else None
        if not isinstance(value, kind):
            raise ValueError(f"its {name!r} must be a {kind.__name__}, not {value!r:.40}")
    if not all(isinstance(seed, int) for seed in sweep["seeds"]):
        raise ValueError(f"its 'seeds' must be integers, not {sweep['seeds']!r:.40}")
    for entry in sweep["runs"]:
        kinds = {"arm": str, "seed": int, "directory": str}
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kinds[key]) for key in kinds):
            raise ValueError(f"its 'runs' must have an arm, a seed and a directory each, not {entry!r:.80}")
    return sweep
