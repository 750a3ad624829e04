"""The part of a page that a study writes, on a page that another program writes."""

from pathlib import Path

from tfplastic.configuration.errors import UsageError

PAGES = ("methods.md",)
"""Pages with such a part."""
START = "<!-- From here on: written by `make published` from committed runs. -->"
END = "<!-- Up to here. -->"


def marked(text: str) -> str:
    """Returns the part with its marks."""
    return f"{START}\n\n{text.strip()}\n\n{END}"


def part_of(page: str) -> str:
    """Returns the part of a page with its marks; '' where there is none."""
    start, end = page.find(START), page.find(END)
    return page[start : end + len(END)] if 0 <= start < end else ""


def replaced(path: Path, text: str) -> str:
    """Returns the text of a page with another part.

    Args:
        path: the page.
        text: the new part, without marks.

    Raises:
        UsageError: the page or its part is missing.
    """
    page = path.read_text("utf-8") if path.is_file() else ""
    old = part_of(page)
    if not old:
        raise UsageError(f"{path} must have the line {START!r}. Received: none. Run `make methods` first")
    return page.replace(old, marked(text))
