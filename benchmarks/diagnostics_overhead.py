"""Cost of diagnostics: shares of training time, periods of expensive ones, memory; compared with PyTorch.

    .venv/bin/python benchmarks/diagnostics_overhead.py
    .venv/bin/python benchmarks/diagnostics_overhead.py --read runs/diagnostics_overhead.json --markdown

As in train_loop.py, everything runs on one core with one thread, in turns, and times are CPU times of a
process. benchmarks/README.md says more, and how to read the result.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import diagnostics_problem
from benchmarks.diagnostics_problem import FLOORS, NETWORKS, TASKS
from benchmarks.diagnostics_report import Result, markdown, report
from benchmarks.processes import ROOT, BenchmarkError, Process, exit_code, machine, pin, say

_LONG_SECONDS = 20.0  # a first call that takes longer counts: compilation is a small part of it
_MOST_ROUNDS_OF_DEAR = 3


def start(module: str, python: str, problem: str, path: pathlib.Path) -> Process:
    """A process running on a problem."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",  # a thread that spins while it waits would count as work
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    return Process(module, [python, "-m", module], {"problem": problem, "path": str(path)}, environment)


def start_ours(problem: str, path: pathlib.Path) -> tuple[Process, dict[str, Any]]:
    """This library running on a problem, and its facts."""
    process = start("benchmarks.tfplastic_diagnostics", sys.executable, problem, path)
    return process, process.reply()


def compare(problem: str, path: pathlib.Path, result: Result, options: argparse.Namespace) -> None:
    """The tasks that peers have too, in turns, with the same weights; and whether results agree."""
    ours, said = start_ours(problem, path)
    module = "benchmarks.peers.diagnostics_torch"
    with ours, start(module, options.peers_python, problem, path) as peer:
        result.versions |= said["versions"]
        turns = [(ours, result.seconds)]
        try:
            result.versions |= {"torch": peer.reply()["versions"]["torch"]}
            turns.append((peer, result.peer_seconds))
        except BenchmarkError as error:
            result.errors["PyTorch"] = str(error)
        for task in (*TASKS, *FLOORS):
            if task in TASKS and len(turns) > 1:
                own, its = (_asked(each, kind="values", task=task)["values"] for each in (ours, peer))
                result.differences[task] = {name: difference(own[name], its[name]) for name in own}
            repeats = [_repeats(process, task, options) for process, _ in turns]
            for _ in range(options.rounds):
                for (process, seconds), count in zip(turns, repeats, strict=True):
                    seconds.setdefault(task, []).append(_seconds(process, task, count))
            say(f"{problem}: {task} has been compared")


def difference(own: Sequence[float], its: Sequence[float]) -> float:
    """The largest relative difference of two lists of one length."""
    pairs = list(zip(own, its, strict=True))
    return max(abs(a - b) / max(abs(b), 1e-30) if a != b else 0.0 for a, b in pairs)


def train(problem: str, path: pathlib.Path, result: Result, options: argparse.Namespace) -> None:
    """Gradient steps and sets of diagnostics in turns; then the expensive quantities one by one."""
    process, said = start_ours(problem, path)
    with process:
        result.versions |= said["versions"]
        tasks = ("training", "cheap", "medium")
        repeats = {task: _repeats(process, task, options) for task in tasks}
        for number in range(options.rounds):
            for task, count in repeats.items():
                result.seconds.setdefault(task, []).append(_seconds(process, task, count))
            say(f"{problem}: round {number + 1} of {options.rounds}")
        if "expensive" in options.parts:
            result.expensive = said["names"]["expensive"]
            for task in result.expensive:
                try:
                    result.seconds[task] = _dear_seconds(process, task, options)
                    say(f"{problem}: {task} takes {min(result.seconds[task]):.3g} s")
                except BenchmarkError as error:
                    result.errors[task] = str(error)


def remember(problem: str, path: pathlib.Path, result: Result, options: argparse.Namespace) -> None:
    """The peak of memory of the full set on one snapshot, in a process of its own."""
    process, said = start_ours(problem, path)
    with process:
        result.versions |= said["versions"]
        _seconds(process, "training", 2)  # makes the optimizer's slots, and what gradient steps allocate
        result.memory = _asked(process, kind="memory")
        say(f"{problem}: {result.memory['growth_mib']:.0f} MiB above the model")


_PARTS: dict[str, Callable[..., None]] = {"peers": compare, "training": train, "memory": remember}


def _dear_seconds(process: Process, task: str, options: argparse.Namespace) -> list[float]:
    first = _seconds(process, task, 1)
    if first > _LONG_SECONDS:
        return [first]
    return [_seconds(process, task, 1) for _ in range(min(options.rounds, _MOST_ROUNDS_OF_DEAR))]


def _repeats(process: Process, task: str, options: argparse.Namespace) -> int:
    """Returns the repetitions of a task in a block, known after one that compiles and fills caches."""
    _seconds(process, task, 1)
    return max(1, math.ceil(options.block_seconds / _seconds(process, task, 1)))


def _seconds(process: Process, task: str, repeats: int) -> float:
    return _asked(process, kind="time", task=task, repeats=repeats)["cpu_s"]


def _asked(process: Process, **request: Any) -> dict[str, Any]:
    reply = process.ask(**request)
    if "error" in reply:
        raise BenchmarkError(f"{process.name}: {reply['error']}")
    return reply


def _options() -> argparse.Namespace:
    problems, parts = list(NETWORKS), ["peers", "training", "expensive", "memory"]
    parser = argparse.ArgumentParser(
        description="What diagnostics cost, ours and PyTorch's.",
        epilog="Takes about 30 minutes on an idle machine. `make bench-peers` makes the peers' environment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems, metavar="NAME")
    parser.add_argument(
        "--parts", nargs="+", choices=parts, default=parts, help="parts to measure; expensive needs training"
    )
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each task that count")
    parser.add_argument("--block-seconds", type=float, default=0.5, help="CPU time of a block, at least")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    json_path, peers_python = ROOT / "runs/diagnostics_overhead.json", ROOT / ".venv-peers/bin/python"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    parser.add_argument("--read", type=pathlib.Path, nargs="+", help="results to show; nothing is measured")
    parser.add_argument("--markdown", action="store_true", help="only costs and periods, for the docs")
    parser.add_argument("--peers-python", default=str(peers_python), help="interpreter that has the peers")
    return parser.parse_args()


def _check(options: argparse.Namespace) -> None:
    if options.rounds < 1:
        raise BenchmarkError(f"--rounds must be at least 1. Received: {options.rounds}")
    if not 0 < options.block_seconds < math.inf:
        raise BenchmarkError(f"--block-seconds must be above 0. Received: {options.block_seconds}")
    if "expensive" in options.parts and "training" not in options.parts:
        raise BenchmarkError("--parts expensive needs training. Received: expensive alone")


def _measure(options: argparse.Namespace) -> dict[str, Result]:
    _check(options)
    [core] = pin(1, options.core)
    at_start = machine() | {"core_used": core}
    found = {problem: Result() for problem in options.problems}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for problem, result in found.items():
            path = pathlib.Path(folder, f"{problem}.npz")
            diagnostics_problem.write(diagnostics_problem.make(problem), path)
            for part, run in _PARTS.items():
                if part in options.parts:
                    run(problem, path, result, options)
                    results = {name: dataclasses.asdict(each) for name, each in found.items()}
                    written = {"machine": at_start, "rounds": options.rounds, "results": results}
                    options.json.write_text(json.dumps(written, indent=2) + "\n")  # what there is so far
    say(f"{at_start['processor']}, core {core}, load {at_start['load_average']:.1f} at the start")
    say(f"Written to {options.json}")
    return found


def _read(paths: Sequence[pathlib.Path]) -> dict[str, Result]:
    """The results in several files; a later file's values of a problem replace those of earlier ones."""
    fields: dict[str, dict[str, Any]] = {}
    for path in paths:
        for problem, result in json.loads(path.read_text())["results"].items():
            present = {name: value for name, value in result.items() if value}
            for name, value in present.items():
                merged = fields.setdefault(problem, {})
                merged[name] = merged[name] | value if isinstance(merged.get(name), dict) else value
    order = [problem for problem in NETWORKS if problem in fields]
    return {problem: Result(**fields[problem]) for problem in order}


def _run(options: argparse.Namespace) -> None:
    found = _read(options.read) if options.read else _measure(options)
    print(markdown(found) if options.markdown else report(found))


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    return exit_code(lambda: _run(_options()))


if __name__ == "__main__":
    sys.exit(main())
