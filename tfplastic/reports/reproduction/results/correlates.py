"""Fig. 3: statistics and the loss of plasticity, in different kinds of runs."""

import functools
from collections.abc import Sequence

import numpy as np

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
            bounds = ""
            if int(group["runs"]) >= FEWEST_FOR_INTERVALS:
                bounds = f" [{group['low']:z.2f}, {group['high']:z.2f}]"
            rho = f" {group['rho']:z.2f}{bounds}" if np.isfinite(group["rho"]) else ""
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
    return Result(selection, claims, found_text, [drawing], [probe_table(runs, _FACTORS)], [numbers.NOTE])


def _no_cause(rows: Sequence[Sequence[str]], num_decided: int) -> Claim:
    """Judges the verdicts on all statistics; those whose signs are unknown say nothing."""
    consistent, reversed_ = ([row[0] for row in rows if row[2] == verdict] for verdict in _KNOWN)
    ours = ", ".join(
        f"{len(names)} {words}{': ' if names else ''}{', '.join(names)}"
        for names, words in ((consistent, "have one known sign in all groups"), (reversed_, "change it"))
    )
    ours = f"of {num_decided} statistics {ours}"
    agrees = not consistent if consistent or reversed_ else None
    return Claim("no_cause", "no statistic goes with the loss of plasticity everywhere", ours, agrees)
