"""Modules that the user trusts by `--trust_module`."""

import importlib
import sys
from typing import Any

from tfplastic._text.lines import one_line
from tfplastic.configuration.errors import UsageError


def import_module(name: str) -> Any:
    """Imports a module from the working directory, or from where Python looks.

    Raises:
        UsageError: it cannot be imported, whatever it raises.
    """
    before = list(sys.path)
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        text = f"{type(error).__name__}: {one_line(error)}"
        action = f"Make `import {name}` work in this folder first"
        raise UsageError(f"--trust_module: cannot import {name!r}: {text}. {action}") from error
    finally:
        sys.path[:] = before
