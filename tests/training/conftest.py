"""Fixtures of the tests of training."""

import pytest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "first"
