"""Names that are near one that nobody knows."""

import difflib
from collections.abc import Collection
from typing import Any


def near_matches(word: Any, choices: Collection[str], count: int = 3) -> str:
    """Returns a phrase such as " Did you mean 'Pong' or 'Boxing'?", empty where nothing is near.

    Args:
        word: The unknown name; of anything but a text nothing is near.
        choices: The known names.
        count: Most names in the phrase.

    Example:
        >>> from tfplastic._text import near_names
        >>> near_names.near_matches('medum', ['cheap', 'medium', 'full'])
        " Did you mean 'medium'?"
    """
    if not isinstance(word, str):
        return ""
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.6)
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(by_lower[match]) for match in near)}?"
