"""Records of a sweep's runs, in the form of `sweep.json`, which the report reads."""

import dataclasses
import datetime
import json
import time
from collections.abc import Sequence
from typing import Any

from tfplastic.run_format import SWEEP_FILE
from tfplastic.sweeps.experiment import Arm
from tfplastic.sweeps.job import run_name
from tfplastic.sweeps.run_root import RunRoot

STATES = ("waiting", "running", "stopped", "failed", "finished")
_WRITE_PERIOD_S = 5.0
_REMOTE_WRITE_PERIOD_S = 60.0


@dataclasses.dataclass
class Run:
    """One run of a sweep.

    Attributes:
        arm: name of its arm.
        seed: its root seed.
        directory: path or URL of the run directory.
        total_steps: its length in gradient steps.
        state: one of `STATES`.
        step: gradient steps done.
        attempts: number of times this sweep has started it.
        error: the error of the last attempt, in one line, or None.
        host: node of the last start.
    """

    arm: str
    seed: int
    directory: str
    total_steps: int
    state: str = "waiting"
    step: int = 0
    attempts: int = 0
    error: str | None = None
    host: str | None = None

    @property
    def name(self) -> str:
        """Name of its directory."""
        return run_name(self.arm, self.seed)


class Records:
    """The runs of a sweep, and the file with their states.

    `sweep.json` holds `experiment` (the gin file), `gin_bindings`, `arms` (`{name: {'files', 'bindings'}}`),
    `seeds`, `runs` (a list of `Run` as dictionaries; a run that is taken from elsewhere has its directory
    there), and `started` and `updated` (UTC, ISO 8601).

    Args:
        root: the run root.
        experiment: name of the gin file.
        arms: arms of the experiment.
        seeds: its seeds.
        gin_bindings: statements given for all runs.
        runs: all runs of the grid.

    Arms and runs that an earlier sweep left in the same run root, of another experiment, stay in the file.
    """

    def __init__(
        self,
        root: RunRoot,
        experiment: str,
        arms: Sequence[Arm],
        seeds: Sequence[int],
        gin_bindings: Sequence[str],
        runs: Sequence[Run],
    ):
        self.root = root
        self.runs = list(runs)
        self._by_key = {(run.arm, run.seed): run for run in runs}
        earlier = _read(root)
        self._earlier = [
            each for each in earlier.get("runs", []) if (each["arm"], each["seed"]) not in self._by_key
        ]
        self._head: dict[str, Any] = {
            "experiment": experiment,
            "gin_bindings": list(gin_bindings),
            "arms": earlier.get("arms", {})
            | {arm.name: {"files": list(arm.files), "bindings": list(arm.bindings)} for arm in arms},
            "seeds": list(seeds),
            "started": _now(),
        }
        self._written_at = 0.0

    def run(self, arm: str, seed: int) -> Run:
        """Returns the run of an arm with a seed."""
        return self._by_key[arm, seed]

    def count(self, state: str) -> int:
        """Returns the number of runs in a state."""
        return sum(run.state == state for run in self.runs)

    def write(self) -> None:
        """Writes `sweep.json`."""
        runs = [*self._earlier, *map(dataclasses.asdict, self.runs)]
        content = {**self._head, "updated": _now(), "runs": runs}
        self.root.write(SWEEP_FILE, json.dumps(content, indent=1) + "\n")
        self._written_at = time.monotonic()

    def write_now_and_then(self) -> None:
        """Writes `sweep.json` if it is some seconds old; in an object store, a minute."""
        period = _REMOTE_WRITE_PERIOD_S if self.root.is_remote else _WRITE_PERIOD_S
        if time.monotonic() - self._written_at >= period:
            self.write()


def _read(root: RunRoot) -> dict[str, Any]:
    """Returns the present content of `sweep.json`; nothing where it is missing or malformed."""
    try:
        content = json.loads(root.read(SWEEP_FILE) or "{}")
        known = {"arms": dict(content.get("arms", {})), "runs": list(content.get("runs", []))}
        return known if all({"arm", "seed", "directory"} <= {*each} for each in known["runs"]) else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
