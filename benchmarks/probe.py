"""CPU time of the gradient steps of a probe: ten targets, this library's programs and its peers'.

    .venv/bin/python benchmarks/probe.py

As benchmarks/train_loop.py: contenders take turns on one core. Times are per gradient step of one network;
this library and JAX under `vmap` train ten networks in a call, and their time is divided by ten.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.loop_report import Result
from benchmarks.probe_problems import NUM_TARGETS, PROBLEMS, STEPS
from benchmarks.processes import NOT_MEASURED, ROOT, exit_code, machine, pin, spread, table
from benchmarks.train_loop import Contender, Home, check, measure

_ALL, _DENSE = tuple(PROBLEMS), tuple(name for name in PROBLEMS if not PROBLEMS[name].filters)
_OURS, _FLOOR = Home("benchmarks.tfplastic_probe"), Home("benchmarks.probe_floor")
_KERAS = Home("benchmarks.keras_probe", environment={"TF_USE_LEGACY_KERAS": "0"})
_JAX = Home("benchmarks.peers.probe_jax", is_peer=True)
_TORCH = Home("benchmarks.peers.probe_torch", is_peer=True)
_WAYS = {
    f"{short}-{program}": {"execution": execution, "program": program}
    for short, execution in (("side", "side_by_side"), ("one", "one_after_another"))
    for program in ("graph", "xla")
}

CONTENDERS = (
    Contender("auto", _OURS, problems=_ALL),
    *(
        Contender(name, _OURS, way, _DENSE if name.endswith("xla") else _ALL)  # see BUILD_NOTES.md
        for name, way in _WAYS.items()
    ),
    Contender("keras-fit", _KERAS, problems=_ALL),
    Contender("torch", _TORCH, problems=_ALL),
    Contender("torch-fused", _TORCH, {"fused": True}, _ALL),
    Contender("jax-scan", _JAX, problems=_DENSE),
    Contender("jax-vmap", _JAX, {"vmap": True}, _DENSE),
    Contender("arithmetic", _FLOOR, {"part": "arithmetic"}, _DENSE),
    Contender("traffic", _FLOOR, {"part": "traffic"}, _DENSE),
)
_FULL = ("mlp-32",)  # where all of the aims hold


def report(found: Mapping[str, Mapping[str, Result]]) -> str:
    """All tables of a run, by problem."""
    parts = []
    for problem, results in found.items():
        rows = [(problem, "CPU ms per step of one network", "times that of auto")]
        for name, result in results.items():
            times = result.milliseconds
            ratios = _ratios(results, [name])
            shown = spread(times, 3) if times else f"{NOT_MEASURED}: {result.error}"
            rows.append((name, shown, spread(ratios, 2)))
        parts.append(table(rows))
    aims = [row for problem, results in found.items() for row in _aims(problem, results)]
    if aims:
        rows = [("what this library aims at", "median (smallest-largest)", "bound", ""), *aims]
        parts.append(table(rows))
    return "\n\n".join(parts)


def _ratios(results: Mapping[str, Result], names: list[str]) -> list[float]:
    """Sums of the times of `names` over those of ours in the same round."""
    columns = [results[name].milliseconds for name in names if name in results]
    if "auto" not in results or len(columns) < len(names):
        return []
    own = results["auto"].milliseconds
    return [sum(times) / mine for *times, mine in zip(*columns, own, strict=False)]


def _aims(problem: str, results: Mapping[str, Result]) -> Iterator[tuple[str, ...]]:
    def aim(text: str, ratios: list[float], bound: float) -> Iterator[tuple[str, ...]]:
        if ratios:
            met = "met" if statistics.median(ratios) >= bound else "NOT MET"
            yield f"{problem}: {text}", spread(ratios, 2), f"at least {bound:g}", met

    one = [name for name in ("one-graph", "one-xla") if results.get(name) and results[name].milliseconds]
    if one:
        best = min(one, key=lambda name: statistics.median(results[name].milliseconds))
        yield from aim(f"time of {best} over ours", _ratios(results, [best]), 0.95)
    if problem in _FULL:
        yield from aim("time of Keras' fit over ours", _ratios(results, ["keras-fit"]), 4)
        yield from aim("time of eager PyTorch over ours", _ratios(results, ["torch"]), 3)
        for name in ("jax-scan", "jax-vmap"):
            yield from aim(f"time of {name} over ours", _ratios(results, [name]), 1)
        yield from aim(
            "arithmetic and traffic over ours", _ratios(results, ["arithmetic", "traffic"]), 1 / 1.3
        )


def _options() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(
        description="CPU time of the gradient steps of a probe, ours and the peers'.",
        epilog="Takes about 10 minutes on an idle machine. `make bench-peers` makes the peers' environment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="who runs")
    parser.add_argument("--problems", nargs="+", choices=_ALL, default=list(_ALL), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each contender that count")
    parser.add_argument("--block-seconds", type=float, default=0.5, help="CPU time of a block, at least")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    json_path, peers_python = ROOT / "runs/probe.json", ROOT / ".venv-peers/bin/python"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    parser.add_argument("--peers-python", default=str(peers_python), help="interpreter that has the peers")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> None:
    check(options)
    [core] = pin(1, options.core)
    at_start = machine() | {"core_used": core}
    with tempfile.TemporaryDirectory() as folder:
        found = dict(measure(folder, options, CONTENDERS, granule=NUM_TARGETS * STEPS))
    results = {
        problem: {name: dataclasses.asdict(result) for name, result in of_problem.items()}
        for problem, of_problem in found.items()
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": at_start, "rounds": options.rounds, "results": results}
    options.json.write_text(json.dumps(written, indent=2) + "\n")
    print(f"{at_start['processor']}, core {core}, load {at_start['load_average']:.1f} at the start")
    print(f"\n{report(found)}\n\nWritten to {options.json}")


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    return exit_code(lambda: _run(_options()))


if __name__ == "__main__":
    sys.exit(main())
