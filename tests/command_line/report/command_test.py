import math
import os
import pathlib
import subprocess
import sys

import pytest

from tests.reports.page import made_up_sweep
from tests.reports.run_directories import write_run
from tfplastic.command_line.report import command

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXPERIMENT = "sweep.base = []\nsweep.arms = {'none': [], 'layer_norm': []}\nsweep.seeds = [0, 1]\n"
# Python runs it before the program: who imports one of these fails.
BLOCKED = """
import pathlib, sys
for name in ("tensorflow", "keras", "tf_keras", "tf_agents", "ray"):
    sys.modules[name] = None
pathlib.Path("blocked").touch()
"""


def error_of(capsys, *given):
    assert command.main(given) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1, shown.err
    return shown.err.removeprefix("bin/report: error: ").rstrip()


def test_the_program_makes_a_report_without_tensorflow(tmp_path):
    made_up_sweep.write_sweep(tmp_path / "runs", ("none", "layer_norm"), (0, 1), length=2, rich=False)
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    done = subprocess.run(
        [sys.executable, str(ROOT / "bin/report"), "--runs=runs", "--out=out/report"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (tmp_path / "blocked").exists()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 runs of 2 arms: out/report/index.html")
    text = (tmp_path / "out/report/index.html").read_text()
    assert "<title>made_up</title>" in text and "bin/report --runs=runs --out=out/report" in text


def test_logs_of_a_callback_are_reported_without_a_warning(tmp_path, capsys, recwarn):
    scalars = {"diagnostics/weight_norm/all": [(0, 1.0)], "diagnostics/dead_units/input": [(0, math.nan)]}
    (tmp_path / "logs").mkdir()
    rows = [f"{step},{tag},{value}\n" for tag, ((step, value),) in scalars.items()]
    (tmp_path / "logs" / "metrics.csv").write_text("".join(["step,tag,value\n", *rows]))
    assert command.main([f"--runs={tmp_path / 'logs'}", f"--out={tmp_path / 'out'}"]) == 0
    assert capsys.readouterr().out.startswith("1 run of 1 arm: ")
    assert not [each for each in recwarn if issubclass(each.category, RuntimeWarning)]


def test_an_experiment_says_which_arms_and_seeds_there_should_be(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "none-seed0")
    (tmp_path / "small.gin").write_text(EXPERIMENT)
    assert command.main(["--runs=runs", "--experiment=small.gin", "--out=report"]) == 0
    assert "layer_norm: seed 1 is missing" in capsys.readouterr().out
    text = (tmp_path / "report" / "index.html").read_text()
    assert "<title>small</title>" in text and "1 of 4" in text


@pytest.mark.parametrize(("given", "lacking"), [([], "--runs"), (["--runs=."], "--out")])
def test_what_is_required(capsys, given, lacking):
    assert command.main(given) == 2
    assert f"{lacking} is required" in capsys.readouterr().err


def test_help_names_every_flag(capsys):
    assert command.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--runs=", "--experiment=", "--out=", "--title=", "--[no]debug"):
        assert flag in shown


def test_errors_of_use_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "runs" / "a-seed0")
    assert error_of(capsys, "--runs=no", "--out=o") == "--runs must be a directory. Received: 'no'"
    assert error_of(capsys, "--runs=empty", "--out=o").startswith(
        "--runs: no run directory at or below empty. Name one of bin/train"
    )
    assert (
        error_of(capsys, "--runs=runs", "--out=file/o")
        == "--out: cannot write to 'file/o'. Choose another directory"
    )
    assert error_of(capsys, "--runs=runs", "--out=").startswith("--out must not be empty")
    assert "no such file 'x.gin'" in error_of(capsys, "--runs=runs", "--out=o", "--experiment=x.gin")
    assert error_of(capsys, "runs").startswith("unexpected argument 'runs'")
    assert "run" in error_of(capsys, "--rums=runs")
    assert not (tmp_path / "o").exists()


def test_a_garbled_list_of_the_sweep_is_a_problem_that_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a-seed0")
    (tmp_path / "runs" / "sweep.json").write_text("[")
    assert command.main(["--runs=runs", "--out=o"]) == 0
    assert "sweep.json cannot be read" in capsys.readouterr().out
