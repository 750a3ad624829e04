"""Fig. 3: a statistic that goes with the loss of plasticity in one kind of run goes against it in another."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import probe_losses, with_factors
from tfplastic.reports.statistics.factors import chosen_factors
from tfplastic.reports.statistics.falsification import correlations, verdicts

PANELS = {
    "weight norm": ("diagnostics/weight_norm/all", "data"),
    "weight rank": ("diagnostics/weight_srank_sum/all", "data"),
    "dead units": (_sources.DEAD_UNITS, "architecture"),
    "feature rank": ("diagnostics/feature_srank_sum/all", "environment"),
}
"""{statistic: (tag, column that splits the runs)}, as in the paper; of several layers the mean is taken."""

_FACTORS = ("environment", "data", "architecture")


def falsification_points(
    runs: Runs, factors: Sequence[str], panels: Mapping[str, tuple[str, str]] = PANELS
) -> pd.DataFrame:
    """Returns a row for each run with probes: its loss of plasticity, and its last value of each statistic.

    Args:
        runs: with at least two probes each, see `probe_losses`.
        factors: parts of the arms' names.
        panels: {statistic: (tag, column that splits the runs)}.

    Returns:
        Columns `run`, `arm`, `seed`, `plasticity_loss` and others of `probe_losses`, the factors, and each
        statistic, the mean over layers; NaN where a run has none.
    """
    points = with_factors(probe_losses(runs), factors)
    for name, (tag, _) in panels.items():
        means = _sources.mean_over_layers(runs.last(tag)).drop_duplicates("run", keep="last")
        of_runs = dict(zip(means["run"], means["value"], strict=True))
        points[name] = [of_runs.get(run, float("nan")) for run in points["run"]]
    return points


def figure_3(
    runs: Runs,
    ax: Axes,
    factors: Sequence[str] | None = None,
    panels: Mapping[str, tuple[str, str]] = PANELS,
) -> Axes:
    """Draws the loss of plasticity over each statistic, a point for each run, with the verdict of `verdicts`.

    Fig. 3 of the paper, section 5.2.

    Args:
        runs: with probes, and the statistics.
        ax: axes to draw on.
        factors: parts of the arms' names, those by which `panels` split among them; by default environment,
            data and architecture, or the kinds that the names show.
        panels: {statistic: (tag, column that splits the runs)}.

    Raises:
        ValueError: no run has probes, or an arm's name has other parts.
    """
    _sources.scalars(runs, "probe/final_loss")
    splits = [split for _, split in panels.values()]
    factors = chosen_factors(runs, factors, splits, _FACTORS)
    points = falsification_points(runs, factors, panels)
    row = forms.panels(ax, 1, len(panels))[0]
    for panel, (name, (_, split)) in zip(row, panels.items(), strict=True):
        forms.scatter(points, panel, name, "plasticity_loss", split)
        verdict = verdicts(correlations(points, [name], [split]))["verdict"].iloc[0]
        panel.set(title=f"{name}: {verdict}", xlabel=name, ylabel="")
        panel.legend(title=split)
    row[0].set_ylabel("increase of the final probe loss")
    return ax
