"""Replay ratios in MinAtar: dormant units, returns and plasticity."""

import functools
from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS
from tfplastic.reports.statistics.stratified import contrast, welch

RATIOS = {"quarter": "1/4", "one": "1", "four": "4"}
"""{first part of an arm's name: gradient steps per frame}."""
_LOW, *_, _HIGH = RATIOS
_DORMANT = "diagnostics/dormant_units/"
_UNITS = {"conv1_relu": 16, "dense_relu": 128}  # channels and units of the hidden layers of `minatar_cnn`


def dormant_units(run: Run) -> float:
    """Returns the share of all units that are dormant at the end, channels included; NaN if not measured."""
    found = measures.by_layer(run, _DORMANT)
    if found.keys() != _UNITS.keys():
        return float("nan")
    return float(np.average([*found.values()], weights=[_UNITS[layer] for layer in found]))


def _return(run: Run) -> float:
    return measures.scalar(run, cells.RETURN)


def judge(runs: Runs) -> Judged:
    """Judges dormant units without a method, and the returns with resets at the largest ratio."""
    shares = {ratio: cells.of_runs(runs, f"{ratio}-none", dormant_units) for ratio in RATIOS}
    claims = [
        Claim(
            "dormant",
            "the share of dormant units without a method is larger at 4 gradient steps per frame than at 1/4"
            " (Sokar et al. 2023)",
            ", ".join(
                f"{RATIOS[ratio]}: {numbers.several(each)}" for ratio, each in shares.items() if len(each)
            ),
            cells.is_clearly_above(shares[_HIGH], shares[_LOW]),
        ),
        _of_returns(
            runs,
            "resets",
            "resets help at high ratios: at 4 gradient steps per frame the return with resets of the last"
            " layer is larger than without a method (Nikishin et al. 2022)",
            {"resets": f"{_HIGH}-reset_last_layer", "none": f"{_HIGH}-none"},
        ),
        _scaling(runs),
    ]
    shown = [f"{RATIOS[ratio]}: {each.mean():.3f}" for ratio, each in shares.items() if len(each)]
    return Judged(f"dormant units without a method {', '.join(shown)}" if shown else "", claims)


def _of_returns(runs: Runs, name: str, text: str, arms: dict[str, str]) -> Claim:
    """Returns the claim that the return of the first of two arms, {name to be shown: arm}, is larger."""
    higher, lower = returns = [cells.of_runs(runs, arm, _return) for arm in arms.values()]
    shown = [f"{each} {numbers.several(values, 1)}" for each, values in zip(arms, returns, strict=True)]
    ours = ", ".join(shown) if len(higher) and len(lower) else ""
    return Claim(name, text, ours, cells.is_clearly_above(higher, lower))


def _scaling(runs: Runs) -> Claim:
    """Returns the claim that the return grows with shrink and perturb, and more than without it."""
    text = (
        "resets let the return grow with the ratio: from 1/4 to 4 gradient steps per frame it grows with"
        " shrink and perturb, by gradient steps, and more than without a method (D'Oro et al. 2023)"
    )
    growth = {}
    for method in ("shrink_and_perturb_by_steps", "none"):
        high, low = (cells.of_runs(runs, f"{ratio}-{method}", _return) for ratio in (_HIGH, _LOW))
        if not (len(high) and len(low)):
            return Claim("scaling", text, "", None)
        growth[method] = welch(high, low)
    shown = ", ".join(f"{method} {each.value:+.1f}" for method, each in growth.items())
    both = [cells.sign(each) for each in (growth["shrink_and_perturb_by_steps"], contrast(*growth.values()))]
    agrees = True if all(both) else False if False in both else None
    return Claim("scaling", text, shown, agrees)


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns a row for each ratio and method."""
    rows = []
    for arm in planned:
        ratio, _, method = arm.partition("-")
        values = [
            numbers.several(cells.of_runs(runs, arm, measure), digits)
            for measure, digits in (
                (dormant_units, 3),
                (_return, 1),
                (cells.fresh_probe_loss, 3),
                (cells.last_probe_loss, 3),
                (functools.partial(cells.fresh_probe_loss, tag=cells.STANDARDIZED), 3),
                (functools.partial(cells.last_probe_loss, tag=cells.STANDARDIZED), 3),
            )
        ]
        rows.append([RATIOS.get(ratio, ratio), method, *values, cells.progress(runs, arm, planned)])
    columns = ["gradient steps per frame", "method", "dormant units", "return", "probe loss, fresh"]
    return [
        numbers.table(
            [*columns, "probe loss, last", "standardized, fresh", "standardized, last", "runs"], rows
        )
    ]


ROW = Row(
    "minatar_replay_ratio",
    "Replay ratio",
    "Sokar et al. 2023, Nikishin et al. 2022 and D'Oro et al. 2023, figures of Atari",
    "dormant units increase with the replay ratio; resets help at high ratios, and let returns grow with it",
    "gin/paper/small/minatar_replay_ratio.gin",
    judge,
    (
        "Breakout, 100,000 frames, all measurements at the end; epsilon falls over 25,000 frames. 'Larger'"
        " means a significant difference by Welch's test over seeds at 5 %, 'no' the opposite, and '–'"
        " neither. The difference of two growths has Welch's interval over the four means. Dormant units,"
        " with a score of at most 0.025, are a share of all 144 hidden units, 16 channels and 128 units;"
        " the return is the mean of the last 100 episodes of training. The last layer is redrawn every"
        " 20,000 frames and the replay memory kept. Shrink and perturb does the same, keeps 0.8 of the"
        " other weights and adds 0.2 of a fresh draw (D'Oro et al. 2023). `..._by_steps` does so every"
        " 16,000 gradient steps, which at 1/4 is once. These resets are up to 23 gradient steps before a"
        " copy of the target network, which is then reset as well. ReDo resets units with a score of at"
        " most 0.1 every 1,000 gradient steps and leaves the target network as it is. 'Probe loss' is that"
        " of the paper; 'standardized' is of the same probe after the outputs have been mapped to the mean"
        " and scale of the targets, because the outputs of a trained network start far from them.",
        "Differences from the papers: dormant units and probes are measured on observations of the warm-up,"
        " which is random play, so that a unit for later states of the game counts as dormant; probes have"
        " Adam at 1e-3, because the agent's optimizer hardly fits their targets within 1,000 steps even from"
        " a fresh network.",
    ),
    needs=(cells.RETURN, PROBE_LOSS, cells.STANDARDIZED),
    tables=tables,
)
