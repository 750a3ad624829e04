"""The bindings of a gin config, read without looking anything up."""

import tokenize
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gin import config_parser

from tfplastic._renames import gin_text

# What may change from one part of a run to the next: how long it is and how often it reports, not what it
# computes.
CHANGEABLE = frozenset(
    ("train.total_steps", "train.log_period", "train.checkpoint_period", "train.keep_checkpoints")
)


class _Reference:
    """Something in a config that only gin can resolve: `@scope/name` or `@scope/name()`."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _Macro(_Reference):
    """The use of a macro: `%name`."""


class _Delegate(config_parser.ParserDelegate):
    """Parser delegate that hands references and macros through, without looking them up."""

    def configurable_reference(self, scoped_name: str, evaluate: bool) -> _Reference:
        return _Reference(f"@{scoped_name}{'()' if evaluate else ''}")

    def macro(self, macro_name: str) -> _Macro:
        return _Macro(f"%{macro_name}")


def parse_bindings(text: str) -> dict[str, str]:
    r"""Returns the bindings of a gin config as `{'scope/name.argument': value}`, each value in one spelling.

    Order, whitespace and comments of the text do not matter, nor does the order of a dictionary's keys.
    Macros are replaced by their values and are themselves no bindings. The config is only read: nothing is
    looked up, so that a config of another version of this library can be read too; names of earlier versions
    are replaced by today's.

    Args:
        text: a config without `include` lines, such as gin's `operative_config_str()`.

    Raises:
        ValueError: the text is not a gin config, or has something of an earlier version that cannot be said
            in today's names; the message says why.

    Example:
        >>> from tfplastic.training.run import bindings
        >>> bindings.parse_bindings('N = 5  # steps\ntrain.total_steps = %N')
        {'train.total_steps': '5'}
    """
    macros: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for statement in _statements(text):
        if isinstance(statement, config_parser.BindingStatement):
            name = f"{statement.scope}/{statement.selector}" if statement.scope else statement.selector
            if statement.arg_name:
                bindings[f"{name}.{statement.arg_name}"] = statement.value
            else:
                macros[f"%{name}"] = statement.value
    return {name: spelling(value, macros) for name, value in sorted(bindings.items())}


def _statements(text: str) -> list[Any]:
    translated = gin_text.translate(text)
    if translated.refusals:
        raise ValueError(
            f"A gin config must have a form in this version. Received: {translated.refusals[0].text}"
        )
    try:
        return list(config_parser.ConfigParser(translated.text, _Delegate()))
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"A gin config must parse. Received: {' '.join(str(error).split())}") from error


def spelling(value: Any, macros: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Returns a value as gin text, the one spelling of all that are equal.

    Args:
        value: literals, objects that stand for references and macros, and lists, tuples and dicts of them.
        macros: {'%name': value}, put in for the macros.
    """
    if isinstance(value, _Macro):
        # A macro that the text does not define is a gin constant: its name stands for it.
        name = repr(value)
        others = {other: macros[other] for other in macros if other != name}  # A macro of itself ends here.
        return spelling(macros[name], others) if name in macros else name
    if isinstance(value, dict):
        items = sorted(f"{spelling(key, macros)}: {spelling(item, macros)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(spelling(item, macros) for item in value)}]"
    if isinstance(value, tuple):
        return f"({', '.join(spelling(item, macros) for item in value)}{',' * (len(value) == 1)})"
    return repr(value)
