"""Numbers of several runs as text: points below six runs, an interval from there."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfplastic.reports import aggregate
from tfplastic.reports._frames import floats
from tfplastic.reports.page.tables import as_markdown
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import with_factors

NOTE = (
    "Values are means over seeds. Round brackets hold the value of each seed in ascending order;"
    f" from {aggregate.FEWEST_RUNS} seeds on, square brackets hold the 95 % bootstrap interval of the mean."
)
NONE = "–"
"""A cell without a value."""


def several(values: Iterable[float], digits: int = 3) -> str:
    """Returns a mean with its points or its interval, see `NOTE`; NONE stands for a NaN.

    Example:
        >>> from tfplastic.reports.reproduction.numbers import several
        >>> several([0.3, 0.1], 2), several([0.5], 2), several([0.0, 0.5, 0.5, 0.5, 0.5, 1.0], 2)
        ('0.20 (0.10, 0.30)', '0.50', '0.50 [0.25, 0.75]')
    """
    array = np.sort(np.asarray(list(values), np.float64))
    if not len(array):
        return NONE
    texts = [_text(value, digits) for value in array]
    mean = _text(array.mean(), digits)
    if len(array) == 1:
        return mean
    if len(array) < aggregate.FEWEST_RUNS:
        return f"{mean} ({', '.join(texts)})"
    interval = aggregate.bootstrap({"": array}, aggregate.mean)
    return f"{mean} [{_text(interval.low, digits)}, {_text(interval.high, digits)}]"


def _text(value: float, digits: int) -> str:
    return NONE if np.isnan(value) else f"{value:z.{digits}f}"


def mean(values: Iterable[float], digits: int = 2) -> str:
    """Returns the mean alone; NONE where there are no values or one is NaN."""
    array = np.asarray(list(values), np.float64)
    return f"{array.mean():z.{digits}f}" if len(array) and np.isfinite(array).all() else NONE


def at_the_end(runs: Runs, tag: str, factors: Sequence[str]) -> pd.DataFrame:
    """Returns the last value of a scalar in each run, column `value`, with the parts of the arms' names."""
    return with_factors(runs.last(tag), factors)


def first_and_last(runs: Runs, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and last value of a scalar in each run that has it, `[runs]` each, by name."""
    rows = runs.scalars(tag).sort_values("step", kind="stable")
    first, last = rows.drop_duplicates("run"), rows.drop_duplicates("run", keep="last")
    by_run = [pd.DataFrame(each).sort_values("run", kind="stable") for each in (first, last)]
    return floats(by_run[0], "value"), floats(by_run[1], "value")


def links(runs: Iterable[Any]) -> str:
    """Returns the seeds of runs as links to their directories; runs are named by paths from the page."""
    return " ".join(f"[{run.seed}]({run.name})" for run in runs)


def durations(runs: Runs) -> list[float]:
    """Returns the seconds of processor time of each run, or of wall-clock time of old runs."""
    found = [run.status.get("cpu_time_s") or run.status.get("wall_time_s") for run in runs]
    return [float(each) for each in found if each]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    return as_markdown(pd.DataFrame(list(rows), columns=list(columns), dtype=object)).rstrip("\n")
