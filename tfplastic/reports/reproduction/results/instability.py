"""Fig. 1: default and tuned Adam while labels change."""

import functools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from tfplastic.reports._frames import floats, where
from tfplastic.reports.figures import FIGURES, _sources
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.runs import Run, Runs

_DEFAULT, _TUNED = "default_adam", "tuned_adam"
_FIRST_LAYER = "diagnostics/dead_units/hidden1_relu"
_CHANCE, _FAR_ABOVE = 0.2, 0.4  # accuracies; chance is 0.1
_MANY, _FEW = 0.6, 0.2  # dead units; 0.6 to 0.8 in the paper's figure
_TASKS = (1, 5, 10, 20)
_LARGE = "paper_network-"


def figure_1(committed: Committed) -> Result:
    """Judges accuracy and dead units of both optimizers."""
    selection = committed.select(1)
    runs = selection.runs
    small = runs.where(lambda run: not run.arm.startswith(_LARGE))
    large = runs.where(lambda run: run.arm.startswith(_LARGE))
    if not {_DEFAULT, _TUNED} <= set(small.arms):
        return Result(selection)
    accuracy = {arm: _last(small, arm, _sources.ACCURACY) for arm in (_DEFAULT, _TUNED)}
    dead = {arm: _last(small, arm, _FIRST_LAYER) for arm in (_DEFAULT, _TUNED)}
    claims = [
        Claim(
            "default_falls",
            "with default constants accuracy falls to chance as labels change",
            f"accuracy at the end of the last task {numbers.several(accuracy[_DEFAULT], 2)}, chance 0.10",
            accuracy[_DEFAULT].mean() < _CHANCE,
        ),
        Claim(
            "tuned_stays",
            "with tuned constants accuracy stays",
            f"accuracy at the end of the last task {numbers.several(accuracy[_TUNED], 2)}",
            accuracy[_TUNED].mean() > _FAR_ABOVE,
        ),
        Claim(
            "units_die",
            "default Adam kills most units (0.6 to 0.8), tuned Adam hardly any",
            f"dead units of the first layer at the end: default {numbers.several(dead[_DEFAULT], 2)}, tuned"
            f" {numbers.several(dead[_TUNED], 2)}",
            bool(dead[_DEFAULT].mean() >= _MANY and dead[_TUNED].mean() <= _FEW)
            if all(map(len, dead.values()))
            else None,
        ),
    ]
    found = (
        f"accuracy {accuracy[_DEFAULT].mean():.2f} and {accuracy[_TUNED].mean():.2f}, dead"
        " units of the first layer"
    )
    found += f" {dead[_DEFAULT].mean():.2f} and {dead[_TUNED].mean():.2f} (default and tuned Adam)"
    caption = (
        "Accuracy and dead units of the small form: medians of seeds, thin lines single"
        " runs, bands their range;"
    )
    caption += " gray lines are the tasks' ends."
    drawings = [
        Drawing("fig01", caption, functools.partial(FIGURES[1].draw, small), FIGURES[1].size),
    ]
    if len(large):
        drawings.append(
            Drawing(
                "fig01_paper_network",
                "The same with the paper's network and data, 30,000 steps.",
                functools.partial(FIGURES[1].draw, large),
                FIGURES[1].size,
            )
        )
    return Result(selection, claims, found, drawings, [_table(runs)])


def _last(runs: Runs, arm: str, tag: str) -> np.ndarray:
    rows = runs.where(lambda run: run.arm == arm).last(tag)
    return floats(rows, "value")


def _table(runs: Runs) -> str:
    rows = []
    for run in runs:
        name = paper_name(run.arm.removeprefix(_LARGE)) + (", paper's network" if _LARGE in run.arm else "")
        ends = _ends_of_tasks(run)
        texts = [_at(ends.values(), _series(run, tag)) for tag in (_sources.ACCURACY, _FIRST_LAYER)]
        rows.append([name, f"[{run.seed}]({run.name})", ", ".join(map(str, ends)), *texts])
    return numbers.table(
        ["optimizer", "seed", "tasks", "accuracy at their ends", "dead units of the first layer"], rows
    )


def _ends_of_tasks(run: Run) -> dict[int, int]:
    """Returns {task: last step}, of some tasks and the run's last one."""
    tasks = _series(run, _sources.TASK)
    last_step = {int(task) + 1: int(step) for step, task in zip(tasks.index.to_numpy(), tasks, strict=True)}
    chosen = dict.fromkeys((*_TASKS, max(last_step)))
    return {task: last_step[task] for task in chosen if task in last_step}


def _at(steps: Iterable[int], values: pd.Series) -> str:
    return ", ".join(f"{values[step]:.2f}" if step in values.index else numbers.NONE for step in steps)


def _series(run: Run, tag: str) -> pd.Series:
    rows = where(run.metrics, run.metrics["tag"] == tag)
    return pd.Series(floats(rows, "value"), index=rows["step"].to_numpy())
