"""Figs. 12, 13, 15 and 16: effects of the interventions on learning itself."""

import functools
from typing import Any

import numpy as np
import pandas as pd

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures import FIGURES, _sources
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import with_factors

_FACTORS = ("environment", "data", "architecture", "intervention")
_CELL = ["environment", "architecture", "intervention"]
_PERTURBING = ("shrink_and_perturb", "reset_last_layer")
_NO_PAIRS = "no network has runs without interventions on both MDPs yet"
_ALIKE = 2.0  # times, up to which two TD losses are called similar
_CHANCE, _FAR = 0.1, 2.0  # accuracy; times, from which on one gain above chance is far from another
Finals = dict[tuple[str, str, str], float]
"""{(environment, architecture, intervention): mean over runs}."""


def figure_12(committed: Committed) -> Result:
    """Judges accuracies on CIFAR-10."""
    return _accuracies(committed, 12)


def figure_13(committed: Committed) -> Result:
    """Judges accuracies on MNIST."""
    return _accuracies(committed, 13)


def figure_15(committed: Committed) -> Result:
    """Judges TD losses on MNIST."""
    return _td_losses(committed, 15)


def figure_16(committed: Committed) -> Result:
    """Judges TD losses on CIFAR-10."""
    return _td_losses(committed, 16)


def _accuracies(committed: Committed, number: int) -> Result:
    selection = committed.select(number)
    runs = selection.runs
    if _sources.ACCURACY not in runs.tags():
        return Result(selection)
    finals = _finals(runs, _sources.ACCURACY)
    claims = [_hard_is_slower(finals), *filter(None, (_perturbing(finals), _layer_norm(finals)))]
    found = claims[0].ours
    return Result(selection, claims, found, [_drawing(runs, number)], [_table(runs)], [numbers.NOTE])


def _td_losses(committed: Committed, number: int) -> Result:
    selection = committed.select(number)
    runs = selection.runs
    if _sources.TD_LOSS not in runs.tags():
        return Result(selection)
    losses, accuracies = _finals(runs, _sources.TD_LOSS), _finals(runs, _sources.ACCURACY)
    claims = [_alike(losses, accuracies), *filter(None, [_steadier(runs)])]
    found = claims[0].ours
    other = {15: 13, 16: 12}[number]
    remarks = [f"For the table of cells, see Fig. {other}."]
    return Result(selection, claims, found, [_drawing(runs, number)], [], remarks)


def _drawing(runs: Runs, number: int) -> Drawing:
    width, height = FIGURES[number].size
    environments = {arm.partition("-")[0] for arm in runs.arms}
    draw = functools.partial(FIGURES[number].draw, runs, factors=_FACTORS)
    caption = (
        "Medians of seeds, thin lines single runs, bands their range; a row for each MDP, a"
        " column for each intervention."
    )
    return Drawing(f"fig{number}", caption, draw, (width, height * len(environments) / 2))


def _finals(runs: Runs, tag: str) -> Finals:
    rows = numbers.at_the_end(runs, tag, _FACTORS)
    return {
        (str(environment), str(network), str(arm)): float(floats(of_cell, "value").mean())
        for (environment, network, arm), of_cell in groups(rows, _CELL)
    }


def _pairs(finals: Finals) -> list[tuple[str, float, float]]:
    """Returns (network, value on the easy MDP, on the hard one) without interventions."""
    networks = [network for environment, network, arm in finals if (environment, arm) == ("easy", "none")]
    return [
        (network, finals["easy", network, "none"], finals["hard", network, "none"])
        for network in networks
        if ("hard", network, "none") in finals
    ]


def _hard_is_slower(finals: Finals) -> Claim:
    pairs = _pairs(finals)
    if not pairs:
        return Claim("hard_is_slower", "the hard MDP is learned far more slowly", _NO_PAIRS, None)
    texts = [f"{paper_name(network)} {easy:.2f} and {hard:.2f}" for network, easy, hard in pairs]
    ours = f"accuracy at the end without interventions, easy and hard: {', '.join(texts)}"
    is_far = all(easy - _CHANCE > max(0.0, _FAR * (hard - _CHANCE)) for _, easy, hard in pairs)
    return Claim("hard_is_slower", "the hard MDP is learned far more slowly", ours, is_far)


def _against_none(finals: Finals, interventions: tuple[str, ...]) -> list[tuple[float, float]]:
    """Returns (value, value without an intervention) of each environment and network."""
    return [
        (value, finals[environment, network, "none"])
        for (environment, network, arm), value in finals.items()
        if arm in interventions and (environment, network, "none") in finals
    ]


def _perturbing(finals: Finals) -> Claim | None:
    pairs = _against_none(finals, _PERTURBING)
    if not pairs:
        return None
    lower = sum(ours < none for ours, none in pairs)
    means = np.mean(pairs, axis=0)
    ours = f"lower than None in {lower} of {len(pairs)} cells; means {means[0]:.2f} and {means[1]:.2f}"
    paper = "shrink and perturb and resets of the last layer interfere with learning"
    return Claim("perturbing_interferes", paper, ours, lower > len(pairs) / 2)


def _layer_norm(finals: Finals) -> Claim | None:
    pairs = _against_none(finals, ("layer_norm",))
    if not pairs:
        return None
    best = 0
    for environment, network, arm in finals:
        if arm == "layer_norm" and (environment, network, "none") in finals:
            column = {other: value for (*of, other), value in finals.items() if of == [environment, network]}
            best += max(column, key=column.__getitem__) == arm
    means = np.mean(pairs, axis=0)
    ours = (
        f"the highest of all arms in {best} of {len(pairs)} cells; mean {means[0]:.2f}, None {means[1]:.2f}"
    )
    return Claim("layer_norm_learns", "agents with layer norm learn best", ours, best > len(pairs) / 2)


def _alike(losses: Finals, accuracies: Finals) -> Claim:
    paper = "TD losses on easy and hard are similar though accuracies differ"
    pairs = _pairs(losses)
    if not pairs:
        return Claim("losses_are_alike", paper, _NO_PAIRS, None)
    texts = [
        f"{paper_name(network)} {easy:.2f} and {hard:.2f} (accuracy"
        f" {accuracies['easy', network, 'none']:.2f} and"
        f" {accuracies['hard', network, 'none']:.2f})"
        for network, easy, hard in pairs
    ]
    ours = f"TD loss at the end without interventions, easy and hard: {', '.join(texts)}"
    alike = all(max(easy, hard) <= _ALIKE * min(easy, hard) for _, easy, hard in pairs)
    return Claim("losses_are_alike", paper, ours, alike)


def _steadier(runs: Runs) -> Claim | None:
    """Judges how far the TD loss moves between evaluations in the second half of training."""
    rows = with_factors(runs.scalars(_sources.TD_LOSS), _FACTORS)
    moves: dict[Any, list[float]] = {}
    for (environment, network, arm, _), of_run in groups(rows, [*_CELL, "run"]):
        values = floats(of_run.sort_values("step"), "value")
        half = values[len(values) // 2 :]
        if len(half) > 2:
            moves.setdefault((environment, network, arm), []).append(float(np.abs(np.diff(half)).mean()))
    means = {key: float(np.mean(values)) for key, values in moves.items()}
    pairs = _against_none(means, ("layer_norm", "two_hot"))
    if not pairs:
        return None
    steadier = sum(ours < none for ours, none in pairs)
    ours = f"their TD loss moves less from one evaluation to the next in {steadier} of {len(pairs)} cells"
    return Claim(
        "steadier", "learning is more stable with layer norm and two-hot", ours, steadier > len(pairs) / 2
    )


def _table(runs: Runs) -> str:
    accuracy, loss = (
        numbers.at_the_end(runs, tag, _FACTORS) for tag in (_sources.ACCURACY, _sources.TD_LOSS)
    )
    rows = []
    for arm in runs.arms:
        chosen = runs.where(lambda run, arm=arm: run.arm == arm)
        values = [numbers.several(_of(each, arm), 2) for each in (accuracy, loss)]
        seconds = numbers.mean(numbers.durations(chosen), 0)
        rows.append([*map(paper_name, arm.split("-")), *values, seconds, numbers.links(chosen)])
    return numbers.table([*_FACTORS, "accuracy", "TD loss", "CPU s", "seeds"], rows)


def _of(rows: pd.DataFrame, arm: str) -> np.ndarray:
    return floats(pd.DataFrame(rows[rows["arm"] == arm]), "value")
