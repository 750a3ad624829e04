"""The real program on tasks in memory: killed at any moment and resumed, a run ends as if it had not been."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Steps that take some seconds, with checkpoints so frequent that kills hit them.
RANDOM_LABELS = (
    "gin/random_labels_digits.gin",
    ("train.total_steps = 6_000", "train.checkpoint_period = 40"),
    ("ShrinkAndPerturb",),
)
MDP = (
    "gin/mdp_sparse_digits.gin",
    (
        "train.total_steps = 3_000",
        "train.checkpoint_period = 40",
        "ClassificationMdpTask.replay_capacity = 2_000",  # so that the ring wraps around
    ),
    ("ResetLastLayer", "ResetOptimizerState"),
)


def start(run_dir, run):
    file, bindings, mitigations = run
    acting = ", ".join(f"@{name}()" for name in mitigations)
    bindings = (*bindings, f"train.mitigations = [{acting}]")
    command = [sys.executable, str(ROOT / "bin/train"), f"--gin_file={file}", f"--run_dir={run_dir}"]
    command += ["--device=cpu", *(f"--gin_bindings={binding}" for binding in bindings)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def newest_step(run_dir):
    """Gradient step of the newest complete checkpoint, 0 if there is none."""
    manifests = sorted(run_dir.glob("checkpoints/step_*/manifest.json"))
    return int(manifests[-1].parent.name.removeprefix("step_")) if manifests else 0


def final_state(run_dir):
    """Everything a run ends with, in a form that compares bit for bit."""
    assert json.loads((run_dir / "status.json").read_text())["state"] == "finished"
    newest = sorted(run_dir.glob("checkpoints/step_*"))[-1]
    reader = tf.train.load_checkpoint(str(newest / "variables"))
    state = {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "OBJECT" not in name
    }
    with np.load(newest / "task_state.npz") as arrays:
        state |= {name: array.tobytes() for name, array in arrays.items()}
    state["manifest"] = json.loads((newest / "manifest.json").read_text())["state"]["sums"]
    state["metrics"] = (run_dir / "metrics.csv").read_text()
    return state


@pytest.mark.slow
@pytest.mark.parametrize("run", [RANDOM_LABELS, MDP], ids=["random_labels", "mdp"])
def test_killed_ten_times_and_resumed(tmp_path, run):
    """Three kills come in the middle of a checkpoint, the others some time after a new one."""
    finish(start(tmp_path / "whole", run))
    whole = final_state(tmp_path / "whole")
    moments, parts = random.Random(0), tmp_path / "parts"
    reached, in_checkpoint = 0, 0
    for number in range(10):
        process = start(parts, run)
        while newest_step(parts) <= reached:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        if number % 3 == 2:
            while not list(parts.glob("checkpoints/.writing_*")):
                assert process.poll() is None, process.communicate()[0]
        else:
            time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # it had not ended before
        in_checkpoint += bool(list(parts.glob("checkpoints/.writing_*")))
        reached = newest_step(parts)
    assert in_checkpoint >= 2
    output = finish(start(parts, run))
    assert "Resumed at gradient step" in output
    state = final_state(parts)
    assert state.keys() == whole.keys()
    assert [name for name in state if state[name] != whole[name]] == []
