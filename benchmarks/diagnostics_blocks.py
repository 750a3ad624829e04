"""The contender's end of diagnostics_overhead.py: carries out requests, and measures them.

Only the standard library and NumPy are used here, because contenders live in different environments.
"""

import gc
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.diagnostics_problem import Problem, read

Values = dict[str, list[float]]
"""Values of each quantity: one number a layer, in the order of the layers, or one for the whole network."""


class Contender:
    """A library that diagnoses a problem's network.

    Args:
        problem: problem of the network.
    """

    packages: Sequence[str] = ()

    def __init__(self, problem: Problem):
        self.problem = problem

    def block(self, task: str, repeats: int) -> Callable[[], Any]:
        """Runs a task so many times, without results of earlier ones."""
        raise NotImplementedError

    def values(self, task: str) -> Values:
        """The result of one of `diagnostics_problem.TASKS`, with the weights as they are."""
        raise NotImplementedError

    def names(self) -> dict[str, list[str]]:
        """Tasks beyond those compared with peers, by kind."""
        return {}

    def diagnose_all(self) -> None:
        """Everything at once, of which the memory is to be known."""
        raise NotImplementedError


def serve(make: Callable[[Problem], Contender]) -> None:
    """Makes a contender, and answers requests until the driver closes the pipe."""
    settings = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to standard error
    contender = make(read(settings["problem"], settings["path"]))
    versions = {name: importlib.metadata.version(name) for name in contender.packages}
    reply: dict[str, Any] = {
        "versions": versions | {"python": platform.python_version()},
        "names": contender.names(),
    }
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            reply = _ANSWERS[request.pop("kind")](contender, **request)
        except Exception as error:  # what cannot do one thing may still do the others
            text = " ".join(f"{type(error).__name__}: {error}".split())
            reply = {"error": text if len(text) < 200 else f"{text[:60]} ... {text[-120:]}"}


def _time(contender: Contender, task: str, repeats: int) -> dict[str, float]:
    """CPU seconds of the process, all threads together, and seconds by the clock, per repetition."""
    run = contender.block(task, repeats)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_s": cpu / repeats, "wall_s": wall / repeats}


def _values(contender: Contender, task: str) -> dict[str, Any]:
    return {"values": contender.values(task)}


def _memory(contender: Contender) -> dict[str, float]:
    """The largest resident memory of the process beyond its present memory, in MiB; once in a process."""
    gc.collect()
    with open("/proc/self/statm") as statm:  # Linux
        before = int(statm.read().split()[1]) * resource.getpagesize()
    contender.diagnose_all()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"before_mib": before / 2**20, "growth_mib": (after - before) / 2**20}


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {"time": _time, "values": _values, "memory": _memory}
