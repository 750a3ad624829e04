import os
import subprocess
import sys

import pytest

from tfplastic.command_line import interpreter


@pytest.fixture
def started(monkeypatch):
    calls = []

    def execv(program, arguments):
        calls.append((program, arguments))
        raise SystemExit(0)  # The real one does not return either.

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["bin/train", "--help"])
    return calls


@pytest.fixture
def environment(tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return tmp_path / ".venv"


def test_returns_where_the_packages_are(started, environment):
    interpreter.require_packages(environment)
    assert started == []


def test_starts_again_with_the_environment(started, environment, monkeypatch):
    monkeypatch.setattr(interpreter, "PACKAGES", ("sys", "no_such_package"))
    with pytest.raises(SystemExit):
        interpreter.require_packages(environment)
    python = environment / "bin" / "python"
    assert started == [(python, [str(python), "bin/train", "--help"])]


@pytest.mark.parametrize("case", ["no environment", "already in it"])
def test_says_what_is_missing(started, environment, monkeypatch, tmp_path, capsys, case):
    monkeypatch.setattr(interpreter, "PACKAGES", ("sys", "no_such_package"))
    if case == "already in it":
        monkeypatch.setattr(sys, "prefix", str(environment))
    else:
        environment = tmp_path / "none"
    with pytest.raises(SystemExit) as caught:
        interpreter.require_packages(environment)
    assert caught.value.code == 2 and started == []
    assert capsys.readouterr().err == (
        f"train: error: {sys.executable} lacks no_such_package."
        f" `make setup` installs everything into {environment}\n"
    )


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("reports", "pip install 'tfplastic[reports]'"),
        ("sweeps", "pip install 'tfplastic[sweeps]'"),
        ("rl", "pip install 'tfplastic[rl]' && pip install --no-deps tf-agents==0.19.0"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command_that_installs_it(monkeypatch, capsys, extra, command):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tfplastic-report"])
    interpreter.require_extras(extra, ("sys", "os"))
    with pytest.raises(SystemExit) as caught:
        interpreter.require_extras(extra, ("sys", "no_such_package", "nor_this"))
    assert caught.value.code == 2
    line = f"tfplastic-report: error: no_such_package, nor_this missing. Run: {command}\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("package", ["pandas", "matplotlib"])
def test_reports_name_their_extra(package):
    code = f"import sys; sys.modules[{package!r}] = None; import tfplastic.reports"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    message = f"ImportError: tfplastic.reports needs {package}: pip install 'tfplastic[reports]'"
    assert result.stderr.splitlines()[-1] == message
