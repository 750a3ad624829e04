"""Tables of a report, as text and as HTML."""

import html as html_
import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

WHOLE = "all"
_HEADING_WIDTH = 11  # characters, where a quantity's name is broken at its underscores
_GAP = 2  # characters between columns


class Section(NamedTuple):
    """One table.

    Attributes:
        title: the kind of its quantities.
        quantities: names, of the columns.
        layers: names, of the rows.
        rows: cells, row by row.
    """

    title: str
    quantities: list[str]
    layers: list[str]
    rows: list[list[str]]


def text(sections: Sequence[Section], notes: Sequence[str], width: int) -> str:
    """Returns the tables one below the other, each as wide as `width` allows, and the notes."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, markup=False)
    tables = [table for section in sections for table in _tables(section, width)]
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    if notes:
        lines.append("")
    for note in notes:
        lines += textwrap.wrap(note, width, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def html(sections: Sequence[Section], notes: Sequence[str]) -> str:
    """Returns the same for a notebook; names and reasons are escaped."""
    parts = []
    for section in sections:
        names = "".join(f"<th>{_escaped(name)}</th>" for name in [section.title, *section.quantities])
        parts.append(f"<table><thead><tr>{names}</tr></thead><tbody>")
        for layer, cells in zip(section.layers, section.rows, strict=True):
            row = "".join(f"<td>{_escaped(cell)}</td>" for cell in cells)
            parts.append(f"<tr><th>{_escaped(layer)}</th>{row}</tr>")
        parts.append("</tbody></table>")
    parts += [f"<p>{_escaped(note)}</p>" for note in notes]
    return "\n".join(parts)


def html_with_summary(summary: str, tables: str) -> str:
    """Returns the summary, and the tables folded up below it."""
    return f"<pre>{html_.escape(summary)}</pre>\n<details><summary>All layers</summary>{tables}</details>"


def _escaped(cell: str) -> str:
    return html_.escape(cell).replace("_", "_<wbr>")  # where a browser may break a long name


def _tables(section: Section, width: int) -> Iterator[Table]:
    first_width = min(max(map(len, [section.title, *section.layers])), width // 2)
    headings = [_broken(name) for name in section.quantities]
    widths = [
        max(map(len, [*heading.splitlines(), *(row[column] for row in section.rows)]))
        for column, heading in enumerate(headings)
    ]
    for columns in _packed(widths, width - first_width):
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), collapse_padding=True)
        table.add_column(section.title, width=first_width, overflow="fold")
        for column in columns:
            table.add_column(headings[column], width=widths[column], justify="right", no_wrap=True)
        for layer, row in zip(section.layers, section.rows, strict=True):
            table.add_row(layer, *(row[column] for column in columns))
        yield table


def _packed(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yields the columns in groups that fit into `room`, at least one in each."""
    group: list[int] = []
    taken = 0
    for column, width in enumerate(widths):
        if group and taken + _GAP + width > room:
            yield group
            group, taken = [], 0
        group.append(column)
        taken += _GAP + width
    if group:
        yield group


def _broken(name: str) -> str:
    """Returns a name in lines that end after an underscore, none longer than it has to be."""
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > _HEADING_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
