"""Settings that the figures of many runs share: colors and panels, and their common configuration."""

import re
from collections.abc import Sequence

from tfplastic.reports import style
from tfplastic.reports.runs import Runs

TOGETHER = len(style.COLORS)
"""So many arms have a color each."""
_DATA, _NETWORK = re.compile(r"Task\.dataset$"), re.compile(r"Task\.network$")


def panels_of(arms: Sequence[str]) -> dict[str, list[str]]:
    """Returns {panel: its arms}: one if colors suffice, else by all but the last part of names.

    Args:
        arms: names, parts of which are joined by '-'.

    Example:
        >>> from tfplastic.reports.page.parts.arms import panels_of
        >>> panels_of(['none', 'layer_norm'])
        {'': ['none', 'layer_norm']}
        >>> games = ['Alien', 'Boxing', 'Freeway', 'Pong']
        >>> panels_of([f'{game}-{arm}' for game in games for arm in ('none', 'ln')])['Boxing']
        ['Boxing-none', 'Boxing-ln']
    """
    if len(arms) <= TOGETHER:
        return {"": list(arms)}
    panels: dict[str, list[str]] = {}
    for arm in arms:
        panels.setdefault(arm.rpartition("-")[0], []).append(arm)
    if len(panels) == len(arms) or "" in panels:
        starts = range(0, len(arms), TOGETHER)
        panels = {
            f"arms {start + 1} to {min(start + TOGETHER, len(arms))}": list(arms[start : start + TOGETHER])
            for start in starts
        }
    return panels


def looks(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns {arm: (color, line style)}, by position in its panel or the last part of its name."""
    panels = panels_of(arms)
    by_last_part = len(panels) > 1 and not next(iter(panels)).startswith("arms ")
    keys = {arm: arm.rpartition("-")[2] if by_last_part else arm for of in panels.values() for arm in of}
    if by_last_part:
        positions = {key: position for position, key in enumerate(dict.fromkeys(keys.values()))}
    else:
        positions = {arm: position for of in panels.values() for position, arm in enumerate(of)}
    return {
        arm: (
            style.COLORS[positions[key] % TOGETHER],
            style.LINE_STYLES[positions[key] // TOGETHER % len(style.LINE_STYLES)],
        )
        for arm, key in keys.items()
    }


def fixed_factors(runs: Runs) -> dict[str, str]:
    """Returns the settings that all configurations share: the data and the architecture of their task."""
    found = {}
    for factor, pattern in (("data", _DATA), ("architecture", _NETWORK)):
        values = {
            value.strip("'\"@()").rpartition(".")[2]
            for run in runs
            for key, value in run.config.items()
            if pattern.search(key)
        }
        if len(values) == 1:
            found[factor] = values.pop()
    return found
