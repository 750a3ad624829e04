"""Answers of `bin/diagnose` before any command runs."""

import os
import pathlib
import subprocess
import sys

import pytest

from tfplastic.command_line import diagnose
from tfplastic.command_line.diagnose import options

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_no_arguments_show_usage(capsys):
    assert diagnose.main([]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: bin/diagnose ") and shown.count("Usage:") == 1
    assert all(f" bin/diagnose {name} --run_dir=RUN" in shown for name in options.COMMANDS)


def test_an_error_is_one_line(capsys):
    assert diagnose.main(["spectrum", "--run_dir=none"]) == 2
    message = "--run_dir: no such directory 'none'. Name the directory of a run"
    assert capsys.readouterr().err == f"bin/diagnose: error: {message}\n"


@pytest.mark.parametrize("name", options.COMMANDS)
def test_fast_answers_import_no_tensorflow(tmp_path, name):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    for arguments, code, text in (
        (["--help"], 0, f"  {name}  "),
        ([name, "--help"], 0, "--run_dir=DIRECTORY"),
        ([name, "--run_dir=none"], 2, ""),
    ):
        answer = subprocess.run(
            [sys.executable, str(ROOT / "bin/diagnose"), *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == code and "TensorFlow was imported" not in answer.stderr
        assert text in answer.stdout
