import importlib
import re
import sys

import pytest

from tfplastic import _renames, diagnostics


def imported(old: str):
    sys.modules.pop(old, None)  # as in a new process
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is called {_renames.MODULES[old]} now; ")):
        return importlib.import_module(old)


@pytest.mark.parametrize("old, new", _renames.MODULES.items())
def test_an_old_name_is_the_module_of_today_with_a_warning(old, new, monkeypatch):
    parent, _, name = old.rpartition(".")
    package = importlib.import_module(parent)
    monkeypatch.setattr(package, name, getattr(package, name, None), raising=False)
    assert imported(old) is importlib.import_module(new)
    assert vars(importlib.import_module(new))["__spec__"].name == new  # which `importlib.reload` goes by


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match="tfplastic.diagnostics.feature_rank'"):
        importlib.import_module("tfplastic.diagnostics.feature_rank")
    assert not hasattr(diagnostics, "feature_ranking")
