"""The progress of a run, as one live line on a terminal and as a plain line now and then anywhere else.

Steps are gradient steps; agent steps are environment decisions, one per four frames on Atari.
"""

import collections
import contextlib
import logging
import math
import sys
import time
from collections.abc import Collection, Iterator
from typing import IO, Any, NamedTuple, Self

from absl import logging as absl_logging
from rich.console import Console, ConsoleOptions
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tfplastic._checks import check_integer, check_non_negative, check_positive_integer
from tfplastic._text.durations import UNKNOWN, duration

WARM_UP = "warm-up"
_RATE_WINDOW_S = 10.0
_SAMPLE_PERIOD_S = 0.25
_REDRAWS_PER_S = 4
_SHORTEST_BAR = 8
_SHORT_WORDS = {"return": "ret", "accuracy": "acc", "loss": "loss", "epsilon": "eps"}
_FIELDS = ("agent_steps", "episode_return", "accuracy", "loss", "epsilon")
_SCORE_WIDTHS = ("<6", "<5")
_WIDTHS = {"return": (">6", ">5"), "accuracy": ("<5", "<5"), "loss": ("<8", "<6"), "epsilon": ("<5", "<4")}


class _Sample(NamedTuple):
    time: float
    step: int
    agent_steps: int | None


class Progress:
    """Progress line: step / total, the time left, steps per second, the run's return, loss and so on.

    On a terminal it is one line, redrawn four times a second by a thread, so that the training loop only
    stores numbers; lines that are printed or logged meanwhile appear above it. Where there is no terminal it
    is a plain line at the start, at the end, and every `plain_interval_s` seconds. Unknown values read `-`.

    The rates are of the last ten seconds, without the time under a note (evaluations, checkpoints). The time
    left follows from the average speed since the first gradient step here, everything included but the
    warm-up.

    Args:
        total_steps: gradient steps of the whole run.
        initial_step: gradient steps done before, by the run that this one resumes.
        fields: names among `agent_steps`, `episode_return`, `accuracy` and `epsilon` that the run has, and
            names of other scores; other values are not shown.
        stream: output stream; standard error unless given.
        plain_interval_s: seconds between plain lines.

    Example:
        >>> import sys
        >>> from tfplastic.training.run.progress import Progress
        >>> with Progress(total_steps=100, stream=sys.stdout) as progress:
        ...     progress.update(0, note='warm-up')
        step 0 of 100 (0.0%), ETA -, - agent steps/s, - gradient steps/s, return -, loss -, epsilon -
        step 0 of 100 (0.0%), took ... s, - agent steps/s, - gradient steps/s, return -, loss -, epsilon -,
        warm-up
    """

    def __init__(
        self,
        total_steps: int,
        initial_step: int = 0,
        fields: Collection[str] = ("agent_steps", "episode_return", "epsilon"),
        stream: IO[str] | None = None,
        plain_interval_s: float = 30.0,
    ):
        self._total = check_positive_integer("total_steps", total_steps)
        self._initial = self._step = check_integer("initial_step", initial_step)
        self._plain_interval_s = check_non_negative("plain_interval_s", plain_interval_s)
        self._stream = sys.stderr if stream is None else stream
        self._agent_steps: int | None = None
        self._has_agent = "agent_steps" in fields
        known = [name for name in _SHORT_WORDS if name in ("loss", *fields) or f"episode_{name}" in fields]
        scores = [name for name in fields if name not in _FIELDS]
        self._values: dict[str, Any] = dict.fromkeys([*scores, *known])
        self._note = ""
        self._opened_at = self._updated_at = self._plain_at = time.monotonic()
        self._took: float | None = None
        self._trained_from: _Sample | None = None
        self._paused_s = 0.0
        self._agent_rate: float | None = None
        self._gradient_rate: float | None = None
        self._samples: collections.deque[_Sample] = collections.deque()
        self._resources = contextlib.ExitStack()
        self._live = _live(self._stream, self)
        if self._live is None:
            self._write_plain()
        else:
            self._resources.enter_context(self._live)
            self._resources.enter_context(_redirected_loggers())

    def update(
        self,
        step: int,
        *,
        agent_steps: int | None = None,
        episode_return: float | None = None,
        accuracy: float | None = None,
        loss: float | None = None,
        epsilon: float | None = None,
        note: str = "",
        **scores: Any,
    ) -> None:
        """Takes the present state, which costs about a microsecond where nothing is written.

        Args:
            step: gradient steps done.
            agent_steps: agent steps done.
            episode_return: mean return of the last 100 episodes, unclipped.
            accuracy: accuracy on the training batches.
            loss: loss of a recent step; anything that `float` takes, converted only when it is drawn.
            epsilon: epsilon of the acting policy.
            note: activity of the run other than training, such as 'warm-up', 'evaluating' or 'checkpoint'. It
                holds until the next update; the others keep their last value where they are None.
            **scores: other scores on the training batches, by the names among `fields`.
        """
        now = time.monotonic()
        if self._note and self._note != WARM_UP:
            self._paused_s += now - self._updated_at
        self._updated_at = now
        self._step = step
        self._note = note
        if agent_steps is not None:
            self._agent_steps = agent_steps
        given = {"return": episode_return, "accuracy": accuracy, "loss": loss, "epsilon": epsilon}
        for name, value in {**given, **scores}.items():
            if value is not None and name in self._values:
                self._values[name] = value
        if self._trained_from is None and step > self._initial:
            self._trained_from = _Sample(now, step, None)
        self._sample(now - self._paused_s)
        if self._live is None and now - self._plain_at >= self._plain_interval_s:
            self._write_plain()

    def close(self) -> None:
        """Shows the last state and leaves stream and loggers as they were. A second call does nothing."""
        if self._took is not None:
            return
        self._took = time.monotonic() - self._opened_at
        if self._live is None:
            self._write_plain()
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        text = self._terminal_text(options.max_width)
        line = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        bar_width = options.max_width - len(text) - 1
        if bar_width < _SHORTEST_BAR:
            line.add_row(Text(text[: options.max_width]))
        else:
            line.add_row(Text(text), ProgressBar(self._total, min(self._step, self._total), width=bar_width))
        yield line

    def _sample(self, at: float) -> None:
        """Brings the rates up to date, `at` seconds on a clock that stands still under a note."""
        samples = self._samples
        if samples and at - samples[-1].time < _SAMPLE_PERIOD_S:
            return
        samples.append(_Sample(at, self._step, self._agent_steps))
        while len(samples) > 2 and at - samples[1].time >= _RATE_WINDOW_S:
            samples.popleft()
        first, last = samples[0], samples[-1]
        if first is last:
            return
        seconds = last.time - first.time
        self._gradient_rate = (last.step - first.step) / seconds
        if first.agent_steps is not None and last.agent_steps is not None:
            self._agent_rate = (last.agent_steps - first.agent_steps) / seconds

    def _eta(self) -> float | None:
        """Returns seconds that the steps left will take, None until two updates have come with new steps."""
        start = self._trained_from
        if start is None or self._step <= start.step:
            return None
        seconds_per_step = (self._updated_at - start.time) / (self._step - start.step)
        return max(self._total - self._step, 0) * seconds_per_step

    def _time(self) -> tuple[str, float | None]:
        return ("ETA", self._eta()) if self._took is None else ("took", self._took)

    def _terminal_text(self, width: int) -> str:
        """Returns the cells of the line that fit into `width`, in long words if all do, else short."""
        agent_rate, gradient_rate = short_number(self._agent_rate), short_number(self._gradient_rate)
        values = {name: short_number(value) for name, value in self._values.items()}
        word, seconds = self._time()
        note = [self._note] if self._note else []
        long = [
            f"{self._step:>{len(f'{self._total:,}')},} / {self._total:,}",
            f"{word} {duration(seconds):<10}",
            *[f"{agent_rate:>5} agent steps/s"] * self._has_agent,
            f"{gradient_rate:>5} gradient steps/s",
            *(f"{name} {value:{_widths(name)[0]}}" for name, value in values.items()),
        ]
        short = [
            f"{short_number(self._step, 4):>6}/{short_number(self._total)}",
            f"{word} {duration(seconds).replace(' ', '').replace('min', 'm'):<6}",
            *[f"{agent_rate:>5} agent/s"] * self._has_agent,
            f"{gradient_rate:>4} grad/s",
            *(f"{_SHORT_WORDS.get(name, name)} {value:{_widths(name)[1]}}" for name, value in values.items()),
        ]
        for text in ("  ".join(long + note), " ".join(short + note)):
            if len(text) <= width:
                return text
        # Too narrow for columns that stand still: first the padding goes, then cell by cell what matters
        # least.
        for count in range(len(short), 0, -1):
            text = " ".join(" ".join(short[:count] + note).split())
            if len(text) <= width:
                break
        return text

    def _write_plain(self) -> None:
        self._plain_at = time.monotonic()
        agent_rate, gradient_rate = short_number(self._agent_rate), short_number(self._gradient_rate)
        word, seconds = self._time()
        cells = [
            f"step {self._step:,} of {self._total:,} ({self._step / self._total:.1%})",
            f"{word} {duration(seconds)}",
            *[f"{agent_rate} agent steps/s"] * self._has_agent,
            f"{gradient_rate} gradient steps/s",
            *(f"{name} {short_number(value)}" for name, value in self._values.items()),
        ]
        self._stream.write(", ".join(cells + [self._note] * bool(self._note)) + "\n")
        self._stream.flush()


def _widths(name: str) -> tuple[str, str]:
    """Returns the formats of a value in the line of long words and in that of short ones."""
    return _WIDTHS.get(name, _SCORE_WIDTHS)


def short_number(value: Any, digits: int = 3) -> str:
    """Formats a number to `digits` digits, in thousands (k), millions (M) or billions (G); `-` for None.

    Example:
        >>> from tfplastic.training.run.progress import short_number
        >>> short_number(999.6), short_number(12_345, 4), short_number(-20.75), short_number(None)
        ('1k', '12.35k', '-20.8', '-')
    """
    if value is None:
        return UNKNOWN
    number = float(value)
    for suffix in ("", "k", "M"):
        if not math.isfinite(number):
            return f"{number}"
        if abs(number) < 1000 - 0.5 * 10.0 ** (3 - digits):
            return f"{number:.{digits}g}{suffix}"
        number /= 1000
    return f"{number:.{digits}g}G"


def _live(stream: IO[str], progress: Progress) -> Live | None:
    """Returns the live display, None where `stream` is not a terminal that can move its cursor."""
    if not stream.isatty():
        return None
    console = Console(file=stream, force_terminal=True)
    if console.is_dumb_terminal:
        return None
    # Of standard output and error, redirect only what goes to the terminal: the other may be a file or a
    # pipe.
    return Live(
        progress,
        console=console,
        refresh_per_second=_REDRAWS_PER_S,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )


@contextlib.contextmanager
def _redirected_loggers() -> Iterator[None]:
    """Has log handlers follow standard output and error to where the live display redirected them."""
    proxies = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, FileProxy)]
    with contextlib.ExitStack() as stack:
        for handler in (absl_logging.get_absl_handler().python_handler, *logging.getLogger().handlers):
            for proxy in proxies:
                if isinstance(handler, logging.StreamHandler) and handler.stream is proxy.rich_proxied_file:
                    stack.callback(handler.setStream, proxy.rich_proxied_file)
                    handler.setStream(proxy)
        yield
