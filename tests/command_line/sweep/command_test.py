"""`bin/sweep` up to the point where runs begin, and one sweep to its end."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tfplastic.command_line.sweep import command
from tfplastic.sweeps.preflight.requests import Answer, SeedState

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHORT = (
    "train.total_steps = 60",
    "train.compiler = 'graph'",
    "steps_per_task = 20",
    "RandomLabelTask.num_examples = 64",
    "RandomLabelTask.batch_size = 16",
    "mlp.hidden = (8,)",
)
UNKNOWN_URL = " must be a directory or a URL that fsspec knows: Protocol not known: fo"
EXPERIMENT = """
sweep.base = ['gin/random_labels_digits.gin']
sweep.arms = {'default': [], 'tuned': ['gin/optimizers/tuned_adam.gin', 'adam.learning_rate = 1e-2']}
sweep.seeds = [0, 1]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory with an experiment; the gin files that it names are found all the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.gin").write_text(EXPERIMENT)


def arguments(*more):
    return ["--experiment=small.gin", *(f"--gin_bindings={binding}" for binding in SHORT), *more]


def run(*given, **environment):
    hidden = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if name not in hidden} | environment
    program = [sys.executable, str(ROOT / "bin/sweep")]
    return subprocess.run([*program, *given], env=variables, capture_output=True, text=True, timeout=500)


def error_of(capsys, *given):
    assert command.main(given) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1, shown.err
    assert shown.err.startswith("bin/sweep: error: ")
    return shown.err.removeprefix("bin/sweep: error: ").rstrip()


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_no_experiment_shows_usage(capsys):
    assert command.main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: bin/sweep --experiment=FILE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "--experiment: no such file 'wrong.gin'; looked in "),
        ("sweep.base = []\nsweep.arms = {'a': []}\n", "no value for sweep.seeds: give it in a gin file"),
        (
            EXPERIMENT + "sweep.sedes = [1]",
            "wrong.gin:5: unknown parameter 'sweep.sedes'. Did you mean 'seeds'?",
        ),
        (EXPERIMENT + "sweep.seeds = 3", "wrong.gin:5: sweep: `seeds` must be a list of integers"),
        (EXPERIMENT + "zzz.seed = 3", "wrong.gin:5: unknown name 'zzz'."),
        (
            EXPERIMENT.replace("tuned_adam", "tuned_adamm"),
            "arm 'tuned': --gin_file: no such file 'gin/optimizers/tuned_adamm.gin'; looked in ",
        ),
        (EXPERIMENT.replace("= 1e-2", "="), "arm 'tuned': --gin_bindings=adam.learning_rate =: syntax error"),
    ],
)
def test_errors_that_need_no_tensorflow(capsys, monkeypatch, text, message):
    monkeypatch.setattr(command, "check", None)
    if text is not None:
        pathlib.Path("wrong.gin").write_text(text)
    assert error_of(capsys, "--experiment=wrong.gin").startswith(message)
    assert not pathlib.Path("runs").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--run_root=fo://x", f"--run_root{UNKNOWN_URL}"),
        ("--reuse=fo://x", f"--reuse{UNKNOWN_URL}"),
        ("--reuse=nope", "--reuse must be a directory that holds runs, or a URL. Received: 'nope'"),
        ("--reuse=", "--reuse must be a directory that holds runs, or a URL. Received: ''"),
        ("--cpus_per_run=4096", "--cpus_per_run must be at most the number of this machine, "),
    ],
)
def test_flags_that_cannot_be(capsys, monkeypatch, flag, message):
    monkeypatch.setattr(command, "check", None)
    assert error_of(capsys, *arguments(flag)).startswith(message)


def test_no_cluster(capsys, monkeypatch):
    monkeypatch.setattr(command, "check", lambda *_: [])
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(command.plan, "jobs", lambda *_: ["a job"])
    message = error_of(capsys, *arguments(f"--address={address}"))
    text = "no Ray cluster answers there: Connection refused. Start one by 'ray start --head'"
    assert message == f"--address={address}: {text}"


def answer(arm, finished=()):
    states = [SeedState(seed, f"/x/{arm}-seed{seed}", seed in finished, 60) for seed in (0, 1)]
    return Answer(arm, "", 60, "CPU (2 cores)", 0, 0.001, 5_000, states, [f"A note on {arm}."])


def test_dry_run(capsys, monkeypatch, tmp_path):
    asked = []
    answers = [answer("default", finished=[0]), answer("tuned", finished=[0])]
    monkeypatch.setattr(command, "check", lambda *given: (asked.append(given), answers)[1])
    (tmp_path / "store").mkdir()
    assert command.main(arguments("--dry_run", "--reuse=store", "--cpus_per_run=1.6", "--limit=1")) == 0
    ((request, threads, _),) = asked
    assert request.arms[0] == ("default", ["gin/random_labels_digits.gin"], list(SHORT))
    assert request.arms[1][2] == ["adam.learning_rate = 1e-2", *SHORT]
    assert request.roots == [str(tmp_path / "runs/small"), str(tmp_path / "store")]
    assert (request.is_timed, request.device, threads) == (True, "cpu", 2)
    note, _, first, _, default, tuned, total, timed, _ = capsys.readouterr().out.splitlines()
    assert note == "A note on default."
    assert first == f"small.gin in {tmp_path}/runs/small"
    assert default.split() == "default 60 1 ms 0 s 0 s 5 kB 1 1".split()
    assert tuned.split() == "tuned 60 1 ms 0 s 0 s 5 kB 1 0".split()
    assert total.startswith("1 of 4 runs to do: ") and "CPU (2 cores)" in timed
    assert {path.name for path in tmp_path.iterdir()} == {"small.gin", "store"}


def test_nothing_to_do(capsys, monkeypatch, tmp_path):
    answers = [answer("default", finished=[0, 1]), answer("tuned", finished=[0, 1])]
    monkeypatch.setattr(command, "check", lambda *given: answers)
    assert command.main(arguments()) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["Nothing to do: 4 of 4 runs are finished."]
    said = json.loads((tmp_path / "runs/small/sweep.json").read_text())
    assert [each["directory"] for each in said["runs"]][:2] == ["/x/default-seed0", "/x/tuned-seed0"]


def test_help_and_errors_are_fast(tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    for given, code in (("--help", 0), ("--experiment=none.gin", 2)):
        answer = run(given, PYTHONPATH=str(tmp_path))
        assert answer.returncode == code and "was imported" not in answer.stderr


@pytest.mark.parametrize("limit", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_into_a_store(tmp_path, limit):
    """One or two of four runs on one node, into a URL."""
    names = ["tuned-seed0", "default-seed0"][-limit:]
    done = run(*arguments(f"--limit={limit}", f"--run_root=file://{tmp_path}/store"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    # A slow machine sees lines of progress between them.
    finished = [line for line in lines if line.endswith(" has finished.")]
    assert sorted(finished) == sorted(f"{name} has finished." for name in names)
    summary = f"4 runs: {limit} finished, {4 - limit} waiting. file://{tmp_path}/store/sweep.json"
    assert lines.index(summary) > lines.index(finished[-1])
    assert done.stderr == ""

    store = tmp_path / "store"
    said = {
        each["directory"].rsplit("/", 1)[-1]: each
        for each in json.loads((store / "sweep.json").read_text())["runs"]
    }
    assert [said[name]["state"] for name in said] == [
        "finished" if name in names else "waiting" for name in said
    ]
    for name in names:
        assert said[name]["directory"] == f"file://{store}/{name}" and said[name]["step"] == 60
        assert json.loads((store / name / "status.json").read_text())["state"] == "finished"
        assert (store / name / "checkpoints/step_000000000060/manifest.json").exists()
        assert "60,evaluation/accuracy," in (store / name / "metrics.csv").read_text()
        assert "Finished at gradient step 60." in (store / "logs" / f"{name}.log").read_text()
    if "tuned-seed0" in names:
        assert "adam.learning_rate = 0.01" in (store / "tuned-seed0/operative_config.gin").read_text()
    # Nothing else is left: neither here nor the directories in which the runs were at work.
    assert {path.name for path in tmp_path.iterdir()} == {"small.gin", "store"}
