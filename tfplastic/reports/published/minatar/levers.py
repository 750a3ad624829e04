"""Speed-ups: whether learning is the same with and without each."""

from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.minatar_scores import RANDOM
from tfplastic.reports.statistics.stratified import welch

WITHOUT = "cpu"
"""The arm that the others differ from in one lever."""
LEVERS = {"bfloat16": "bfloat16 instead of float32", "one_environment": "one environment instead of eight"}
"""{arm: difference from `WITHOUT`}."""
MARGIN = 0.5
"""Largest difference of what is learned, the return less that of random play, as a share of it."""
_EVALUATION = "evaluation/episode_return"
_ONE_SIDED = 0.9  # level of an interval whose ends are one-sided tests at 5 %


def _in_training(run: Run) -> float:
    return measures.scalar(run, cells.RETURN)


def _evaluated(run: Run) -> float:
    return measures.scalar(run, _EVALUATION)


def judge(runs: Runs) -> Judged:
    """Judges whether as much is learned with each lever as without it."""
    returns = {arm: cells.of_runs(runs, arm, _in_training) for arm in (WITHOUT, *LEVERS)}
    claims = [_claim(arm, returns[arm], returns[WITHOUT]) for arm in LEVERS]
    shown = [f"{arm} {values.mean():.1f}" for arm, values in returns.items() if len(values)]
    return Judged(f"return {', '.join(shown)}" if shown else "", claims)


def _claim(arm: str, values: np.ndarray, without: np.ndarray) -> Claim:
    both = len(values) and len(without)
    return Claim(
        arm,
        f"{LEVERS[arm]}: as much over random play is learned, from {1 - MARGIN:g} to {1 + MARGIN:g} times",
        f"{numbers.several(values, 1)} with it, {numbers.several(without, 1)} without" if both else "",
        is_as_good(values, without),
    )


def is_as_good(values: np.ndarray, without: np.ndarray) -> bool | None:
    """Returns whether returns with a lever and without it agree, by two one-sided tests at 5 %.

    With r the return of random play and m the margin: (1 - m) (c - r) < x - r < (1 + m) (c - r), of the mean
    return x with the lever and c without it; both sides clear by Welch's test.

    Returns:
        False where the means differ by Welch's test at 5 %; None where neither is clear, and where either has
        fewer than two runs.
    """
    if min(len(values), len(without)) < 2:
        return None
    learned, baseline = values - RANDOM["breakout"][0], without - RANDOM["breakout"][0]
    sides = [welch(learned, (1 - MARGIN) * baseline), welch((1 + MARGIN) * baseline, learned)]
    if all(each.value > each.half_width_of(_ONE_SIDED) for each in sides):
        return True
    differs = cells.is_clearly_above(values, without) or cells.is_clearly_above(without, values)
    return False if differs else None


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the returns in training and in evaluation of each arm."""
    rows = []
    for arm in planned:
        returns = [numbers.several(cells.of_runs(runs, arm, each), 1) for each in (_in_training, _evaluated)]
        rows.append([arm, *returns, cells.progress(runs, arm, planned)])
    return [numbers.table(["arm", "return in training", "return of the last evaluation", "runs"], rows)]


ROW = Row(
    "minatar_levers",
    "Learning with each speed-up",
    "A check of this library",
    "as much is learned with a speed-up as without it, within a half",
    "gin/paper/small/minatar_levers.gin",
    judge,
    (
        f"Breakout, 100,000 frames. `{WITHOUT}` computes in float32 and plays eight environments; the other"
        " arms change one of the two. The return in training is the mean of the last 100 episodes. A"
        " statement holds if two one-sided tests at 5 % say that the return above random play is 0.5 to 1.5"
        " times that without the speed-up, and does not if the means differ by Welch's test; '–' where three"
        " seeds show neither. Differences within a half are not excluded. The two other speed-ups in use, a"
        " traced program of flat tensors and its direct call (benchmarks/README.md), give the same bits as"
        " without them.",
    ),
    needs=(cells.RETURN, _EVALUATION),
    tables=tables,
)
