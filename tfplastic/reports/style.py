"""The appearance of figures: one style, with colors that people with any color vision can distinguish."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfplastic import _renames
from tfplastic._checks import check_positive

__getattr__ = _renames.module_getattr(__name__)

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""For unordered categories: Okabe and Ito 2008, "Color universal design", without its yellow."""
SEQUENTIAL = "viridis"
"""For ordered categories, such as checkpoints."""
DIVERGING = "RdBu_r"
"""For values with a middle, such as cosines: ColorBrewer."""
MISSING = "#BBBBBB"
"""For missing values."""
LINE_STYLES = ("-", "--", ":", "-.")

_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.facecolor": "white",
    "font.size": 9,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "image.interpolation": "nearest",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfplastic",
    "text.parse_math": False,  # A `$` in the name of a run is a letter.
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
# Without the date and the version, so that the same figure has the same bytes.
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """While open, Matplotlib draws and saves in this style.

    Example:
        >>> from tfplastic.reports import style
        >>> with style.styled():
        ...     figure, ax = style.new_figure(6, 4)
        ...     _ = ax.plot([0, 1])
    """
    with matplotlib.rc_context(_SETTINGS):
        yield


def new_figure(width: float = 6.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """Returns a figure with one pair of axes, made without pyplot, which would keep a reference to it.

    Args:
        width: in inches.
        height: in inches.
    """
    check_positive("width", width)
    check_positive("height", height)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save(
    figure: Figure,
    path: str | os.PathLike[str],
    kinds: Sequence[str] = ("png", "svg"),
    is_cut: bool = True,
) -> list[Path]:
    """Saves a figure as `path` with each ending; the same figure gives the same bytes.

    Args:
        figure: drawn within `styled`.
        path: without ending; its directory is made.
        kinds: file types, 'png' and 'svg'.
        is_cut: whether the edges are moved to the contents, which takes twice as long.

    Returns:
        The paths.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_name(f"{path.name}.{kind}") for kind in kinds]
    with styled():
        for kind, each in zip(kinds, paths, strict=True):
            figure.savefig(
                each, format=kind, metadata=_METADATA[kind], bbox_inches="tight" if is_cut else None
            )
    return paths
