"""Figures of many small panels."""

from typing import Any

from matplotlib.figure import Figure

_COLUMNS = 3
_PANEL_IN = (2.4, 1.8)
_TITLE_IN = 0.4
_LONGEST = 30  # characters of a panel's title


def size_in(count: int, legend_in: float = 0.0) -> tuple[float, float]:
    """Returns width and height, in inches, of a figure with `count` panels and a legend next to them."""
    columns = min(count, _COLUMNS)
    return _PANEL_IN[0] * max(columns, 2) + legend_in, _PANEL_IN[1] * -(-count // _COLUMNS) + _TITLE_IN


def grid(figure: Figure, count: int) -> list[Any]:
    """Returns the axes of `count` panels, row by row."""
    columns = min(count, _COLUMNS)
    rows = -(-count // _COLUMNS)
    return [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def shortened(name: str) -> str:
    """Returns a name that fits over a panel: of a long one the end, which distinguishes it from others.

    Example:
        >>> from tfplastic.command_line.diagnose.report import panels
        >>> panels.shortened('encoder/' * 4 + 'dense')
        '...oder/encoder/encoder/dense'
    """
    return name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"
