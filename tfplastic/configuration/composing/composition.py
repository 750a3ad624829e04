"""Arguments of `train` that several files add to, a member each, so that any number of them compose.

A file of gin/mitigations/ binds `mitigations.weight_decay = @WeightDecay()`: a member has a name of its own,
so no file overrides another's. Once all is read, the members become `train.mitigations`, in an order that
does not depend on that of the files. A run's configuration holds this list.
"""

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gin

from tfplastic.configuration.composing.macros import Macros
from tfplastic.configuration.composing.members import (
    MODULE,
    displace,
    is_member,
    is_member_of,
    is_reference,
    whole_argument,
)
from tfplastic.configuration.composing.precedence import Inclusions
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_files import Binding


def compose(bindings: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings and those of `train` that members make, each with the places of all that is in it.

    A whole argument on the command line displaces the members that stand in files.

    Args:
        bindings: settled, in the order in which gin reads them.

    Raises:
        UsageError: a member is of the wrong kind, is named twice or excludes another; names the places.
    """
    bindings = displace(bindings)
    meaning = Macros(bindings).resolved
    _check_named_once(bindings, meaning)
    composed = []
    for group in _GROUPS:
        members = [each for each in bindings if each.in_force and is_member_of(group.name, each)]
        for member in members:
            if member.scope:
                rule = f"{group.name} must have no scope"
                raise UsageError(f"{member.source}: {rule}. Received: {member.scope!r}")
        members = [member for member in members if member.value is not None]
        whole = whole_argument(group.name, bindings)
        if members:
            composed.append(_composed(group, whole, members, meaning))
        elif whole is not None:
            group.check_whole(whole, meaning)
    return [*bindings, *composed]


class _Part(NamedTuple):
    """A mitigation, as it is written, without macros, and where it stands."""

    value: Any
    meaning: Any
    binding: Binding


class _Group(abc.ABC):
    """Members that become an argument of `train`.

    Args:
        name: name of the configurable that has them as arguments, and of the argument of `train`.
    """

    def __init__(self, name: str):
        self.name = name

        def members(**values: Any) -> dict[str, Any]:
            return values

        gin.external_configurable(members, name, module=MODULE)

    def is_same(self, earlier: Any, later: Any) -> bool:
        """Returns whether a member that two files name is the same."""
        return repr(earlier) == repr(later)  # gin compares references without their scopes.

    def check_whole(self, whole: Binding, meaning: Callable[[Any], Any]) -> None:
        """Checks the value of the argument where no member adds to it.

        Args:
            whole: binding of the argument itself.
            meaning: function that returns the value of a macro.
        """

    @abc.abstractmethod
    def combined(
        self, whole: Binding | None, members: Sequence[Binding], meaning: Callable[[Any], Any]
    ) -> Any:
        """Returns the value of the argument.

        Args:
            whole: binding of the argument itself, if there is one.
            members: at least one, in the order in which gin reads them.
            meaning: function that returns the value of a macro. The value keeps the macros themselves.
        """

    def refuse(self, binding: Binding, rule: str) -> UsageError:
        """Returns the error of a value that cannot be a part."""
        name = f"{binding.selector}.{binding.parameter}"
        return UsageError(f"{binding.source}: {name} must be {rule}. Received: {binding.value!r}")


class _Mitigations(_Group):
    """A list in the one order in which mitigations act: by their `turn`, then by their names."""

    def is_same(self, earlier: Any, later: Any) -> bool:
        return False  # Each file has constants of its own for it.

    def check_whole(self, whole: Binding, meaning: Callable[[Any], Any]) -> None:
        _check_compatible(_parts(whole, meaning))

    def combined(
        self, whole: Binding | None, members: Sequence[Binding], meaning: Callable[[Any], Any]
    ) -> Any:
        if whole is not None and not isinstance(whole.value, list | tuple):
            raise self.refuse(whole, "a list, such as [@WeightDecay()], to go with files of mitigations")
        parts = _parts(whole, meaning)
        for member in members:
            part = _Part(member.value, meaning(member.value), member)
            if not (is_reference(part.meaning) and part.meaning.evaluate):
                raise self.refuse(member, "a mitigation, such as @WeightDecay()")
            parts.append(part)
        parts.sort(key=lambda part: _turn(part.meaning))
        _check_compatible(parts)
        return [part.value for part in parts]


class _Quantities(_Group):
    """A list of functions, or a mapping, with the members' additions."""

    def combined(
        self, whole: Binding | None, members: Sequence[Binding], meaning: Callable[[Any], Any]
    ) -> Any:
        value = () if whole is None else whole.value
        added, meant = {}, {}
        for member in sorted(members, key=lambda each: each.parameter):
            meant[member.parameter] = function = meaning(member.value)
            if not is_reference(function) or function.evaluate:
                raise self.refuse(member, "a function of a snapshot, such as @sharpness")
            added[member.parameter] = member.value
        if isinstance(value, dict):
            return {**value, **added}
        for member in members:
            if meant[member.parameter].selector.rpartition(".")[2] != member.parameter:
                raise self.refuse(member, f"of its own name, or added to a mapping `train.{self.name}`")
        if isinstance(value, str):
            return [value, *added.values()]
        if isinstance(value, list | tuple):
            there = [repr(meaning(each)) for each in value]
            return [*value, *(each for name, each in added.items() if repr(meant[name]) not in there)]
        assert whole is not None
        raise self.refuse(whole, "a budget, a list or a mapping, to have more added to it")


class _ByName(_Group):
    """A mapping and the entries of members; the last value of a name counts, as for any argument."""

    def is_same(self, earlier: Any, later: Any) -> bool:
        return True

    def combined(
        self, whole: Binding | None, members: Sequence[Binding], meaning: Callable[[Any], Any]
    ) -> Any:
        if whole is not None and not isinstance(whole.value, dict):
            raise self.refuse(whole, "a mapping, to have more added to it")
        added = {member.parameter: member.value for member in members}
        return {**({} if whole is None else whole.value), **dict(sorted(added.items()))}


_GROUPS = (
    _Mitigations("mitigations"),
    _Quantities("diagnostics"),
    _Quantities("step_statistics"),
    _ByName("diagnostics_periods"),
    _ByName("diagnostics_losses"),
)


def _composed(
    group: _Group, whole: Binding | None, members: Sequence[Binding], meaning: Callable[[Any], Any]
) -> Binding:
    key = "", gin.config._REGISTRY.get_match("train").selector, group.name
    value = group.combined(whole, members, meaning)
    parts = [*([] if whole is None else [whole]), *members]
    places = " and ".join(dict.fromkeys(each.source for each in parts))
    return Binding("", "train", group.name, places, key=key, value=value, files=parts[-1].files)


def _check_named_once(bindings: Sequence[Binding], meaning: Callable[[Any], Any]) -> None:
    inclusions = Inclusions(bindings)
    groups = {f"{MODULE}.{group.name}": group for group in _GROUPS}
    named: dict[tuple[str, str, str], Binding] = {}
    for binding in bindings:
        if not is_member(binding) or binding.value is None or binding.displaced_by:
            continue
        earlier = named.setdefault(binding.key, binding)
        is_same = groups[binding.key[1]].is_same(meaning(earlier.value), meaning(binding.value))
        if not is_same and inclusions.are_unrelated(earlier, binding):
            name = f"{binding.selector}.{binding.parameter}"
            text = f"{name} is named twice, by {earlier.source} and {binding.source}"
            raise UsageError(f"{text}. Give one of the two files, or let it have another name there")


def _turn(value: Any) -> tuple[int, str, str]:
    from tfplastic.mitigations import Mitigation

    if not is_reference(value):
        return Mitigation.turn, "", ""  # `TrainConfig` says what is wrong with it.
    scope, selector = value.config_key
    return getattr(_class_of(value), "turn", Mitigation.turn), selector.rpartition(".")[2], scope


def _class_of(reference: Any) -> Any:
    return gin.config._REGISTRY[reference.config_key[1]].wrapped


def _parts(whole: Binding | None, meaning: Callable[[Any], Any]) -> list[_Part]:
    """Returns the parts of a list; none of a value that is not one, which `TrainConfig` refuses."""
    value = () if whole is None else meaning(whole.value)
    if whole is None or not isinstance(value, list | tuple):
        return []
    return [_Part(each, meaning(each), whole) for each in value]


def _check_compatible(parts: Sequence[_Part]) -> None:
    from tfplastic.mitigations.compatibility import is_excluded

    referring = [part for part in parts if is_reference(part.meaning)]
    for one, other in itertools.combinations(referring, 2):
        first, second = one.meaning, other.meaning
        if first.config_key == second.config_key:
            places = " and ".join(dict.fromkeys([one.binding.source, other.binding.source]))
            text = f"{first!r} is named twice, by {places}"
            raise UsageError(f"{text}. Name it once, or give one a scope, such as @strong/WeightDecay()")
        kinds = _class_of(first), _class_of(second)
        if is_excluded(*kinds) or is_excluded(*kinds[::-1]):
            text = (
                f"{first!r} ({one.binding.source}) and {second!r} ({other.binding.source}) exclude each other"
            )
            raise UsageError(f"{text}. Give one of the two")
