"""Macros as the values that they stand for, before gin reads them."""

from collections.abc import Sequence
from typing import Any

import gin

from tfplastic.configuration.gin_files import Binding


class Macros:
    """The macros and constants of a configuration.

    Args:
        bindings: all of it, settled.
    """

    def __init__(self, bindings: Sequence[Binding]):
        self._values = {each.key[0]: each.value for each in bindings if each.in_force and _is_macro(each.key)}

    def resolved(self, value: Any) -> Any:
        """Returns the value that a macro stands for, through macros of macros; any other value as it is.

        A macro without a value is returned too: gin's own check reports it.
        """
        passed = set()
        while isinstance(value, gin.config.ConfigurableReference) and value.config_key not in passed:
            passed.add(value.config_key)
            name, selector = value.config_key
            if selector == "gin.constant":
                return gin.config._CONSTANTS.get(name, value)
            if selector == "gin.macro":
                value = self._values.get(name, value)
        return value


def _is_macro(key: tuple[str, str, str]) -> bool:
    return key[1:] == ("gin.macro", "value")
