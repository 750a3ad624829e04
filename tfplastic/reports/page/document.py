"""The page: sections as one self-contained HTML file."""

import re
from collections.abc import Mapping, Sequence
from importlib import resources

from tfplastic.reports.figures import caption
from tfplastic.reports.page.content import Picture, ReportInput, Section
from tfplastic.reports.page.markup import Markup, element
from tfplastic.reports.page.tables import as_html

_SIZE = re.compile(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
_WHITE = re.compile(r'(<path [^>]*?style=")fill: #ffffff')
_PIXELS_PER_POINT = 4 / 3
_SCALE = 1.12  # of figures on the page, for text of a size that reads well next to the page's
_NARROWEST, _WIDE_NARROWEST = 345, 680  # pixels, below which a figure scrolls instead of shrinking


def document(contents: ReportInput, sections: Sequence[Section], drawings: Mapping[str, str]) -> Markup:
    """Returns the whole page.

    Args:
        contents: input of the report.
        sections: in their order.
        drawings: {name of a picture: its SVG file}.
    """
    links = [element("a", section.title, href=f"#{section.anchor}") for section in sections]
    of_runs = element("p", caption(contents.runs), class_="lead")
    head = [element("h1", contents.title), of_runs]
    if contents.command:
        head.append(element("p", "Made by ", element("code", contents.command), class_="note"))
    body = [
        element("header", *head),
        element("nav", *links, aria_label="Sections"),
        element("main", *(_section(section, drawings) for section in sections)),
        element("footer", "Written by tfplastic. Figures (PNG, SVG) and tables (CSV) lie next to this page."),
    ]
    css = resources.files("tfplastic.reports.page").joinpath("page.css").read_text(encoding="utf-8")
    top = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        # Nothing may load or run, whatever the runs are called.
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        ),
        element("title", contents.title),
        element("style", Markup(css)),
    ]
    page = element("html", element("head", *top), element("body", *body), lang="en")
    return Markup(f"<!doctype html>\n{page}\n")


def _section(section: Section, drawings: Mapping[str, str]) -> Markup:
    parts: list[Markup] = [element("h2", section.title)]
    if section.facts:
        facts = [element("div", element("b", number), " ", what) for number, what in section.facts]
        parts.append(element("div", *facts, class_="facts"))
    parts += [element("p", text) for text in section.texts]
    for title, lines in section.lists.items():
        items = element("ul", *(element("li", line) for line in lines))
        parts.append(element("div", element("h3", title), items, class_="problems"))
    pictures = [_picture(picture, drawings[picture.name]) for picture in section.pictures]
    parts += [element("div", *pictures, class_="figures")] if pictures else []
    parts += [as_html(table) for table in section.tables]
    return element("section", *parts, id=section.anchor)


def _picture(picture: Picture, drawing: str) -> Markup:
    width = 0.0
    size = _SIZE.search(drawing)
    if size:
        width = float(size[1]) * _PIXELS_PER_POINT * _SCALE
    svg = drawing[drawing.index("<svg") :]
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # The page's own colors of paper and ink, also in the dark; white on colored cells is text, no path.
    svg = _WHITE.sub(r"\1fill: none", svg).replace("#000000", "currentColor")
    least = _WIDE_NARROWEST if picture.is_wide else _NARROWEST
    style = f"max-width:{width:.0f}px;min-width:{min(width, least):.0f}px"
    frame = element("div", Markup(svg), style=style, role="img", aria_label=picture.title)
    return element(
        "figure",
        element("h3", picture.title),
        element("div", frame, class_="scroll"),
        element("figcaption", picture.caption),
        class_="wide" if picture.is_wide else "",
    )
