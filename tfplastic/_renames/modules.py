"""Imports of modules by their old names (`table.MODULES`)."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from tfplastic._renames.table import ENDS, MODULES


def install() -> None:
    """Lets Python find the modules; it asks only for names that no file has."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder):
    """A finder of the modules that have an entry in the table."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _Loader()) if fullname in MODULES else None


class _Loader(Loader):
    """A loader that puts today's module in the old one's place."""

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, MODULES[module.__name__]
        warnings.warn(f"{old} is called {new} now; {ENDS}", DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(new)
