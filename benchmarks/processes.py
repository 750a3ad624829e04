"""The driver's end of a benchmark whose contenders are processes that answer requests in turns.

Requests and replies are lines of JSON on the standard input and output of a contender; its libraries' output
on standard error is kept for the case that it dies.
"""

import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Self

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOT_MEASURED = "not measured"
_SECONDS_TO_END = 20


class BenchmarkError(Exception):
    """The benchmark, or one contender, cannot be run; the message says why in one line."""


class Process:
    """A running contender. It starts at once, without being waited for; its first reply says that it is up.

    One that cannot be started, such as a peer whose environment is missing, says so in place of that reply.

    Args:
        name: name of the contender, for errors.
        command: interpreter, module and whatever else, without the settings.
        settings: its last argument, in JSON.
        environment: variables beyond those of this process.
    """

    def __init__(
        self, name: str, command: Sequence[str], settings: Mapping[str, Any], environment: Mapping[str, str]
    ):
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._process: subprocess.Popen[str] | None = None
        self._why_not = ""
        try:
            self._process = subprocess.Popen(
                [*command, json.dumps(settings)],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            self._why_not = f"{command[0]}: {error.strerror}. `make bench-peers` makes the peers' environment"

    def reply(self) -> dict[str, Any]:
        """Waits for the next reply.

        Raises:
            BenchmarkError: it could not be started, or has ended.
        """
        if self._process is None:
            raise BenchmarkError(f"{self.name} cannot be started: {self._why_not}")
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.name} ended: {self._last_error()}")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for the reply."""
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `reply` says what happened
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            if any(exception):
                self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
                self._process.communicate(timeout=_SECONDS_TO_END)
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _last_error(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


def pin(threads: int, first_core: int | None) -> list[int]:
    """Pins this process, and with it those it starts, to a core for each thread, and returns the cores."""
    allowed = sorted(os.sched_getaffinity(0))
    if first_core is not None and first_core not in allowed:
        raise BenchmarkError(f"--core must be one of {allowed}. Received: {first_core}")
    begin = 0 if first_core is None else allowed.index(first_core)
    cores = allowed[begin : begin + threads]
    if len(cores) < threads:
        raise BenchmarkError(f"--threads must be at most {len(allowed) - begin} here. Received: {threads}")
    os.sched_setaffinity(0, cores)
    return cores


def machine() -> dict[str, Any]:
    """The processor, its instruction sets that matter here, and how busy it is."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    known = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    return {
        "processor": fields.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in known if name in flags],
        "system": platform.platform(),
        "load_average": os.getloadavg()[0],
    }


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and smallest to largest in brackets; a dash where there is nothing."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of one length as lines, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def say(text: str) -> None:
    """Shows the progress to the person who waits."""
    print(text, file=sys.stderr, flush=True)


def exit_code(run: Callable[[], None]) -> int:
    """Runs a benchmark: 0 when it is done, 2 and one line if it cannot be, 130 if Ctrl-C stopped it."""
    try:
        run()
    except (BenchmarkError, OSError) as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
