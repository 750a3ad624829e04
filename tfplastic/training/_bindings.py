"""Whether two operative gin configs describe the same run, by their bindings and not by their text."""

import tokenize
from collections.abc import Iterator
from typing import Any

from gin import config_parser

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
    """Makes the parser hand references and macros through, without looking them up."""

    def configurable_reference(self, scoped_name: str, evaluate: bool) -> _Reference:
        return _Reference(f"@{scoped_name}{'()' if evaluate else ''}")

    def macro(self, macro_name: str) -> _Macro:
        return _Macro(f"%{macro_name}")


def parse_bindings(text: str) -> dict[str, str]:
    r"""The bindings of a gin config as `{'scope/name.argument': value}`, each value in one spelling.

    Order, whitespace and comments of the text leave no trace, nor does the order of the keys of a dictionary.
    Macros are replaced by their values and are themselves no bindings. The config is only read: nothing is
    looked up, so that a config of another version of this library can be read too.

    Args:
        text: a config without `include` lines, such as gin's `operative_config_str()`.

    Raises:
        ValueError: if the text is no gin config.

    Example:
        >>> from tfplastic.training import _bindings
        >>> _bindings.parse_bindings('N = 5  # steps\ntrain.total_steps = %N')
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
    return {name: _spelling(value, macros) for name, value in sorted(bindings.items())}


def _statements(text: str) -> list[Any]:
    try:
        return list(config_parser.ConfigParser(text, _Delegate()))
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"A gin config must parse. Received: {' '.join(str(error).split())}") from error


def differences(old: dict[str, str], new: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The `(name, old value, new value)` of every binding that is not equal in both, in alphabetical order.

    A binding that one of them lacks has the value 'not bound' there.
    """
    for name in sorted({*old, *new}):
        old_value, new_value = old.get(name, "not bound"), new.get(name, "not bound")
        if old_value != new_value:
            yield name, old_value, new_value


def _spelling(value: Any, macros: dict[str, Any]) -> str:
    if isinstance(value, _Macro):
        # A macro that the text does not define is a gin constant: its name stands for it.
        name = repr(value)
        others = {other: macros[other] for other in macros if other != name}  # A macro of itself ends here.
        return _spelling(macros[name], others) if name in macros else name
    if isinstance(value, dict):
        items = sorted(f"{_spelling(key, macros)}: {_spelling(item, macros)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_spelling(item, macros) for item in value)}]"
    if isinstance(value, tuple):
        return f"({', '.join(_spelling(item, macros) for item in value)}{',' * (len(value) == 1)})"
    return repr(value)
