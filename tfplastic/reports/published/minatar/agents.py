"""Learning checks: each agent against random play in MinAtar's breakout."""

import functools
from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.minatar_scores import RANDOM

VALUE_BASED = ("dqn", "dueling", "three_steps", "prioritized", "noisy", "qr_dqn", "rainbow")
THRESHOLD = 5.0
"""Pooled standard errors above random play."""
SEEDS = 3
_RETURN, _ERROR = "evaluation/episode_return", "evaluation/episode_return_stderr"


def distance(run: Run) -> float:
    """Returns by how many pooled standard errors the last evaluation is above random play in breakout.

    (mean - random) / sqrt(s^2 + s_random^2), each s the standard error of a mean over episodes.
    """
    random, error = RANDOM["breakout"]
    return (measures.scalar(run, _RETURN) - random) / float(np.hypot(measures.scalar(run, _ERROR), error))


def _return(run: Run) -> float:
    return measures.scalar(run, _RETURN)


def judge(agents: Sequence[str], runs: Runs) -> Judged:
    """Judges whether three seeds of each agent are above random play.

    Args:
        agents: names of the arms.
        runs: the runs that are there.
    """
    claims = [_learns(agent, cells.of_runs(runs, agent, distance)) for agent in agents]
    shown = [
        f"{agent} {cells.of_runs(runs, agent, _return).mean():.1f}" for agent in agents if agent in runs.arms
    ]
    return Judged(f"return {', '.join(shown)}" if shown else "", claims)


def _learns(agent: str, distances: np.ndarray) -> Claim:
    text = f"{agent}: {SEEDS} seeds are above random play by {THRESHOLD:g} pooled standard errors"
    below = int(np.count_nonzero(distances < THRESHOLD))
    agrees = False if below else True if len(distances) >= SEEDS else None
    shown = f"{len(distances) - below} of {len(distances)} are: {numbers.several(distances, 1)}"
    return Claim(agent, text, shown if len(distances) else "", agrees)


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the returns of each agent and their distance from random play."""
    rows = [
        [
            agent,
            numbers.several(cells.of_runs(runs, agent, _return), 1),
            numbers.several(cells.of_runs(runs, agent, distance), 1),
            cells.progress(runs, agent, planned),
        ]
        for agent in planned
    ]
    columns = ["agent", "return of the last evaluation", "pooled standard errors above random play", "runs"]
    return [numbers.table(columns, rows)]


def _row(name: str, title: str, agents: Sequence[str], remark: str) -> Row:
    return Row(
        name,
        title,
        "A check of this library: nobody has published scores at this size",
        f"{SEEDS} seeds of each agent above random play by {THRESHOLD:g} pooled standard errors",
        f"gin/paper/small/{name}.gin",
        functools.partial(judge, agents),
        (remark,),
        needs=(_RETURN, _ERROR),
        tables=tables,
    )


_PLAY = (
    "The last evaluation has 30 episodes; random play has"
    f" {RANDOM['breakout'][0]:.2f} ± {RANDOM['breakout'][1]:.3f}, of 1,000."
)
VALUES = _row(
    "minatar_agents",
    "Learning checks of value-based agents",
    VALUE_BASED,
    f"Breakout, 500,000 frames. {_PLAY} Parts of Rainbow are added to DQN one at a time; `rainbow` has all,"
    " with its own optimizer.",
)
PPO = _row(
    "minatar_ppo",
    "Learning check of PPO",
    ("ppo",),
    f"Breakout, 500,736 frames and resets. {_PLAY} PPO plays its most probable action.",
)
