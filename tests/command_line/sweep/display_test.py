import io

from rich.console import Console

from tfplastic.command_line.sweep import display
from tfplastic.command_line.sweep.display import Display
from tfplastic.sweeps import RunRoot
from tfplastic.sweeps.eta import Eta
from tfplastic.sweeps.records import Records, Run


def records(*runs):
    return Records(RunRoot("memory://display"), "x.gin", [], [0], [], runs)


def test_eta():
    now = [0.0]
    known, other, waiting = Run("a", 0, "", 100), Run("b", 0, "", 100), Run("a", 1, "", 50)
    eta = Eta(records(known, other, waiting), clock=lambda: now[0])
    eta.update()
    assert eta.seconds() is None and eta.seconds_of(known) is None
    known.state, known.step = "running", 10
    eta.update()
    now[0], known.step = 20.0, 20
    eta.update()
    assert eta.seconds_of(known) == 2 * 80  # 10 steps in 20 seconds
    assert eta.seconds_of(waiting) == 2 * 50 and eta.seconds_of(other) == 2 * 100
    assert eta.seconds() == 160 + 100 + 200
    other.state, other.step = "running", 0
    eta.update()
    assert eta.seconds() == (160 + 200 + 100) / 2
    now[0], other.step = 30.0, 1
    eta.update()
    assert eta.seconds_of(other) == 10 * 99 and eta.seconds() == 990  # the longest of those at work


def test_eta_after_a_restart_and_at_the_end():
    now = [0.0]
    run = Run("a", 0, "", 100, "running", 50)
    eta = Eta(records(run), clock=lambda: now[0])
    eta.update()
    now[0], run.step = 1.0, 40  # from the last checkpoint
    eta.update()
    now[0], run.step = 11.0, 60
    eta.update()
    assert eta.seconds() == 0.5 * 40
    run.state, run.step = "finished", 100
    eta.update()
    assert eta.seconds() == 0


def test_plain_lines():
    stream = io.StringIO()
    runs = [
        Run("a", 0, "", 1_000, "running", 250),
        Run("b", 0, "", 10, "failed"),
        Run("c", 0, "", 10, "finished"),
    ]
    with Display(records(*runs), stream, plain_interval_s=0.0) as shown:
        shown.say("a [bold]line[/bold] of its own, " + "long " * 40)
        shown.update()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("a [bold]line[/bold] of its own, long") and len(lines) == 3
    assert lines[1] == "1 of 3 finished, 1 running, 0 waiting, 1 failed, ETA -"
    assert lines[2] == "  a-seed0 step 250 of 1,000 (25%), ETA -"


def test_the_live_table(monkeypatch):
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=80, height=8, legacy_windows=False)
    monkeypatch.setattr(display, "Console", lambda **options: terminal)
    runs = [Run("arm", seed, "", 1_000, "running", 250, attempts=1, host="node7") for seed in range(4)]
    with Display(records(*runs), stream) as shown:
        shown.say("above")
        shown.update()
    text = stream.getvalue()
    assert "above" in text and "node7" in text and "250 of 1,000" in text and "25%" in text
    assert "and 2 more" in text and "0 of 4 finished, 4 running, 0 waiting, ETA -" in text
