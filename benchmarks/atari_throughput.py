"""Agent steps per CPU-second of whole DQN training loops on Atari: this library's against its peers'.

    .venv/bin/python benchmarks/atari_throughput.py

Each contender is a process of its own that is pinned to the same core (or, with --threads=2, to the same
two). After start-up and warm-up they take turns, a block of agent steps each, round after round, so that
other load of the machine affects all of them alike; a ratio compares two contenders within a round. Times are
CPU times, so the machine need not be quiet. A last round measures where the time goes. benchmarks/README.md
says more, and how to read the result.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks.processes import (
    NOT_MEASURED,
    ROOT,
    BenchmarkError,
    Process,
    exit_code,
    machine,
    pin,
    say,
    spread,
    table,
)

PARTS = ("environment", "acting", "replay add", "replay sample", "gradient step", "bookkeeping")
SHARED_SETTINGS = {"warm_up_agent_steps": 5_000, "epsilon": 0.1, "target_update_agent_steps": 1_000}
AGENT_STEPS_PER_GRADIENT_STEP = 4
_PROTOCOL = (
    "Breakout, 84 x 84 gray, 4 stacked, action repeat 4, maximum over 2 frames, no-ops, rewards clipped, "
    "a lost life ends the return, batch 32, one gradient step per 4 agent steps, replay 100,000, epsilon 0.1"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Contender:
    """Something that trains, in a process of its own.

    Attributes:
        name: in tables and on the command line.
        module: module to run, from the root of the repository.
        is_peer: whether it runs in the peers' environment.
        settings: its settings besides `SHARED_SETTINGS` and the numbers of environments and threads.
        is_reference: whether it is a peer as its users run it; ratios are to the fastest of these.
        rival: the tuned peer of the same algorithm, if it is ours.
    """

    name: str
    module: str
    is_peer: bool
    settings: dict[str, Any]
    is_reference: bool = False
    rival: str = ""


_BFLOAT16 = "-bfloat16"


def _contenders() -> Iterator[Contender]:
    ours, cleanrl = "benchmarks.tfplastic_dqn", "benchmarks.peers.cleanrl_style_dqn"
    algorithms = {"dqn": ("dqn", None), "double": ("double_dqn", None), "double-ln": ("double_dqn", "layer")}
    for name, (agent, norm) in algorithms.items():
        rival = f"cleanrl-tuned-{name}"
        for suffix, compute in (("", "float32"), (_BFLOAT16, "bfloat16")):
            settings = {"agent": agent, "norm": norm, "compute": compute}
            yield Contender(f"tfplastic-{name}{suffix}", ours, False, settings, rival=rival)
    yield Contender("sb3", "benchmarks.peers.sb3_dqn", True, {}, is_reference=True)
    plain = {"tuned": False, "double": False, "norm": False}
    yield Contender("cleanrl-style", cleanrl, True, plain, is_reference=True)
    for name, (agent, norm) in algorithms.items():
        settings = {"tuned": True, "double": agent == "double_dqn", "norm": norm is not None}
        yield Contender(f"cleanrl-tuned-{name}", cleanrl, True, settings)


CONTENDERS = tuple(_contenders())


def start(contender: Contender, python: str, num_envs: int, threads: int) -> Process:
    """A running contender; it warms up at once, without being waited for.

    Args:
        contender: the contender to run.
        python: the interpreter of its environment.
        num_envs: environments that it plays side by side.
        threads: number of threads that it may use.
    """
    settings = {**SHARED_SETTINGS, **contender.settings, "num_envs": num_envs, "threads": threads}
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",  # a thread that spins while it waits would count as work
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_USE_LEGACY_KERAS": "1",
    }
    return Process(contender.name, [python, "-m", contender.module], settings, environment)


@dataclasses.dataclass
class Result:
    """Measurements of one contender.

    Attributes:
        about: optimizer and versions.
        error: why it was not measured, if so.
        speeds: agent steps per CPU-second, by round.
        ratios: to the fastest reference of this run in the same round; empty without any.
        rival_ratios: to the tuned peer of the same algorithm in the same round; empty without it.
        parts: CPU milliseconds per agent step, by part.
        peak_mib: largest resident memory of the process.
    """

    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str = ""
    speeds: list[float] = dataclasses.field(default_factory=list)
    ratios: list[float] = dataclasses.field(default_factory=list)
    rival_ratios: list[float] = dataclasses.field(default_factory=list)
    parts: dict[str, float] = dataclasses.field(default_factory=dict)
    peak_mib: float = 0.0


def measure(processes: Mapping[Contender, Process], rounds: int, block: int) -> dict[str, Result]:
    """Starts, warms up and times the contenders in turns; a peer that fails is not measured.

    Args:
        processes: the contenders, running.
        rounds: blocks of each that count.
        block: agent steps in a block.
    """
    results = {contender.name: Result() for contender in processes}
    present = dict(processes)

    def answers(ask: Callable[[Process], dict[str, Any]]) -> Iterator[tuple[Result, dict[str, Any]]]:
        for contender, process in list(present.items()):
            result = results[contender.name]
            try:
                yield result, ask(process)
            except BenchmarkError as error:
                if not contender.is_peer:
                    raise
                results[contender.name] = Result(error=str(error))
                del present[contender]
                say(f"{contender.name} is {NOT_MEASURED}: {error}")

    for result, reply in answers(Process.reply):
        result.about = reply
    say("all have started")
    for _ in answers(lambda process: _run_block(process, block)):
        pass  # compiles, allocates and fills caches
    for number in range(rounds):
        for result, reply in answers(lambda process: _run_block(process, block)):
            result.speeds.append(block / reply["cpu_s"])
        say(f"round {number + 1} of {rounds}")
    for result, reply in answers(lambda process: _run_block(process, block, parts=True)):
        rest = reply["cpu_s"] - sum(reply["parts"].values())
        seconds = reply["parts"] | {result.about["rest"]: rest}
        result.parts = {part: 1e3 * seconds.get(part, 0.0) / block for part in PARTS}
        result.peak_mib = reply["peak_mib"]
    return results


def _run_block(process: Process, agent_steps: int, parts: bool = False) -> dict[str, Any]:
    """Runs a block and returns its measurements; see `blocks.serve`."""
    return process.ask(agent_steps=agent_steps, parts=parts)


def compare(results: dict[str, Result], contenders: Sequence[Contender]) -> str | None:
    """Fills in the ratios, and returns the name of the reference of largest median speed, if there is any."""
    measured = [each for each in contenders if results[each.name].speeds]
    references = [each.name for each in measured if each.is_reference]
    fastest = max(references, key=lambda name: statistics.median(results[name].speeds), default=None)
    for each in measured:
        result = results[each.name]
        if fastest is not None:
            result.ratios = _ratios(result, results[fastest])
        if each.rival in results:
            result.rival_ratios = _ratios(result, results[each.rival])
    return fastest


def _ratios(result: Result, other: Result) -> list[float]:
    return [own / its for own, its in zip(result.speeds, other.speeds, strict=False)]


def speed_table(results: dict[str, Result], reference: str | None) -> str:
    """Speed, ratios and memory of each contender; median, and smallest to largest over the rounds."""
    same = "ratio to the tuned peer of the same algorithm"
    rows = [("", "agent steps per CPU-second", f"ratio to {reference or '-'}", same, "peak MiB", "optimizer")]
    for name, result in results.items():
        if result.error:
            rows.append((name, f"{NOT_MEASURED}: {result.error}", "-", "-", "-", "-"))
            continue
        speed, ratio, rival = (
            spread(values, digits)
            for values, digits in ((result.speeds, 1), (result.ratios, 2), (result.rival_ratios, 2))
        )
        rows.append((name, speed, ratio, rival, f"{result.peak_mib:.0f}", result.about["optimizer"]))
    return table(rows)


def parts_table(results: dict[str, Result]) -> str:
    """CPU milliseconds per agent step of each part, and its share."""
    rows: list[tuple[str, ...]] = [("CPU ms per agent step", *PARTS, "one gradient step")]
    for name, result in results.items():
        if result.error:
            continue
        whole = sum(result.parts.values())
        cells = [f"{value:.2f} ({value / whole:.0%})" for value in result.parts.values()]
        rows.append((name, *cells, f"{result.parts['gradient step'] * AGENT_STEPS_PER_GRADIENT_STEP:.1f}"))
    return table(rows)


def _check(options: argparse.Namespace) -> None:
    for name, least in (("rounds", 1), ("block", AGENT_STEPS_PER_GRADIENT_STEP), ("threads", 1)):
        if getattr(options, name) < least:
            raise BenchmarkError(f"--{name} must be at least {least}. Received: {getattr(options, name)}")
    unit = max(AGENT_STEPS_PER_GRADIENT_STEP, options.num_envs)
    if options.block % unit:
        raise BenchmarkError(f"--block must be a multiple of {unit}. Received: {options.block}")


def _options() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(
        description="Agent steps per CPU-second of whole DQN training loops on Atari, ours and the peers'.",
        epilog="Takes about 5 minutes on an idle machine. `make bench-peers` makes the peers' environment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    usual = [name for name in names if not name.endswith(_BFLOAT16)]
    parser.add_argument("--only", nargs="+", choices=names, default=usual, metavar="NAME", help="who runs")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each contender that count")
    parser.add_argument("--block", type=int, default=200, help="agent steps in a block, a multiple of 4")
    parser.add_argument("--num-envs", type=int, choices=(1, 8), default=1, help="environments side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each contender; as many cores are used")
    parser.add_argument("--core", type=int, help="the first core to use, if not the first there is")
    json_path, peers_python = ROOT / "runs/atari_throughput.json", ROOT / ".venv-peers/bin/python"
    parser.add_argument("--json", type=pathlib.Path, default=json_path, help="where the result is written")
    parser.add_argument("--peers-python", default=str(peers_python), help="interpreter that has the peers")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> None:
    chosen = [contender for contender in CONTENDERS if contender.name in options.only]
    _check(options)
    cores = pin(options.threads, options.core)
    at_start = machine()
    with contextlib.ExitStack() as stack:
        processes = {}
        for contender in chosen:
            python = options.peers_python if contender.is_peer else sys.executable
            process = start(contender, python, options.num_envs, options.threads)
            processes[contender] = stack.enter_context(process)
        results = measure(processes, options.rounds, options.block)
    fastest = compare(results, chosen)

    taken = {name: getattr(options, name) for name in ("rounds", "block", "num_envs", "threads")}
    report = {
        "protocol": _PROTOCOL,
        "settings": SHARED_SETTINGS | taken,
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
