"""Results of train_loop.py, as tables."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.processes import NOT_MEASURED, spread, table

PROGRAMS = ("graph", "xla")
# Peers to be three times as fast as: as they come, and at their fastest.
_PEERS = (("torch",), ("torch-fused",), ("keras-3",), ("keras-3-chunked", "keras-2-chunked"))
_LARGEST_MDP_MS = 4.0


@dataclasses.dataclass
class Result:
    """Measurements of one contender on one problem.

    Attributes:
        versions: versions of its packages.
        milliseconds: CPU time of a gradient step, one number a round.
        error: why there is nothing, if so.
    """

    versions: dict[str, str]
    milliseconds: list[float] = dataclasses.field(default_factory=list)
    error: str = ""


Results = Mapping[str, Result]
"""Results of a problem, by contender."""


def report(found: Mapping[str, Results]) -> str:
    """All tables of a run, by problem."""
    parts = [_speeds(problem, results) for problem, results in found.items()]
    errors = [
        f"{problem}, {name}: {result.error}"
        for problem, results in found.items()
        for name, result in results.items()
        if result.error
    ]
    if errors:
        parts.append("What could not be done\n" + "\n".join(errors))
    aims = [row for problem, results in found.items() for row in _aims(problem, results)]
    if aims:
        rows = [("what this library aims at", "median (smallest-largest)", "bound", ""), *aims]
        parts.append(table(rows))
    return "\n\n".join(parts)


def _speeds(problem: str, results: Results) -> str:
    own = _fastest(results, PROGRAMS)
    rows = [(problem, "steps per CPU-second", "CPU ms per step", f"{own or '-'} is faster by")]
    for name, result in results.items():
        if result.milliseconds:
            speeds = [1e3 / each for each in result.milliseconds]
            ratios = _ratios(results, name, own) if own else []
            rows.append((name, spread(speeds, 0), spread(result.milliseconds, 3), spread(ratios, 2)))
        else:
            rows.append((name, NOT_MEASURED, "-", "-"))
    return table(rows)


def _fastest(results: Results, names: Sequence[str]) -> str | None:
    """The one of smallest median time among `names`."""
    measured = [name for name in names if name in results and results[name].milliseconds]
    return min(measured, key=lambda name: statistics.median(results[name].milliseconds), default=None)


def _ratios(results: Results, name: str, to: str) -> list[float]:
    """Times of `name` over those of `to` in the same round."""
    return [its / own for its, own in zip(results[name].milliseconds, results[to].milliseconds, strict=True)]


def _aims(problem: str, results: Results) -> Iterator[tuple[str, ...]]:
    own = _fastest(results, PROGRAMS)
    if own is None:
        return

    def aim(text: str, values: Sequence[float], bound: float, at_most: bool) -> tuple[str, ...]:
        middle = statistics.median(values)
        met = middle <= bound if at_most else middle >= bound
        sign = "at most" if at_most else "at least"
        return f"{problem}: {text}", spread(values, 2), f"{sign} {bound:g}", "met" if met else "NOT MET"

    if jax := _fastest(results, ["jax"]):
        yield aim("steps per second, times those of jax", _ratios(results, jax, own), 0.9, False)
    if problem.endswith("-16") and not problem.startswith("cnn"):
        for peers in _PEERS:
            if peer := _fastest(results, peers):
                yield aim(f"steps per second, times those of {peer}", _ratios(results, peer, own), 3, False)
    if with_statistics := _fastest(results, [f"{program}-statistics" for program in PROGRAMS]):
        yield aim(
            "time with statistics, times that without", _ratios(results, with_statistics, own), 1.05, True
        )
    if problem == "mdp":
        yield aim("CPU ms per step", results[own].milliseconds, _LARGEST_MDP_MS, True)
        if peer := _fastest(results, ["tf-agents"]):
            yield aim(f"steps per second, times those of {peer}", _ratios(results, peer, own), 2, False)
