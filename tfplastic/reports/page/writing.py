"""A report on the disk: the page, and its figures and tables as files."""

import functools
import multiprocessing
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tfplastic.reports import style
from tfplastic.reports.figures import caption
from tfplastic.reports.page.content import ReportInput, Section
from tfplastic.reports.page.damage import of_readable
from tfplastic.reports.page.document import document
from tfplastic.reports.page.parts.curves import learning_curves
from tfplastic.reports.page.parts.landscape import covariances, spectra
from tfplastic.reports.page.parts.layers import heat_maps
from tfplastic.reports.page.parts.paper import beside_the_paper
from tfplastic.reports.page.parts.probes import probes
from tfplastic.reports.page.parts.summary import runs_and_configuration, summary
from tfplastic.reports.page.tables import as_csv, as_markdown
from tfplastic.writers import atomic_file

PAGE, FIGURES, TABLES, CAPTIONS = "index.html", "figures", "tables", "captions.md"
_PARTS = (
    *(summary, beside_the_paper, learning_curves, probes, heat_maps, covariances, spectra),
    runs_and_configuration,
)
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


def sections(contents: ReportInput) -> list[Section]:
    """Returns all sections of the page, drawn; one without data says why in a line."""
    with style.styled():
        return [of_readable(part, contents) for part in _PARTS]


def write(contents: ReportInput, directory: str | os.PathLike[str], num_processes: int = 1) -> Path:
    """Writes `index.html`, `figures/` (PNG, SVG), `tables/` (CSV, Markdown) and `captions.md`.

    Args:
        contents: input of the report.
        directory: directory, made as needed; files of these names are replaced.
        num_processes: number of drawing processes; above 1 only in a program without threads.

    Returns:
        The path of the page.

    Raises:
        OSError: it cannot be written.
    """
    directory = Path(directory)
    make = functools.partial(_made, contents=contents, directory=directory / FIGURES)
    if num_processes > 1:
        contents.runs.tags()  # What all parts ask for is found once, before they are given copies.
        contents.runs.array_tags()
        # Forked, so that they begin at once.
        with ProcessPoolExecutor(num_processes, multiprocessing.get_context("fork")) as pool:
            made = list(pool.map(make, _PARTS))
    else:
        made = [make(part) for part in _PARTS]
    parts = [section for section, _ in made]
    drawings = {name: svg for _, of_section in made for name, svg in of_section.items()}
    for table in (table for part in parts for table in part.tables):
        for ending, text in ((".csv", as_csv(table.frame)), (".md", as_markdown(table.frame))):
            _write(directory / TABLES / f"{_file_name(table.name)}{ending}", text)
    _write(directory / CAPTIONS, _captions(contents, parts))
    _write(directory / PAGE, document(contents, parts, drawings))
    return directory / PAGE


def _made(
    part: Callable[[ReportInput], Section], contents: ReportInput, directory: Path
) -> tuple[Section, dict[str, str]]:
    """Returns a section, whose pictures are saved, and their SVG files by name."""
    with style.styled():
        section = of_readable(part, contents)
    drawings = {}
    for picture in section.pictures:
        path = directory / _file_name(picture.name)
        style.save(picture.figure, path, ["png"], picture.is_cut)
        picture.figure.set_layout_engine("none")  # What was laid out once need not be again.
        (file,) = style.save(picture.figure, path, ["svg"], picture.is_cut)
        drawings[picture.name] = file.read_text(encoding="utf-8")
    return section, drawings


def _captions(contents: ReportInput, parts: Sequence[Section]) -> str:
    of_runs, drawn = caption(contents.runs), f" Drawn by: {contents.command}" if contents.command else ""
    lines = [
        f"- {FIGURES}/{_file_name(picture.name)}: {_once(picture.caption, of_runs)}{drawn}"
        for part in parts
        for picture in part.pictures
    ]
    return "\n".join([f"# {contents.title}", "", *lines, ""])


def _once(text: str, sentence: str) -> str:
    return text if sentence in text else f"{text} {sentence}"


def _file_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())
