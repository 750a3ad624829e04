"""Agent steps per CPU-second of DQN on MinAtar: this library's loop against one by hand.

    .venv/bin/python benchmarks/minatar_throughput.py

Measured like atari_throughput.py: processes on one core that take turns, in CPU seconds, and ratios within a
round. benchmarks/README.md says more.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.atari_throughput import (
    SHARED_SETTINGS,
    Contender,
    compare,
    measure,
    parts_table,
    speed_table,
    start,
)
from benchmarks.processes import ROOT, BenchmarkError, exit_code, machine, pin

CONTENDERS = (
    Contender("tfplastic", "benchmarks.tfplastic_minatar", False, {"norm": None}),
    Contender("tfplastic-ln", "benchmarks.tfplastic_minatar", False, {"norm": "layer"}),
    Contender("by-hand", "benchmarks.minatar_by_hand", False, {}, is_reference=True),
)
_PROTOCOL = (
    "breakout, 8 environments, sticky actions 0.1, 6 actions, batch 32, one gradient step per 4 agent steps, "
    "replay 100,000, epsilon 0.1"
)


def _options() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(
        description="Agent steps per CPU-second of DQN on MinAtar, ours and by hand.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="who runs")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each contender that count")
    parser.add_argument("--block", type=int, default=4_000, help="agent steps in a block, a multiple of 8")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    json_path = ROOT / "runs/minatar_throughput.json"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> None:
    if options.rounds < 1:
        raise BenchmarkError(f"--rounds must be at least 1. Received: {options.rounds}")
    if options.block < 8 or options.block % 8:
        raise BenchmarkError(f"--block must be a multiple of 8. Received: {options.block}")
    chosen = [contender for contender in CONTENDERS if contender.name in options.only]
    cores = pin(1, options.core)
    at_start = machine()
    with contextlib.ExitStack() as stack:
        processes = {
            each: stack.enter_context(start(each, sys.executable, num_envs=8, threads=1)) for each in chosen
        }
        results = measure(processes, options.rounds, options.block)
    fastest = compare(results, chosen)
    report = {
        "protocol": _PROTOCOL,
        "settings": SHARED_SETTINGS | {"rounds": options.rounds, "block": options.block},
        "machine": at_start | {"cores_used": cores},
        "ratios_to": fastest,
        "contenders": {name: dataclasses.asdict(result) for name, result in results.items()},
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{at_start['processor']}, core(s) {cores}, load {at_start['load_average']:.1f} at the start")
    print(f"{_PROTOCOL}\n")
    print(f"{options.rounds} rounds of {options.block} agent steps, median (smallest-largest)")
    print(f"{speed_table(results, fastest)}\n\n{parts_table(results)}\n\nWritten to {options.json}")


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    return exit_code(lambda: _run(_options()))


if __name__ == "__main__":
    sys.exit(main())
