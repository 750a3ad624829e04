"""Run directories, read into tables."""

import dataclasses
import fnmatch
import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfplastic import _renames
from tfplastic._checks import check_mapping, shown
from tfplastic._renames import gin_text
from tfplastic._text.lines import one_line
from tfplastic._text.tags import tag_at
from tfplastic.run_format import (
    ARRAYS_DIRECTORY,
    METRICS_FILE,
    METRICS_HEADER,
    OPERATIVE_CONFIG_FILE,
    STATUS_FILE,
    parse_status,
)

_SCALAR_COLUMNS = ["run", "arm", "seed", "step", "tag", "value"]
_SEED_IN_NAME = re.compile(r"[-_/]*seed[-_=]?(\d+)$")
_BINDING = re.compile(r"^([\w./]+) *= *(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Run:
    """Contents of a run directory.

    Attributes:
        path: the directory.
        name: its path below the directory that was searched, or its name.
        arm: the name without its ending `-seed<number>`, if it has one; shared by runs that differ in their
            seed alone.
        seed: `train.seed` of its configuration, else the number in its name, else None.
        status: the content of `status.json`; empty where there is none or it cannot be read.
        config: bindings of `operative_config.gin`, {'name.argument': value as text}, macros put in, by
            today's names.
        metrics: columns `step` int64, `tag`, `value` float64, in the order of writing; tags of earlier
            versions by today's names.
        errors: one line for each error of the run, and for each file that cannot be read.
    """

    path: Path
    name: str
    arm: str
    seed: int | None
    status: Mapping[str, Any]
    config: Mapping[str, str]
    metrics: pd.DataFrame
    errors: tuple[str, ...]

    @property
    def state(self) -> str:
        """'starting', 'running', 'stopped', 'finished', 'failed'; 'unknown' without a status."""
        return str(self.status.get("state", "unknown"))


@dataclasses.dataclass(frozen=True)
class Arrays:
    """One array file of a run.

    Attributes:
        run: the run it is of.
        step: gradient steps done.
        values: {key: array}.
    """

    run: Run
    step: int
    values: Mapping[str, np.ndarray]


class Runs(Sequence[Run]):
    """Several runs, as a report shows them: finished, failed and unfinished ones.

    Args:
        runs: in the order of the tables.
        expected: {arm: seeds}, the expected runs. By default each arm should have every seed that any
            arm has.
        notes: further problems, a line each.

    Example:
        >>> from tfplastic import reports
        >>> reports.read_runs().table().columns.tolist()[:5]
        ['run', 'arm', 'seed', 'state', 'step']
    """

    def __init__(
        self,
        runs: Iterable[Run],
        expected: Mapping[str, Iterable[int]] | None = None,
        notes: Iterable[str] = (),
    ):
        self._runs = tuple(runs)
        self._notes = tuple(notes)
        if expected is not None:
            check_mapping("expected", expected, "{'adam': [0, 1]}")
        self._expected = None if expected is None else {arm: list(seeds) for arm, seeds in expected.items()}

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of their first run."""
        return list(dict.fromkeys(run.arm for run in self._runs))

    def where(self, condition: Callable[[Run], bool]) -> "Runs":
        """Returns the runs for which `condition` holds; missing seeds are judged among them."""
        return Runs(run for run in self._runs if condition(run))

    def missing(self) -> list[tuple[str, int]]:
        """Returns the (arm, seed) of expected runs that are missing, by arm."""
        there = {(run.arm, run.seed) for run in self._runs}
        seeds = sorted({run.seed for run in self._runs if run.seed is not None})
        expected = dict.fromkeys(self.arms, seeds) if self._expected is None else self._expected
        return [
            (arm, seed) for arm, of_arm in expected.items() for seed in of_arm if (arm, seed) not in there
        ]

    def problems(self) -> list[str]:
        """Returns the notes, and one line for each error, each run that has not finished or is missing."""
        lines = [*self._notes]
        for run in self._runs:
            lines += [f"{run.name}: {error}" for error in run.errors]
            if run.state != "finished":
                lines.append(f"{run.name}: {run.state}, {_progress(run)}")
        return lines + [f"{arm}: seed {seed} is missing" for arm, seed in self.missing()]

    def table(self) -> pd.DataFrame:
        """Returns a row per run: its name, arm, seed, state, steps, wall time, device, errors and versions.

        `errors` are joined by '; ', and `versions` name the commit of the code, too. Entries that a status
        lacks are None or NaN.
        """
        rows = [
            {
                "run": run.name,
                "arm": run.arm,
                "seed": run.seed,
                "state": run.state,
                **{key: run.status.get(key) for key in ("step", "total_steps", "wall_time_s", "device")},
                "errors": "; ".join(run.errors),
                "versions": _versions(run),
            }
            for run in self._runs
        ]
        columns = ["run", "arm", "seed", "state", "step", "total_steps", "wall_time_s", "device"]
        table = pd.DataFrame(rows, columns=[*columns, "errors", "versions"])
        return table.astype({"seed": "Int64", "step": "Int64", "total_steps": "Int64"})

    @functools.cached_property
    def _rows(self) -> pd.DataFrame:
        """The metrics of all runs, one after another, with the number of each row's run."""
        parts = [run.metrics.assign(number=number) for number, run in enumerate(self._runs)]
        empty = pd.DataFrame({"step": [], "tag": [], "value": [], "number": []})
        return pd.concat(parts, ignore_index=True) if parts else empty

    @functools.cached_property
    def _rows_of_tags(self) -> dict[str, np.ndarray]:
        return {str(tag): rows for tag, rows in self._rows.groupby("tag").indices.items()}

    def tags(self) -> list[str]:
        """Returns all tags of scalars, sorted."""
        return sorted(self._rows_of_tags)

    def scalars(self, *patterns: str) -> pd.DataFrame:
        """Returns the scalars whose tag fits one of `patterns`: run, arm, seed, step, tag, value.

        Args:
            *patterns: tags, in which `*` stands for anything, such as `diagnostics/dead_units/*`. Former
                names of quantities are accepted too.
        """
        chosen = [rows for tag, rows in self._rows_of_tags.items() if _fits(tag, patterns)]
        if not chosen:
            return pd.DataFrame({column: [] for column in _SCALAR_COLUMNS})
        rows = self._rows.iloc[np.sort(np.concatenate(chosen))].reset_index(drop=True)
        present = [self._runs[number] for number in rows["number"].unique()]
        columns = {"run": "name", "arm": "arm", "seed": "seed"}
        place = pd.factorize(rows["number"])[0]
        named = {
            column: pd.Series([getattr(run, name) for run in present]).take(place).array
            for column, name in columns.items()
        }
        return pd.DataFrame(rows.assign(**named), columns=_SCALAR_COLUMNS)

    def last(self, *patterns: str) -> pd.DataFrame:
        """Returns, of `scalars`, the row of the largest step for each run and tag."""
        rows = self.scalars(*patterns).sort_values("step", kind="stable")
        return pd.DataFrame(rows.drop_duplicates(["run", "tag"], keep="last")).reset_index(drop=True)

    def array_tags(self, of: Run | None = None) -> list[str]:
        """Returns all tags of array files, sorted; of one of the runs, if one is given."""
        return sorted({tag for _, files in self._array_files_of(of) for tag in files})

    def arrays(self, tag: str, of: Run | None = None) -> list[Arrays]:
        """Returns the array files of `tag`, run by run, by ascending step; of one of the runs, if given.

        Raises:
            ValueError: one of them cannot be read.
        """
        return [
            Arrays(run, step, _read_npz(path))
            for run, files in self._array_files_of(of)
            for step, path in files.get(_renames.tag(tag), ())
        ]

    def _array_files_of(self, one: Run | None) -> list[tuple[Run, dict[str, list[tuple[int, Path]]]]]:
        pairs = zip(self._runs, self._array_files, strict=True)
        return [(run, files) for run, files in pairs if one is None or run is one]

    @functools.cached_property
    def _array_files(self) -> list[dict[str, list[tuple[int, Path]]]]:
        return [_array_steps(run.path) for run in self._runs]


def read_runs(*paths: str | os.PathLike[str], expected: Mapping[str, Iterable[int]] | None = None) -> Runs:
    """Reads every run directory at or below `paths`, sorted by name.

    A directory is a run's if it holds `operative_config.gin`, `metrics.csv` or `status.json`; the directories
    below it belong to it. A run that failed, or whose files cannot be read, is listed with its readable parts
    and its errors.

    Args:
        *paths: directories.
        expected: see `Runs`.

    Raises:
        ValueError: one of `paths` is not a directory, or two of them have runs of one name.
    """
    runs: list[Run] = []
    places: dict[str, str] = {}
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"`paths` must be directories. Received: {shown(path)}")
        root = Path(path)
        if not root.is_dir():
            raise ValueError(f"`paths` must be directories. Received: {os.fspath(root)!r}")
        found = [_read_run(path, _name(path, root)) for path in _run_directories(root)]
        for run in found:
            if (other := places.setdefault(run.name, os.fspath(root))) != os.fspath(root):
                received = f"{run.name!r} in {other} and in {os.fspath(root)}. Give the folder above both"
                raise ValueError(f"`paths` must have runs of different names. Received: {received}")
        runs += sorted(found, key=lambda run: _natural(run.name))
    return Runs(runs, expected)


def _run_directories(root: Path) -> Iterator[Path]:
    for directory, inner, files in os.walk(root):
        if not {METRICS_FILE, STATUS_FILE, OPERATIVE_CONFIG_FILE}.isdisjoint(files):
            inner.clear()  # a run's own directories hold no runs
            yield Path(directory)


def _name(path: Path, root: Path) -> str:
    return path.resolve().name if path == root else path.relative_to(root).as_posix()


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Returns a key by which 'seed10' comes after 'seed9'."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _read_run(path: Path, name: str) -> Run:
    errors: list[str] = []
    status = _tried(errors, path / STATUS_FILE, parse_status, {})
    config = _tried(errors, path / OPERATIVE_CONFIG_FILE, _read_bindings, {})
    metrics = _tried(errors, path / METRICS_FILE, _read_metrics, _read_rows(METRICS_HEADER))
    if status.get("error") or status.get("state") == "failed":
        errors.insert(0, " ".join(str(status.get("error") or "failed without a message").split()))
    in_name = _SEED_IN_NAME.search(name)
    seed = config.get("train.seed", in_name[1] if in_name else "")
    arm = name[: in_name.start()] if in_name and in_name.start() else name
    number = int(seed) if re.fullmatch(r"-?\d+", seed) else None
    return Run(path, name, arm, number, status, config, metrics, tuple(errors))


def _tried(errors: list[str], path: Path, read: Callable[[bytes], Any], otherwise: Any) -> Any:
    try:
        return read(path.read_bytes())
    except FileNotFoundError:
        errors.append(f"{path.name} is missing")
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        errors.append(f"{path.name} cannot be read: {one_line(error)}")
    return otherwise


def _read_bindings(content: bytes) -> dict[str, str]:
    config = gin_text.translate(content.decode()).text
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", config, flags=re.MULTILINE))
    found = {name: one_line(value) for name, value in _BINDING.findall(text)}
    macros = {f"%{name}": value for name, value in found.items() if "." not in name}
    return {name: macros.get(value, value) for name, value in found.items() if "." in name}


def _read_metrics(content: bytes) -> pd.DataFrame:
    if METRICS_HEADER.startswith(content):  # The run is starting, and has not written more yet.
        content = METRICS_HEADER
    if not content.startswith(METRICS_HEADER):
        raise ValueError("it must begin with 'step,tag,value'")
    return _read_rows(content[: content.rfind(b"\n") + 1])  # a kill may have cut the last row short


def _read_rows(content: bytes) -> pd.DataFrame:
    settings: dict[str, Any] = {"dtype": {"step": "int64", "tag": "str", "value": "str"}}
    rows = pd.read_csv(io.BytesIO(content), keep_default_na=False, **settings)
    tags = rows["tag"].map({old: _renames.tag(old) for old in rows["tag"].unique()})
    # By Python's float, which gives back the bits that were written; pandas' own reader need not.
    return rows.assign(tag=tags, value=rows["value"].to_numpy(object).astype(np.float64))


def _progress(run: Run) -> str:
    step, total = run.status.get("step", 0), run.status.get("total_steps")
    return f"step {step} of {total}" if total else f"step {step}"


def _versions(run: Run) -> str:
    versions = run.status.get("versions") or {}
    named = [f"{name} {version}" for name, version in versions.items() if version]
    if commit := run.status.get("commit"):
        tree_changed = run.status.get("tree_changed")
        changed = (
            " with changes" if tree_changed else "" if tree_changed is False else " with unknown changes"
        )
        named.append(f"commit {str(commit)[:12]}{changed}")
    return ", ".join(named)


def _fits(tag: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(tag, _renames.tag(pattern)) for pattern in patterns)


def _array_steps(path: Path) -> dict[str, list[tuple[int, Path]]]:
    """Returns {tag: [(step, file), ...]} of a run directory."""
    found: dict[str, list[tuple[int, Path]]] = {}
    root = path / ARRAYS_DIRECTORY
    for file in root.rglob("*.npz"):
        if file.stem.isdecimal():
            tag = _renames.tag(tag_at(file.parent.relative_to(root).as_posix()))
            found.setdefault(tag, []).append((int(file.stem), file))
    return {tag: sorted(steps) for tag, steps in found.items()}


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # whatever a damaged archive makes zipfile and numpy raise
        reason = " ".join(str(error).split())
        raise ValueError(f"An array file must be readable. Received: {os.fspath(path)}, {reason}") from error
