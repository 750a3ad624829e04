"""The progress of Hessian-vector products: a live bar on a terminal, a plain line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tfplastic._text.durations import duration


class ProductsProgress:
    """Progress of phases of work, one after another, each as products done of those planned at most.

    Args:
        stream: output stream; standard error unless given.
        plain_interval_s: seconds between plain lines of one phase.

    Example:
        >>> import sys
        >>> from tfplastic.command_line.diagnose.spectrum.progress import ProductsProgress
        >>> with ProductsProgress(stream=sys.stdout).phase('density') as progress:
        ...     progress(1, 90)
        density: 1 of at most 90 products, took ... s
    """

    def __init__(self, stream: IO[str] | None = None, plain_interval_s: float = 10.0):
        self._stream = sys.stderr if stream is None else stream
        self._plain_interval_s = plain_interval_s

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Within the block, shows the arguments of the function that it gives: products done, planned."""
        if self._stream.isatty():
            console = Console(file=self._stream, force_terminal=True)
            if not console.is_dumb_terminal:
                with self._live(console, name) as update:
                    yield update
                return
        with self._plain(name) as update:
            yield update

    @contextlib.contextmanager
    def _live(self, console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of at most {task.total:,.0f} products"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            bar = bars.add_task(name, total=0)
            yield lambda done, planned: bars.update(bar, completed=done, total=planned)

    @contextlib.contextmanager
    def _plain(self, name: str) -> Iterator[Callable[[int, int], None]]:
        begun = shown = time.monotonic()
        state = (0, 0)

        def write(now: float, word: str = "") -> None:
            text = f"{name}: {state[0]:,} of at most {state[1]:,} products"
            self._stream.write(f"{text}, {word}{duration(now - begun)}\n")
            self._stream.flush()

        def update(done: int, planned: int) -> None:
            nonlocal state, shown
            state, now = (done, planned), time.monotonic()
            if now - shown >= self._plain_interval_s:
                shown = now
                write(now)

        yield update
        write(time.monotonic(), "took ")
