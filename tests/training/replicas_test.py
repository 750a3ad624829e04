"""`PlasticModel` under `tf.distribute.MirroredStrategy`: as on one device at an equal global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("legacy_keras", "rows"),
    [
        pytest.param("1", ("state",), id="keras 2, one row"),
        pytest.param("1", (), id="keras 2, every row", marks=pytest.mark.slow),
        pytest.param("0", (), id="keras 3, every row", marks=pytest.mark.slow),
    ],
)
def test_two_replicas_train_as_one_device_does(legacy_keras, rows):
    process = subprocess.run(
        [sys.executable, "-m", "tests.training.replicas", *rows],
        cwd=ROOT,
        env={**os.environ, "TF_USE_LEGACY_KERAS": legacy_keras, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr[-3_000:]
    found = json.loads(process.stdout.splitlines()[-1])
    assert set(rows) <= set(found["differences"])
    assert max(found["differences"].values()) < 2e-5, found["differences"]
    statistics, xla, reads, keeps, *callbacks = found["refusals"]
    assert statistics == (
        "`step_statistics` must be empty under a `tf.distribute` strategy of several replicas. "
        "Received: dead_units. Use layers.ActivationMonitor, which reads all replicas."
    )
    assert xla.startswith("`jit_compile` must be False under a") and "\n" not in xla
    assert reads == (
        "`mitigations` must read no context under a `tf.distribute` strategy of several replicas. "
        "Received: ReDo, which reads the step's context. Train on one device."
    )
    assert "Received: CChain, which reads" in keeps
    one_device = "`model` must be trained on one device by a callback that applies a mitigation"
    assert callbacks == [f"{one_device}. Received: 2 replicas. Train on one device"] * 2
