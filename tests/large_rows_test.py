"""Rows that are marked by their names: a test that is moved or renamed keeps its mark."""

import re
from pathlib import Path

import pytest

from tests import conftest, keras3_test
from tests.large_rows import COLLECTED, LARGE_ROWS, SMALL_ROWS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("row", [*LARGE_ROWS, *SMALL_ROWS, *conftest._BOTH])
def test_a_row_is_a_test(row):
    path, _, names = row.partition("::")
    name = names.partition("[")[0].rpartition("::")[2]
    assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), row


@pytest.mark.parametrize("test", SMALL_ROWS)
def test_a_product_keeps_a_row(test, request):
    """Checks the tests that were collected, which in `make test` are all of them."""
    fast, slow = request.config.stash[COLLECTED].get(test, (1, 1))
    assert fast and slow


@pytest.mark.parametrize("path", [*conftest._ONCE, *conftest._FIRST, *keras3_test.CREATED, *keras3_test.REST])
def test_a_path_is_there(path):
    assert (ROOT / path).exists(), path
