r"""Draws where networks of runs stand among fresh ones: final probe losses at the last checkpoints.

    python benchmarks/probe_checkpoints.py --out=runs/default.npz runs/plasticity/default_adam-seed*
    python benchmarks/probe_verdicts.py --out=docs/plasticity.png --csv=docs/plasticity/probes.csv \
        'Adam=runs/default.npz'

A panel for each file, as `LABEL=FILE`: fresh networks and their prediction interval, and the last checkpoint
of each run. Prints the values drawn; `--csv` has all checkpoints.
"""

import argparse
import csv
import pathlib
import sys
from collections.abc import Sequence

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.probe_results import Probed, read
from benchmarks.processes import BenchmarkError, exit_code
from tfplastic.reports import style

_FRESH = "0.45"


def last(probed: Sequence[Probed]) -> list[Probed]:
    """The last checkpoint of each run."""
    of_runs = {each.run: each for each in sorted(probed, key=lambda each: each.step)}
    return [of_runs[run] for run in sorted(of_runs)]


def draw(ax: Axes, title: str, networks: Sequence[Probed]) -> None:
    """One panel: the interval as a band, fresh networks as dots on the left, and then each network."""
    result = networks[0].result
    low, high = result.fresh_interval
    fresh, b = result.fresh_final_losses, result.target_variance
    ax.axhspan(max(low, 0.0), high, color=_FRESH, alpha=0.25, linewidth=0, label="95 % of fresh networks")
    spread = np.linspace(-0.25, 0.25, len(fresh))  # so that none hides another
    ax.plot(spread, fresh, "o", color=_FRESH, markersize=4, label=f"{len(fresh)} fresh networks")
    losses = [each.result.final_loss for each in networks]
    places = np.arange(1, len(networks) + 1)
    ax.plot(places, losses, "D", color=style.COLORS[0], markersize=6, label="trained networks")
    for place, loss, each in zip(places, losses, networks, strict=True):
        ax.annotate(
            each.result.verdict, (place, loss), (7, 0), textcoords="offset points", va="center", fontsize=8
        )
    ax.axhline(b, color="0.3", linestyle=":", linewidth=1, label="variance of the targets")
    ax.set_xticks(
        np.arange(len(networks) + 1), ["fresh", *(each.run.rpartition("seed")[2] for each in networks)]
    )
    ax.set(title=title, xlabel="seed of the run", xlim=(-0.6, len(networks) + 0.6))
    ax.grid(axis="x", visible=False)


def write(path: pathlib.Path, groups: Sequence[tuple[str, Sequence[Probed]]]) -> None:
    """Writes a row for each checkpoint; a fresh interval is that of one more fresh network, with 95 %."""
    columns = ["networks", "run", "step", "initial_loss", "final_loss", "fresh_low", "fresh_high"]
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*columns, "target_variance", "loss_of_plasticity", "verdict"])
        for title, probed in groups:
            for run, step, each in probed:
                losses = [each.initial_loss, each.final_loss, *each.fresh_interval, each.target_variance]
                values = [f"{value:.6g}" for value in (*losses, each.loss_of_plasticity)]
                rows.writerow([title, run, step, *values, each.verdict])


def _run(options: argparse.Namespace) -> None:
    groups = []
    for group in options.groups:
        title, sign, path = group.partition("=")
        if not sign:
            raise BenchmarkError(f"a group must be LABEL=FILE. Received: {group!r}")
        groups.append((title, read(pathlib.Path(path))))
    if options.csv:
        write(options.csv, groups)
    with style.styled():
        figure = Figure(figsize=(3.4 * len(groups), 3.4), layout="constrained")
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for ax, (title, probed) in zip(axes, groups, strict=True):
            draw(ax, title, last(probed))
            _tell(title, last(probed))
        axes[0].set(ylabel="final probe loss", ylim=(0, None))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    [path] = style.save(figure, options.out.with_suffix(""), kinds=("png",), is_cut=False)
    print(f"wrote {path}")


def _tell(title: str, networks: Sequence[Probed]) -> None:
    result = networks[0].result
    low, high = result.fresh_interval
    print(f"{title}: fresh networks in [{low:.4f}, {high:.4f}], target variance {result.target_variance:.4f}")
    for run, step, each in networks:
        print(
            f"  {run}, step {step:,}: final loss {each.final_loss:.4f}, loss of plasticity"
            f" {each.loss_of_plasticity:+.4f}, percentile {each.percentile:.0f}, {each.verdict}"
        )


def main() -> int:
    """Draws and returns the exit code."""
    parser = argparse.ArgumentParser(description="Where networks of runs stand among fresh ones.")
    parser.add_argument("groups", nargs="+", metavar="LABEL=FILE", help="files of probe_checkpoints.py")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the PNG to write")
    parser.add_argument("--csv", type=pathlib.Path, help="a table of all checkpoints to write")
    options = parser.parse_args()
    return exit_code(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
