"""Draws tags of runs against gradient steps: a panel for each tag, a line for each group of runs.

    python benchmarks/run_curves.py --out=docs/mdps.png --tag=evaluation/accuracy 'true labels=runs/easy*' ...

A group is its label, `=`, and a pattern of run directories, such as one for all seeds; its line is the median
of its runs, with their smallest and largest around it. A tag may be given as `tag=label of the axis`.
"""

import argparse
import csv
import glob
import pathlib
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from tfplastic import _renames

# Okabe and Ito's colors, which color-blind people tell apart.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P")


def read_series(run_dir: pathlib.Path, tag: str) -> np.ndarray:
    """The rows of one tag as `[rows, 2] float64`: gradient step, value."""
    with (run_dir / "metrics.csv").open() as file:
        rows = [
            (float(row["step"]), float(row["value"]))
            for row in csv.DictReader(file)
            if _renames.tag(row["tag"]) == _renames.tag(tag)
        ]
    if not rows:
        raise SystemExit(f"error: {run_dir} has no rows of {tag!r}")
    return np.array(rows)


def draw(out: str, tags: Sequence[str], groups: Sequence[str]) -> None:
    """Writes the figure."""
    figure, panels = plt.subplots(
        1, len(tags), figsize=(4.2 * len(tags), 3.2), squeeze=False, layout="constrained"
    )
    for panel, tag in zip(panels[0], tags, strict=True):
        name, _, label = tag.partition("=")
        for group, color, marker in zip(groups, _COLORS, _MARKERS, strict=False):
            title, _, pattern = group.partition("=")
            runs = sorted(glob.glob(pattern))
            if not runs:
                raise SystemExit(f"error: no run directory matches {pattern!r}")
            series = [read_series(pathlib.Path(run), name) for run in runs]
            steps, values = series[0][:, 0], np.array([each[:, 1] for each in series])
            count = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
            panel.plot(
                steps,
                np.median(values, axis=0),
                color=color,
                marker=marker,
                markersize=3,
                markevery=max(1, len(steps) // 20),
                linewidth=1.2,
                label=title + count,
            )
            panel.fill_between(
                steps, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0
            )
        panel.set(xlabel="gradient steps", ylabel=label or name, ylim=(-0.02, 1.02))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument(
        "--tag", action="append", required=True, help="a tag in [0, 1]; may be given several times"
    )
    parser.add_argument("groups", nargs="+", metavar="LABEL=PATTERN")
    arguments = parser.parse_args()
    draw(arguments.out, arguments.tag, arguments.groups)
