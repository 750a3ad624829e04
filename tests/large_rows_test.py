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
    rows = request.config.stash[COLLECTED].get(test)
    assert rows is None or set(rows.values()) == {False, True}


def test_every_named_row_is_there(request):
    """Checks the tests that were collected, as above."""
    named = [(test, row) for test, rows in SMALL_ROWS.items() for row in rows]
    named += [(test, row) for test, bracket, row in (each.partition("[") for each in LARGE_ROWS) if bracket]
    collected = request.config.stash[COLLECTED]
    assert [
        (test, row)
        for test, row in named
        if test in collected and not any(each.startswith(row) for each in collected[test])
    ] == []


@pytest.mark.parametrize("path", [*conftest._ONCE, *conftest._FIRST, *keras3_test.CREATED, *keras3_test.REST])
def test_a_path_is_there(path):
    assert (ROOT / path).exists(), path
