"""Cells that the tables of MinAtar share, and the rule by which two methods differ."""

from collections.abc import Callable, Sequence

import numpy as np

from tfplastic.reports import aggregate
from tfplastic.reports._frames import where
from tfplastic.reports.published import measures
from tfplastic.reports.published.row import Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import NOT_RUN
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS
from tfplastic.reports.statistics.stratified import Difference, welch

RETURN = "train/episode_return"
"""Mean return of the last 100 episodes of training."""
STANDARDIZED = "probe/standardized_final_loss"
"""Loss at the end of the probe with outputs mapped to the targets' mean and scale before it."""


def progress(runs: Runs, arm: str, planned: Seeds) -> str:
    """Returns the number of an arm's runs; 'not run (k of n)' while some are missing."""
    there, of = len(measures.of_arm(runs, arm)), len(planned[arm])
    return str(there) if there == of else f"{NOT_RUN} ({there} of {of})"


def of_runs(runs: Runs, arm: str, measure: Callable[[Run], float]) -> np.ndarray:
    """Returns a number of each run of an arm, by ascending seed; NaN for a network that is NaN."""
    return np.array([measure(run) for run in measures.of_arm(runs, arm)], np.float64)


def known_of_runs(runs: Runs, arm: str, measure: Callable[[Run], float]) -> np.ndarray:
    """Returns a number of each run of an arm that has it, where NaN means that there is none."""
    found = of_runs(runs, arm, measure)
    return found[~np.isnan(found)]


def several(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """Returns the mean with its points or its interval, and says where there is one seed only."""
    return f"{numbers.several(values, digits)}{' (one seed)' if len(values) == 1 else ''}"


def series(run: Run, tag: str) -> list[tuple[int, float]]:
    """Returns the values of a scalar with their steps, by ascending step."""
    rows = where(run.metrics, run.metrics["tag"] == tag).sort_values("step", kind="stable")
    return list(zip(map(int, rows["step"]), map(float, rows["value"]), strict=True))


def fresh_probe_loss(run: Run, tag: str = PROBE_LOSS) -> float:
    """Returns the loss at the end of the first probe, in the paper's form or as `STANDARDIZED`."""
    found = series(run, tag)
    return found[0][1] if found else float("nan")


def last_probe_loss(run: Run, tag: str = PROBE_LOSS) -> float:
    """Returns the loss at the end of the last probe; see `fresh_probe_loss`."""
    return measures.scalar(run, tag)


def is_clearly_above(ours: np.ndarray, theirs: np.ndarray) -> bool | None:
    """Returns whether a mean over seeds is above another, by Welch's test at 5 %, two-sided.

    mean x - mean y > t sqrt(s_x^2 / n_x + s_y^2 / n_y), t being Student's quantile for the degrees of freedom
    of Welch and Satterthwaite. Of three seeds each it is 2.8 to 4.3.

    Returns:
        False where the mean is clearly lower, or equal without any spread; None where the interval holds 0,
        and where either has fewer than two runs.

    Example:
        >>> import numpy as np
        >>> from tfplastic.reports.published.minatar.cells import is_clearly_above
        >>> is_clearly_above(np.array([4.0, 5.0, 6.0]), np.array([0.0, 1.0, 2.0]))  # 4 against 2.78 * 0.82
        True
        >>> is_clearly_above(np.array([3.0, 5.0]), np.array([0.0, 2.0]))  # 3 against 4.30 * 1.41
    """
    return sign(welch(ours, theirs)) if min(len(ours), len(theirs)) >= 2 else None


def is_clearly_positive(values: np.ndarray) -> bool | None:
    """Returns whether a mean over seeds is above 0, by Student's test at 5 %; see `is_clearly_above`."""
    if len(values) < 2:
        return None
    return sign(aggregate.student_t(values))


def sign(interval: Difference | aggregate.Interval) -> bool | None:
    """Returns True where the interval is above 0, False where it is at most 0, and None otherwise."""
    if interval.low > 0:
        return True
    return False if interval.high <= 0 else None
