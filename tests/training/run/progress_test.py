"""Progress: the numbers shown, plain lines, and the live line as a terminal shows it."""

import contextlib
import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest
from absl import logging as absl_logging

from tfplastic.training.run import progress as progress_module
from tfplastic.training.run.progress import Progress, short_number

# A process without the other modules of the package, which take seconds to import TensorFlow.
LIGHT = (
    "import logging as root_logging, sys, time, types, tfplastic\n"
    "from absl import flags, logging\n"
    "flags.FLAGS(['test'])\n"
    "record = {'msg': 'logged by absl', 'levelno': 20}\n"
    "handler = logging.get_absl_handler().python_handler\n"
    "handler.setFormatter(root_logging.Formatter('%(message)s'))\n"
    "package = sys.modules['tfplastic.training'] = types.ModuleType('tfplastic.training')\n"
    "package.__path__ = [f'{tfplastic.__path__[0]}/training']\n"
    "from tfplastic.training.run.progress import Progress\n"
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """`time.monotonic` of the module, moved by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


@pytest.fixture
def stream():
    return io.StringIO()


def last_line(stream):
    return stream.getvalue().splitlines()[-1]


class TestPlain:
    def test_first_and_last_line(self, clock, stream):
        with Progress(50_000, stream=stream) as progress:
            progress.update(1, agent_steps=4, episode_return=-20.75, loss=0.0123456, epsilon=0.1)
            clock.now += 200
        assert stream.getvalue().splitlines() == [
            "step 0 of 50,000 (0.0%), ETA -, - agent steps/s, - gradient steps/s, return -, loss -, "
            "epsilon -",
            "step 1 of 50,000 (0.0%), took 3 min 20 s, - agent steps/s, - gradient steps/s, return -20.8, "
            "loss 0.0123, epsilon 0.1",
        ]

    def test_one_line_per_interval(self, clock, stream):
        with Progress(1000, stream=stream, plain_interval_s=30) as progress:
            for step in range(1, 101):
                clock.now += 1
                progress.update(step)
        steps = [int(line.split()[1]) for line in stream.getvalue().splitlines()]
        assert steps == [0, 30, 60, 90, 100]

    def test_every_update_where_the_interval_is_zero(self, clock, stream):
        with Progress(10, stream=stream, plain_interval_s=0) as progress:
            progress.update(1)
            progress.update(2)
        assert len(stream.getvalue().splitlines()) == 4

    def test_holds_no_control_characters(self, stream):
        with Progress(10, stream=stream) as progress:
            progress.update(3, note="checkpoint")
        assert stream.getvalue().replace("\n", "").isprintable()
        assert last_line(stream).endswith(", checkpoint")

    def test_close_twice_writes_once(self, stream):
        progress = Progress(10, stream=stream)
        progress.close()
        progress.close()
        assert len(stream.getvalue().splitlines()) == 2

    def test_dumb_terminals_get_plain_lines(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        stream = Terminal()
        Progress(10, stream=stream).close()
        assert stream.getvalue().startswith("step 0 of 10") and "\x1b" not in stream.getvalue()

    def test_values_stay_and_the_note_goes(self, clock, stream):
        with Progress(100, stream=stream, plain_interval_s=0) as progress:
            progress.update(1, loss=0.5, epsilon=1.0, note="evaluating")
            assert last_line(stream).endswith("loss 0.5, epsilon 1, evaluating")
            progress.update(2)
            assert last_line(stream).endswith("loss 0.5, epsilon 1")

    def test_fields_that_the_run_has_not_are_not_shown(self, clock, stream):
        with Progress(100, 0, ("accuracy",), stream, plain_interval_s=0) as progress:
            progress.update(1, accuracy=0.25, loss=2.0, epsilon=0.1)
        expected = "step 1 of 100 (1.0%), took 0 s, - gradient steps/s, accuracy 0.25, loss 2"
        assert last_line(stream) == expected

    def test_what_is_not_finite_is_shown(self, stream):
        with Progress(100, stream=stream) as progress:
            progress.update(1, loss=float("nan"), episode_return=float("-inf"))
        assert last_line(stream).endswith("return -inf, loss nan, epsilon -")

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ((0,), "`total_steps` must be an integer of at least 1. Received: 0"),
            ((5, -1), "`initial_step` must be an integer of at least 0. Received: -1"),
            ((5, 0, (), None, -3), "`plain_interval_s` must be a finite number of at least 0. Received: -3"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(ValueError) as caught:
            Progress(*arguments)
        assert str(caught.value) == message


class TestRates:
    """All with a clock moved by hand: gradient steps at 50 per second, agent steps at 200."""

    def train(self, clock, progress, step, seconds, per_second=50):
        for _ in range(seconds * 10):
            clock.now += 0.1
            step += per_second // 10
            progress.update(step, agent_steps=4 * step)
        return step

    def shown(self, stream):
        line = last_line(stream)
        found = re.search(r"(?:ETA|took) (.*), (\S+) agent steps/s, (\S+) gradient steps/s", line)
        assert found, line
        return found.groups()

    def test_steady_speed(self, clock, stream):
        progress = Progress(10_000, stream=stream, plain_interval_s=0)
        self.train(clock, progress, 0, seconds=20)
        # 9,000 steps left at 50 per second.
        assert self.shown(stream) == ("3 min 00 s", "200", "50")

    def test_rates_are_of_the_last_ten_seconds(self, clock, stream):
        progress = Progress(10_000, stream=stream, plain_interval_s=0)
        step = self.train(clock, progress, 0, seconds=30, per_second=500)
        self.train(clock, progress, step, seconds=11)
        assert self.shown(stream)[1:] == ("200", "50")

    def test_slow_updates_have_rates_too(self, clock, stream):
        progress = Progress(10_000, stream=stream, plain_interval_s=0)
        for step in range(0, 5000, 1000):
            progress.update(step, agent_steps=4 * step)
            clock.now += 20
        assert self.shown(stream)[1:] == ("200", "50")

    def test_warm_up_counts_for_agent_steps_but_not_for_the_time_left(self, clock, stream):
        progress = Progress(10_000, stream=stream, plain_interval_s=0)
        for second in range(101):
            progress.update(0, agent_steps=300 * second, note="warm-up")
            clock.now += 1
        assert self.shown(stream) == ("-", "300", "0")
        self.train(clock, progress, 0, seconds=20)
        assert self.shown(stream) == ("3 min 00 s", "200", "50")

    def test_time_under_a_note_counts_for_the_time_left_but_not_for_the_rates(self, clock, stream):
        progress = Progress(10_000, stream=stream, plain_interval_s=0)
        step = self.train(clock, progress, 0, seconds=20)
        progress.update(step, note="evaluating")
        clock.now += 20
        step = self.train(clock, progress, step, seconds=5)
        eta, *rates = self.shown(stream)
        # The update after the evaluation ends the note, so that the five steps before it take no time.
        assert [float(rate) for rate in rates] == pytest.approx([200, 50], rel=0.02)
        # 1,250 steps in 45 s, the first five of them not timed: 8,750 take 8,750 * 44.9 / 1,245 = 315.6 s.
        assert eta == "5 min 16 s"

    def test_a_resumed_run_counts_its_own_steps_only(self, clock, stream):
        progress = Progress(10_000, initial_step=8_000, stream=stream, plain_interval_s=0)
        self.train(clock, progress, 8_000, seconds=20)
        assert last_line(stream).startswith("step 9,000 of 10,000 (90.0%), ETA 20 s, ")

    def test_nothing_is_left_at_the_end(self, clock, stream):
        progress = Progress(1_000, stream=stream, plain_interval_s=0)
        self.train(clock, progress, 0, seconds=20)
        assert self.shown(stream)[0] == "0 s"
        progress.close()
        assert self.shown(stream)[0] == "20 s"  # took


def test_update_costs_less_than_five_microseconds(stream):
    progress = Progress(10**9, stream=stream)

    def cost(count=20_000):
        start = time.perf_counter()
        for step in range(count):
            progress.update(step, agent_steps=4 * step, episode_return=1.0, loss=0.5, epsilon=0.1)
        return (time.perf_counter() - start) / count

    assert min(cost() for _ in range(5)) < 5e-6


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0"),
        (0.00012345, "0.000123"),
        (1e-7, "1e-07"),
        (-20.75, "-20.8"),
        (999.4, "999"),
        (999.5, "1k"),
        (1234, "1.23k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (50_000_000, "50M"),
        (2.5e12, "2.5e+03G"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (None, "-"),
    ],
)
def test_short_number(number, text):
    assert short_number(number) == text


def screen(output):
    """Returns a terminal's text after `output`; knows line breaks, carriage return, cursor up, erase line."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", output.replace("\r\n", "\n\r")):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token == "\x1b[2K":
            lines[row] = ""
        elif re.fullmatch(r"\x1b\[\d*A", token):
            row -= int(token[2:-1] or 1)
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


def in_terminal(code, columns, stdout=None):
    """Returns the text of such a terminal after a process; its standard output goes to `stdout` if given."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", LIGHT + code],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # What Linux raises at the end of a terminal.
        while read := os.read(ours, 65536):
            output += read
    os.close(ours)
    assert process.wait() == 0, output.decode()
    return screen(output.decode())


class TestTerminal:
    CODE = (
        "root_logging.basicConfig(stream=sys.stderr, format='%(message)s', force=True)\n"
        "with Progress(50_000) as progress:\n"
        "    for step in range(1, 21):\n"
        "        progress.update(\n"
        "            step, agent_steps=4 * step, episode_return=-20.75, loss=0.0123, epsilon=0.1)\n"
        "        time.sleep(0.03)\n"
        "        if step == 10:\n"
        "            print('printed')\n"
        "            print('to standard error', file=sys.stderr)\n"
        "            handler.emit(root_logging.makeLogRecord(record))\n"
        "            root_logging.warning('logged by the root')\n"
        "print('after')\n"
    )
    LOGGED = ["printed", "to standard error", "logged by absl", "logged by the root"]

    @pytest.mark.parametrize("columns", [30, 80, 170])
    def test_one_line_and_nothing_printed_is_lost(self, columns):
        *logged, line, after = in_terminal(self.CODE, columns)
        assert logged == self.LOGGED
        assert after == "after"
        assert len(line) <= columns
        if columns == 30:
            assert re.fullmatch(r"20/50k took \d+s [\d.]+ agent/s", line)
        if columns == 80:
            assert re.match(
                r" *20/50k took \d+s +[\d.]+ agent/s +[\d.]+ grad/s ret -20.8 loss 0.0123 +eps 0.1", line
            )
        if columns == 170:
            assert line.startswith("    20 / 50,000  took ")
            assert re.search(
                r" agent steps/s +[\d.]+ gradient steps/s  return  -20.8  loss 0.0123 +epsilon 0.1", line
            )
            assert line.endswith("━")

    def test_standard_output_in_a_file_stays_there(self, tmp_path):
        with open(tmp_path / "out", "w") as out:
            *logged, line = in_terminal(self.CODE, 80, stdout=out)
        assert logged == self.LOGGED[1:]
        assert "agent/s" in line
        assert (tmp_path / "out").read_text() == "printed\nafter\n"

    def test_log_handlers_and_streams_are_given_back(self):
        handler = logging.StreamHandler(sys.stderr)
        before = sys.stdout, sys.stderr, absl_logging.get_absl_handler().python_handler.stream
        logging.getLogger().addHandler(handler)
        try:
            with Progress(10, stream=Terminal()):
                pass
            assert handler.stream is sys.stderr
        finally:
            logging.getLogger().removeHandler(handler)
        assert before == (sys.stdout, sys.stderr, absl_logging.get_absl_handler().python_handler.stream)

    @pytest.mark.parametrize("columns", [1, 10, 40, 60, 79, 80, 81, 100, 120, 150, 200])
    def test_fits_every_width(self, columns, monkeypatch):
        monkeypatch.setenv("COLUMNS", str(columns))
        stream = Terminal()
        with Progress(12_500_000, stream=stream) as progress:
            progress.update(
                1_234_567, agent_steps=1, episode_return=-1234.5, loss=1.5e-7, note="[evaluating]"
            )
        (line,) = screen(stream.getvalue())
        assert len(line) <= columns
        if columns >= 60:
            assert "[evaluating]" in line  # What looks like rich's markup is text.

    @pytest.mark.parametrize("columns", [80, 120, 170])
    def test_columns_stand_still_while_numbers_change(self, columns, monkeypatch, clock):
        monkeypatch.setenv("COLUMNS", str(columns))
        progress = Progress(50_000, stream=Terminal())
        places = set()
        for step, loss in ((1, None), (20, 0.5), (30_000, 0.0123), (50_000, 0.0001)):
            clock.now += 10
            progress.update(step, agent_steps=4 * step, episode_return=-step / 100, loss=loss, epsilon=0.1)
            text = progress._terminal_text(columns)
            places.add(tuple(text.index(word) for word in ("/", "agent", "grad", "ret", "loss", "eps")))
        progress.close()
        assert len(places) == 1
