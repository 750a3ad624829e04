"""Fig. 3: statistics and the loss of plasticity, in different kinds of runs."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfplastic.reports._frames import floats, where
from tfplastic.reports.figures import FIGURES, falsification_points
from tfplastic.reports.figures.correlates import PANELS
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.reproduction.results.probe_tables import probe_table
from tfplastic.reports.statistics.falsification import (
    FEWEST_FOR_INTERVALS,
    REVERSED,
    SIGN_CONSISTENT,
    UNDETERMINED,
    correlations,
    verdicts,
)

_FACTORS = ("environment", "data", "architecture")
_INSIDE = ("data", "architecture")
"""Factors that are equal in the groups of the second table."""
_KNOWN = (SIGN_CONSISTENT, REVERSED)


def figure_3(committed: Committed) -> Result:
    """Judges each statistic of the paper in the groups by which the paper splits its runs."""
    selection = committed.select(3)
    runs = selection.runs
    if FIGURES[3].lacks(runs):
        return Result(selection)
    points = falsification_points(runs, _FACTORS)
    points = where(points, np.isfinite(points["plasticity_loss"]))
    if points.empty:
        return Result(selection)
    claims, rows = [], []
    for statistic, (_, split) in PANELS.items():
        found = correlations(points, [statistic], [split])
        verdict = str(verdicts(found)["verdict"].iloc[0])
        texts = []
        for group in found.to_dict("records"):
            rho = f" {_rho(group)}" if np.isfinite(group["rho"]) else ""
            texts.append(f"{paper_name(str(group['value']))}{rho} (n = {group['runs']})")
        is_enough = len(found) > 1 and bool(floats(found, "runs").min() >= FEWEST_FOR_INTERVALS)
        claims.append(
            Claim(
                statistic.replace(" ", "_"),
                f"{statistic}: the sign of its correlation depends on the {split}",
                f"{verdict}: rho {', '.join(texts)}",
                None if not is_enough or verdict == UNDETERMINED else verdict == REVERSED,
            )
        )
        rows.append([statistic, split, *([verdict] if is_enough else ["too few runs"])])
    decided = [row[2] for row in rows if row[2] != "too few runs"]
    if decided:
        claims.insert(0, _no_cause(rows, len(decided)))
    found_text = ", ".join(f"{row[0]} {row[2]}" for row in rows) if decided else ""
    drawing = Drawing(
        "fig03",
        "A point for each run; lines by least squares.",
        functools.partial(FIGURES[3].draw, runs, factors=_FACTORS),
        FIGURES[3].size,
    )
    tables = [_inside_groups(points), probe_table(runs, _FACTORS)]
    return Result(selection, claims, found_text, [drawing], tables, [numbers.NOTE])


def _inside_groups(points: pd.DataFrame) -> str:
    """Returns the correlations in each group of runs with one data set and one architecture."""
    joined = points[list(_INSIDE)].map(lambda name: paper_name(str(name))).agg(", ".join, axis=1)
    found = correlations(points.assign(group=joined), list(PANELS), ["group"])
    verdict = dict(verdicts(found)[["statistic", "verdict"]].itertuples(index=False))
    names = sorted(set(joined))
    rows = []
    for statistic, of_statistic in found.groupby("statistic", sort=False):
        of_group = {str(group["value"]): _rho(group) for group in of_statistic.to_dict("records")}
        rows.append([str(statistic), *(of_group[name] for name in names), verdict[statistic]])
    counts = sorted({int(count) for count in found["runs"]})
    caption = (
        "Rank correlation with the increase of the probe loss among agents of one data set and one"
        f" architecture, of all MDPs together (n = {counts[0]}{f' to {counts[-1]}' if counts[1:] else ''});"
        f" {numbers.NONE} where a statistic has one value for all agents:"
    )
    return f"{caption}\n\n{numbers.table(['rho within', *names, 'verdict'], rows)}"


def _rho(group: Mapping[Hashable, Any]) -> str:
    if not np.isfinite(group["rho"]):
        return numbers.NONE
    is_resampled = int(group["runs"]) >= FEWEST_FOR_INTERVALS
    bounds = f" [{group['low']:z.2f}, {group['high']:z.2f}]" if is_resampled else ""
    return f"{group['rho']:z.2f}{bounds}"


def _no_cause(rows: Sequence[Sequence[str]], num_decided: int) -> Claim:
    """Judges the verdicts on all statistics; those whose signs are unknown say nothing."""
    consistent, reversed_ = ([row[0] for row in rows if row[2] == verdict] for verdict in _KNOWN)
    ours = ", ".join(
        f"{len(names)} {words}{': ' if names else ''}{', '.join(names)}"
        for names, words in ((consistent, "have one known sign in all groups"), (reversed_, "change it"))
    )
    ours = f"of {num_decided} statistics {ours}"
    agrees = not consistent if consistent or reversed_ else None
    return Claim(
        "no_cause",
        "no statistic's correlation with the loss has one sign in all groups",
        ours,
        agrees,
    )
