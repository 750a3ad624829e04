"""Common parts of all figures of `bin/diagnose`."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

from tfplastic.command_line.diagnose.output_paths import OutputPaths

CAPTION = "0.35"
"""The gray of captions."""
# Letters as shapes look the same everywhere; a fixed salt gives the same figure the same bytes.
_STYLE: Any = {"font.size": 9.0, "svg.fonttype": "path", "svg.hashsalt": "tfplastic", "axes.linewidth": 0.8}


@contextlib.contextmanager
def drawn(size_in: tuple[float, float], layout: LayoutEngine) -> Iterator[Figure]:
    """A figure of `size_in` inches, to draw on within the block."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size_in, layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, file: BinaryIO, kind: str, dots_per_inch: int = 300) -> None:
    """Writes `figure` as 'png' or as 'svg'. The same figure gives the same bytes."""
    with matplotlib.rc_context(_STYLE):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=dots_per_inch, metadata=metadata)


def write(
    figure: Figure, paths: OutputPaths, suffix: str = "", dots_per_inch: int = 300
) -> list[pathlib.Path]:
    """Writes `figure` as PNG and SVG, NAME and `suffix` being their name; returns the paths."""

    def write_one(kind: str) -> pathlib.Path:
        return paths.write_figure(f"{suffix}.{kind}", lambda file: save(figure, file, kind, dots_per_inch))

    return [write_one(kind) for kind in ("png", "svg")]
