import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pythons(*candidates: str) -> subprocess.CompletedProcess:
    command = [str(ROOT / ".ci/pythons"), *candidates]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_that_does_not_run_is_passed_over(tmp_path: Path):
    broken = script(tmp_path / "python3.12", "echo 'python3.12: not selected' >&2; exit 127")
    done = pythons(broken, str(tmp_path / "absent"), sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.stdout == f"{version} {sys.executable}\n"
    assert done.returncode == 0


def test_the_first_of_each_version_is_taken_in_the_order_given(tmp_path: Path):
    first = script(tmp_path / "first", "echo 3.13 /first")
    second = script(tmp_path / "second", "echo 3.11 /second")
    third = script(tmp_path / "third", "echo 3.13 /third")
    assert pythons(first, second, third).stdout == "3.13 /first\n3.11 /second\n"


def test_no_supported_interpreter_is_an_error_of_one_line(tmp_path: Path):
    old = script(tmp_path / "python3.10", "echo 3.10 /old")
    done = pythons(old)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"No Python 3.11, 3.12 or 3.13 with venv runs here among: {old}. "
        "Name one: make ... PYTHON=/path/to/python3.12\n"
    )
