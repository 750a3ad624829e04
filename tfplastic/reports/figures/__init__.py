"""The figures of the paper, one function each, and the forms they share.

Each draws `Runs` on Matplotlib axes and returns the axes; figures with several panels put them in the place
of the axes. Draw within `reports.style.styled()`.
"""

from tfplastic.reports.figures.atari import figure_7, figure_19, figure_20, improvements
from tfplastic.reports.figures.correlates import falsification_points, figure_3
from tfplastic.reports.figures.forms import (
    bars,
    curves,
    densities,
    heat_map,
    matrix,
    panels,
    probe_curves,
    scatter,
)
from tfplastic.reports.figures.instability import figure_1
from tfplastic.reports.figures.interventions import figure_6, figure_8, figure_9, figure_10, figure_11
from tfplastic.reports.figures.landscape import figure_2, figure_14, figure_21, figure_22
from tfplastic.reports.figures.learning import figure_12, figure_13, figure_15, figure_16
from tfplastic.reports.figures.probes import figure_4, figure_17, figure_18
from tfplastic.reports.figures.table import FIGURES, PaperFigure, caption
from tfplastic.reports.figures.width import figure_5

__all__ = [
    "FIGURES",
    "PaperFigure",
    "bars",
    "caption",
    "curves",
    "densities",
    "falsification_points",
    "figure_1",
    "figure_10",
    "figure_11",
    "figure_12",
    "figure_13",
    "figure_14",
    "figure_15",
    "figure_16",
    "figure_17",
    "figure_18",
    "figure_19",
    "figure_2",
    "figure_20",
    "figure_21",
    "figure_22",
    "figure_3",
    "figure_4",
    "figure_5",
    "figure_6",
    "figure_7",
    "figure_8",
    "figure_9",
    "heat_map",
    "improvements",
    "matrix",
    "panels",
    "probe_curves",
    "scatter",
]
