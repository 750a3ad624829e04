"""The contender's end of curvature.py: carries out requests, and measures them.

Only the standard library, NumPy and SciPy are used here, because contenders live in different environments.
"""

import contextlib
import ctypes
import functools
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal

from benchmarks.curvature_problem import Problem, read

NUM_EIGENVALUES = 5
TOLERANCE = 1e-4


class Contender:
    """A library that knows of the Hessian of a problem's loss. Its methods are named like tasks.

    - `gradient()`, `hvp()`: everything from the weights on. `hvp_retained()`: the gradient's graph is kept.
    - `matmat(block)`, of which tasks `matmat_8` and `matmat_32` are made.
    - `density(num_steps)`: nodes and weights of the spectral density from one start vector.
    - `lanczos(num_steps)`: as many steps without reorthogonalization, where a density has it.
    - `top()`: the `NUM_EIGENVALUES` largest eigenvalues to `TOLERANCE`, and their vectors, each one native.

    Native vectors are those of the library.

    Args:
        problem: problem of the loss.
        vectors: vectors to multiply with, `[k, n]`.
    """

    packages: Sequence[str] = ("numpy",)

    def __init__(self, problem: Problem, vectors: np.ndarray):
        self.problem = problem
        self._vectors = vectors

    def to_native(self, vector: np.ndarray) -> Any:
        """A vector in the problem's order as this library has it."""
        raise NotImplementedError

    def from_native(self, vector: Any) -> np.ndarray:
        """The inverse of `to_native`."""
        raise NotImplementedError

    def block(self, vectors: list[Any]) -> Any:
        """Native vectors as the argument of `matmat`."""
        raise NotImplementedError

    def last(self, block: Any) -> Any:
        """The last native vector in a result of `matmat`."""
        raise NotImplementedError

    def wait(self, result: Any) -> None:
        """Returns when `result` is there."""

    def start(self) -> Any:
        """The native start vector of `density`, of any length; None if it is unknown."""
        return None

    def compiled(self) -> set[str]:
        """Names of the programs traced or compiled so far, where that can be known."""
        return set()

    def keep_nothing(self) -> None:
        """From now on gives back the memory that the library would keep from one density to the next."""

    @functools.cached_property
    def vector(self) -> Any:
        """The native vector of `hvp`."""
        return self.to_native(self._vectors[0])

    def task(self, name: str, num_steps: int) -> Callable[[], Any] | None:
        """The function for a task; None where this library has none."""
        kind, _, count = name.partition("_")
        method = getattr(self, kind if kind == "matmat" else name, None)
        if method is None:
            return None
        if kind == "matmat":
            block = self.block([self.to_native(vector) for vector in self._vectors[: int(count)]])
            return functools.partial(method, block)
        return functools.partial(method, num_steps) if name in ("density", "lanczos") else method


def ritz(alpha: Any, beta: Any) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a Lanczos run's matrix, with diagonal `alpha` and off-diagonal `beta`."""
    nodes, vectors = eigh_tridiagonal(np.asarray(alpha, float), np.asarray(beta, float))
    return nodes, vectors[0] ** 2


def settings() -> dict[str, Any]:
    """The driver's request to a contender: its one argument, an object of JSON."""
    return json.loads(sys.argv[1])


def serve(make: Callable[..., Any], packages: Sequence[str]) -> None:
    """Makes a library's adapter, and answers requests until the driver closes the pipe.

    Args:
        make: function of the problem and the vectors that returns a `Contender`, or anything with a method
            `answer` from a request to a reply.
        packages: distributions whose versions are reported.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to standard error
    made = make(*read(settings()))
    answer = _Answers(made) if isinstance(made, Contender) else made.answer
    versions = {name: importlib.metadata.version(name) for name in packages}
    reply: dict[str, Any] = {"versions": versions | {"python": platform.python_version()}}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        try:
            reply = answer(**json.loads(line))
        except Exception as error:  # a peer that cannot do one thing may still do the others
            text = " ".join(f"{type(error).__name__}: {error}".split())
            reply = {"error": text if len(text) < 200 else f"{text[:60]} ... {text[-120:]}"}


class _Answers:
    """Runs a contender's tasks and keeps the last result of each.

    Args:
        contender: the one that runs.
    """

    def __init__(self, contender: Contender):
        self._contender = contender
        self._tasks: dict[str, Callable[[], Any] | None] = {}
        self._results: dict[str, Any] = {}

    def __call__(self, kind: str, **request: Any) -> dict[str, Any]:
        return getattr(self, f"_{kind}")(**request)

    def _time(self, task: str, repeats: int, num_steps: int) -> dict[str, Any]:
        """CPU seconds of the process, all threads, and seconds by the clock, per repetition."""
        contender = self._contender
        if task not in self._tasks:
            self._tasks[task] = contender.task(task, num_steps)
        run = self._tasks[task]
        if run is None:
            return {"absent": True}
        gc.collect()
        compiled = contender.compiled()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            result = run()
            contender.wait(result)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self._results[task] = result
        new = sorted(contender.compiled() - compiled)
        return {"cpu_s": cpu / repeats, "wall_s": wall / repeats, "compiled": new}

    def _save(self, task: str, path: str) -> dict[str, Any]:
        """Writes the last result of a task, in the problem's order."""
        contender, result = self._contender, self._results[task]
        if task == "density":
            start = contender.start()
            arrays: dict[str, Any] = {"nodes": result[0], "weights": result[1]}
            if start is not None:
                arrays["start"] = contender.from_native(start)
        elif task == "top":
            arrays = {"values": result[0], "vectors": [contender.from_native(vector) for vector in result[1]]}
        else:
            native = contender.last(result) if task.startswith("matmat_") else result
            arrays = {"product": contender.from_native(native)}
        np.savez(path, **arrays)
        return {}

    def _memory(self, num_steps: int) -> dict[str, Any]:
        """Growth of the largest resident memory by a product and by a density, in MiB.

        Each was done before, so that the C library has as many heaps as its threads need. Memory that it
        keeps for the next time counts as growth of each time.
        """
        contender = self._contender
        contender.keep_nothing()
        density = contender.task("density", num_steps)
        if density is None:
            return {"absent": True}
        density()
        reply = {"density": _growth_mib(density)}
        product = contender.task("hvp", num_steps)
        if product is not None:
            contender.wait(product())
            reply["product"] = _growth_mib(product)
        return reply


def _growth_mib(run: Callable[[], Any]) -> float:
    gc.collect()
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)  # gives back what was freed, which would hide the growth
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far (Linux)
    before = _status_mib("VmRSS")
    run()
    return _status_mib("VmHWM") - before


def _status_mib(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(f"/proc/self/status says nothing of {field}")
    return int(found[1]) / 1024
