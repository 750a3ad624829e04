"""Bindings that add to an argument of `train`, and the arguments of a command line that displace them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin

from tfplastic.configuration.composing.macros import Macros
from tfplastic.configuration.gin_files import Binding

MODULE = "tfplastic.configuration"
"""The module of gin names whose arguments are members."""
_OF_QUANTITIES = ("diagnostics_periods", "diagnostics_losses")
"""Arguments whose members are about quantities of `diagnostics`."""


def is_member(binding: Binding) -> bool:
    """Returns whether a binding is a member, which gin's own configuration does not hold."""
    return binding.key[1].rpartition(".")[0] == MODULE


def is_member_of(argument: str, binding: Binding) -> bool:
    """Returns whether a binding adds to this argument of `train`."""
    return binding.key[1] == f"{MODULE}.{argument}"


def whole_argument(argument: str, bindings: Sequence[Binding]) -> Binding | None:
    """Returns the binding in force of this argument of `train` itself, if there is one."""
    train = gin.config._REGISTRY.get_match("train")  # None before its module is imported
    key = "", train and train.selector, argument
    return next((each for each in bindings if each.in_force and each.key == key), None)


def is_reference(value: Any) -> bool:
    """Returns whether a value refers to a configurable or a macro."""
    return isinstance(value, gin.config.ConfigurableReference)


def displace(bindings: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings, those members with `displaced_by` that stand in files and must give way.

    A whole argument on the command line overrides files, so it takes the place of the members in them. Where
    a quantity goes with them, so do its period and its loss.

    Args:
        bindings: settled, in the order in which gin reads them.
    """
    found = [_displaced(each, bindings) for each in bindings]
    displaced = [each for each in found if each.displaced_by and is_member_of("diagnostics", each)]
    if not displaced:
        return found
    gone = {each.parameter for each in displaced}
    measured = displaced[0].displaced_by
    assert measured is not None
    gone -= _names(measured.value, Macros(bindings))
    gone -= {each.parameter for each in found if each.in_force and is_member_of("diagnostics", each)}
    return [
        dataclasses.replace(each, in_force=False, displaced_by=measured)
        if each.files and each.parameter in gone and any(is_member_of(of, each) for of in _OF_QUANTITIES)
        else each
        for each in found
    ]


def _displaced(binding: Binding, bindings: Sequence[Binding]) -> Binding:
    if not is_member(binding) or not binding.files:
        return binding
    by = whole_argument(binding.key[1].rpartition(".")[2], bindings)
    if by is None or by.files:
        return binding
    return dataclasses.replace(binding, in_force=False, displaced_by=by)


def _names(value: Any, macros: Macros) -> set[str]:
    """Returns the names of the quantities in a value of `train.diagnostics`, as far as it is one."""
    from tfplastic.diagnostics.declaration.budgets import BUDGETS
    from tfplastic.diagnostics.diagnose import quantities_of_budget

    value = macros.resolved(value)
    if isinstance(value, dict):
        return set(value)
    found: set[str] = set()
    for part in value if isinstance(value, list | tuple) else [value]:
        each = macros.resolved(part)
        if is_reference(each):
            found.add(each.config_key[1].rpartition(".")[2])
        elif isinstance(each, str) and each in BUDGETS:
            found |= set(quantities_of_budget(each))
    return found
