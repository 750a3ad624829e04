"""Figs. 7 and 19 to 22, in MinAtar: layer normalization, alignment of gradients, and spectra."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, where
from tfplastic.reports.figures import FIGURES, _sources, atari, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS, arm_factors, with_factors
from tfplastic.reports.statistics.minatar_scores import improvement
from tfplastic.reports.statistics.rank_correlation import RankCorrelation, of_pairs

_FACTORS = ("game", "intervention")
_NORMED = "layer_norm"
_EXTREMES = 3  # runs of Figs. 19 and 20 each, as in the paper
_NEAR_DIAGONAL = 0.5  # mean size of the cosines of different examples: below, the diagonal is heaviest
_FEWEST = 6  # runs of a game to correlate
_PANELS = {"return": _sources.RETURN, "dead units": _sources.DEAD_UNITS, "probe loss": PROBE_LOSS}


def figure_7(committed: Committed) -> Result:
    """Judges returns with layer normalization, and the alignment of gradients where it helps."""
    selection = committed.select(7)
    runs = selection.runs
    if _sources.RETURN not in runs.tags():
        return Result(selection)
    rows = atari.improvements(runs, _FACTORS, gain=improvement).dropna()
    gains = dict(zip(map(str, rows["game"]), floats(rows, "improvement"), strict=True))
    claims = [_improves(gains), _less_correlated(runs, [game for game, gain in gains.items() if gain > 0])]
    found = f"MinAtar: {claims[0].ours}" if len(gains) else ""
    games = _games(runs)
    draw = functools.partial(FIGURES[7].draw, runs, factors=_FACTORS, games=games, gain=improvement)
    caption = (
        "Improvement by layer normalization in MinAtar, and C_k at the end of training of the first seed."
    )
    along = (
        "Return, dead units (mean over layers) and probe loss along training: medians of seeds, thin lines"
        " single runs."
    )
    drawings = [
        Drawing("fig07", caption, draw, (10, 4.6)),
        Drawing("fig07_training", along, functools.partial(_draw_training, runs), (3.5 * len(games), 8)),
    ]
    return Result(selection, claims, found, drawings, [_table(runs)], [numbers.NOTE])


def _games(runs: Runs) -> list[str]:
    return sorted({parts["game"] for parts in arm_factors(runs, _FACTORS).values()})


def _improves(gains: Mapping[str, float]) -> Claim:
    paper = "layer normalization improves the return in 45 of 57 games, by 22 % in the median"
    if not gains:
        return Claim("improves", paper, "no game has runs both with it and without", None)
    higher = sum(gain > 0 for gain in gains.values())
    shown = ", ".join(f"{game} {100 * gain:+.0f} %" for game, gain in gains.items())
    ours = f"layer normalization improves the return in {higher} of {len(gains)} games: {shown}"
    is_better = 2 * higher > len(gains) and float(np.median([*gains.values()])) > 0
    return Claim("improves", paper, ours, is_better)


def _less_correlated(runs: Runs, games: Sequence[str]) -> Claim:
    paper = "where layer normalization helps, gradients of different transitions are less correlated"
    pairs = {game: [_alignments(runs, f"{game}-{arm}") for arm in (_NORMED, "none")] for game in games}
    pairs = {game: pair for game, pair in pairs.items() if all(len(each) for each in pair)}
    if not pairs:
        return Claim("less_correlated", paper, "it helps in no game with C_k", None)
    texts = [f"{game} {normed.mean():.2f} and {none.mean():.2f}" for game, (normed, none) in pairs.items()]
    lower = sum(bool(normed.mean() < none.mean()) for normed, none in pairs.values())
    ours = f"mean size of the cosines at the end of training, with it and without: {', '.join(texts)}"
    return Claim("less_correlated", paper, ours, 2 * lower > len(pairs))


def _alignments(runs: Runs, arm: str) -> np.ndarray:
    """Returns the alignment at the end of training of each run of an arm that has C_k."""
    return np.array([_alignment(runs, run) for run in runs if run.arm == arm and _has_matrix(runs, run)])


def _has_matrix(runs: Runs, run: Run) -> bool:
    return _sources.COVARIANCE in runs.array_tags(run)


def _alignment(runs: Runs, run: Run) -> float:
    """Returns the mean size of the last C_k off its diagonal: of the cosines of different examples."""
    matrix = np.asarray(runs.arrays(_sources.COVARIANCE, run)[-1].values["matrix"], np.float64)
    return float(np.nanmean(np.abs(matrix[~np.eye(len(matrix), dtype=bool)])))


def figure_19(committed: Committed) -> Result:
    """Judges whether gradients of the agents that fail are more aligned than of those that improve."""
    return _extremes(committed, 19, "least", _is_collinear)


def figure_20(committed: Committed) -> Result:
    """Judges whether C_k of the agents that improve is heaviest on its diagonal."""
    return _extremes(committed, 20, "most", _is_diagonal)


def _is_collinear(failing: np.ndarray, improving: np.ndarray, ours: str) -> Claim:
    text = "gradients of agents that fail are nearly collinear: C_k has large entries off its diagonal"
    return Claim("collinear", text, ours, bool(failing.mean() > max(improving.mean(), _NEAR_DIAGONAL)))


def _is_diagonal(failing: np.ndarray, improving: np.ndarray, ours: str) -> Claim:
    del failing
    text = "C_k of agents that improve has its largest entries on its diagonal"
    return Claim("diagonal", text, ours, bool(improving.mean() < _NEAR_DIAGONAL))


def _extremes(
    committed: Committed, number: int, kind: str, judge: Callable[[np.ndarray, np.ndarray, str], Claim]
) -> Result:
    """Judges alignments of the runs that gain the least and the most return, and shows those of `kind`."""
    selection = committed.select(number)
    runs = selection.runs
    if _sources.RETURN not in runs.tags() or _sources.COVARIANCE not in runs.array_tags():
        return Result(selection)
    ordered = atari.by_gain(runs)
    if len(ordered) < 2 * _EXTREMES:
        return Result(selection)
    failing, improving = (
        np.array([_alignment(runs, run) for run in chosen])
        for chosen in (ordered[:_EXTREMES], ordered[-_EXTREMES:])
    )
    ours = f"failing {numbers.several(failing, 2)}, improving {numbers.several(improving, 2)}"
    ours = f"mean size of the cosines of different transitions at the end: {ours}"
    claim = judge(failing, improving, ours)
    caption = f"Return and C_k along the training of the {_EXTREMES} agents whose return gains the {kind}."
    draw = functools.partial(FIGURES[number].draw, runs)
    return Result(selection, [claim], ours, [Drawing(f"fig{number}", caption, draw, FIGURES[number].size)])


def figure_21(committed: Committed) -> Result:
    """Judges the relation of spectra and returns in the first half of the games, by name."""
    return _spectra(committed, 21)


def figure_22(committed: Committed) -> Result:
    """Judges the relation of spectra and returns in the second half of the games, by name."""
    return _spectra(committed, 22)


def _spectra(committed: Committed, number: int) -> Result:
    selection = committed.select(number)
    runs = selection.runs
    if not {_sources.RETURN, _sources.SHARPNESS} <= set(runs.tags()):
        return Result(selection)
    games = _games(runs)
    half = (len(games) + 1) // 2
    found = {game: _relation(runs, game) for game in (games[:half] if number == 21 else games[half:])}
    known = {game: each for game, each in found.items() if not np.isnan(each.value)}
    if not known:
        return Result(selection)
    shown = ", ".join(f"{game} {each}" for game, each in known.items())
    ours = f"rank correlation of the largest eigenvalue and the return at the end, over runs: {shown}"
    is_clear = any(each.is_away_from_zero for each in known.values())
    claim = Claim("no_relation", "spectra have no clear relation with returns", ours, not is_clear)
    drawings = []
    if not FIGURES[number].lacks(runs):
        caption = "Spectra of the Hessian at the end of training of the first seed."
        draw = functools.partial(FIGURES[number].draw, runs, factors=_FACTORS)
        drawings = [Drawing(f"fig{number}", caption, draw, (5.5 * len(found), 3.6))]
    return Result(selection, [claim], ours, drawings)


def _relation(runs: Runs, game: str) -> RankCorrelation:
    """Returns the rank correlation of sharpness and return over the runs of a game; NaN of few runs."""
    of_game = runs.where(lambda run: run.arm.startswith(f"{game}-"))
    columns = [of_game.last(tag).set_index("run")["value"] for tag in (_sources.SHARPNESS, _sources.RETURN)]
    pairs = pd.concat(columns, axis=1, keys=["sharpness", "return"], join="inner").dropna()
    few = len(pairs) < _FEWEST
    return of_pairs([], []) if few else of_pairs(floats(pairs, "sharpness"), floats(pairs, "return"))


def _table(runs: Runs) -> str:
    rows = []
    for arm, parts in arm_factors(runs, _FACTORS).items():
        chosen = runs.where(lambda run, arm=arm: run.arm == arm)
        gains = atari.improvements(runs, _FACTORS, parts["intervention"], gain=improvement)
        gain = float(floats(where(gains, gains["game"] == parts["game"]), "improvement")[0])
        dead = _sources.mean_over_layers(chosen.last(_sources.DEAD_UNITS))
        probe = numbers.first_and_last(chosen, PROBE_LOSS)
        rows.append(
            [
                paper_name(parts["game"]),
                paper_name(parts["intervention"]),
                numbers.several(floats(chosen.last(_sources.RETURN), "value"), 1),
                numbers.mean([100 * gain], 0),
                numbers.several(_alignments(runs, arm), 2),
                numbers.several(floats(dead, "value"), 2),
                *(numbers.several(each) for each in probe),
                numbers.mean(numbers.durations(chosen), 0),
                numbers.links(chosen),
            ]
        )
    columns = ["game", "intervention", "return", "improvement, %", "mean size of cosines", "dead units"]
    return numbers.table([*columns, "probe loss, fresh", "probe loss, last", "CPU s", "seeds"], rows)


def _draw_training(runs: Runs, ax: Axes) -> Axes:
    games = _games(runs)
    panels = forms.panels(ax, len(_PANELS), len(games))
    for line, (title, tag) in zip(panels, _PANELS.items(), strict=True):
        rows = with_factors(_sources.mean_over_layers(runs.scalars(tag)), _FACTORS)
        rows["intervention"] = [paper_name(str(name)) for name in rows["intervention"]]
        colors = forms.group_colors(dict.fromkeys(rows["intervention"]))
        for game, panel in zip(games, line, strict=True):
            of_game = where(rows, rows["game"] == game)
            forms.curves(of_game, panel, by="intervention", colors=colors)
            panel.set(title=f"{title}, {game}", xlabel="gradient steps")
            panel.set_ylim(bottom=0)
    panels[-1][-1].legend()
    return ax
