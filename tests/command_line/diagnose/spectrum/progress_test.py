"""The progress that a person sees while products are made."""

import io

import pytest

from tfplastic.command_line.diagnose.spectrum.progress import ProductsProgress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_plain_lines_come_at_their_interval_and_at_the_end():
    stream = io.StringIO()
    with ProductsProgress(stream, plain_interval_s=0).phase("density") as update:
        update(1, 20)
        update(2, 20)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "density: 1 of at most 20 products, 0 s",
        "density: 2 of at most 20 products, 0 s",
        "density: 2 of at most 20 products, took 0 s",
    ]


def test_long_intervals_leave_the_last_line_alone():
    stream = io.StringIO()
    with ProductsProgress(stream, plain_interval_s=1e9).phase("density") as update:
        for done in range(1, 21):
            update(done, 20)
    assert stream.getvalue().splitlines() == ["density: 20 of at most 20 products, took 0 s"]


def test_a_terminal_shows_a_bar_and_keeps_nothing_of_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with ProductsProgress(stream).phase("density") as update:
        update(1_234, 5_678)
    shown = stream.getvalue()
    assert "density" in shown and "1,234 of at most 5,678 products" in shown
    assert shown.endswith("\x1b[2K")  # the bar's line is erased


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with ProductsProgress(stream).phase("density") as update:
        update(1, 2)
    assert stream.getvalue() == "density: 1 of at most 2 products, took 0 s\n"


def test_an_interrupt_ends_the_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt):
        with ProductsProgress(stream).phase("density") as update:
            update(1, 2)
            raise KeyboardInterrupt
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back
