"""Ability of the networks to learn something else."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports import aggregate, style
from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.page.content import Picture, ReportInput, Section, Table, listed
from tfplastic.reports.page.parts import curves
from tfplastic.reports.runs import Arrays, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS, probe_losses

_LOST = "probe/loss_of_plasticity"
_CHECKPOINTS = 5
_MOST_ARMS = 12
_COLUMNS = 3
_HIGHEST = 2.0  # loss that is shown, in variances of the targets: the first steps may be far above
_PANEL_IN = (3.0, 2.4)


def probes(contents: ReportInput) -> Section:
    """Returns the probe losses of each arm, along training and along the probes."""
    runs, title = contents.runs, "Probes"
    tags = runs.tags()
    if PROBE_LOSS not in tags and _sources.PROBE_CURVES not in runs.array_tags():
        return Section(title, ["No run was probed (gin/probes/ has files that add probes)."])
    texts = [
        "A probe trains a copy of the network on random targets; its final loss shows how plastic the network"
        " still is. Above 0, the increase since the first probe is plasticity that was lost."
    ]
    pictures, tables = [], []
    if PROBE_LOSS in tags:
        tables.append(_losses(runs))
        pictures.append(
            curves.picture(
                runs,
                PROBE_LOSS,
                "probe_final_loss",
                "Final loss of probes",
            )
        )
    if _LOST in tags:
        caption = "Final loss of probes minus that of fresh networks on the same targets"
        pictures.append(curves.picture(runs, _LOST, "probe_loss_of_plasticity", caption))
    if _sources.PROBE_CURVES in runs.array_tags():
        pictures.append(_curves(runs))
        if left_out := _with_curves(runs)[_MOST_ARMS:]:
            texts.append(f"Probe curves not shown: {listed(left_out)}.")
    return Section(title, texts, pictures=pictures, tables=tables)


def _losses(runs: Runs) -> Table:
    losses = probe_losses(runs)
    last = {tag: runs.last(tag) for tag in (_LOST, "probe/target_variance")}
    found = []
    for arm, of_arm in groups(losses, "arm"):
        row = {"arm": arm, "runs": len(of_arm)}
        for column in ("initial_loss", "final_loss"):
            row[column.replace("_", " ")] = floats(of_arm, column).mean()
        changes = floats(of_arm, "plasticity_loss")
        interval = aggregate.student_t(changes)
        row["increase"], row["low"], row["high"] = interval.point, interval.low, interval.high
        for tag, name in ((_LOST, "over fresh networks"), ("probe/target_variance", "target variance b")):
            values = floats(where(last[tag], last[tag]["arm"] == arm), "value")
            row[name] = values.mean() if len(values) else np.nan
        found.append(row)
    note = (
        "Means over runs of the final loss of the first and of the last probe, and of their difference, whose"
        " 95 % Student-t interval is from low to high; how far the last is above that of fresh networks; and"
        " the loss of the best constant. A network that cannot fit the probe at first cannot lose much."
    )
    return Table("probe_losses", "Probe losses", pd.DataFrame(found), note)


def _with_curves(runs: Runs) -> list[str]:
    """Returns the arms that have probe curves."""
    of_arms = ((arm, runs.where(lambda run, arm=arm: run.arm == arm)) for arm in runs.arms)
    return [arm for arm, of_arm in of_arms if _sources.PROBE_CURVES in of_arm.array_tags()]


def _curves(runs: Runs) -> Picture:
    arms = _with_curves(runs)[:_MOST_ARMS]
    files = runs.where(lambda run: run.arm in arms).arrays(_sources.PROBE_CURVES)
    shown = _sources.spread_out(sorted({file.step for file in files}), _CHECKPOINTS)
    columns = min(_COLUMNS, len(arms))
    lines = -(-len(arms) // columns)
    figure, ax = style.new_figure(max(4.6, _PANEL_IN[0] * columns), _PANEL_IN[1] * lines + 0.4)
    figure.delaxes(ax)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for arm, ax in zip(arms, grid.flat, strict=False):
        of_arm = [file for file in files if file.run.arm == arm]
        forms.probe_curves(of_arm, ax, shown)
        _fresh(of_arm, ax)
        ax.set_title(arm)
        ax.label_outer()
    for ax in grid.flat[len(arms) :]:
        ax.set_axis_off()
    variances = [
        np.max(file.values["target_variances"]) for file in files if "target_variances" in file.values
    ]
    if variances and grid.flat[0].get_ylim()[1] > _HIGHEST * max(variances):
        grid.flat[0].set_ylim(0, _HIGHEST * max(variances))
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3 * min(columns, 2), fontsize=7.5)
    caption = "Loss along the probe: means over targets and seeds at each checkpoint; shades lie between the"
    return Picture("probe_curves", "Probe curves", f"{caption} quartiles.", figure, is_wide=columns > 1)


def _fresh(files: list[Arrays], ax: Axes) -> None:
    curves = [file.values["fresh_curves"] for file in files if np.size(file.values.get("fresh_curves", ()))]
    if curves:
        length = min(each.shape[-1] for each in curves)
        mean = np.mean([each[..., :length].mean(axis=(0, 1)) for each in curves], axis=0)
        ax.plot(np.arange(length), mean, "--", color="#000000", label="fresh networks")
