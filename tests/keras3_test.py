"""The tests of what does not need TF-Agents, once more under Keras 3, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = (
    *(
        "tests/layers",
        "tests/networks",
        "tests/optimizers",
        "tests/linalg",
        "tests/tasks",
        "tests/mitigations",
    ),
    *("tests/contracts/layers_contract_test.py", "tests/contracts/networks_contract_test.py"),
    # The other tests of diagnostics take a Keras each, or both.
    *(f"tests/diagnostics/{name}_test.py" for name in ("measure", "report", "units")),
    "tests/docs_test.py",
)
DOCTESTS = (
    "tfplastic/layers",
    "tfplastic/networks",
    "tfplastic/optimizers",
    "tfplastic/linalg",
    "tfplastic/diagnostics",
    "tfplastic/tasks",
    "tfplastic/mitigations",
    "tfplastic/callbacks",
    "tfplastic/probing",
    "tfplastic/training/plastic_model.py",
)
# What takes a Keras as its parameter has met both already.
SELECTED = "not keras_2 and not keras_3"
PROGRAM = """
import sys
import pytest
from tfplastic._keras import is_legacy, keras

code = pytest.main(sys.argv[1:])
print("Keras 2" if is_legacy() else "Keras 3", keras.layers.Layer.__module__, "tf_agents" in sys.modules)
sys.exit(code)
"""


def test_everything_but_rl_and_training_passes_under_keras_3():
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", SELECTED]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options, *TESTS, *DOCTESTS],
        cwd=ROOT,
        env={**os.environ, "TF_USE_LEGACY_KERAS": "0"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stdout[-6_000:] + process.stderr[-2_000:]
    assert re.search(r"^Keras 3 keras\.\S+ False$", process.stdout, re.MULTILINE), process.stdout[-2_000:]
    passed = re.search(r"(\d+) passed", process.stdout)
    assert passed and int(passed[1]) > 150


def test_it_does_not_run_itself():
    collected = [
        path
        for name in TESTS
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*"))
    ]
    assert len(collected) > 5 and Path(__file__) not in collected
