"""Description of the files that compose a configuration, and of the additions of each."""

from collections.abc import Iterable, Sequence

import gin

from tfplastic.configuration.composing.members import is_member
from tfplastic.configuration.gin_files import Binding

_MOST_NAMES = 4


def describe(sources: Sequence[Binding]) -> str:
    """Returns a line for each given file and statement of the command line: its bindings in force.

    Args:
        sources: result of `gin_config.parse`, whose bindings have been checked (`unused`).
    """
    given = list(dict.fromkeys(each.given for each in sources if each.given))
    width = max(map(len, given), default=0)
    lines = [f"  {name:<{width}}  {_contents(name, sources)}".rstrip() for name in given]
    return "\n".join(["Configuration (what stands lower overrides what stands above it):", *lines])


def _contents(given: str, sources: Sequence[Binding]) -> str:
    own = [each for each in sources if each.given == given]
    counting = _names(each for each in own if _counts(each))
    unread = _names(each for each in own if each.in_force and not _counts(each))
    text = f"sets {_listed(counting)}" if counting else "sets nothing that counts"
    gone = [each for each in own if not each.in_force and _name(each) not in counting]
    replaced = _names(each for each in gone if each.displaced_by is None)
    displaced: dict[str, list[str]] = {}
    for each in gone:
        if each.displaced_by is not None:
            displaced.setdefault(each.displaced_by.source, []).append(_name(each))
    parts = [f"no longer read: {_listed(unread)}"] if unread else []
    parts += [f"replaced: {_listed(replaced)}"] if replaced else []
    parts += [f"displaced by {place}: {_listed(names)}" for place, names in displaced.items()]
    return "; ".join([text, *parts])


def _counts(binding: Binding) -> bool:
    """Returns whether a binding is in force and has not left with the choice that would read it."""
    scope, selector, parameter = binding.key
    return binding.in_force and (
        is_member(binding) or parameter in gin.config._CONFIG.get((scope, selector), {})
    )


def _names(bindings: Iterable[Binding]) -> list[str]:
    return list(dict.fromkeys(map(_name, bindings)))


def _name(binding: Binding) -> str:
    scope = f"{binding.scope}/" if binding.scope else ""
    return f"{scope}{binding.selector}" + (f".{binding.parameter}" if binding.parameter else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
