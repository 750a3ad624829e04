"""Names of layers that are no file names, under a locale that knows ASCII only; files are text in UTF-8."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfplastic.command_line import entry_point, train

ROOT = Path(__file__).parent.parent
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PROGRAM = r"""
import gc, locale, sys
gc.disable()  # as tests/conftest.py
import numpy as np
import keras
from tfplastic import callbacks, diagnostics, reports

assert locale.getpreferredencoding(False) == "ANSI_X3.4-1968" and sys.getfilesystemencoding() == "ascii"
names = ["caf\u00e9 \u5c42", "a,b\"c", "..", "x" * 300, "back\\slash", "per%cent"]
layers = [keras.layers.Dense(2, "relu", name=name) for name in names]
model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1, name="out")])
model.compile("sgd", "mse", run_eagerly=True)  # in a graph TensorFlow takes no such names
x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
some = [diagnostics.dead_units, diagnostics.pre_activation_means, diagnostics.gradient_norm]
watch = callbacks.PlasticityDiagnostics(x, x[:, :1], every=2, log_dir=sys.argv[1], quantities=some)
model.fit(x, x[:, :1], batch_size=4, verbose=0, callbacks=[watch])
assert not watch.left_out, watch.left_out
assert {row["layer"] for row in watch.history} >= set(names)
print(diagnostics.diagnose(model, x, quantities=some[:1]))
diagnostics.diagnose(model, x, quantities=some[:1]).show(all=True)
runs = reports.read_runs(sys.argv[1])
print(ascii([tag for tag in runs.array_tags() if tag.endswith(names[0])]))
print(ascii([tag for tag in runs.array_tags() if tag.endswith("a%2Cb%22c")]))
"""


def test_no_name_and_no_locale_ends_a_run(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "logs")],
        cwd=ROOT,
        env={**os.environ, **POSIX, "TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr.decode()[-3_000:]
    lines = process.stdout.decode("ascii").splitlines()
    assert lines[-2:] == [
        r"['diagnostics/pre_activation_means/caf\xe9 \u5c42']",
        "['diagnostics/pre_activation_means/a%2Cb%22c']",
    ]
    assert any(r"caf\xe9 \u5c42" in line for line in lines[:-2])
    assert sorted(os.listdir(tmp_path)) == ["logs"]


def _opens_text_in_any_encoding(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in options:
        return False
    if name == "read_text":
        return not call.args
    if name == "write_text":
        return len(call.args) < 2
    if name in ("TemporaryFile", "NamedTemporaryFile", "fdopen"):
        modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
        return any(isinstance(mode, str) and "b" not in mode for mode in modes)
    if isinstance(call.func, ast.Name) and name == "open":
        mode = call.args[1] if len(call.args) > 1 else options.get("mode")
        return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
    return name in ("run", "Popen", "check_output") and "text" in options


def test_text_is_never_in_the_encoding_of_the_locale():
    found = []
    for path in (ROOT / "tfplastic").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found += [f"{path.name}:{call.lineno}" for call in calls if _opens_text_in_any_encoding(call)]
    assert not found


def test_a_path_that_the_locale_cannot_write_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", "--run_dir=caf\udcc3\udca9"])
    assert entry_point.run("train", lambda: pytest.fail("parsed"), lambda given: 0) == 2
    line = capsys.readouterr().err
    assert line.startswith("train: error: arguments must be of the locale's encoding, ")
    assert line.endswith("Set PYTHONUTF8=1 and run the same command again.\n")
    assert train.main([]) == 2
    assert "error: arguments must be of the locale's encoding, " in capsys.readouterr().err
