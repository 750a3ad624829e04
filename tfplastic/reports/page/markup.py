"""HTML that escapes everything that comes from runs."""

import html
from typing import Any

_WITHOUT_END = frozenset(("meta", "br"))


class Markup(str):
    """Text that is HTML already. Any other text is escaped where it gets into an element."""


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Returns an HTML element.

    Args:
        name: name of the element.
        *children: `Markup` as it is, anything else as escaped text.
        **attributes: escaped; a trailing `_` is dropped, as in `class_`.

    Example:
        >>> from tfplastic.reports.page.markup import element
        >>> element('p', '<script>', element('b', 1), class_='a"b')
        '<p class="a&quot;b">&lt;script&gt;<b>1</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    if name in _WITHOUT_END:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Any) -> Markup:
    """Joins several children one after another, see `element`."""
    return Markup("".join(each if isinstance(each, Markup) else html.escape(str(each)) for each in children))
