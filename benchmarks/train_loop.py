"""CPU time of gradient steps on data in memory: this library's compiled loop and its peers'.

    .venv/bin/python benchmarks/train_loop.py

Contenders live in processes with one thread that are all pinned to the same core. After start-up and
compilation they take turns, problem after problem, a block of gradient steps each, round after round, so that
other load of the machine affects all of them alike; a ratio compares two contenders within a round. Times are
CPU times, so the machine need not be quiet. benchmarks/README.md says more, and how to read the result.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.loop_blocks import NUM_CLASSES, PROBLEMS
from benchmarks.loop_report import Result, report
from benchmarks.processes import ROOT, BenchmarkError, Process, exit_code, machine, pin, say

_EXAMPLES = 5_000
_GRANULE = 100  # gradient steps; blocks are multiples, because some contenders take as many with each call


@dataclasses.dataclass(frozen=True, eq=False)
class Home:
    """A process in which contenders live.

    Attributes:
        module: module to run, from the root of the repository.
        is_peer: whether it runs in the peers' environment.
        settings: its settings besides the folder of the data.
        environment: variables beyond those that all have.
    """

    module: str
    is_peer: bool = False
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


_OURS = Home("benchmarks.tfplastic_loop")
_JAX = Home("benchmarks.peers.loop_jax", is_peer=True)
_TORCH = Home("benchmarks.peers.loop_torch", is_peer=True)
_KERAS_3 = Home(
    "benchmarks.keras_loop",
    settings={"jit_compile": "auto", "package": "keras"},
    environment={"TF_USE_LEGACY_KERAS": "0"},
)
_KERAS_2 = Home(
    "benchmarks.keras_loop",
    settings={"jit_compile": None, "package": "tf-keras"},
    environment={"TF_USE_LEGACY_KERAS": "1"},
)
_TF_AGENTS = Home("benchmarks.tf_agents_loop")
_SUPERVISED = tuple(name for name, problem in PROBLEMS.items() if not problem.is_mdp)
_DENSE = tuple(name for name in _SUPERVISED if not PROBLEMS[name].filters)
_WITH_BFLOAT16 = ("mlp-16", "mlp-128")
_MDPS = tuple(name for name, problem in PROBLEMS.items() if problem.is_mdp)


@dataclasses.dataclass(frozen=True, eq=False)
class Contender:
    """A library, or a way to use it.

    Attributes:
        name: in tables and on the command line.
        home: the process it lives in.
        way: its settings in the process.
        problems: problems that it takes part in.
    """

    name: str
    home: Home
    way: dict[str, Any] = dataclasses.field(default_factory=dict)
    problems: Sequence[str] = _SUPERVISED


CONTENDERS = (
    Contender("graph", _OURS, {"program": "graph"}, tuple(PROBLEMS)),
    Contender("xla", _OURS, {"program": "xla"}, tuple(PROBLEMS)),
    Contender("graph-statistics", _OURS, {"program": "graph", "statistics": True}, _DENSE),
    Contender("xla-statistics", _OURS, {"program": "xla", "statistics": True}, _DENSE),
    Contender("graph-bfloat16", _OURS, {"program": "graph", "dtype": "mixed_bfloat16"}, _WITH_BFLOAT16),
    Contender("xla-bfloat16", _OURS, {"program": "xla", "dtype": "mixed_bfloat16"}, _WITH_BFLOAT16),
    Contender("jax", _JAX),
    Contender("torch", _TORCH),
    Contender("torch-fused", _TORCH, {"fused": True}),
    Contender("torch-compiled", _TORCH, {"compiled": True}, _DENSE),
    Contender("keras-3", _KERAS_3, {"steps_per_execution": 1}, _DENSE),
    Contender("keras-3-chunked", _KERAS_3, {"steps_per_execution": 100}),
    Contender("keras-2-chunked", _KERAS_2, {"steps_per_execution": 100}),
    Contender("tf-agents", _TF_AGENTS, problems=_MDPS),
)


def start(home: Home, folder: str, options: argparse.Namespace) -> Process:
    """A running process; it starts at once, without being waited for."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",  # a thread that spins while it waits would count as work
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TFPLASTIC_DATA_DIR": folder,
        **home.environment,
    }
    python = options.peers_python if home.is_peer else sys.executable
    return Process(home.module, [python, "-m", home.module], {"folder": folder, **home.settings}, environment)


def write_data(folder: str) -> None:
    """Random images of MNIST's shape with random labels, under the names of Keras' loader."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = generator.integers(0, 256, (_EXAMPLES, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = generator.integers(0, NUM_CLASSES, _EXAMPLES, dtype=np.uint8)
    np.savez(pathlib.Path(folder, "mnist.npz"), **arrays)


def measure(
    folder: str,
    options: argparse.Namespace,
    contenders: Sequence[Contender] = CONTENDERS,
    granule: int = _GRANULE,
) -> Iterator[tuple[str, dict[str, Result]]]:
    """Starts the contenders and times them; yields each problem with its results, by contender.

    Args:
        folder: for the data.
        options: contenders, problems and durations.
        contenders: all contenders, of which `options` select.
        granule: gradient steps of which blocks are multiples.
    """
    write_data(folder)
    chosen = [each for each in contenders if each.name in options.only]
    chosen = [each for each in chosen if set(each.problems) & set(options.problems)]
    with contextlib.ExitStack() as stack:
        homes = list(dict.fromkeys(each.home for each in chosen))
        processes = {home: stack.enter_context(start(home, folder, options)) for home in homes}
        begun: dict[Home, Result] = {}
        for home, process in processes.items():
            reply = _answer(home, process.reply)
            begun[home] = Result(reply.get("versions", {}), error=reply.get("error", ""))
            say(f"{home.module}: {begun[home].error or 'has started'}")
        for problem in options.problems:
            present = [each for each in chosen if problem in each.problems]
            results = {each.name: dataclasses.replace(begun[each.home], milliseconds=[]) for each in present}
            _measure_problem(problem, present, processes, results, options, granule)
            yield problem, results


def _answer(home: Home, reply: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns a reply; of a peer that is absent or has ended, one that says so."""
    try:
        return reply()
    except BenchmarkError as error:
        if not home.is_peer:
            raise
        return {"error": str(error)}


def _measure_problem(
    problem: str,
    contenders: Sequence[Contender],
    processes: Mapping[Home, Process],
    results: Mapping[str, Result],
    options: argparse.Namespace,
    granule: int,
) -> None:
    def ask(contender: Contender, steps: int) -> dict[str, Any]:
        request = {"problem": problem, "way": contender.way, "steps": steps}
        return _answer(contender.home, lambda: processes[contender.home].ask(**request))

    lengths = {}  # of blocks, in gradient steps
    for contender in contenders:
        result = results[contender.name]
        if result.error:
            continue
        # The first block compiles, allocates and fills caches; the second tells how long a step takes.
        for steps in (granule, granule):
            reply = ask(contender, steps)
            if "error" in reply:
                result.error = reply["error"]
                say(f"{problem}: {contender.name} cannot do it: {result.error}")
                break
        else:
            granule_s = reply["cpu_s"]
            lengths[contender] = granule * max(1, math.ceil(options.block_seconds / granule_s))
            say(f"{problem}: {contender.name} is warm")
    for number in range(options.rounds):
        for contender, steps in list(lengths.items()):
            reply, result = ask(contender, steps), results[contender.name]
            if "error" not in reply:
                result.milliseconds.append(1e3 * reply["cpu_s"] / steps)
            elif contender.home.is_peer:
                result.error, result.milliseconds = reply["error"], []
                del lengths[contender]
            else:
                raise BenchmarkError(f"{contender.name}: {reply['error']}")
        say(f"{problem}: round {number + 1} of {options.rounds}")


def _options() -> argparse.Namespace:
    names, problems = [contender.name for contender in CONTENDERS], list(PROBLEMS)
    parser = argparse.ArgumentParser(
        description="CPU time of gradient steps on data in memory, ours and the peers'.",
        epilog="Takes about 10 minutes on an idle machine. `make bench-peers` makes the peers' environment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="who runs")
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each contender that count")
    parser.add_argument("--block-seconds", type=float, default=0.5, help="CPU time of a block, about")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    json_path, peers_python = ROOT / "runs/train_loop.json", ROOT / ".venv-peers/bin/python"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    parser.add_argument("--peers-python", default=str(peers_python), help="interpreter that has the peers")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Raises `BenchmarkError` for options that cannot be."""
    if options.rounds < 1:
        raise BenchmarkError(f"--rounds must be at least 1. Received: {options.rounds}")
    if not 0 < options.block_seconds < math.inf:
        raise BenchmarkError(f"--block-seconds must be above 0. Received: {options.block_seconds}")


def _run(options: argparse.Namespace) -> None:
    check(options)
    [core] = pin(1, options.core)
    at_start = machine() | {"core_used": core}
    found = {}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for problem, results in measure(folder, options):
            found[problem] = results
            written = {
                "machine": at_start,
                "rounds": options.rounds,
                "block_seconds": options.block_seconds,
                "results": {
                    name: {key: dataclasses.asdict(result) for key, result in of_problem.items()}
                    for name, of_problem in found.items()
                },
            }
            options.json.write_text(json.dumps(written, indent=2) + "\n")  # of a long run, what there is
    print(f"{at_start['processor']}, core {core}, load {at_start['load_average']:.1f} at the start")
    print(f"\n{report(found)}")
    print(f"\nWritten to {options.json}")


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    return exit_code(lambda: _run(_options()))


if __name__ == "__main__":
    sys.exit(main())
