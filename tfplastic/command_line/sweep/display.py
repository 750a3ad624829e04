"""The display of a running sweep: a live table on a terminal, plain lines anywhere else."""

import sys
import time
from typing import IO, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tfplastic._text.durations import rough_duration
from tfplastic.sweeps.eta import Eta
from tfplastic.sweeps.records import Records, Run

_REDRAWS_PER_S = 2
_LINES_AROUND = 6  # of the table's head, the summary and what stands above


class Display:
    """Display of running and finished jobs and the time left; to be used as a context.

    On a terminal a table of the running jobs with a line of counts below and the lines of `say` above;
    anywhere else lines, with the counts every `plain_interval_s` seconds.

    Args:
        records: records of the runs.
        stream: output stream; standard output unless given.
        plain_interval_s: seconds between plain lines of counts.
    """

    def __init__(self, records: Records, stream: IO[str] | None = None, plain_interval_s: float = 60.0):
        self._records = records
        self._eta = Eta(records)
        self._console = Console(file=sys.stdout if stream is None else stream, highlight=False)
        self._plain_interval_s = plain_interval_s
        self._plain_at = time.monotonic()
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        self._console.print(Text(text), soft_wrap=True)

    def update(self) -> None:
        """Shows the present state if it is time to."""
        self._eta.update()
        now = time.monotonic()
        if self._live is not None:
            if now - self._drawn_at >= 1 / _REDRAWS_PER_S:
                self._live.update(self._table(), refresh=True)
                self._drawn_at = now
        elif now - self._plain_at >= self._plain_interval_s:
            self.say(self.summary())
            for run in self._at_work():
                eta = rough_duration(self._eta.seconds_of(run))
                self.say(f"  {run.name} {self._progress(run)}, ETA {eta}")
            self._plain_at = now

    def summary(self) -> str:
        """Counts and the time left, in one line.

        A time is left out while nothing is known of the speed of any run.
        """
        counts = [("finished", f"of {len(self._records.runs)}"), ("running", ""), ("waiting", "")]
        counts += [(state, "") for state in ("stopped", "failed") if self._records.count(state)]
        words = [f"{self._records.count(state)} {f'{of} ' if of else ''}{state}" for state, of in counts]
        return f"{', '.join(words)}, ETA {rough_duration(self._eta.seconds())}"

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _at_work(self) -> list[Run]:
        return [run for run in self._records.runs if run.state == "running"]

    def _progress(self, run: Run) -> str:
        return f"step {run.step:,} of {run.total_steps:,} ({100 * run.step / run.total_steps:.0f}%)"

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        table.add_column("run", no_wrap=True)
        table.add_column("on", no_wrap=True)
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("", justify="right")
        table.add_column("ETA", justify="right", no_wrap=True)
        table.add_column("start", justify="right")
        runs = self._at_work()
        shown = runs[: max(1, self._console.height - _LINES_AROUND)]
        for run in shown:
            share = f"{100 * run.step / run.total_steps:.0f}%"
            step = f"{run.step:,} of {run.total_steps:,}"
            eta = rough_duration(self._eta.seconds_of(run))
            table.add_row(Text(run.name), Text(run.host or ""), step, share, eta, str(run.attempts))
        hidden = [Text(f"and {len(runs) - len(shown)} more")] if len(runs) > len(shown) else []
        return Group(table, *hidden, Text(self.summary()))
