"""Whole sweeps of small runs: on a cluster of which a node is killed, and interrupted on one machine."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

import pytest

from tfplastic.sweeps import run_process

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = (
    "train.total_steps = 6_000",
    "train.checkpoint_period = 200",
    "steps_per_task = 200",
)
EXPERIMENT = """
sweep.base = ['gin/random_labels_digits.gin']
sweep.arms = {'default': [], 'tuned': ['gin/optimizers/tuned_adam.gin']}
sweep.seeds = [0, 1]
"""
NAMES = [f"{arm}-seed{seed}" for seed in (0, 1) for arm in ("default", "tuned")]


@pytest.fixture(autouse=True)
def experiment(tmp_path):
    (tmp_path / "experiment.gin").write_text(EXPERIMENT)


def environment(**more):
    hidden = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    return {name: value for name, value in os.environ.items() if name not in hidden} | more


def start(directory, *arguments, **more):
    command = [sys.executable, str(ROOT / "bin/sweep"), "--experiment=experiment.gin", "--run_root=runs"]
    command += [*arguments, *(f"--gin_bindings={binding}" for binding in RUN)]
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def status(directory, name):
    try:
        return json.loads((directory / "runs" / name / "status.json").read_text())
    except FileNotFoundError:
        return {"state": "", "step": 0}


def wait_until(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def both_have_a_checkpoint(directory):
    found = list(directory.glob("runs/*/checkpoints/step_*/manifest.json"))
    return len({path.parts[-4] for path in found}) >= 2


def records(directory):
    said = json.loads((directory / "runs/sweep.json").read_text())
    return {f"{run['arm']}-seed{run['seed']}": run for run in said["runs"]}


@pytest.fixture
def cluster(monkeypatch):
    """Ray with a head that trains nothing and two nodes of one core; every process of it on this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**small, "num_cpus": 0, "include_dashboard": False}
    )
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=small["object_store_memory"])
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_node_is_killed_and_the_sweep_ends_whole(tmp_path, cluster):
    sweep = start(tmp_path, f"--address={cluster.address}")
    wait_until(lambda: both_have_a_checkpoint(tmp_path), sweep)
    _, lost = cluster.worker_nodes
    cluster.remove_node(lost, allow_graceful=False)
    output, _ = sweep.communicate(timeout=500)
    assert sweep.returncode == 0, output

    again = [line for line in output.splitlines() if line.startswith("Again")]
    assert len(again) == 1 and "lost: " in again[0] and "is dead" in again[0], output
    assert {f"{name} has finished." for name in NAMES} <= set(output.splitlines())
    runs = records(tmp_path)
    assert [runs[name]["state"] for name in NAMES] == ["finished"] * 4
    (hit,) = [name for name in NAMES if runs[name]["attempts"] == 2]
    assert f" {hit} at step " in again[0]
    assert "Resumed at gradient step " in (tmp_path / f"runs/logs/{hit}.log").read_text()
    assert all(status(tmp_path, name)["step"] == 6_000 for name in NAMES)

    # The run that was hit is, bit for bit, the one that nothing happened to.
    arm, seed = hit.split("-seed")
    files = ["random_labels_digits", *(["optimizers/tuned_adam"] if arm == "tuned" else [])]
    command = [sys.executable, str(ROOT / "bin/train"), f"--seed={seed}", "--device=cpu", "--run_dir=whole"]
    command += [
        *(f"--gin_file=gin/{file}.gin" for file in files),
        *(f"--gin_bindings={each}" for each in RUN),
    ]
    threads = run_process.thread_limits(1)
    subprocess.run(command, cwd=tmp_path, env=environment(**threads), check=True, capture_output=True)
    whole, parts = (tmp_path / name / "metrics.csv" for name in ("whole", f"runs/{hit}"))
    assert whole.read_bytes() == parts.read_bytes()


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(tmp_path):
    sweep = start(tmp_path, "--limit=3")
    wait_until(lambda: both_have_a_checkpoint(tmp_path), sweep)
    sweep.send_signal(signal.SIGINT)
    output, _ = sweep.communicate(timeout=100)
    assert sweep.returncode == 0, output
    assert output.splitlines()[-1] == "Run the same command again to resume."
    runs = records(tmp_path)
    stopped = [name for name in NAMES if runs[name]["state"] == "stopped"]
    assert stopped and "failed" not in {run["state"] for run in runs.values()}, output
    assert all(status(tmp_path, name)["state"] == "stopped" for name in stopped)
    steps = {name: status(tmp_path, name)["step"] for name in stopped}

    output, _ = (sweep := start(tmp_path, "--limit=3")).communicate(timeout=500)
    assert sweep.returncode == 0, output
    for name, step in steps.items():
        assert f"Resumed at gradient step {step}." in (tmp_path / f"runs/logs/{name}.log").read_text()
    assert [records(tmp_path)[name]["state"] for name in NAMES[:3]] == ["finished"] * 3
