"""Tables as CSV, Markdown and HTML."""

import numbers
from typing import Any

import pandas as pd

from tfplastic._text.lines import one_line
from tfplastic.reports.page.content import Table
from tfplastic.reports.page.markup import Markup, element, joined

_DIGITS = 4
_MOST_ROWS = 400  # on the page


def as_csv(frame: pd.DataFrame) -> str:
    """Returns all digits; an empty cell where there is nothing."""
    return frame.to_csv(index=False, lineterminator="\n")


def as_markdown(frame: pd.DataFrame) -> str:
    r"""Returns the text in the form of the page; markup in a cell is escaped.

    Example:
        >>> import pandas as pd
        >>> from tfplastic.reports.page.tables import as_markdown
        >>> print(as_markdown(pd.DataFrame({'arm': ['a|b'], 'loss': [0.123456]})))
        | arm | loss |
        |---|---|
        | a\|b | 0.1235 |
    """
    rows = [[_escaped(column) for column in frame.columns], ["---"] * len(frame.columns)]
    rows += [[_escaped(_text(value)) for value in row] for row in frame.itertuples(index=False)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines[1] = lines[1].replace(" ", "")
    return "\n".join(lines) + "\n"


def as_html(table: Table) -> Markup:
    """Returns the table, which scrolls on its own where the screen is narrow."""
    frame = table.frame.head(_MOST_ROWS)
    head = element("tr", *(element("th", str(column), scope="col") for column in frame.columns))
    rows = [element("tr", *map(_cell, row)) for row in frame.itertuples(index=False)]
    grid = element("table", element("thead", head), element("tbody", *rows))
    note = table.note
    if len(table.frame) > len(frame):
        note = f"{note} The first {len(frame):,} of {len(table.frame):,} rows; the file has all.".strip()
    parts = [element("div", grid, class_="scroll table", tabindex=0, role="region", aria_label=table.title)]
    parts += [element("p", note, class_="note")] if note else []
    if table.is_folded:
        count = f"{len(table.frame):,} row{'' if len(table.frame) == 1 else 's'}"
        return element("details", element("summary", f"{table.title} ({count})"), *parts)
    return joined([element("h3", table.title), *parts])


def _cell(value: Any) -> Markup:
    text = _text(value)
    if isinstance(value, numbers.Number):
        return element("td", text, class_="number")
    known = {"failed": "bad", "missing": "bad", "stopped": "bad", "unknown": "bad", "no": "bad"}
    return element("td", text, class_=known[text]) if text in known else element("td", text)


def _text(value: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, numbers.Integral):
        return f"{int(value)}"
    if isinstance(value, numbers.Real):
        return f"{float(value):.{_DIGITS}g}"
    return str(value)


def _escaped(text: str) -> str:
    for letter in "\\|<>`":
        text = text.replace(letter, f"\\{letter}")
    return one_line(text)
