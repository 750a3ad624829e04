"""CPU time of Hessian products, spectral densities and top eigenvalues: this library's and its peers'.

    .venv/bin/python benchmarks/curvature.py

Each contender is a process of its own with one thread, and all are pinned to the same core. After start-up
and warm-up they take turns, task after task, round after round, so that other load of the machine affects all
of them alike; a ratio compares two contenders within a round. All have the same weights and data, and their
results are checked against float64. benchmarks/README.md says more, and how to read the result.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import curvature_problem
from benchmarks.curvature_report import Result, report
from benchmarks.processes import ROOT, BenchmarkError, Process, exit_code, machine, pin, say

OURS = "tfplastic"
# Repetitions in a block. `num_steps` of a density are products as well.
REPEATS = {
    "gradient": 5,
    "hvp": 5,
    "hvp_retained": 5,
    "matmat_8": 1,
    "matmat_32": 1,
    "lanczos": 1,
    "density": 1,
    "top": 1,
}
_STEPS, _QUICK_STEPS, _REFERENCE_STEPS = 64, 16, 100
# Which of the shared vectors a task's saved product belongs to.
_PRODUCT_OF = {"hvp": 0, "hvp_retained": 0, "matmat_8": 7, "matmat_32": 31}


@dataclasses.dataclass(frozen=True, eq=False)
class Contender:
    """A library, or a way to use it.

    Attributes:
        name: in tables and on the command line.
        module: module to run, from the root of the repository.
        settings: its settings besides the problem and the device.
        is_peer: whether it runs in the peers' environment.
        problems: problems that it takes part in.
        most_steps: most steps of its densities, where fewer than the others' must do.
        in_quick: whether it takes part in a short self-check.
    """

    name: str
    module: str
    settings: dict[str, Any]
    is_peer: bool = True
    problems: Sequence[str] = curvature_problem.NAMES
    most_steps: int = _STEPS
    in_quick: bool = True


_OURS = "benchmarks.tfplastic_curvature"
_TORCH, _LIBRARIES = "benchmarks.peers.curvature_torch", "benchmarks.peers.curvature_libraries"
_JAX, _GOOGLE = "benchmarks.peers.curvature_jax", "benchmarks.peers.curvature_google"
CONTENDERS = (
    Contender(OURS, _OURS, {"guard": True}, is_peer=False),
    Contender("tfplastic-unguarded", _OURS, {"guard": False}, is_peer=False),
    Contender("curvlinops", _LIBRARIES, {"kind": "curvlinops"}),
    Contender("pyhessian", _LIBRARIES, {"kind": "pyhessian"}),
    Contender("hessian-eigenthings", _LIBRARIES, {"kind": "hessian-eigenthings"}),
    Contender("torch-double-backward", _TORCH, {"kind": "double-backward"}),
    Contender("torch-reorthogonalized", _TORCH, {"kind": "reorthogonalized"}),
    Contender("torch-func", _TORCH, {"kind": "forward-over-reverse", "compile": False}),
    Contender(
        "torch-func-compiled", _TORCH, {"kind": "forward-over-reverse", "compile": True}, in_quick=False
    ),
    Contender("jax", _JAX, {"map": False}),
    Contender("jax-map", _JAX, {"map": True}, problems=("mlp",)),  # 13 times slower with convolutions
    Contender("google", _GOOGLE, {}, is_peer=False, most_steps=16, in_quick=False),
)


def start(contender: Contender, problem: str, folder: str, options: argparse.Namespace) -> Process:
    """A contender running on a problem."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",  # a thread that spins while it waits would count as work
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_USE_LEGACY_KERAS": "0",
    }
    if options.device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    python = options.peers_python if contender.is_peer else sys.executable
    settings = {"problem": f"{folder}/{problem}.npz", "device": options.device, **contender.settings}
    if contender.module == _OURS:
        settings["xla_dump"] = (
            f"{folder}/xla-{contender.name}"  # a file a compilation, by which they are counted
        )
        environment["XLA_FLAGS"] += f" --xla_dump_to={settings['xla_dump']}"
    return Process(contender.name, [python, "-m", contender.module], settings, environment)


def run_problem(problem: str, folder: str, options: argparse.Namespace) -> dict[str, Result]:
    """Measures all contenders on a problem, and checks their results."""
    path = pathlib.Path(folder, f"{problem}.npz")
    curvature_problem.write(curvature_problem.make(problem), path)
    chosen = [each for each in CONTENDERS if each.name in options.only and problem in each.problems]
    results = {}
    with contextlib.ExitStack() as stack:
        processes = {each: stack.enter_context(start(each, problem, folder, options)) for each in chosen}
        for contender, process in list(processes.items()):
            results[contender.name] = result = Result(min(contender.most_steps, options.steps))
            try:
                result.versions = process.reply()["versions"]
                say(f"{problem}: {contender.name} has started")
            except BenchmarkError as error:
                result.errors["start"] = str(error)
                say(f"{problem}: {error}")
                del processes[contender]
        _take_turns(problem, processes, results, options)
        checker = Contender("reference", "benchmarks.curvature_reference", {}, is_peer=False)
        with start(checker, problem, folder, options) as reference:
            reference.reply()
            for contender, process in processes.items():
                say(f"{problem}: checking {contender.name}")
                _check(process, reference, results[contender.name], pathlib.Path(folder, "result.npz"))
    for contender in chosen:
        result = results[contender.name]
        if "density" in result.seconds and options.device == "cpu":
            say(f"{problem}: memory of {contender.name}")
            try:
                with start(contender, problem, folder, options) as process:
                    process.reply()
                    reply = process.ask(kind="memory", num_steps=result.num_steps)
            except BenchmarkError as error:
                reply = {"error": str(error)}
            result.growth_mib = {key: reply[key] for key in ("product", "density") if key in reply}
            if "error" in reply:
                result.errors["memory"] = reply["error"]
    return results


def _take_turns(
    problem: str,
    processes: dict[Contender, Process],
    results: dict[str, Result],
    options: argparse.Namespace,
) -> None:
    for number in range(options.rounds + 1):  # the first compiles, allocates and fills caches
        for task in options.tasks:
            for contender, process in list(processes.items()):
                result = results[contender.name]
                if number > 0 and task not in result.seconds:
                    continue
                try:
                    reason = _run_block(process, result, task, number, options)
                except BenchmarkError as error:
                    reason = str(error)
                    del processes[contender]
                if reason is not None:
                    result.errors[task] = reason
                    result.seconds.pop(task, None)
                    say(f"{problem}: {contender.name} cannot do {task}: {reason}")
            say(f"{problem}: {f'round {number} of {options.rounds}' if number else 'warm-up'}, {task}")


def _run_block(
    process: Process, result: Result, task: str, number: int, options: argparse.Namespace
) -> str | None:
    """Notes how long a block takes, unless it is of the warm-up; returns why it cannot be done, if so."""
    repeats = REPEATS[task] if number > 0 and not options.quick else 1
    reply = process.ask(kind="time", task=task, repeats=repeats, num_steps=result.num_steps)
    if "error" in reply:
        return reply["error"]
    if number > 0:
        result.seconds[task].append(reply["cpu_s" if options.device == "cpu" else "wall_s"])
        result.compiled += [f"{task}: {name}" for name in reply["compiled"]]
    elif "absent" not in reply:
        result.seconds[task] = []
    return None


def _check(process: Process, reference: Process, result: Result, path: pathlib.Path) -> None:
    for task in result.seconds:
        if task in _PRODUCT_OF:
            question = {"kind": "product", "index": _PRODUCT_OF[task]}
        elif task == "density":
            question = {"kind": "density"}
        elif task == "top":
            question = {"kind": "top", "num_steps": _REFERENCE_STEPS}
        else:
            continue
        saved = process.ask(kind="save", task=task, path=str(path))
        reply = saved if "error" in saved else reference.ask(path=str(path), **question)
        if "error" in reply:
            result.errors[f"check of {task}"] = reply["error"]
        else:
            result.checks[task] = reply


def _options() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(
        description="CPU time of Hessian products, densities and top eigenvalues, ours and the peers'.",
        epilog="Takes about 30 minutes on an idle machine. `make bench-peers` makes the peers' environment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    problems, tasks = list(curvature_problem.NAMES), list(REPEATS)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="who runs, if not all")
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems, metavar="NAME")
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each task that count")
    parser.add_argument("--quick", action="store_true", help="a self-check of some minutes, no measurement")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: times by the clock")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    json_path, peers_python = ROOT / "runs/curvature.json", ROOT / ".venv-peers/bin/python"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    parser.add_argument("--peers-python", default=str(peers_python), help="interpreter that has the peers")
    parser.add_argument("--spectral-density", metavar="FOLDER", help="a copy of google/spectral-density")
    return parser.parse_args()


def _complete(options: argparse.Namespace) -> None:
    """Checks the options, and fills in their consequences."""
    if options.rounds < 1:
        raise BenchmarkError(f"--rounds must be at least 1. Received: {options.rounds}")
    if options.only is None:
        options.only = [each.name for each in CONTENDERS if each.in_quick or not options.quick]
        if options.spectral_density is None and "google" in options.only:
            options.only.remove("google")
    if "google" in options.only:
        if options.spectral_density is None:
            raise BenchmarkError("--only google needs --spectral-density. Received: nothing")
        google = next(each for each in CONTENDERS if each.name == "google")
        google.settings["path"] = os.path.abspath(options.spectral_density)
    options.steps = _QUICK_STEPS if options.quick else _STEPS
    if options.quick:
        options.rounds, options.problems = 1, ["mlp"]


def _run(options: argparse.Namespace) -> None:
    _complete(options)
    [core] = pin(1, options.core)
    at_start = machine() | {"core_used": core}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for problem in options.problems:
            found[problem] = run_problem(problem, folder, options)
    written = {
        "machine": at_start,
        "device": options.device,
        "rounds": options.rounds,
        "results": {
            problem: {name: dataclasses.asdict(result) for name, result in results.items()}
            for problem, results in found.items()
        },
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(written, indent=2) + "\n")
    print(f"{at_start['processor']}, core {core}, load {at_start['load_average']:.1f} at the start")
    for problem, results in found.items():
        print(f"\n{report(problem, results, OURS, options.device)}")
    print(f"\nWritten to {options.json}")


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    return exit_code(lambda: _run(_options()))


if __name__ == "__main__":
    sys.exit(main())
