"""The binding in force where several bind one argument, and files that exclude each other."""

import dataclasses
import os
from collections.abc import Sequence

from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_files import Binding

_CHOICES = ("agents", "networks", "optimizers")
"""Folders of files of which each is one choice; those that set one argument differently are alternatives."""


def settle(bindings: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings, those that another has replaced with `in_force` false.

    The last one is in force. But a file never overrides one that includes it, so that both may be given in
    any order: a variant of a file differs from it either way.

    Args:
        bindings: with their keys and values; the task's file first, the others in the order in which gin
            reads them.

    Raises:
        UsageError: two given files of `_CHOICES` set one argument differently; names both.
    """
    included = {(outer, each.files[-1]) for each in bindings for outer in each.files[:-1]}
    in_force: dict[tuple[str, str, str], Binding] = {}
    for binding in bindings:
        earlier = in_force.get(binding.key)
        if earlier is not None:
            if _is_of_variant(earlier, binding, included):
                continue
            _check_alternatives(earlier, binding)
        in_force[binding.key] = binding
    return [dataclasses.replace(each, in_force=in_force[each.key] is each) for each in bindings]


def is_other_file(one: Binding, other: Binding) -> bool:
    """Returns whether both stand in files of their own, of which none includes the other."""
    if not one.files or not other.files:
        return False
    return one.files[-1] not in other.files and other.files[-1] not in one.files


def _is_of_variant(earlier: Binding, later: Binding, included: set[tuple[str, str]]) -> bool:
    """Returns whether the file of the earlier one includes the file of the later one, given for itself."""
    if not earlier.files or not later.files or earlier.files[-1] in later.files:
        return False
    return (earlier.files[-1], later.files[-1]) in included


def _check_alternatives(earlier: Binding, later: Binding) -> None:
    if len(earlier.files) != 1 or len(later.files) != 1 or earlier.value == later.value:
        return
    folders = [os.path.basename(os.path.dirname(each.files[0])) for each in (earlier, later)]
    if folders[0] == folders[1] and folders[0] in _CHOICES and is_other_file(earlier, later):
        name = f"{later.selector}.{later.parameter}" if later.parameter else f"the macro {later.selector}"
        text = f"{earlier.source} and {later.source} exclude each other: they set {name} to"
        raise UsageError(f"{text} {earlier.value!r} and {later.value!r}. Give one of the two files")
