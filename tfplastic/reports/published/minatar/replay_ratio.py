"""Replay ratios in MinAtar: dormant units, returns and plasticity."""

from collections.abc import Sequence

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS

RATIOS = {"quarter": "1/4", "one": "1", "four": "4"}
"""{first part of an arm's name: gradient steps per frame}."""
_LOW, *_, _HIGH = RATIOS
_DORMANT = "diagnostics/dormant_units/"


def dormant_units(run: Run) -> float:
    """Returns the share of dormant units at the end, the mean over layers; NaN where it is not measured."""
    found = measures.by_layer(run, _DORMANT)
    return float(np.mean([*found.values()])) if found else float("nan")


def _return(run: Run) -> float:
    return measures.scalar(run, cells.RETURN)


def judge(runs: Runs) -> Judged:
    """Judges dormant units without a method, and the return with resets at the largest ratio."""
    shares = {ratio: cells.of_runs(runs, f"{ratio}-none", dormant_units) for ratio in RATIOS}
    with_redo, without = (cells.of_runs(runs, f"{_HIGH}-{arm}", _return) for arm in ("redo", "none"))
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
        Claim(
            "resets",
            "resets help at high ratios: at 4 gradient steps per frame the return with ReDo is larger than"
            " without a method (Nikishin et al. 2022)",
            f"ReDo {numbers.several(with_redo, 1)}, none {numbers.several(without, 1)}"
            if len(with_redo) and len(without)
            else "",
            cells.is_clearly_above(with_redo, without),
        ),
    ]
    shown = [f"{RATIOS[ratio]}: {each.mean():.3f}" for ratio, each in shares.items() if len(each)]
    return Judged(f"dormant units without a method {', '.join(shown)}" if shown else "", claims)


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
            )
        ]
        rows.append([RATIOS.get(ratio, ratio), method, *values, cells.progress(runs, arm, planned)])
    columns = ["gradient steps per frame", "method", "dormant units", "return", "probe loss, fresh"]
    return [numbers.table([*columns, "probe loss, last", "runs"], rows)]


ROW = Row(
    "minatar_replay_ratio",
    "Replay ratio",
    "Sokar et al. 2023 and Nikishin et al. 2022, figures of Atari",
    "dormant units increase with the replay ratio; resets help at high ratios",
    "gin/paper/small/minatar_replay_ratio.gin",
    judge,
    (
        "Breakout, 100,000 frames, all measurements at the end. A mean is larger than another if they differ"
        " by more than two pooled standard errors over seeds. Dormant units are the mean over layers; the"
        " return is the mean of the last 100 episodes of training. ReDo resets dormant units; Nikishin et al."
        " reset whole layers, which is not among these runs.",
    ),
    needs=(cells.RETURN, PROBE_LOSS),
    tables=tables,
)
