"""Figs. 6 and 8 to 11: effects of interventions on the loss of plasticity, next to the paper's numbers."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from tfplastic.reports import aggregate
from tfplastic.reports._frames import floats, where
from tfplastic.reports.agreement import agreement
from tfplastic.reports.figures import FIGURES
from tfplastic.reports.paper import CELL, paper_cells, paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import TESTS, Committed, Selection
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.reproduction.results.probe_tables import SATURATED, probe_table, saturated_arms
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import FACTORS, PROBE_LOSS, probe_cells

_DATA = {6: "cifar10", 8: "cifar10", 9: "mnist", 10: "cifar10", 11: "mnist"}
_FEWEST_CLEAR, _FEWEST_CELLS = 3, 6  # cells that a measure of agreement is of
_MOST_NAMED = 4  # cells whose ranks differ most
_WITH_TABLE = {8: "", 9: "", 6: "Fig. 8", 10: "Fig. 8", 11: "Fig. 9"}
_INCREASES = {
    "sign_of_clear_differences": "differences from None that are clear in the paper have the same sign here",
    "sign_of_all_differences": "all differences from None have the paper's sign",
    "rho_of_losses_of_plasticity": "increases of the probe loss are in the paper's order",
}
_LOWER = {10: {"start": "initial_loss", "end": "final_loss"}, 11: {"start": "initial_loss"}}
_SHORT = {
    "sign_of_clear_differences": "clear signs",
    "rho_of_losses_of_plasticity": "rank correlation of increases",
    "rho_of_final_losses": "rank correlation of final losses",
}
_TESTS = {  # title, and the parts of an arm's name
    6: ("One cell computed in bfloat16", ("arithmetic", *FACTORS)),
    8: ("Shrink and perturb with other coefficients", ("data", "architecture", "shrink + perturb")),
    10: ("One cell with pixels in [0, 1] instead of [-1, 1]", ("pixels", *FACTORS)),
}
_FINALS = {"rho_of_final_losses": "probe losses at the end of training are in the paper's order"}


def figure_6(committed: Committed) -> Result:
    """Judges increases on CIFAR-10, without combinations."""
    return _figure(committed, 6)


def figure_8(committed: Committed) -> Result:
    """Judges increases on CIFAR-10."""
    return _figure(committed, 8)


def figure_9(committed: Committed) -> Result:
    """Judges increases on MNIST."""
    return _figure(committed, 9)


def figure_10(committed: Committed) -> Result:
    """Judges probe losses at both ends on CIFAR-10."""
    return _figure(committed, 10)


def figure_11(committed: Committed) -> Result:
    """Judges probe losses at both ends on MNIST."""
    return _figure(committed, 11)


def compared(cells: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Returns `agreement` of the cells that have both a start and an end, by measure."""
    there = where(cells, cells[["plasticity_loss", "final_loss"]].notna().all(axis=1))
    return agreement(there, paper).set_index("measure")


def _figure(committed: Committed, number: int) -> Result:
    selection = committed.select(number)
    runs = selection.runs
    if PROBE_LOSS not in runs.tags():
        return Result(selection)
    cells = probe_cells(runs, FACTORS)
    paper = paper_cells()
    paper = where(paper, paper["data"] == _DATA[number])
    if number == 6:
        paper = where(paper, ["+" not in name for name in paper["intervention"]])
    found = compared(cells, paper)
    measures = _FINALS if number in (10, 11) else _INCREASES
    claims = [_claim(found, name, text) for name, text in measures.items()]
    if number in (10, 11):
        claims.append(_layer_norm(cells, number))
    bounds = "" if number in (10, 11) else f" and the {aggregate.band_name(cells['runs'].tolist(), 'mean')}"
    drawing = Drawing(
        f"fig{number:02}",
        f"Means over seeds{bounds}; in brackets the numbers of the paper. Gray: no runs.",
        functools.partial(FIGURES[number].draw, runs, factors=FACTORS),
        FIGURES[number].size,
    )
    column = "final_loss" if number in (10, 11) else "plasticity_loss"
    remarks = [_farthest(cells, paper, column)]
    elsewhere = _WITH_TABLE[number]
    remarks += (
        [f"For the table of cells, see {elsewhere}."] if elsewhere else [numbers.NOTE, _saturation(runs)]
    )
    tables = [_agreement(found, measures)]
    tables += [] if elsewhere else [probe_table(runs, FACTORS, paper_cells())]
    if number in TESTS:
        tables.append(_test(committed.tests(number), *_TESTS[number]))
    return Result(selection, claims, _numbers(found, measures), [drawing], tables, remarks)


def _claim(found: pd.DataFrame, name: str, text: str) -> Claim:
    row: Any = found.loc[name]
    count = int(row["cells"])
    is_sign = name.startswith("sign")
    enough = count >= (_FEWEST_CLEAR if is_sign else _FEWEST_CELLS)
    if is_sign:
        ours = f"{round(row['ours'] * count) if count else 0} of {count}"
    else:
        ours = f"rank correlation {row['ours']:z.2f} over {count} cells"
    if not enough:
        return Claim(name, text, f"too few cells: {count}", None)
    ours += f"; a replication {row['ceiling']:z.2f} on average, {row['fifth']:z.2f} or more in 19 of 20 cases"
    return Claim(name, text, ours, bool(row["ours"] >= row["fifth"]))


def _numbers(found: pd.DataFrame, measures: Mapping[str, str]) -> str:
    """Returns each measure with the ceiling's 5th percentile, for the table of all figures."""
    rows = [(_SHORT[name], found.loc[name]) for name in measures if name in _SHORT]
    return ", ".join(
        f"{name} {row['ours']:z.2f} (a replication: {row['fifth']:z.2f} or more)"
        for name, row in rows
        if row["cells"] and np.isfinite(row["ours"])
    )


def _layer_norm(cells: pd.DataFrame, number: int) -> Claim:
    """Judges a reading of Figs. 10 and 11: layer norm under regression has lower losses."""
    ends = _LOWER[number]
    by_cell: Any = cells.set_index(["architecture", "intervention"])[list(ends.values())]
    pairs = [
        (by_cell.loc[network, "layer_norm"], by_cell.loc[network, "none"])
        for network in dict.fromkeys(cells["architecture"])
        if (network, "layer_norm") in by_cell.index and (network, "none") in by_cell.index
    ]
    paper = (
        f"layer norm under regression lowers the probe loss at the {' and at the '.join(ends)} of training"
    )
    if not pairs:
        return Claim("layer_norm_lowers", paper, "no network has both arms yet", None)
    texts = [
        f"{end} {', '.join(f'{ours[column]:.3f} against {none[column]:.3f}' for ours, none in pairs)}"
        for end, column in ends.items()
    ]
    return Claim(
        "layer_norm_lowers", paper, "; ".join(texts), all((ours < none).all() for ours, none in pairs)
    )


def _farthest(cells: pd.DataFrame, paper: pd.DataFrame, column: str) -> str:
    """Names the cells whose ranks differ most from the paper's: the cause of a lower rank correlation."""
    both = cells.merge(paper, on=CELL, suffixes=("", "_paper")).dropna(subset=[column])
    if len(both) < _FEWEST_CELLS:
        return ""
    ours, theirs = (
        scipy.stats.rankdata(-floats(both, name), method="min") for name in (column, f"{column}_paper")
    )
    order = np.argsort(-np.abs(ours - theirs), kind="stable")[:_MOST_NAMED]
    names = ["-".join(paper_name(str(cell[part])) for part in CELL[1:]) for cell in both.to_dict("records")]
    listed = ", ".join(f"{names[index]} ({ours[index]:.0f}, {theirs[index]:.0f})" for index in order)
    ranks = f"ranks out of {len(both)} here and in the paper, largest first"
    return f"Cells that deviate most from the paper's order ({ranks}): {listed}."


def _test(selection: Selection, title: str, factors: Sequence[str]) -> str:
    """Returns the table of runs next to those of a figure, which no verdict is of."""
    title = f"{title}, as a test ({selection.progress} runs):"
    if PROBE_LOSS not in selection.runs.tags():
        return f"{title} not run."
    return f"{title}\n\n{probe_table(selection.runs, factors)}"


def _saturation(runs: Runs) -> str:
    arms = saturated_arms(runs)
    rule = f"ends the probe above {SATURATED} b when fresh"
    if not arms:
        return f"No network {rule}: no cell is saturated."
    names = ", ".join("-".join(paper_name(part) for part in arm.split("-")) for arm in arms)
    return f"Saturated cells, whose network {rule}, can hardly show a loss: {names}."


def _agreement(found: pd.DataFrame, measures: Mapping[str, str]) -> str:
    rows = [
        [
            measures[str(name)],
            f"{row['cells']:.0f}",
            *(numbers.mean([row[column]]) for column in ("ours", "ceiling", "fifth")),
            f"{row['low']:z.2f} to {row['high']:z.2f}" if row["low"] == row["low"] else numbers.NONE,
        ]
        for name, row in found.loc[list(measures)].iterrows()
    ]
    columns = [
        "agreement",
        "cells",
        "ours",
        "ceiling: mean",
        "ceiling: 5th percentile",
        "95 % of replications",
    ]
    return numbers.table(columns, rows)
