"""Arguments that several functions or classes have in common, described once by a frozen dataclass.

They get them as one object; callers, `help`, gin and the site see every argument by its own name.
"""

import dataclasses
import functools
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar, cast

Result = TypeVar("Result")

REQUIRED = inspect.Parameter.empty
"""Stand-in for the default of an argument that has none."""

_SETTINGS = "settings"
_ENTRY = re.compile(r"^ {4}(\w+): .*\n(?: {8}.*\n)*", re.MULTILINE)
_SEE = re.compile(r" {4}\w+: see `\w+`\.\n$")
_ARGS = re.compile(r"^Args:\n(?: {4}.*\n)*", re.MULTILINE)
_ATTRIBUTES = re.compile(r"^Attributes:\n(?: {4}.*\n)*", re.MULTILINE)


def shares_arguments(
    settings: type, *, omit: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Returns a decorator of a function that takes an instance of a dataclass as its argument `settings`.

    The fields become arguments of the function, keyword-only ones where the dataclass has them so
    (`dataclasses.KW_ONLY`). In its docstring the entry of `settings` becomes their entries in the section
    "Attributes:" or "Args:" of the dataclass or of one that it is derived from, but for those that it has
    itself. Where the function is the `__init__` of a class, this is the docstring of the class.

    Args:
        settings: a frozen dataclass, which checks its values.
        omit: fields that are no arguments.
        **defaults: defaults by field, in place of those of the dataclass; `REQUIRED` for none.

    Example:
        >>> import dataclasses, inspect
        >>> from tfplastic._shared_arguments import shares_arguments
        >>> @dataclasses.dataclass(frozen=True)
        ... class Size:
        ...     _: dataclasses.KW_ONLY
        ...     width: float = 1.0
        ...     depth: int = 2
        >>> @shares_arguments(Size, depth=3)
        ... def network(outputs: int, *, settings: Size) -> str:
        ...     return f'{outputs} outputs, {settings.depth} layers'
        >>> network(10), network(10, depth=5)
        ('10 outputs, 3 layers', '10 outputs, 5 layers')
        >>> str(inspect.signature(network))
        '(outputs: int, *, width: float = 1.0, depth: int = 3) -> str'
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        signature, names = _joined(inspect.signature(function), settings, omit, defaults)
        fixed = {name: defaults[name] for name in omit if name in defaults}
        bind = functools.partial(_bound, function, signature)

        def with_settings(*args: Any, **kwargs: Any) -> Result:
            bound = bind(args, kwargs)
            given = {name: bound.arguments.pop(name) for name in names}
            return function(**bound.arguments, settings=settings(**fixed, **given))

        # With the function's own globals, by which doctest knows what a module defines; without
        # `__wrapped__`, behind which gin would look for the arguments.
        code, closure = with_settings.__code__, with_settings.__closure__
        joined = types.FunctionType(code, function.__globals__, function.__name__, None, closure)
        functools.update_wrapper(joined, function)
        vars(joined)["__signature__"] = signature
        del vars(joined)["__wrapped__"]
        texts = texts_of(settings)
        shared = {name: texts.get(name, "") for name in names}
        if function.__name__ == "__init__":
            return cast(Callable[..., Result], _Initializer(joined, shared))
        joined.__doc__ = with_shared_texts(function.__doc__ or "", shared)
        return joined

    return decorate


class _Initializer:
    """An `__init__` that adds the texts of its shared arguments to its class as soon as there is one.

    Args:
        function: function that becomes the method.
        texts: entries by argument.
    """

    def __init__(self, function: Callable[..., Any], texts: Mapping[str, str]):
        self._function, self._texts = function, texts

    def __set_name__(self, owner: type, name: str) -> None:
        owner.__doc__ = with_shared_texts(owner.__doc__ or "", self._texts)
        setattr(owner, name, self._function)


def texts_of(settings: type) -> dict[str, str]:
    """Returns the entries of a dataclass and of those that it is derived from, by field."""
    described = [each for each in reversed(settings.__mro__) if dataclasses.is_dataclass(each)]
    return joined_texts([each.__doc__ or "" for each in described])


def joined_texts(docstrings: Iterable[str]) -> dict[str, str]:
    """Returns the entries of classes by name, of those derived from others last.

    An entry such as "see `Base`." leaves that of the base class in place.
    """
    found: dict[str, str] = {}
    for docstring in docstrings:
        texts = attribute_texts(docstring)
        found |= {name: text for name, text in texts.items() if not (name in found and _SEE.match(text))}
    return found


def attribute_texts(docstring: str) -> dict[str, str]:
    """Returns the entries of the section "Attributes:" of a class' docstring, or else of "Args:", by name."""
    text = inspect.cleandoc(docstring) + "\n"
    section = _ATTRIBUTES.search(text) or _ARGS.search(text)
    return {entry[1]: entry[0] for entry in _ENTRY.finditer(section[0])} if section else {}


def with_shared_texts(docstring: str, texts: Mapping[str, str]) -> str:
    """Returns a function's docstring with entries in place of that of `settings`, but for those it has."""
    docstring = inspect.cleandoc(docstring) + "\n"
    section = _ARGS.search(docstring)
    entries = {entry[1]: entry[0] for entry in _ENTRY.finditer(section[0])} if section else {}
    more = "".join(text for name, text in texts.items() if name not in entries)
    return docstring.replace(entries[_SETTINGS], more) if _SETTINGS in entries else docstring


def _bound(
    function: Callable[..., Any], signature: inspect.Signature, args: Any, kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Returns the arguments of a call by name, with defaults."""
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{called}() {error}") from None
    required = [name for name, each in signature.parameters.items() if each.default is REQUIRED]
    if missing := [repr(name) for name in required if name not in bound.arguments]:
        kind = "a required argument" if len(missing) == 1 else f"{len(missing)} required arguments"
        raise TypeError(f"{called}() missing {kind}: {' and '.join(missing)}")
    bound.apply_defaults()
    return bound


def _joined(
    signature: inspect.Signature, settings: type, omit: Collection[str], defaults: Mapping[str, Any]
) -> tuple[inspect.Signature, list[str]]:
    """Returns the signature with an argument per field in place of `settings`, and the fields' names."""
    positional, keywords, names = [], [], []
    for parameter in signature.parameters.values():
        if parameter.name != _SETTINGS:
            is_keyword = parameter.kind == inspect.Parameter.KEYWORD_ONLY
            (keywords if is_keyword else positional).append(parameter)
    for field in dataclasses.fields(settings):
        if field.name in omit:
            continue
        default = defaults.get(field.name, field.default)
        parameter = inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=REQUIRED if default is dataclasses.MISSING else default,
            annotation=field.type,
        )
        (keywords if field.kw_only else positional).append(parameter)
        names.append(field.name)
    return signature.replace(parameters=[*positional, *keywords]), names
