"""Writing of the page and its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfplastic.reports import style
from tfplastic.reports.reproduction import texts
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.page import FIGURE_FOLDER, Page, build
from tfplastic.reports.reproduction.result import Drawing
from tfplastic.writers import atomic_file

PAGE, TEXTS = "README.md", "text.md"


def write(committed: Committed, experiments: Mapping[str, Sequence[str]]) -> Page:
    """Writes `README.md` and `figures/` next to the runs; figures that the page does not show are removed.

    Args:
        committed: runs of all figures.
        experiments: {folder next to the page: the gin files that its runs are of}.

    Raises:
        ValueError: `text.md` is missing or malformed.
        OSError: a file cannot be written.
    """
    page = build(committed, texts.read(committed.folder / TEXTS), experiments)
    figures = committed.folder / FIGURE_FOLDER
    for drawing in page.drawings:
        draw(drawing, figures)
    shown = {f"{drawing.name}.png" for drawing in page.drawings}
    for file in figures.glob("*.png"):
        if file.name not in shown:
            file.unlink()
    with atomic_file(committed.folder / PAGE) as file:
        file.write(page.text.encode())
    return page


def draw(drawing: Drawing, folder: Path) -> Path:
    """Saves one figure as PNG and returns its path."""
    with style.styled():
        figure, ax = style.new_figure(*drawing.size)
        drawing.draw(ax)
        (path,) = style.save(figure, folder / drawing.name, ["png"])
    return path
