"""The tests without TF-Agents, once more under Keras 3 and without it, in a process of its own.

All public modules but `rl` load there first.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_test import RL_ONLY

ROOT = Path(__file__).parent.parent
# What this library creates of Keras' classes.
CREATED = (
    *("tests/layers", "tests/optimizers", "tests/mitigations/fresh_test.py", "tests/networks/mlp_test.py"),
    "tests/backend_test.py",
    *("tests/contracts/layers_contract_test.py", "tests/contracts/networks_contract_test.py"),
    *(f"tfplastic/{name}" for name in ("layers", "networks", "optimizers", "mitigations", "callbacks")),
    "tfplastic/training/plastic_model.py",
)
# What looks at models, or knows of none; most of its tests take a Keras each, or both.
REST = (
    *("tests/linalg", "tests/tasks", "tests/docs_test.py", "tests/networks", "tests/mitigations"),
    "tests/training/step_context_test.py",
    *(f"tests/callbacks/{name}_test.py" for name in ("apply_mitigation", "either_keras", "plasticity_alarm")),
    *(f"tests/diagnostics/{name}_test.py" for name in ("measure", "report", "quantities/unit_activity")),
    *(f"tfplastic/{name}" for name in ("linalg", "diagnostics", "tasks", "probing")),
)
# What takes a Keras as its parameter has met both already. One network stands for all of them; draws,
# long trainings and pure optimizers are the same code.
# Pages, gin files and target networks of agents need TF-Agents.
NEEDS_TF_AGENTS = "tf_agents or a_file_chooses_the_activation or each_has_a_turn_a_gin_file"
NEEDS_TF_AGENTS += " or the_target_network_is_changed or errors_of_the_released_generator"
SELECTED = f"not keras_2 and not keras_3 and not ({NEEDS_TF_AGENTS})"
LARGE = "resnet18 or vit or cnn or nature_dqn or a_graph_draws or a_hundred_steps"
LARGE += " or transcription or pure_test or slots_test or per_entry_steps_test or spectral_normalization_test"
# One optimizer, network and layer stand for these, whose programs are compiled.
LARGE += (
    " or obgd_test or trac_test or mlp_test or axes_test or root_seed or a_graph_and_xla or a_compiled_loop"
)
PROGRAM = f"""
import gc, sys
gc.disable()  # as tests/conftest.py
for name in {RL_ONLY}:
    sys.modules[name] = None

import pytest
import tfplastic as tp
from tfplastic._keras import is_legacy, keras

assert all(getattr(tp, name) is sys.modules[f"tfplastic.{{name}}"] for name in tp.__all__ if name != "rl")
code = pytest.main(sys.argv[1:])
print("Keras 2" if is_legacy() else "Keras 3", keras.layers.Layer.__module__, "tfplastic.rl" in sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("paths", "selected", "marked", "fewest"),
    [
        pytest.param(CREATED, f"{SELECTED} and not ({LARGE})", "not slow", 100, id="created"),
        pytest.param(
            CREATED, f"{SELECTED} and ({LARGE})", "not slow", 80, id="large", marks=pytest.mark.slow
        ),
        pytest.param(CREATED, SELECTED, "slow", 30, id="slow rows", marks=pytest.mark.slow),
        pytest.param(REST, SELECTED, "not slow", 100, id="rest", marks=pytest.mark.slow),
    ],
)
def test_what_needs_no_tf_agents_passes_under_keras_3(paths, selected, marked, fewest):
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", selected, "-m", marked]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options, *paths],
        cwd=ROOT,
        env={**os.environ, "TF_USE_LEGACY_KERAS": "0"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, process.stdout[-6_000:] + process.stderr[-2_000:]
    assert re.search(r"^Keras 3 keras\.\S+ False$", process.stdout, re.MULTILINE), process.stdout[-2_000:]
    passed = re.search(r"(\d+) passed", process.stdout)
    assert passed and int(passed[1]) > fewest


def test_it_does_not_run_itself():
    collected = [
        path
        for name in (*CREATED, *REST)
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*"))
    ]
    assert len(collected) > 5 and Path(__file__) not in collected
