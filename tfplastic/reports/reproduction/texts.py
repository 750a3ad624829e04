"""Sentences of the page that are not computed: findings of the paper, explanations of disagreements."""

import re
from collections.abc import Mapping
from pathlib import Path

PAPER, NOTES, EARLIER, UNLESS = "paper", "notes", "earlier", "unless "
"""Headings below a figure's; `unless NAME` is shown where the claim of that name does not hold."""
ABSTRACT = "The abstract"
"""Heading of the claims of the paper's abstract."""
_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)

Texts = Mapping[str, Mapping[str, str]]
"""{heading: {heading below it: text}}; '' stands for the text above the first heading below."""


def read(path: Path) -> Texts:
    """Reads a file of texts.

    Raises:
        ValueError: it cannot be read, or a heading is there twice.
    """
    try:
        content = _COMMENT.sub("", path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The texts of the page must be at {path}: {error.strerror}") from error
    found: dict[str, dict[str, str]] = {}
    for part in re.split(r"^# ", content, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        if title.strip() in found:
            raise ValueError(f"{path} must have each heading once. Received: {title.strip()!r} again")
        below: dict[str, str] = {}
        for number, each in enumerate(re.split(r"^## ", rest, flags=re.MULTILINE)):
            name, _, text = ("", "", each) if number == 0 else each.partition("\n")
            if name.strip() in below:
                raise ValueError(
                    f"{path} must have each heading once. Received: {title}, {name.strip()!r} again"
                )
            below[name.strip()] = text.strip()
        found[title.strip()] = below
    return found


def figure(number: int) -> str:
    """Returns the heading of a figure.

    Example:
        >>> from tfplastic.reports.reproduction import texts
        >>> texts.figure(6)
        'Fig. 6'
    """
    return f"Fig. {number}"
