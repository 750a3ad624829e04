"""Levers of speed: whether learning is the same with and without each."""

from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs

WITHOUT = "cpu"
"""The arm that the others differ from in one lever."""
LEVERS = {"bfloat16": "bfloat16 instead of float32", "one_environment": "one environment instead of eight"}
"""{arm: difference from `WITHOUT`}."""
_EVALUATION = "evaluation/episode_return"


def _in_training(run: Run) -> float:
    return measures.scalar(run, cells.RETURN)


def _evaluated(run: Run) -> float:
    return measures.scalar(run, _EVALUATION)


def judge(runs: Runs) -> Judged:
    """Judges whether returns with each lever and without it differ."""
    returns = {arm: cells.of_runs(runs, arm, _in_training) for arm in (WITHOUT, *LEVERS)}
    claims = [_claim(arm, returns[arm], returns[WITHOUT]) for arm in LEVERS]
    shown = [f"{arm} {values.mean():.1f}" for arm, values in returns.items() if len(values)]
    return Judged(f"return {', '.join(shown)}" if shown else "", claims)


def _claim(arm: str, values: np.ndarray, without: np.ndarray) -> Claim:
    above, below = cells.is_clearly_above(values, without), cells.is_clearly_above(without, values)
    both = len(values) and len(without)
    return Claim(
        arm,
        f"{LEVERS[arm]}: the returns do not differ by more than {cells.CLEAR:g} pooled standard errors",
        f"{numbers.several(values, 1)} with it, {numbers.several(without, 1)} without" if both else "",
        None if above is None or below is None else not (above or below),
    )


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the returns in training and in evaluation of each arm."""
    rows = []
    for arm in planned:
        returns = [numbers.several(cells.of_runs(runs, arm, each), 1) for each in (_in_training, _evaluated)]
        rows.append([arm, *returns, cells.progress(runs, arm, planned)])
    return [numbers.table(["arm", "return in training", "return of the last evaluation", "runs"], rows)]


ROW = Row(
    "minatar_levers",
    "Levers of speed",
    "A check of this library",
    "returns do not differ with and without a lever",
    "gin/paper/small/minatar_levers.gin",
    judge,
    (
        f"Breakout, 100,000 frames. `{WITHOUT}` computes in float32 and plays eight environments; the other"
        " arms change one of the two. The return in training is the mean of the last 100 episodes. The other"
        " levers of benchmarks/README.md give the same bits as without them.",
    ),
    needs=(cells.RETURN, _EVALUATION),
    tables=tables,
)
