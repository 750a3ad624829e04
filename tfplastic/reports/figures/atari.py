"""Figs. 7, 19 and 20: layer normalization on Atari, and the alignment of gradients."""

import math
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import paper_name, paper_numbers
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.atari_scores import improvement
from tfplastic.reports.statistics.factorial import arm_factors, with_factors

_MATRICES = 4  # along the training of a run
_WIDE = 4  # matrices side by side whose titles have room

Gain = Callable[[str, float, float], float]
"""Function of a game, an agent's score and the baseline's that returns the improvement, a fraction."""


def improvements(
    runs: Runs,
    factors: Sequence[str] = ("game", "intervention"),
    intervention: str = "layer_norm",
    baseline: str = "none",
    gain: Gain = improvement,
) -> pd.DataFrame:
    """Returns the improvement of an intervention over the baseline on each game, by the paper's formula.

    Args:
        runs: with `evaluation/episode_return`, of which each run's last counts.
        factors: parts of the arms' names, 'game' and 'intervention' among them.
        intervention: intervention to judge.
        baseline: intervention to compare with.
        gain: function of a game, a score and the baseline's; by default the paper's, of the games of Atari.

    Returns:
        Columns `game`, `score` and `baseline`, the means over runs, and `improvement`, of `gain`, a fraction;
        NaN where one of the two has no run.

    Raises:
        ValueError: no run has a return, an arm's name has other parts, or `gain` does not know a game.
    """
    _sources.scalars(runs, _sources.RETURN)
    rows = with_factors(runs.last(_sources.RETURN), factors)
    means = {key: floats(of_cell, "value").mean() for key, of_cell in groups(rows, ["game", "intervention"])}
    found = []
    for game in sorted({game for game, _ in means}):
        score, other = (float(means.get((game, each), math.nan)) for each in (intervention, baseline))
        found.append([game, score, other, gain(game, score, other)])
    return pd.DataFrame(found, columns=["game", "score", "baseline", "improvement"])


def figure_7(
    runs: Runs,
    ax: Axes,
    factors: Sequence[str] = ("game", "intervention"),
    games: Sequence[str] = ("Freeway", "Kangaroo"),
    gain: Gain = improvement,
) -> Axes:
    """Draws the improvement by layer normalization on each game, and C_k of both agents on two games.

    Fig. 7 of the paper, section 6.3. Bars are ours, dots the paper's. Below, C_k at the last step that has
    one, of the first run of each arm; only where there is one.

    Args:
        runs: with `evaluation/episode_return`, and arrays of the gradient covariance if they are to be shown.
        ax: axes to draw on.
        factors: parts of the arms' names, 'game' and 'intervention' among them, 'layer_norm' and 'none'
            among the interventions.
        games: games whose C_k is shown.
        gain: see `improvements`.

    Raises:
        ValueError: see `improvements`.
    """
    gains, numbers = improvements(runs, factors, gain=gain), paper_numbers(7)
    ours = pd.Series(100 * floats(gains, "improvement"), gains["game"].tolist())
    theirs = pd.Series(floats(numbers, "value"), numbers["data"].tolist())
    matrices = _last_matrices(runs, factors, games)
    panel, below = ax, []
    if matrices:
        top, *rest = forms.panels(ax, 2, 1)
        panel, below = top[0], forms.panels(rest[0][0], 1, len(matrices))[0]
    is_compared = bool(set(ours.index) & set(theirs.index))
    forms.bars(ours, panel, theirs if is_compared else None)
    panel.set(ylabel="improvement (%)", title="improvement by layer normalization")
    if is_compared:
        panel.legend()
    for panel, (title, matrix) in zip(below, matrices.items(), strict=True):
        forms.matrix(matrix, panel)
        panel.set_title(title, fontsize=None if len(matrices) <= _WIDE else 7)
    for panel in below[-1:]:
        forms.color_bar(panel, "cosine of gradients")
    return ax


def figure_19(runs: Runs, ax: Axes, num_runs: int = 3) -> Axes:
    """Draws returns and gradient covariance along the training of agents that fail.

    Figs. 19 (failing) and 20 (improving) of the paper, appendix B.3, three games each: it names neither the
    games nor the rule. Here these are the runs whose return gained the least (for Fig. 20 the most) between
    the first and the last evaluation, relative to the largest of its absolute returns. A row for each run:
    its return, then C_k at up to four steps.

    Args:
        runs: with `evaluation/episode_return` and arrays of the gradient covariance; others are not shown.
        ax: axes to draw on.
        num_runs: number of runs.

    Raises:
        ValueError: no run has one of the two.
    """
    return _returns_and_matrices(runs, ax, num_runs, improving=False)


def figure_20(runs: Runs, ax: Axes, num_runs: int = 3) -> Axes:
    """Draws `figure_19` for the agents that improve the most."""
    return _returns_and_matrices(runs, ax, num_runs, improving=True)


def by_gain(runs: Runs, most_first: bool = False, gain: Callable[[Run], float] | None = None) -> list[Run]:
    """Returns the runs with returns and C_k in the order in which their return gained.

    Args:
        runs: with `evaluation/episode_return` and arrays of the gradient covariance; others are left out.
        most_first: whether the run that gained the most comes first, else the one that gained the least.
        gain: function of a run; by default that of `figure_19`.

    Raises:
        ValueError: no run has one of the two.
    """
    with_matrices = {file.run.name for file in _sources.arrays(runs, _sources.COVARIANCE)}
    returns = _sources.scalars(runs, _sources.RETURN)
    both = with_matrices & set(returns["run"])
    chosen = [run for run in runs if run.name in both]
    return sorted(chosen, key=gain or (lambda run: _gain(returns, run)), reverse=most_first)


def _returns_and_matrices(runs: Runs, ax: Axes, num_runs: int, improving: bool) -> Axes:
    ordered = by_gain(runs, improving)[:num_runs]
    returns = _sources.scalars(runs, _sources.RETURN)
    for line, run in zip(forms.panels(ax, len(ordered), _MATRICES + 1), ordered, strict=True):
        of_run = returns[returns["run"] == run.name]
        line[0].plot(of_run["step"], of_run["value"], color="k")
        line[0].set(title=run.name, xlabel="gradient steps", ylabel="episode return")
        files = runs.arrays(_sources.COVARIANCE, run)
        shown = _sources.spread_out([file.step for file in files], _MATRICES)
        chosen = [file for file in files if file.step in shown]
        for index, panel in enumerate(line[1:]):
            if index >= len(chosen):
                panel.set_axis_off()
                continue
            forms.matrix(chosen[index].values["matrix"], panel)
            panel.set_title(f"C_k, step {chosen[index].step:,}", fontsize=7)
    return ax


def _gain(returns: pd.DataFrame, run: Run) -> float:
    values = returns.loc[returns["run"] == run.name, "value"].to_numpy(float)
    scale = abs(values).max()
    return (values[-1] - values[0]) / scale if scale > 0 else 0.0


def _last_matrices(runs: Runs, factors: Sequence[str], games: Sequence[str]) -> dict[str, object]:
    """Returns {title: C_k}: of each game, of the baseline and then of layer normalization."""
    parts = arm_factors(runs, factors)
    arms = {(of_arm["game"], of_arm["intervention"]): arm for arm, of_arm in parts.items()}
    found: dict[str, object] = {}
    for game in games:
        for intervention in ("none", "layer_norm"):
            arm = arms.get((game, intervention))
            files = runs.where(lambda run, arm=arm: run.arm == arm).arrays(_sources.COVARIANCE)
            if files:
                of_first = [file for file in files if file.run is files[0].run]
                found[f"{game}, {paper_name(intervention)}"] = of_first[-1].values["matrix"]
    return found
