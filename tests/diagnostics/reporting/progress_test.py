"""Lines about measurements that take long: none within ten seconds, then how far and how long."""

import time

import numpy as np
import pytest

from tfplastic import diagnostics
from tfplastic._keras import keras
from tfplastic.diagnostics.reporting.progress import Progress

QUANTITIES = {
    "dead_units": diagnostics.dead_units,
    "gradient_norm": diagnostics.gradient_norm,
    "sharpness": diagnostics.sharpness,
}


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("tfplastic.diagnostics.reporting.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_says_how_far_it_is_and_how_long_it_may_take(clock):
    progress = Progress("net", QUANTITIES)
    assert progress.line(112.0) == "Diagnosing net: 12 s so far, tracing the model."
    clock[0] = 112.0
    progress.begin("dead_units")
    assert progress.line(113.0) == (
        "Diagnosing net: 13 s so far, 0 of 3 quantities measured, now dead_units."
    )
    clock[0] = 114.0  # 2 s for weight 1: of 5 + 50 left, 110 s
    progress.begin("gradient_norm")
    assert progress.line(114.0).endswith(
        "1 of 3 quantities measured, now gradient_norm, at least 2 min left."
    )
    clock[0] = 124.0  # 12 s for weight 6, 50 left
    progress.begin("sharpness")
    assert progress.line(154.0).endswith("2 of 3 quantities measured, now sharpness, at least 70 s left.")
    assert progress.line(300.0).endswith("2 of 3 quantities measured, now sharpness.")  # beyond the bound


def test_what_is_left_takes_as_long_as_what_was_measured_of_its_cost(clock):
    cheap, full = diagnostics.dead_units, diagnostics.sharpness
    progress = Progress("net", {"a": cheap, "b": full, "c": full, "d": cheap})
    for name, seconds in (("a", 1.0), ("b", 300.0)):
        progress.begin(name)
        clock[0] += seconds
    progress.begin("c")  # another 300 s, and 1 s of the last; by the weights alone it would be 50 s and 6 s
    assert progress.line(clock[0] + 181.0).endswith("2 of 4 quantities measured, now c, about 2 min left.")


def model():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, "relu", name="h"), keras.layers.Dense(1)]
    )


def slow(snapshot):
    time.sleep(0.25)
    return {"all": 1.0}


def test_what_takes_long_writes_lines_and_what_does_not_is_quiet(monkeypatch, capfd):
    net, inputs = model(), np.ones((2, 3), np.float32)
    assert diagnostics.diagnose(net, inputs, quantities=[slow]).to_dict() == {"slow": {"all": 1.0}}
    assert "Diagnosing" not in capfd.readouterr().err
    monkeypatch.setattr("tfplastic.diagnostics.reporting.progress._FIRST", 0.05)
    report = diagnostics.diagnose(net, inputs, quantities=[slow, diagnostics.dead_units])
    assert list(report.to_dict()) == ["slow", "dead_units"]
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Diagnosing ")]
    assert lines and "now slow" in lines[-1]


def test_no_thread_outlives_an_error(monkeypatch):
    monkeypatch.setattr("tfplastic.diagnostics.reporting.progress._FIRST", 0.01)
    progress = Progress("net", QUANTITIES)
    with pytest.raises(RuntimeError), progress:
        raise RuntimeError
    assert not progress._thread.is_alive()


def test_names_beyond_ascii_are_escaped(monkeypatch, capfd):
    monkeypatch.setattr("tfplastic.diagnostics.reporting.progress._FIRST", 0.01)
    with Progress("模型", QUANTITIES):
        time.sleep(0.05)
    assert "Diagnosing \\u6a21\\u578b: " in capfd.readouterr().err
