"""Results of diagnostics_overhead.py, as tables."""

import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.diagnostics_problem import FLOORS, TASKS
from benchmarks.processes import NOT_MEASURED, spread, table

PERIOD = 1_000  # gradient steps between two measurements of a set
SHARES = {"cheap": 0.01, "medium": 0.05}  # of the training's time, at most
_DEAR_SHARE = 0.02
_LEAST_RATIO = 2.0
_MOST_MIB = 2048
_NEEDED = {"ranks": ("forward", "spectra"), "dormant": ("forward",)}


@dataclasses.dataclass
class Result:
    """Measurements on one problem.

    Attributes:
        versions: versions of packages.
        seconds: CPU time of ours by task, one number a round; of `training`, per gradient step.
        peer_seconds: times of the peer, in the same rounds.
        differences: by task and quantity, the largest relative difference between the two.
        expensive: quantities that are neither cheap nor medium.
        memory: MiB resident `before_mib` and by how much the peak was above, `growth_mib`.
        errors: why there is nothing, by task.
    """

    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    peer_seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    differences: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    expensive: list[str] = dataclasses.field(default_factory=list)
    memory: dict[str, float] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)

    def median(self, task: str) -> float | None:
        """Seconds of a task; None where it was not measured."""
        return statistics.median(self.seconds[task]) if self.seconds.get(task) else None

    def shares(self, task: str) -> list[float]:
        """Time of a set over that of the gradient steps between two measurements, by round."""
        pairs = zip(self.seconds.get(task, []), self.seconds.get("training", []), strict=False)
        return [its / (PERIOD * step) for its, step in pairs]

    def period(self, quantity: str) -> int | None:
        """The smallest round period at which a quantity takes at most 2 % of the training's time."""
        cost, step = self.median(quantity), self.median("training")
        return None if cost is None or step is None else round_up(cost / (_DEAR_SHARE * step))

    def ratios(self, task: str) -> list[float]:
        """The peer's times over ours in the same round."""
        pairs = zip(self.peer_seconds.get(task, []), self.seconds.get(task, []), strict=False)
        return [its / own for its, own in pairs]

    def ratios_to_floor(self, task: str, parts: Sequence[str]) -> list[float]:
        """The peer's times of a task over ours of `parts`: an upper bound."""
        columns = [self.seconds.get(part, []) for part in parts]
        rounds = zip(self.peer_seconds.get(task, []), *columns, strict=False)
        return [its / sum(times) for its, *times in rounds]

    def ratios_one_by_one(self) -> list[float]:
        """Like `ratios` of all together, the peer's functions being called codebase by codebase."""
        columns = [self.peer_seconds.get(task, []) for task in TASKS[:-1]]
        rounds = zip(*columns, self.seconds.get(TASKS[-1], []), strict=False)
        return [sum(times) / own for *times, own in rounds]


Results = Mapping[str, Result]
"""By problem."""


def round_up(steps: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, 100, ... that is at least `steps`."""
    rounded = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return next(each for each in rounded if each >= steps)


def report(found: Results) -> str:
    """All tables of a run."""
    parts = [_sets(found), _expensive(found), _peers(found), _differences(found)]
    errors = [f"{problem}, {task}: {why}" for problem, of in found.items() for task, why in of.errors.items()]
    if errors:
        parts.append("What could not be done\n" + "\n".join(errors))
    aims = [row for problem, result in found.items() for row in _aims(problem, result)]
    if aims:
        parts.append(table([("what this library aims at", "median (smallest-largest)", "bound", ""), *aims]))
    return "\n\n".join(part for part in parts if part)


def markdown(found: Results) -> str:
    """The table of costs and default periods, for docs/diagnostics.md."""
    rows = _cost_rows(found)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|--:" * (len(rows[0]) - 1) + "|", *lines[1:]])


def _sets(found: Results) -> str:
    rows: list[tuple[str, ...]] = [
        ("CPU ms", "a gradient step", "cheap set", "medium set", "peak memory of the full set")
    ]
    for problem, result in found.items():
        if result.seconds.get("training"):
            times = [
                spread([1e3 * each for each in result.seconds.get(task, [])], 1)
                for task in ("training", "cheap", "medium")
            ]
            memory = f"{result.memory['growth_mib']:.0f} MiB" if result.memory else "-"
            rows.append((problem, *times, memory))
    return table(rows) if len(rows) > 1 else ""


def _expensive(found: Results) -> str:
    rows = _cost_rows(found)
    return table(rows) if len(rows) > 1 else ""


def _cost_rows(found: Results) -> list[tuple[str, ...]]:
    """A row for each expensive quantity: cost and period on each network, and the largest of the periods."""
    names = list(dict.fromkeys(name for result in found.values() for name in result.expensive))
    titles = [title for problem in found for title in (f"{problem}: CPU seconds", "period")]
    rows: list[tuple[str, ...]] = [("quantity", *titles, "default period")]
    for name in names:
        cells = []
        periods = [result.period(name) for result in found.values()]
        for result, period in zip(found.values(), periods, strict=True):
            cost = result.median(name)
            cells += ["-" if cost is None else f"{cost:.3g}", "-" if period is None else f"{period:,}"]
        if any(period is not None for period in periods):
            largest = max(period for period in periods if period is not None)
            rows.append((name, *cells, f"{largest:,}"))
    return rows


def _peers(found: Results) -> str:
    rows = [("next to PyTorch, CPU ms", "ours", "peer's", "times ours")]
    for problem, result in found.items():
        for task in (*TASKS, *FLOORS):
            if task in result.seconds:
                own, peer = (
                    spread([1e3 * each for each in times.get(task, [])], 1)
                    for times in (result.seconds, result.peer_seconds)
                )
                ratios = result.ratios(task)
                peer = peer if ratios else NOT_MEASURED
                rows.append((f"{problem}: {task}", own, peer, spread(ratios, 2)))
        if ratios := result.ratios_one_by_one():
            rows.append((f"{problem}: together, the peer's one by one", "", "", spread(ratios, 2)))
        for task, parts in _NEEDED.items():
            if ratios := result.ratios_to_floor(task, parts):
                rows.append(
                    (f"{problem}: {task}, over our {' and '.join(parts)} alone", "", "", spread(ratios, 2))
                )
    return table(rows) if len(rows) > 1 else ""


def _differences(found: Results) -> str:
    rows = [("largest relative difference", "quantity", "ours to PyTorch's")]
    for problem, result in found.items():
        largest: dict[str, float] = {}
        for differences in result.differences.values():
            for name, value in differences.items():
                largest[name] = max(value, largest.get(name, 0.0))
        rows += [(problem, name, f"{value:.1g}") for name, value in largest.items()]
    return table(rows) if len(rows) > 1 else ""


def _aims(problem: str, result: Result) -> Iterator[tuple[str, ...]]:
    def aim(text: str, values: Sequence[float], bound: float, at_most: bool) -> tuple[str, ...]:
        middle = statistics.median(values)
        met = middle <= bound if at_most else middle >= bound
        sign = "at most" if at_most else "at least"
        return f"{problem}: {text}", spread(values, 2), f"{sign} {bound:g}", "met" if met else "NOT MET"

    for task, bound in SHARES.items():
        if shares := result.shares(task):
            percent = [100 * share for share in shares]
            yield aim(f"{task} set every {PERIOD:,} steps, % of training", percent, 100 * bound, True)
    if result.memory:
        yield aim("peak memory above the model, MiB", [result.memory["growth_mib"]], _MOST_MIB, True)
    for task in TASKS:
        if ratios := result.ratios(task):
            yield aim(f"{task}, times as fast as PyTorch", ratios, _LEAST_RATIO, False)
    if ratios := result.ratios_one_by_one():
        yield aim("together, the peer's one by one", ratios, _LEAST_RATIO, False)
