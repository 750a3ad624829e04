"""The tests of channels-first models, run with oneDNN where TensorFlow lacks such convolutions without it.

No other test: on a CPU for which TensorFlow does not choose oneDNN, some kernels are wrong (docs/install.md).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.channels_first import has_channels_first

ROOT = Path(__file__).parent.parent
FOLDERS = ("tests/diagnostics", "tests/layers")


@pytest.mark.skipif(
    has_channels_first(), reason="TensorFlow has channels-first convolutions: they run in place"
)
@pytest.mark.parametrize(
    ("marked", "fewest"),
    [
        pytest.param("not slow", 20, id="fast"),
        pytest.param("slow", 1, id="slow", marks=pytest.mark.slow),
    ],
)
def test_channels_first_passes_with_onednn(marked, fewest):
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", f"channels_first and {marked}"]
        + list(FOLDERS),
        cwd=ROOT,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-5000:] + process.stderr[-2000:]
    passed = re.search(r"(\d+) passed", process.stdout)
    assert passed and int(passed[1]) >= fewest, process.stdout
    assert "skipped" not in process.stdout
