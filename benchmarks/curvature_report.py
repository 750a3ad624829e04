"""Results of curvature.py, as tables."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import curvature_problem
from benchmarks.processes import NOT_MEASURED, spread, table

TOLERANCE = 1e-4
# A product is wrong, and not merely rounded, from here on.
_LARGEST_PRODUCT_ERROR = 1e-4
# Residuals and eigenvalues are recomputed from float32 vectors: what rounding may add to the tolerance.
_SLACK = 1e-5
_TASKS = (
    {
        "gradient": "gradient",
        "hvp": "one product",
        "hvp_retained": "graph kept",
        "matmat_8": "8, each",
        "matmat_32": "32, each",
    },
    {"lanczos": "Lanczos, a step", "density": "density, a step", "top": "top 5"},
)


@dataclasses.dataclass
class Result:
    """Measurements of one contender.

    Attributes:
        num_steps: products in its density.
        versions: versions of its packages.
        seconds: by task, one number a round; of a whole block of products, a whole density.
        checks: by task, the reference's judgment of the result.
        errors: by task, why there is nothing.
        compiled: programs traced or compiled again after the warm-up.
        growth_mib: growth of the largest resident memory, by a "product" and by a "density".
    """

    num_steps: int
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    compiled: list[str] = dataclasses.field(default_factory=list)
    growth_mib: dict[str, float] = dataclasses.field(default_factory=dict)

    def milliseconds(self, task: str) -> list[float]:
        """Per gradient, per product, or per set of eigenvalues; one number a round."""
        kind, _, count = task.partition("_")
        products = int(count) if kind == "matmat" else self.num_steps if task in ("lanczos", "density") else 1
        return [1e3 * seconds / products for seconds in self.seconds.get(task, [])]

    def median(self, task: str) -> float:
        """The median of `milliseconds`; NaN where there are none."""
        return statistics.median(self.milliseconds(task) or [math.nan])

    def is_accurate(self) -> bool:
        """Whether its density is that of float64, to `TOLERANCE`."""
        check = self.checks.get("density", {})
        return bool(check) and max(check["nodes"], check["weights"]) <= TOLERANCE

    def meets_tolerance(self) -> bool:
        """Whether its eigenvalues are the largest, and their residuals within `TOLERANCE`."""
        check = self.checks.get("top", {})
        return bool(check) and max(check["deviation"], check["residual"]) <= TOLERANCE + _SLACK


def report(problem: str, results: Mapping[str, Result], ours: str, device: str) -> str:
    """All tables of a problem."""
    clock = "CPU milliseconds" if device == "cpu" else "milliseconds by the clock"
    parts = []
    for tasks in _TASKS:
        if not any(result.seconds.get(task) for result in results.values() for task in tasks):
            continue
        parts.append(f"{problem}: {clock}, median (smallest-largest)\n{_times(results, tasks)}")
        if ours in results and len(results) > 1:
            title = f"{problem}: times {ours}'s in the same round, median (smallest-largest)"
            parts.append(f"{title}\n{_ratios(results, ours, tasks)}")
    parts.append(f"{problem}: checked against float64, and memory\n{_checks(results)}")
    errors = [
        f"{name}, {task}: {why}" for name, result in results.items() for task, why in result.errors.items()
    ]
    if errors:
        parts.append(f"{problem}: what could not be done\n" + "\n".join(errors))
    if ours in results:
        parts.append(f"{problem}: what {ours} aims at\n{table(list(_aims(problem, results, ours)))}")
    return "\n\n".join(parts)


def _times(results: Mapping[str, Result], tasks: Mapping[str, str]) -> str:
    rows = [("", *tasks.values())]
    for name, result in results.items():
        if any(result.seconds.get(task) for task in tasks):
            rows.append((name, *(spread(result.milliseconds(task), 1) for task in tasks)))
        elif "start" in result.errors:
            rows.append((name, NOT_MEASURED, *("-" for _ in list(tasks)[1:])))
    return table(rows)


def _ratios(results: Mapping[str, Result], ours: str, tasks: Mapping[str, str]) -> str:
    rows = [("", *tasks.values())]
    for name, result in results.items():
        if name != ours and any(result.seconds.get(task) for task in tasks):
            rows.append((name, *(spread(_ratio(result, results[ours], task), 2) for task in tasks)))
    return table(rows)


def _ratio(result: Result, own: Result, task: str) -> list[float]:
    return [its / ours for its, ours in zip(result.milliseconds(task), own.milliseconds(task), strict=False)]


def _checks(results: Mapping[str, Result]) -> str:
    rows = [["", "product", "nodes", "weights", "top 5: value", "residual", "met", "MiB: product", "density"]]
    for name, result in results.items():
        products = [check["product"] for check in result.checks.values() if "product" in check]
        error = f"{max(products):.0e}" if products else "-"
        if products and max(products) > _LARGEST_PRODUCT_ERROR:
            error += " WRONG"
        density, top = result.checks.get("density", {}), result.checks.get("top", {})
        met = ("yes" if result.meets_tolerance() else "NO") if top else "-"
        growth = [
            f"{result.growth_mib[key]:.0f}" if key in result.growth_mib else "-"
            for key in ("product", "density")
        ]
        found = [density.get("nodes"), density.get("weights"), top.get("deviation"), top.get("residual")]
        cells = ["-" if value is None else f"{value:.0e}" for value in found]
        rows.append([name, error, *cells, met, *growth])
    return table(rows)


def _aims(problem: str, results: Mapping[str, Result], ours: str) -> Iterator[tuple[str, ...]]:
    own = results[ours]
    peers = {name: result for name, result in results.items() if not name.startswith(ours)}

    def aim(text: str, value: float, bound: float, at_most: bool) -> tuple[str, ...]:
        sign = "at most" if at_most else "at least"
        if math.isnan(value):
            return text, "-", f"{sign} {bound:.3g}", "not measured"
        met = value <= bound if at_most else value >= bound
        return text, f"{value:.3g}", f"{sign} {bound:.3g}", "met" if met else "not met"

    def fastest(task: str, eligible: Callable[[Result], bool]) -> float:
        found = [each.median(task) for each in peers.values() if each.seconds.get(task) and eligible(each)]
        return min(found, default=math.nan) / own.median(task)

    gradient = own.median("gradient")
    yield aim("one product, in gradients", own.median("hvp") / gradient, 2.3, True)
    if problem == "mlp":
        yield aim("a step of Lanczos, in gradients", own.median("lanczos") / gradient, 1.75, True)
    if "pyhessian" in peers:
        ratio = peers["pyhessian"].median("density") / own.median("density")
        yield aim("density, times faster than pyhessian", ratio, 2, False)
    yield aim("density, times faster than the fastest peer", fastest("density", lambda _: True), 1, False)
    accurate = fastest("density", Result.is_accurate)
    yield aim("density, times faster than the fastest accurate peer", accurate, 1, False)
    meeting = fastest("top", Result.meets_tolerance)
    yield aim("top 5, times faster than the fastest peer that meets", meeting, 1, False)
    density = own.checks.get("density", {})
    for key in ("nodes", "weights"):
        yield aim(f"density, deviation of {key}", density.get(key, math.nan), TOLERANCE, True)
    allowed = (own.num_steps + 4) * 4 * curvature_problem.make(problem).size / 2**20
    growth = own.growth_mib.get("density", math.nan) - own.growth_mib.get("product", math.nan)
    yield aim("memory of a density beyond a product's, MiB", growth, allowed, True)
    yield aim("programs traced or compiled after the warm-up", len(own.compiled), 0, True)
