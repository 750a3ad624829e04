"""Table of the figures that are about probes: losses at both ends, b, and the agent's accuracy."""

from collections.abc import Sequence

import pandas as pd

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures._sources import ACCURACY
from tfplastic.reports.paper import CELL, paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import probe_losses, with_factors

SATURATED = 0.7
"""Part of b at which a fresh network's probe ends, above which a cell can hardly show a loss."""
_VARIANCE = "probe/target_variance"


def saturated_arms(runs: Runs) -> list[str]:
    """Returns the arms whose networks, fresh, end the probe above 0.7 b on average."""
    return [arm for arm, of_arm in _by_arm(runs) if _is_saturated(of_arm)]


def probe_table(runs: Runs, factors: Sequence[str], paper: pd.DataFrame | None = None) -> str:
    """Returns a row for each arm: probe losses at both ends of training, the increase, b, accuracy, runs.

    Args:
        runs: runs with probes.
        factors: parts of the arms' names.
        paper: cells as `paper_cells` gives them, whose increase is shown too.
    """
    printed = {} if paper is None else _printed(paper)
    columns = [*factors, "fresh", "trained", "increase", *([] if paper is None else ["in the paper"])]
    columns += ["b", "greedy accuracy", "CPU s", "seeds"]
    rows = []
    for arm, of_arm in _by_arm(runs, factors):
        names = [paper_name(str(of_arm[factor].iloc[0])) for factor in factors]
        fresh = numbers.mean(of_arm["initial_loss"], 3)
        fresh += " saturated" if _is_saturated(of_arm) else ""
        row = [
            *names,
            fresh,
            numbers.mean(of_arm["final_loss"], 3),
            numbers.several(of_arm["plasticity_loss"]),
        ]
        if paper is not None:
            row.append(printed.get(tuple(of_arm[each].iloc[0] for each in CELL), numbers.NONE))
        chosen = runs.where(lambda run, arm=arm: run.arm == arm)
        row += [numbers.mean(of_arm["b"]), numbers.mean(of_arm["accuracy"])]
        rows.append([*row, numbers.mean(numbers.durations(chosen), 0), numbers.links(chosen)])
    return numbers.table(columns, rows)


def _printed(paper: pd.DataFrame) -> dict[tuple[str, ...], str]:
    return {
        tuple(str(cell[each]) for each in CELL): f"{cell['plasticity_loss']:z.2f} ± {cell['spread']:.2f}"
        for cell in paper.to_dict("records")
    }


def _is_saturated(of_arm: pd.DataFrame) -> bool:
    return bool(floats(of_arm, "initial_loss").mean() > SATURATED * floats(of_arm, "b").mean())


def _by_arm(runs: Runs, factors: Sequence[str] = ()) -> list[tuple[str, pd.DataFrame]]:
    rows = probe_losses(runs)
    rows = with_factors(rows, factors) if factors else rows
    for column, tag in (("b", _VARIANCE), ("accuracy", ACCURACY)):
        last = runs.last(tag)
        values = dict(zip(last["run"], floats(last, "value"), strict=True))
        rows[column] = [values.get(run, float("nan")) for run in rows["run"]]
    by_arm = dict(groups(rows, "arm"))
    return [(arm, by_arm[arm]) for arm in runs.arms if arm in by_arm]
