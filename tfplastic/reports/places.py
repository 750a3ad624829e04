"""Which runs a report is of: those that are in run roots, and those that should be."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfplastic.reports.runs import Run, Runs, read_runs

SWEEP_FILE = "sweep.json"


class Found(NamedTuple):
    """Runs and what is known of those that left no directory.

    Attributes:
        runs: in the order of their arms in the sweep or experiment.
        errors: {(arm, seed): what the sweep says of it}.
        experiment: the gin file that the sweep was of, '' where none is known.
    """

    runs: Runs
    errors: dict[tuple[str, int], str]
    experiment: str


def find(places: Sequence[str], grid: Mapping[str, Iterable[int]] | None = None) -> Found:
    """Reads the runs of `places`, and what `sweep.json` there or a level below says of arms and seeds.

    Runs that a sweep took from elsewhere are read there.

    Args:
        places: directories.
        grid: {arm: seeds} that there should be, in place of what `sweep.json` says.

    Raises:
        ValueError: a place is no directory, or a `sweep.json` is malformed.
    """
    runs = list(read_runs(*places))
    known = {run.path.resolve() for run in runs}
    expected: dict[str, list[int]] = {}
    errors: dict[tuple[str, int], str] = {}
    experiments = []
    for place in map(Path, places):
        for file in sorted([*place.glob(SWEEP_FILE), *place.glob(f"*/{SWEEP_FILE}")]):
            sweep = _read(file)
            folder = file.parent.relative_to(place).as_posix()
            prefix = "" if folder == "." else f"{folder}/"
            experiments.append(sweep["experiment"])
            for arm in sweep["arms"]:
                expected.setdefault(f"{prefix}{arm}", []).extend(sweep["seeds"])
            for entry in sweep["runs"]:
                runs += _elsewhere(entry, known)
                if entry.get("error"):
                    errors[f"{prefix}{entry['arm']}", entry["seed"]] = str(entry["error"])
    wanted = {arm: list(seeds) for arm, seeds in grid.items()} if grid is not None else expected
    order = {arm: place for place, arm in enumerate(wanted)}
    runs.sort(key=lambda run: order.get(run.arm, len(order)))  # stable: by name within an arm
    found = Runs(runs, wanted or None)
    missing = set(found.missing())
    return Found(
        found,
        {key: error for key, error in errors.items() if key in missing},
        experiments[0] if len(experiments) == 1 else "",
    )


def _elsewhere(entry: Mapping[str, Any], known: set[Path]) -> list[Run]:
    directory = Path(entry["directory"])
    if "://" in entry["directory"] or not directory.is_dir() or directory.resolve() in known:
        return []
    return [run for run in read_runs(directory) if run.path.resolve() not in known]


def _read(file: Path) -> dict[str, Any]:
    try:
        sweep = json.loads(file.read_text(encoding="utf-8"))
        lacking = {"experiment", "arms", "seeds", "runs"} - set(sweep)
        if lacking:
            raise ValueError(f"it has no {sorted(lacking)[0]!r}")
        return sweep
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file} must be as bin/sweep writes it. Received: {error}") from error
