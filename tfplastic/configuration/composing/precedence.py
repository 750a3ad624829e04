"""The binding in force where several bind one argument, and files that exclude each other."""

import dataclasses
import os
from collections.abc import Sequence

from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_files import Binding

_CHOICES = {"agents", "networks", "optimizers", "replays"}
"""Folders of files of which each is one choice; those that set one argument differently are alternatives."""
_MEMBERS = {
    ("", "tfplastic.training.train", argument): f"{argument}.NAME = {value}"
    for argument, value in {
        "mitigations": "@Mitigation()",
        "diagnostics": "@NAME",
        "diagnostics_periods": "PERIOD",
        "diagnostics_losses": "@loss",
        "step_statistics": "@NAME",
    }.items()
}
"""Lists and mappings of which no file may drop another's, and the form that adds to them."""


def settle(bindings: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings, those that another has replaced with `in_force` false.

    The last one is in force. But a file never overrides one that includes it, so that both may be given in
    any order: a variant of a file differs from it either way.

    Args:
        bindings: with their keys and values; the task's file first, the others in the order in which gin
            reads them.

    Raises:
        UsageError: two given files of `_CHOICES`, or two with values of `_MEMBERS` that are not budgets, set
            one argument differently; names both.
    """
    inclusions = Inclusions(bindings)
    in_force: dict[tuple[str, str, str], Binding] = {}
    for binding in bindings:
        earlier = in_force.get(binding.key)
        if earlier is not None:
            if inclusions.is_variant(earlier, binding):
                continue
            if inclusions.are_unrelated(earlier, binding):
                _check_alternatives(earlier, binding)
        in_force[binding.key] = binding
    return [dataclasses.replace(each, in_force=in_force[each.key] is each) for each in bindings]


class Inclusions:
    """Which file includes which, as far as they bind something.

    Args:
        bindings: all of a configuration.
    """

    def __init__(self, bindings: Sequence[Binding]):
        self._pairs = {(outer, each.files[-1]) for each in bindings for outer in each.files[:-1]}

    def is_variant(self, one: Binding, other: Binding) -> bool:
        """Returns whether the file of `one` includes the file of `other`, which was given for itself."""
        if not one.files or not other.files or one.files[-1] in other.files:
            return False
        return (one.files[-1], other.files[-1]) in self._pairs

    def are_unrelated(self, one: Binding, other: Binding) -> bool:
        """Returns whether both stand in files, of which none includes the other."""
        if not one.files or not other.files or one.files[-1] == other.files[-1]:
            return False
        pairs = ((one.files[-1], other.files[-1]), (other.files[-1], one.files[-1]))
        return not any(pair in self._pairs for pair in pairs)


def _check_alternatives(earlier: Binding, later: Binding) -> None:
    if repr(earlier.value) == repr(later.value):  # gin compares references without their scopes.
        return
    name = f"{later.selector}.{later.parameter}" if later.parameter else f"the macro {later.selector}"
    text = f"{earlier.source} and {later.source} exclude each other: they set {name} to"
    text = f"{text} {earlier.value!r} and {later.value!r}."
    members = _MEMBERS.get(later.key)
    are_budgets = isinstance(earlier.value, str) and isinstance(later.value, str)
    if members is not None and not (earlier.is_base or later.is_base or are_budgets):
        raise UsageError(f"{text} To have both, write {members} (gin/README.md)")
    folders = {os.path.basename(os.path.dirname(each.files[0])) for each in (earlier, later)}
    are_given = len(earlier.files) == len(later.files) == 1
    if are_given and len(folders) == 1 and folders <= _CHOICES:
        raise UsageError(f"{text} Give one of the two files")
