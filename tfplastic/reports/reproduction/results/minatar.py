"""Figs. 7 and 19 to 22, in MinAtar: layer normalization, alignment of gradients, and spectra."""

import functools
import math
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
from tfplastic.reports.statistics.minatar_scores import PUBLISHED, RANDOM, above_blind, improvement, possible
from tfplastic.reports.statistics.rank_correlation import RankCorrelation, of_pairs
from tfplastic.reports.statistics.stratified import Difference, mean_over_strata, welch

_FACTORS = ("game", "intervention")
_NORMED, _BASELINE = "layer_norm", "none"
_NOTABLE = 0.05  # mean improvement below which there is none of note
_RETURN_ERROR = "evaluation/episode_return_stderr"
_FAILS = 5.0  # pooled standard errors above random play and the best single action: below, an agent fails
_EXTREMES = 3  # runs of Figs. 19 and 20 each, as in the paper
_NEAR_DIAGONAL = 0.5  # mean size of the cosines of different examples: below, the diagonal is heaviest
_HEADS = {"DQN": ("none", "layer_norm"), "C51": ("c51", "c51+layer_norm")}
_FEWEST = 6  # runs of a game and head to correlate
_MANY = 17  # runs from which on the interval of a correlation of 0 is narrower than +-0.5
_INTERVALS = (
    "Improvements are followed by half of their 95 % interval, Welch's over seeds, which takes the scale of a"
    " game as known."
)
_PANELS = {"return": _sources.RETURN, "dead units": _sources.DEAD_UNITS, "probe loss": PROBE_LOSS}


def figure_7(committed: Committed) -> Result:
    """Judges returns with layer normalization, and the alignment of gradients where it helps."""
    selection = committed.select(7)
    runs = selection.runs
    if _sources.RETURN not in runs.tags():
        return Result(selection)
    gains = _gains(runs, _NORMED)
    helped = [game for game, gain in gains.items() if gain.is_above_zero]
    claims = [_improves(gains), _less_correlated(runs, helped)]
    found = claims[0].ours if len(gains) else ""
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
    return Result(selection, claims, found, drawings, [_table(runs)], [numbers.NOTE, _INTERVALS])


def _games(runs: Runs) -> list[str]:
    return sorted({parts["game"] for parts in arm_factors(runs, _FACTORS).values()})


def _gains(runs: Runs, intervention: str) -> dict[str, Difference]:
    """Returns the improvement over the baseline, a fraction, in each game with runs of both arms."""
    found = {}
    for game in _games(runs):
        sample, baseline = (_returns(runs, f"{game}-{each}") for each in (intervention, _BASELINE))
        if len(sample) and len(baseline):
            found[game] = welch(sample, baseline, possible(game, float(baseline.mean())))
    return found


def _returns(runs: Runs, arm: str) -> np.ndarray:
    return floats(runs.where(lambda run: run.arm == arm).last(_sources.RETURN), "value")


def _improves(gains: Mapping[str, Difference]) -> Claim:
    paper = "layer normalization improves the return in 45 of 57 games, by 22 % in the median"
    if not gains:
        return Claim("improves", paper, "no game has runs both with it and without", None)
    higher = sum(gain.value > 0 for gain in gains.values())
    shown = ", ".join(f"{game} {100 * gain.value:+z.0f} %" for game, gain in gains.items())
    mean = mean_over_strata([*gains.values()])
    ours = f"in MinAtar layer normalization improves the return in {higher} of {len(gains)} games: {shown}"
    ours = f"{ours}; mean {100 * mean.value:+z.0f} %"
    if not math.isnan(mean.half_width):
        bounds = f"[{100 * mean.low:z.0f}, {100 * mean.high:z.0f}]"
        ours = f"{ours} {bounds} (95 %, Welch's interval over seeds, games fixed)"
    if len(gains) < len(PUBLISHED):
        return Claim("improves", paper, ours, None)
    is_better = mean.is_above_zero and 2 * higher > len(gains)
    return Claim("improves", paper, ours, True if is_better else False if mean.high < _NOTABLE else None)


def _less_correlated(runs: Runs, games: Sequence[str]) -> Claim:
    """Judges the alignment in the games that layer normalization clearly helps in."""
    paper = "where layer normalization helps, gradients of different transitions are less correlated"
    pairs = {game: [_alignments(runs, f"{game}-{arm}") for arm in (_NORMED, _BASELINE)] for game in games}
    pairs = {game: pair for game, pair in pairs.items() if all(len(each) for each in pair)}
    if not pairs:
        return Claim("less_correlated", paper, "it clearly helps in no game with C_k", None)
    differences = [welch(normed, none) for normed, none in pairs.values()]
    lower = sum(each.is_below_zero for each in differences)
    higher = sum(each.is_above_zero for each in differences)
    texts = [f"{game} {normed.mean():.2f} and {none.mean():.2f}" for game, (normed, none) in pairs.items()]
    ours = "mean size of the cosines at the end of training, with it and without, where it clearly helps"
    ours = f"{ours}: {', '.join(texts)}"
    ours = f"{ours}; clearly lower in {lower} and clearly higher in {higher} of {len(pairs)}"
    agrees = True if 2 * lower > len(pairs) else False if 2 * higher > len(pairs) else None
    return Claim("less_correlated", paper, ours, agrees)


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
    return _extremes(committed, 19, _is_collinear)


def figure_20(committed: Committed) -> Result:
    """Judges whether C_k of the agents that improve is heaviest on its diagonal."""
    return _extremes(committed, 20, _is_diagonal)


def _is_collinear(failing: np.ndarray, improving: np.ndarray, ours: str) -> Claim:
    text = "gradients of agents that fail are nearly collinear: C_k has large entries off its diagonal"
    if len(failing) < _EXTREMES:
        few = (
            f"fewer than three agents fail: {len(failing)} are less than {_FAILS:g} pooled standard errors"
            " above the better of random play and the best single action"
        )
        return Claim("collinear", text, f"{few}; {ours}", None)
    return Claim("collinear", text, ours, bool(failing.mean() > max(improving.mean(), _NEAR_DIAGONAL)))


def _is_diagonal(failing: np.ndarray, improving: np.ndarray, ours: str) -> Claim:
    del failing
    text = "C_k of agents that improve has its largest entries on its diagonal"
    ours = f"{ours}; diagonal if below {_NEAR_DIAGONAL:g}"
    return Claim("diagonal", text, ours, bool(improving.mean() < _NEAR_DIAGONAL))


def _extremes(
    committed: Committed, number: int, judge: Callable[[np.ndarray, np.ndarray, str], Claim]
) -> Result:
    """Judges alignments of agents that fail and of those that improve, once all runs are there."""
    selection = committed.select(number)
    runs = selection.runs
    if not selection.is_complete or FIGURES[number].lacks(runs):
        return Result(selection)
    failing, improving = _failing_and_improving(runs)
    if len(improving) < _EXTREMES:
        return Result(selection)
    alignments = [np.array([_alignment(runs, run) for run in chosen]) for chosen in (failing, improving)]
    texts = [numbers.several(each, 2) for each in alignments]
    ours = f"mean size of the cosines of different transitions at the end: failing {texts[0]}"
    claim = judge(alignments[0], alignments[1], f"{ours}, improving {texts[1]}")
    chosen, word = (failing, "fail the most") if number == 19 else (improving, "improve the most")
    caption = f"Return and C_k along the training of the {_EXTREMES} agents that {word}."
    draw = functools.partial(FIGURES[number].draw, Runs(chosen))
    drawings = (
        [Drawing(f"fig{number}", caption, draw, FIGURES[number].size)] if len(chosen) == _EXTREMES else []
    )
    return Result(selection, [claim], claim.ours, drawings)


def _failing_and_improving(runs: Runs) -> tuple[list[Run], list[Run]]:
    """Returns the failing runs that gain the least over random play, and the runs that gain the most."""
    returns, errors = (
        dict(zip(rows["run"], floats(rows, "value"), strict=True))
        for rows in (runs.last(_sources.RETURN), runs.last(_RETURN_ERROR))
    )
    games = {arm: parts["game"] for arm, parts in arm_factors(runs, _FACTORS).items()}

    def gain(run: Run) -> float:
        game = games[run.arm]
        return improvement(game, returns[run.name], RANDOM[game][0])

    def fails(run: Run) -> bool:
        return above_blind(games[run.arm], returns[run.name], errors.get(run.name, 0.0)) < _FAILS

    ordered = atari.by_gain(runs, gain=gain)
    return [run for run in ordered if fails(run)][:_EXTREMES], ordered[-_EXTREMES:]


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
    shown = games[:half] if number == 21 else games[half:]
    found = {f"{game} {head}": _relation(runs, game, head) for game in shown for head in _HEADS}
    if all(math.isnan(each.value) for each in found.values()):
        return Result(selection)
    claim = _no_relation(found)
    drawings = []
    if not FIGURES[number].lacks(runs):
        caption = "Spectra of the Hessian at the end of training of the first seed."
        draw = functools.partial(FIGURES[number].draw, runs, factors=_FACTORS)
        drawings = [Drawing(f"fig{number}", caption, draw, (5.5 * len(shown), 3.6))]
    return Result(selection, [claim], claim.ours, drawings)


def _no_relation(found: Mapping[str, RankCorrelation]) -> Claim:
    """Judges relations that were each measured over the runs of one game and head."""
    is_clear = any(each.is_clear_among(len(found)) for each in found.values())
    has_power = all(each.size >= _MANY and not math.isnan(each.value) for each in found.values())
    shown = ", ".join(f"{name} {each}" for name, each in found.items())
    ours = "rank correlation of the largest eigenvalue and the return at the end, over runs"
    ours = f"{ours}, DQN and C51 apart because their losses differ: {shown}"
    if not is_clear and not has_power:
        ours = f"{ours}; too few runs to exclude a relation"
    agrees = False if is_clear else True if has_power else None
    return Claim("no_relation", "spectra have no clear relation with returns", ours, agrees)


def _relation(runs: Runs, game: str, head: str) -> RankCorrelation:
    """Returns the rank correlation of sharpness and return over some runs of a game; NaN of few runs."""
    arms = {f"{game}-{intervention}" for intervention in _HEADS[head]}
    chosen = runs.where(lambda run: run.arm in arms)
    columns = [chosen.last(tag).set_index("run")["value"] for tag in (_sources.SHARPNESS, _sources.RETURN)]
    pairs = pd.concat(columns, axis=1, keys=["sharpness", "return"], join="inner").dropna()
    few = len(pairs) < _FEWEST
    return of_pairs([], []) if few else of_pairs(floats(pairs, "sharpness"), floats(pairs, "return"))


def _table(runs: Runs) -> str:
    rows = []
    gains = {each: _gains(runs, each) for head in _HEADS.values() for each in head if each != _BASELINE}
    for arm, parts in arm_factors(runs, _FACTORS).items():
        chosen = runs.where(lambda run, arm=arm: run.arm == arm)
        gain = gains.get(parts["intervention"], {}).get(parts["game"])
        dead = _sources.mean_over_layers(chosen.last(_sources.DEAD_UNITS))
        probe = numbers.first_and_last(chosen, PROBE_LOSS)
        rows.append(
            [
                paper_name(parts["game"]),
                paper_name(parts["intervention"]),
                numbers.several(floats(chosen.last(_sources.RETURN), "value"), 1),
                _percent(gain) if gain else numbers.NONE,
                numbers.several(_alignments(runs, arm), 2),
                numbers.several(floats(dead, "value"), 2),
                *(numbers.several(each) for each in probe),
                numbers.mean(numbers.durations(chosen), 0),
                numbers.links(chosen),
            ]
        )
    columns = ["game", "intervention", "return", "improvement, %", "mean size of cosines", "dead units"]
    return numbers.table([*columns, "probe loss, fresh", "probe loss, last", "CPU s", "seeds"], rows)


def _percent(gain: Difference) -> str:
    half = 100 * gain.half_width
    return f"{100 * gain.value:z.0f} ± {numbers.NONE if math.isnan(half) else f'{half:.0f}'}"


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
