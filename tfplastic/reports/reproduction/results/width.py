"""Fig. 5: width and the loss of plasticity."""

import functools

import numpy as np

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures import FIGURES
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.reproduction.results.probe_tables import probe_table
from tfplastic.reports.statistics.factorial import PROBE_LOSS, probe_losses, with_factors

_FACTORS = ("architecture", "data", "target_period", "width")


def figure_5(committed: Committed) -> Result:
    """Judges the increase of the probe loss of the narrowest and the widest network of each combination."""
    selection = committed.select(5)
    runs = selection.runs
    if PROBE_LOSS not in runs.tags():
        return Result(selection)
    rows = with_factors(probe_losses(runs), _FACTORS)
    rows["width"] = [float(text.lstrip("x")) for text in rows["width"]]
    falls, above = [], []
    for _, of_line in groups(rows, ["architecture", "data", "target_period"]):
        means = {width: floats(each, "plasticity_loss").mean() for width, each in groups(of_line, "width")}
        if len(means) > 1:
            ordered = [means[width] for width in sorted(means)]
            falls.append(ordered[-1] < ordered[0])
            above.append(ordered[-1] > 0)
    claims = []
    if falls:
        claims = [
            Claim(
                "wider_loses_less",
                "the wider the network, the less plasticity it loses, in every combination",
                f"the widest loses less than the narrowest in {np.sum(falls)} of {len(falls)} combinations",
                all(falls),
            ),
            Claim(
                "never_zero",
                "no width brings the loss to zero",
                f"the widest still loses plasticity in {np.sum(above)} of {len(above)} combinations",
                all(above),
            ),
        ]
    found = claims[0].ours if claims else ""
    draw = functools.partial(FIGURES[5].draw, runs, factors=_FACTORS)
    caption = "Means over seeds with the smallest and largest."
    drawings = [Drawing("fig05", caption, draw, (8, 5))]
    return Result(selection, claims, found, drawings, [probe_table(runs, _FACTORS)], [numbers.NOTE])
