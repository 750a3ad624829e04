"""The order of things with a loop that only records, errors with the real one, a few real command lines."""

import os
import pathlib
import subprocess
import sys

import gin
import pytest

from tfplastic.command_line import train
from tfplastic.configuration import unused
from tfplastic.training import loop as loop_module

ROOT = pathlib.Path(__file__).resolve().parents[3]
QUICK = ["--gin_file=gin/atari_dqn_ln.gin", "--gin_file=gin/sizes/quick.gin", "--device=cpu"]
NARROW = "--gin_bindings=nature_dqn.width = 0.1"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory; the gin files are found all the same."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    gin.clear_config()


@pytest.fixture
def recording(monkeypatch):
    """A loop that records its arguments, so that nothing is built or trained."""

    class Loop:
        code = 0
        error = None
        runs = []

        def __init__(self, config, is_new=True):
            self.config = config

        def describe(self):
            return f"a plan of {self.config.total_steps} steps"

        def run(self, run_directory, profile_steps, device):
            self.runs.append((run_directory.path, profile_steps, device, self.config.seed))
            if self.error is not None:
                raise self.error
            return self.code

    monkeypatch.setattr(loop_module, "Loop", Loop)
    monkeypatch.setattr(unused, "check_all_bindings_used", lambda sources: None)
    return Loop


def error_of(capsys, *arguments):
    code = train.main([*QUICK, *arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bin/train: error: ") and captured.err.count("\n") == 1, captured.err
    return code, captured.err.removeprefix("bin/train: error: ").strip()


def test_no_gin_file_shows_usage(capsys):
    assert train.main([]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Usage: bin/train --gin_file=FILE") and len(captured.err.splitlines()) == 2


def test_the_run_gets_what_the_flags_say(recording, capsys, tmp_path):
    recording.code = 143
    assert train.main([*QUICK, "--seed=7", "--run_dir=here", "--profile_steps=10,20"]) == 143
    [(path, profile_steps, device, seed)] = recording.runs
    assert (pathlib.Path(path).resolve(), profile_steps, seed) == (tmp_path / "here", (10, 20), 7)
    assert device.startswith("CPU (")
    assert capsys.readouterr().out == f"Device: {device}\n"
    assert "train.seed = 7" in (tmp_path / "here" / "config.gin").read_text()


def test_the_last_word_is_the_flag_seed(recording):
    train.main([*QUICK, "--gin_bindings=train.seed = 3", "--seed=4", "--run_dir=here"])
    assert recording.runs[0][-1] == 4


def test_default_run_directory(recording, tmp_path):
    assert train.main([*QUICK, "--seed=7"]) == 0
    assert pathlib.Path(recording.runs[0][0]).resolve() == tmp_path / "runs/atari_dqn_ln-quick-seed7"


def test_dry_run_prints_the_plan_and_writes_nothing(recording, capsys, tmp_path):
    assert train.main([*QUICK, "--dry_run", "--run_dir=here"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("a plan of 2000 steps\n")
    assert "  gin/sizes/quick.gin   sets AtariTask.game, train.total_steps" in shown
    assert recording.runs == [] and list(tmp_path.iterdir()) == []


def test_auto_says_in_one_line_that_there_is_no_gpu(recording, capsys):
    assert train.main([*QUICK, "--device=auto", "--dry_run"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("No GPU found; using the CPU (")


def test_another_run_in_the_directory_is_refused(recording, capsys):
    train.main([*QUICK, "--run_dir=here"])
    capsys.readouterr()
    assert train.main([*QUICK, "--run_dir=here", "--seed=8"]) == 2
    assert capsys.readouterr().err.startswith("bin/train: error: --run_dir: ")
    assert train.main([*QUICK, "--run_dir=here", "--noresume"]) == 2
    assert train.main([*QUICK, "--run_dir=here"]) == 0
    assert len(recording.runs) == 2


def test_a_failure_while_training(recording, capsys):
    recording.error = ArithmeticError("the loss became\n nan\n  In call to configurable 'a' (<function>)")
    assert train.main([*QUICK, "--run_dir=here"]) == 1
    expected = "bin/train: error: ArithmeticError: the loss became nan (--debug shows the traceback)\n"
    assert capsys.readouterr().err == expected
    assert train.main([*QUICK, "--run_dir=here", "--debug"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("bin/train: error: ArithmeticError: the loss became nan\n")


def test_an_interrupt_outside_the_training(recording, capsys):
    recording.error = KeyboardInterrupt()
    assert train.main([*QUICK, "--run_dir=here"]) == 130
    assert capsys.readouterr().err == "bin/train: error: interrupted\n"


def test_profile_steps_beyond_the_end(recording, capsys):
    assert error_of(capsys, "--profile_steps=1990,2001") == (
        2,
        "--profile_steps must end within the run's 2000 steps. Received: (1990, 2001)",
    )


def test_no_such_gpu(capsys):
    code, shown = error_of(capsys, "--device=gpu:99")
    assert code == 2 and shown.startswith("--device=gpu:99: TensorFlow finds ")


def test_keras_3_is_overridden(recording, capsys, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    assert train.main([*QUICK, "--dry_run"]) == 0
    assert os.environ["TF_USE_LEGACY_KERAS"] == "1"
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "TF_USE_LEGACY_KERAS is set to 1 for this run, because TF-Agents needs Keras 2."


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("AtariTask.game = 'Pog'", "AtariTask: `game` must be .* Received: 'Pog'. Did you mean 'Pong'?"),
        ("AtariTask.game = Pong", "'Pong' is not a value: strings need quotes, .*"),
        ("nature_dqn.norm = 'layr'", "nature_dqn: `norm` must be one of .* Received: 'layr'"),
        ("nature_dqn.nrom = 'layer'", "unknown parameter 'nature_dqn.nrom'. Did you mean 'norm'?"),
        ("train.total_steps = 0", "train: `total_steps` must be an integer of at least 1. Received: 0"),
        ("AtariTask.agent = @duble_dqn", "unknown name 'duble_dqn'. Did you mean 'double_dqn'.*"),
        ("train.optimizer = @centered_rmsprop", "train: `optimizer` must be an optimizer, .*"),
        ("train.diagnostics = @dead_units", "train: `diagnostics` must be a list of functions .*"),
        ("train.diagnostics = [3]", "train: `diagnostics` must hold functions of a snapshot. Received: 3"),
        ("AtariTask.protocol = 3", "AtariTask: `protocol` must be of type AtariProtocol, .* Received: 3"),
        ("AtariTask.epsilon = 0.1", "AtariTask: `epsilon` must be a function, .* Received: 0.1"),
        ("AtariTask.agent = 'dqn'", "AtariTask: `agent` must be a function, .* Received: 'dqn'"),
        ("c51.num_atoms = 51", None),
        ("learning_rate = 0.1", None),
    ],
)
def test_errors_with_the_real_names(capsys, tmp_path, binding, message):
    code, shown = error_of(capsys, f"--gin_bindings={binding}", "--run_dir=here")
    assert code == 2
    place = f"--gin_bindings={binding}"
    if message is None:
        name = binding.split(" = ")[0]
        named = f"{'' if '.' in name else 'the macro '}{name} ({place})"
        assert shown == f"{named} has no effect: nothing in this run reads it. Remove it"
    else:
        assert shown.startswith(f"{place}: ")
        assert_matches(message, shown.removeprefix(f"{place}: "))
    assert list(tmp_path.iterdir()) == []


def assert_matches(pattern, text):
    """`pattern` is plain text but for `.*`, which stands for anything."""
    position = 0
    first, *rest = pattern.split(".*")
    assert text.startswith(first), text
    for part in rest:
        position = text.find(part, position)
        assert position >= 0, text


def run(*arguments, **environment):
    # Without what the tests' settings put into the environment.
    hidden = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, os.path.relpath(ROOT / "bin" / "train"), *arguments]
    return subprocess.run(command, env=variables | environment, capture_output=True, text=True, timeout=120)


SLOW_TO_IMPORT = ("tensorflow", "keras", "tf_keras", "tf_agents", "scipy", "matplotlib", "pandas")


@pytest.mark.parametrize("arguments", [["--help"], ["--gin_fil=x"], ["--gin_file=no.gin"]])
def test_fast_answers_import_nothing_slow(arguments, tmp_path):
    for package in SLOW_TO_IMPORT:
        (tmp_path / f"{package}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    answer = run(*arguments, PYTHONPATH=str(tmp_path))
    assert answer.returncode == (0 if arguments == ["--help"] else 2)
    assert "was imported" not in answer.stderr
    assert (answer.stdout == "") == (arguments != ["--help"])


def test_a_dry_run_builds_what_it_tells_and_writes_nothing(tmp_path, capsys):
    assert train.main([*QUICK, NARROW, "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "nature_dqn" in shown and "2,000" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # tests/smoke_test.py looks for chatter of its own process
def test_a_real_dry_run_from_another_directory(tmp_path):
    answer = run(*QUICK[:2], NARROW, "--device=auto", "--dry_run")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""  # No chatter of TensorFlow, gym or gin.
    assert "nature_dqn" in answer.stdout and "2,000" in answer.stdout
    assert list(tmp_path.iterdir()) == []
