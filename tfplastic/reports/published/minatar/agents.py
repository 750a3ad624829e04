"""Learning checks: each agent against random play in MinAtar's breakout."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.minatar_scores import RANDOM, above_random

VALUE_BASED = ("dqn", "dueling", "three_steps", "prioritized", "noisy", "qr_dqn", "rainbow")
THRESHOLD = 5.0
"""Pooled standard errors above random play."""
SEEDS = 3
_GAME = "breakout"
MINUTES = 15.0
"""Processor time within which an agent has to learn."""
_RETURN, _ERROR = "evaluation/episode_return", "evaluation/episode_return_stderr"


def distance(run: Run) -> float:
    """Returns by how many pooled standard errors the last evaluation is above random play in breakout.

    (mean - random) / sqrt(s^2 + s_random^2), each s the standard error of a mean over episodes.
    """
    return above_random(_GAME, measures.scalar(run, _RETURN), measures.scalar(run, _ERROR))


def minutes(run: Run) -> float:
    """Returns the minutes of processor time until an agent is, and stays, above random play by `THRESHOLD`.

    The run's processor time, evaluations included, times the share of its gradient steps up to the first
    evaluation from which all are above; infinite where the last one is not, NaN without a processor time.
    """
    returns, errors = (dict(cells.series(run, tag)) for tag in (_RETURN, _ERROR))
    learned = [
        step for step in returns if above_random(_GAME, returns[step], errors.get(step, 0.0)) >= THRESHOLD
    ]
    failed = [step for step in returns if step not in learned]
    since = [step for step in learned if step > max(failed, default=-1)]
    if not since:
        return math.inf
    (seconds,) = numbers.durations(Runs([run])) or [math.nan]
    return seconds / 60 * min(since) / max(returns)


def _return(run: Run) -> float:
    return measures.scalar(run, _RETURN)


def judge(agents: Sequence[str], runs: Runs) -> Judged:
    """Judges whether three seeds of each agent are above random play.

    Args:
        agents: names of the arms.
        runs: the runs that are there.
    """
    claims = [_learns(agent, runs) for agent in agents]
    shown = [
        f"{agent} {cells.of_runs(runs, agent, _return).mean():.1f}" for agent in agents if agent in runs.arms
    ]
    return Judged(f"return {', '.join(shown)}" if shown else "", claims)


def _learns(agent: str, runs: Runs) -> Claim:
    text = (
        f"{agent}: {SEEDS} seeds are above random play by {THRESHOLD:g} pooled standard errors within"
        f" {MINUTES:g} minutes"
    )
    distances, times = (cells.known_of_runs(runs, agent, each) for each in (distance, minutes))
    late = int(np.count_nonzero(times > MINUTES))
    agrees = False if late else True if len(times) >= SEEDS else None
    shown = f"{len(times) - late} of {len(times)} are; at the end by {numbers.several(distances, 1)}"
    return Claim(agent, text, shown if len(times) else "", agrees)


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the returns of each agent and their distance from random play."""
    rows = [
        [
            agent,
            numbers.several(cells.of_runs(runs, agent, _return), 1),
            numbers.several(cells.of_runs(runs, agent, distance), 1),
            numbers.several(cells.known_of_runs(runs, agent, minutes), 1),
            cells.progress(runs, agent, planned),
        ]
        for agent in planned
    ]
    columns = ["agent", "return of the last evaluation", "pooled standard errors above random play"]
    return [numbers.table([*columns, "minutes until it has learned", "runs"], rows)]


def _row(name: str, title: str, agents: Sequence[str], remark: str) -> Row:
    return Row(
        name,
        title,
        "A check of this library: nobody has published scores at this size",
        f"{SEEDS} seeds of each agent above random play by {THRESHOLD:g} pooled standard errors within"
        f" {MINUTES:g} minutes",
        f"gin/paper/small/{name}.gin",
        functools.partial(judge, agents),
        (remark,),
        needs=(_RETURN, _ERROR),
        tables=tables,
    )


_PLAY = (
    "The last evaluation has 30 episodes; random play has"
    f" {RANDOM[_GAME][0]:.2f} ± {RANDOM[_GAME][1]:.3f}, of 1,000; the errors are over"
    " episodes. Minutes are the run's processor time times the share of its gradient steps before the first"
    " evaluation from which on all are that far above random play; 'inf' where the last one is not."
)
VALUES = _row(
    "minatar_agents",
    "Learning checks of value-based agents",
    VALUE_BASED,
    f"Breakout, 500,000 frames. {_PLAY} `dueling`, `three_steps`, `prioritized` and `noisy` each add one part"
    " of Rainbow to DQN; `qr_dqn` is an agent of its own, and `rainbow` has all parts and its own optimizer."
    " C51 is run in Fig. 7 of [the paper](paper/README.md#fig-7); Double DQN and two-hot DQN have no check"
    " here.",
)
PPO = _row(
    "minatar_ppo",
    "Learning check of PPO",
    ("ppo",),
    f"Breakout, 489 rollouts of 1,024 steps, of which about 487,000 are frames and the rest resets. {_PLAY}"
    " In evaluations PPO plays its most probable action.",
)
