"""Bindings that nothing in a run reads, and the choices that have replaced their readers."""

from collections.abc import Iterator, Sequence
from typing import Any

import gin

from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_files import Binding

_Key = tuple[str, str, str]
"""A binding as in gin's dictionaries: scope, complete name of the configurable, parameter."""


def check_all_bindings_used(sources: Sequence[Binding]) -> None:
    """Checks that all that was parsed has been read, now that all that is configured has been built.

    A binding has been read if its configurable was called, in its scope, and took the value from it; or if a
    binding that has been read hands over the configurable itself (`@name` without parentheses), to be called
    later. A macro has been read if a binding that refers to it has been.

    The other files choose from the file of the task: where another agent, task, network or optimizer has
    taken the place of its own, the constants of the one that was replaced leave the configuration. So do the
    constants of a choice that None replaces, which takes it back; and those in files, of members that the
    command line displaces.

    Args:
        sources: result of `gin_config.parse`.

    Raises:
        UsageError: names each other unread binding, its place, and the configurable that has replaced its
            reader, if there is one.
    """
    unread = sorted(_bound() - read())
    if not unread:
        return
    replaced = list(_replaced(sources))
    in_force = [each for each in sources if each.in_force]
    of_base = {each.key for each in in_force if each.is_base}
    of_files = {each.key for each in in_force if each.files}
    lines, reasons = [], {}
    for key in unread:
        why = [(old, new) for old, new, reached in replaced if _is_reached(key, reached)]
        if any(
            new.value is None
            or (key in of_base and _is_choice(old, new))
            or (key in of_files and old.displaced_by is not None)
            for old, new in why
        ):
            _drop(key)
            continue
        lines.append(_describe(key, sources))
        reasons |= {(old.source, new.source): f"{new.source} has replaced {_chosen(old)}" for old, new in why}
    if lines:
        has, them = ("has", "it") if len(lines) == 1 else ("have", "them")
        text = "; ".join([f"nothing in this run reads {them}", *reasons.values()])
        raise UsageError(f"{', '.join(lines)} {has} no effect: {text}. Remove {them}")


def read() -> set[_Key]:
    """Returns the bindings that were or will be read; some of them are defaults."""
    found = set()
    for (scope, selector), values in gin.config._OPERATIVE_CONFIG.items():
        found |= {_in_force(scope, selector, parameter) for parameter in values}
    for scope, selector in handed_over():
        for outer in gin_files.enclosing_scopes(scope):
            parameters = gin.config._CONFIG.get((outer, selector), {})
            found |= {_in_force(scope, selector, parameter) for parameter in parameters}
    return found


def handed_over() -> set[tuple[str, str]]:
    """Returns (scope, complete name) of configurables to be called later, and of their references."""
    references = [
        reference
        for values in gin.config._OPERATIVE_CONFIG.values()
        for reference in gin.config.iterate_references(values)
        if not reference.evaluate
    ]
    found: set[tuple[str, str]] = set()
    while references:
        scope, selector = references.pop().config_key
        if (scope, selector) in found:
            continue
        found.add((scope, selector))
        for outer in gin_files.enclosing_scopes(scope):
            for value in gin.config._CONFIG.get((outer, selector), {}).values():
                references += gin.config.iterate_references(value)
    return found


def _bound() -> set[_Key]:
    return {(*key, parameter) for key, values in gin.config._CONFIG.items() for parameter in values}


def _in_force(scope: str, selector: str, parameter: str) -> _Key:
    for outer in gin_files.enclosing_scopes(scope):
        if parameter in gin.config._CONFIG.get((outer, selector), {}):
            return outer, selector, parameter
    return scope, selector, parameter  # A default: no binding.


def _replaced(sources: Sequence[Binding]) -> Iterator[tuple[Binding, Binding, set[tuple[str, str]]]]:
    """Returns (replaced, replacement, all its references) of bindings that refer to something."""
    by_key = {each.key: each for each in sources if each.in_force}
    for old in sources:
        new = old.displaced_by or by_key.get(old.key)
        if old.in_force or new is None or repr(old.value) == repr(new.value):
            continue
        reached = _reached(old.value, sources)
        if reached:
            yield old, new, reached


def _reached(value: Any, sources: Sequence[Binding]) -> set[tuple[str, str]]:
    references = list(gin.config.iterate_references(value))
    found: set[tuple[str, str]] = set()
    while references:
        scope, selector = references.pop().config_key
        if (scope, selector) in found:
            continue
        found.add((scope, selector))
        scopes = gin_files.enclosing_scopes(scope)
        for each in sources:
            if each.key[1] == selector and each.key[0] in scopes:
                references += gin.config.iterate_references(each.value)
    return found


def _is_reached(key: _Key, reached: set[tuple[str, str]]) -> bool:
    scope, selector, _ = key
    return any(
        selector == each and (scope == inner or (selector != "gin.macro" and _encloses(scope, inner)))
        for inner, each in reached
    )


def _encloses(scope: str, inner: str) -> bool:
    return scope in gin_files.enclosing_scopes(inner)


def _is_choice(old: Binding, new: Binding) -> bool:
    """Returns whether another file has chosen something in place of the task's own."""
    return old.is_base and not new.is_base


def _drop(key: _Key) -> None:
    scope, selector, parameter = key
    values = gin.config._CONFIG[scope, selector]
    del values[parameter]
    if not values:
        del gin.config._CONFIG[scope, selector]


def _chosen(old: Binding) -> str:
    name = f"{old.selector}.{old.parameter}" if old.parameter else old.selector
    return f"{name} = {old.value!r} ({old.source})"


def _describe(key: _Key, sources: Sequence[Binding]) -> str:
    scope, selector, parameter = key
    if selector == "gin.macro":
        outer, _, name = scope.rpartition("/")
        return f"the macro {scope} ({gin_files.source_of(sources, outer, name, '')})"
    name = "/".join([*filter(None, [scope]), gin.config._REGISTRY.minimal_selector(selector)])
    return f"{name}.{parameter} ({gin_files.source_of(sources, scope, selector, parameter)})"
