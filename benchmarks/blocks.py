"""The contender's end of a throughput benchmark: runs blocks of agent steps on request, and times them.

A contender is a process that starts, warms up, and then trains in blocks, each as long as the driver asks
for. So start-up is paid once, and the blocks of several contenders can take turns. Requests and replies are
lines of JSON on standard input and output; whatever libraries print goes to standard error.

Times are CPU seconds of the whole process, all threads together. Only the standard library is used here,
because the contenders live in different environments.
"""

import collections
import functools
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class Watched(NamedTuple):
    """A function whose time counts as that of a part.

    Attributes:
        owner: object, class or module that has it as an attribute, through which every caller looks it up.
        name: name of the attribute.
        part: its part of the training loop.
    """

    owner: Any
    name: str
    part: str


class Stopwatch:
    """CPU seconds by part, exclusive: a watched function called by another counts for its own part only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._inner = [0.0]  # seconds spent in watched functions, for each level of calls

    def wrap(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """`function`, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            begun = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                elapsed = time.process_time() - begun
                self.seconds[part] += elapsed - self._inner.pop()
                self._inner[-1] += elapsed

        return timed


def settings() -> dict[str, Any]:
    """The driver's request to a contender: its one argument, an object of JSON."""
    return json.loads(sys.argv[1])


def serve(watched: Sequence[Watched], about: dict[str, Any], packages: Sequence[str]) -> Iterator[int]:
    """Yields the number of agent steps of each block that is asked for, until the driver closes the pipe.

    The time from a `yield` to the next request for a value is the block's. The `watched` functions are timed
    only in blocks that ask for their parts; the others run as they are.

    Args:
        watched: functions whose times are parts of the whole.
        about: facts that the contender reports, such as its optimizer.
        packages: distributions whose versions are reported.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    versions = {name: importlib.metadata.version(name) for name in packages}
    versions["python"] = platform.python_version()
    _send(replies, {**about, "versions": versions})
    for line in sys.stdin:
        request = json.loads(line)
        stopwatch = Stopwatch()
        originals = [getattr(owner, name) for owner, name, _ in watched]
        if request["parts"]:
            for (owner, name, part), original in zip(watched, originals, strict=True):
                setattr(owner, name, stopwatch.wrap(original, part))
        wall, cpu = time.perf_counter(), time.process_time()
        yield request["agent_steps"]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if request["parts"]:
            for (owner, name, _), original in zip(watched, originals, strict=True):
                setattr(owner, name, original)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _send(replies, {"cpu_s": cpu, "wall_s": wall, "parts": stopwatch.seconds, "peak_mib": peak_mib})


def _send(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()
