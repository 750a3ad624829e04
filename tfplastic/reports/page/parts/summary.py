"""The summary at the top, and the table of runs at the end."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfplastic.reports import aggregate
from tfplastic.reports._frames import floats, groups, mapped, where
from tfplastic.reports.page.content import ReportInput, Section, Table
from tfplastic.reports.runs import Runs

_HEADLINES = {
    "evaluation/accuracy": "accuracy",
    "evaluation/episode_return": "return",
    "evaluation/td_loss": "TD loss",
    "probe/loss_of_plasticity": "probe loss over fresh",
    "diagnostics/dead_units/*": "dead units",
    "diagnostics/feature_srank/*": "feature rank",
    "diagnostics/weight_norm/all": "weight norm",
    "diagnostics/sharpness/all": "sharpness",
}
_WORST = {"diagnostics/dead_units/*": np.argmax, "diagnostics/feature_srank/*": np.argmin}
"""{quantity of several layers: which is the worst}. A mean hides a first layer that is all dead."""
_LONG = 60  # letters of a value in the table of configurations


def summary(contents: ReportInput) -> Section:
    """Returns the number of runs, their states and errors, and the final values of each arm."""
    runs = contents.runs
    finished = sum(run.state == "finished" and not run.errors for run in runs)
    missing = runs.missing()
    steps = max((int(run.status.get("step") or 0) for run in runs), default=0)
    hours = sum(float(run.status.get("wall_time_s") or 0) for run in runs) / 3600
    facts = [
        (f"{finished} of {len(runs) + len(missing)}", "runs finished"),
        (str(len(runs.arms)), "arms"),
        (str(len({run.seed for run in runs if run.seed is not None})), "seeds"),
        (f"{steps:,}", "gradient steps"),
        (f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min", "of runs"),
    ]
    problems = [*runs.problems()]
    problems += [f"{arm}: seed {seed}: {error}" for (arm, seed), error in contents.errors.items()]
    lists = {"Not as it should be": problems} if problems else {}
    texts = [] if problems else ["All runs that should be there are, and have finished without errors."]
    tables = [_arms(runs)] if len(runs) else []
    return Section("Summary", texts, lists, tables=tables, facts=facts)


def runs_and_configuration(contents: ReportInput) -> Section:
    """Returns the table of every run, the differences of the arms, and the settings that all share."""
    runs = contents.runs
    if not len(runs):
        return Section("Runs", ["There are no runs."])
    table = runs.table()
    versions = list(dict.fromkeys(table["versions"]))
    texts = []
    if len(versions) == 1:
        texts.append(f"Versions of all runs: {versions[0] or 'not recorded'}.")
        table = table.drop(columns="versions")
    missing = pd.DataFrame(
        [{"arm": arm, "seed": seed, "state": "missing"} for arm, seed in runs.missing()],
        columns=["arm", "seed", "state"],
    )
    if len(missing):
        table = pd.concat([table, missing.astype({"seed": "Int64"})], ignore_index=True)
    table["wall_time_s"] = [
        None if pd.isna(value) else f"{float(value):,.0f}" for value in table.pop("wall_time_s")
    ]
    tables = [Table("runs", "All runs", table.rename(columns={"wall_time_s": "seconds"}))]
    return Section("Runs", texts, tables=[*tables, *_configurations(runs)])


def _arms(runs: Runs) -> Table:
    """Returns the medians over runs of the most important scalars, at the end of the runs."""
    columns: dict[str, dict[str, str]] = {}
    for pattern, name in _HEADLINES.items():
        rows = runs.last(pattern)
        if rows.empty:
            continue
        counts_in = mapped(
            rows["tag"], lambda tag, pattern=pattern: not tag.endswith("/all") or tag == pattern
        )
        rows = where(rows, counts_in)
        by_run = list(groups(rows, ["arm", "run"]))
        if pattern not in _WORST:
            columns[name] = _by_arm(
                runs, {key: (floats(of_run, "value").mean(), "") for key, of_run in by_run}
            )
            continue
        means = {key: (floats(of_run, "value").mean(), "") for key, of_run in by_run}
        columns[f"{name}, mean of layers"] = _by_arm(runs, means)
        worst = {key: _worst(of_run, _WORST[pattern]) for key, of_run in by_run}
        columns[f"{name}, worst layer"] = _by_arm(runs, worst)
    found = []
    for arm in runs.arms:
        of_arm = [run for run in runs if run.arm == arm]
        finished = sum(run.state == "finished" and not run.errors for run in of_arm)
        expected = len(of_arm) + sum(other == arm for other, _ in runs.missing())
        row = {"arm": arm, "finished": f"{finished} of {expected}"}
        found.append({**row, **{name: values[arm] for name, values in columns.items()}})
    for arm in dict.fromkeys(arm for arm, _ in runs.missing() if arm not in runs.arms):
        found.append({"arm": arm, "finished": f"0 of {sum(other == arm for other, _ in runs.missing())}"})
    counts = [sum(run.arm == arm for run in runs) for arm in runs.arms]
    note = f"The last values: medians over runs [{aggregate.band_name(counts)}]."
    if any(name.endswith("worst layer") for name in columns):
        note += " The worst layer is that of each run; the one that is it most often is named."
    return Table("arms", "Where each arm ended", pd.DataFrame(found).fillna(""), note)


def _worst(rows: pd.DataFrame, index_of_worst: Callable[[np.ndarray], Any]) -> tuple[float, str]:
    """Returns the value and the name of a run's worst layer; NaN and no name if one layer has NaN."""
    values = floats(rows, "value")
    index = int(index_of_worst(values))  # of NaN the first
    layer = str(rows["tag"].iloc[index]).split("/", 2)[2]
    return float(values[index]), "" if np.isnan(values[index]) else layer


def _by_arm(runs: Runs, values: Mapping[Any, tuple[float, str]]) -> dict[str, str]:
    """Returns {arm: median and bounds over runs} of {(arm, run): (value, note)}, with the commonest note."""
    found = {}
    for arm in runs.arms:
        of_arm = [value for (other, _), value in values.items() if other == arm]
        notes = Counter(note for _, note in of_arm if note)
        texts = [_interval(np.array([value for value, _ in of_arm])), *[n for n, _ in notes.most_common(1)]]
        found[arm] = " ".join(filter(None, texts))
    return found


def _interval(values: np.ndarray) -> str:
    if not len(values):
        return ""
    interval = aggregate.bootstrap({"": values}, aggregate.median)
    return str(interval) if len(values) > 1 else f"{interval.point:.3g}"


def _configurations(runs: Runs) -> list[Table]:
    """Returns the bindings that differ between arms, a column for each value, and the shared ones."""
    values: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        for key, value in run.config.items():
            of_key = values.setdefault(key, {})
            if run.arm not in of_key.setdefault(value, []):
                of_key[value].append(run.arm)
    with_config = {run.arm for run in runs if run.config}
    shared, differing = [], []
    for key, of_key in sorted(values.items()):
        if key == "train.seed":
            continue
        everywhere = {arm for arms in of_key.values() for arm in arms}
        if len(of_key) == 1 and everywhere == with_config:
            shared.append({"binding": key, "value": _short(next(iter(of_key)))})
            continue
        for value, arms in of_key.items():
            differing.append({"binding": key, "value": _short(value), "arms": _few(arms)})
        absent = [arm for arm in runs.arms if arm in with_config - everywhere]
        if absent:
            differing.append({"binding": key, "value": "not used", "arms": _few(absent)})
    tables = []
    if differing:
        tables.append(
            Table("configuration_differences", "Differences between the arms", pd.DataFrame(differing))
        )
    if shared:
        tables.append(
            Table("configuration_shared", "Shared by all runs", pd.DataFrame(shared), is_folded=True)
        )
    return tables


def _short(value: str) -> str:
    return value if len(value) <= _LONG else f"{value[: _LONG - 1]}…"


def _few(arms: list[Any]) -> str:
    return ", ".join(arms[:8]) + (f" and {len(arms) - 8} more" if len(arms) > 8 else "")
