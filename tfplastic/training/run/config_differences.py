"""The differences of two operative configurations, which may be of different versions of this library."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping

import gin

from tfplastic._renames.old_values import OLD_VALUES
from tfplastic.training.run.bindings import spelling
from tfplastic.training.run.initial_source import is_same_source

NOT_BOUND = "not bound"
_REFERENCE = re.compile(r"@[\w./]+")


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields the `(name, old value, new value)` of every binding that differs, in alphabetical order.

    An argument that one of them lacks has the value of `OLD_VALUES` there, else its default if gin knows the
    configurable in this process, else it is 'not bound'. A name is equal to itself with more of its modules,
    which gin writes as soon as two configurables share a name.

    Args:
        old: bindings as `bindings.parse_bindings` returns them.
        new: the same.

    Example:
        >>> from tfplastic.training.run import config_differences as config
        >>> list(config.differences({'train.seed': '0'}, {'train.log_period': '1000'}))
        []
        >>> list(config.differences({'train.seed': '0'}, {'train.seed': '1'}))
        [('train.seed', '0', '1')]
    """
    names = _aligned(old, new)
    for name in sorted({*names, *new}):
        old_value = old.get(names.get(name, name))
        new_value = new.get(name)
        old_value = _lacking_value(name) if old_value is None else old_value
        new_value = _lacking_value(name) if new_value is None else new_value
        if not _is_same_value(old_value, new_value) and not _is_same_beginning(name, old_value, new_value):
            yield name, old_value, new_value


def missing_old_values(bindings: Mapping[str, str]) -> list[str]:
    """Returns gin statements for the entries of `OLD_VALUES` that a run's configuration lacks.

    Args:
        bindings: bindings of its operative configuration, from `bindings.parse_bindings`.
    """
    present = [name.rpartition("/")[2] for name in bindings]
    return [
        f"{argument} = {value}"
        for argument, value in OLD_VALUES.items()
        if not any(_is_same_name(argument, name) for name in present)
    ]


def _aligned(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Returns {the name in `new`, or else in `old`: the name in `old`}."""
    unknown = [name for name in new if name not in old]
    return {
        name if name in new else next((each for each in unknown if _is_same_name(name, each)), name): name
        for name in old
    }


def _lacking_value(name: str) -> str:
    selector, _, argument = name.rpartition("/")[2].rpartition(".")
    for known, value in OLD_VALUES.items():
        if _is_same_name(known, f"{selector}.{argument}"):
            return value
    try:
        return _defaults(gin.config._REGISTRY.get_match(selector).wrapped)[argument]
    except (KeyError, AttributeError):  # not in this version, not imported here, or two of that name
        return NOT_BOUND


def _defaults(configurable: type) -> dict[str, str]:
    parameters = inspect.signature(configurable).parameters.values()
    found = {each.name: each.default for each in parameters if each.default is not each.empty}
    if dataclasses.is_dataclass(configurable):
        for field in dataclasses.fields(configurable):
            if field.default_factory is not dataclasses.MISSING:
                found[field.name] = field.default_factory()
    return {name: spelling(value) for name, value in found.items()}


def _is_same_name(one: str, other: str) -> bool:
    """Returns whether one is the other with more of its modules, in the same scope."""
    (scope, _, name), (other_scope, _, other_name) = one.rpartition("/"), other.rpartition("/")
    ends = f".{name}", f".{other_name}"
    return scope == other_scope and (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0]))


def _is_same_beginning(name: str, old: str, new: str) -> bool:
    """Returns whether both begin from the weights of one run, where the new one leaves the step open."""
    if not _is_same_name(name, "train.init_from") or "None" in (old, new):
        return False
    return is_same_source(ast.literal_eval(old), ast.literal_eval(new))


def _is_same_value(one: str, other: str) -> bool:
    if one == other:
        return True
    references = _REFERENCE.findall(one), _REFERENCE.findall(other)
    if len(references[0]) != len(references[1]) or _REFERENCE.split(one) != _REFERENCE.split(other):
        return False
    return all(_is_same_name(*(each[1:] for each in pair)) for pair in zip(*references, strict=True))
