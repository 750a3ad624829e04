"""The spectrum of a Hessian: both ends by `eigsh`, everything between as a density."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from tfplastic.command_line.diagnose.spectrum.progress import ProductsProgress
from tfplastic.linalg import SpectralDensity, eigsh, spectral_density


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Measurements of a symmetric operator of size n.

    Attributes:
        size: n.
        eigenvalues: `[k] float64`, descending: the largest ones, then the smallest ones.
        residuals: `[k] float64`, |H v - lambda v| of each one's unit vector v, by a product with v.
        converged: `[k] bool`, whether the residual met the tolerance, and no eigenvalue is missing before it.
        num_largest: number of eigenvalues from the upper end.
        density: density of all eigenvalues.
        width: standard deviation of the Gaussian that the density is drawn with.
        num_products: Hessian-vector products made.
    """

    size: int
    eigenvalues: np.ndarray
    residuals: np.ndarray
    converged: np.ndarray
    num_largest: int
    density: SpectralDensity
    width: float
    num_products: int

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to write, by their names in the table of docs/curvature.md."""
        grid = self.density.grid(self.width)
        mean = self.density.moment(1)
        return {
            "size": np.int64(self.size),
            "eigenvalues": self.eigenvalues,
            "residuals": self.residuals,
            "converged": self.converged,
            "nodes": self.density.nodes,
            "weights": self.density.weights,
            "grid": grid,
            "density": self.density.density(grid, self.width),
            "width": np.float64(self.width),
            "trace": np.float64(self.size * mean.value),
            "trace_standard_error": np.float64(self.size * mean.standard_error),
            "num_products": np.int64(self.num_products),
        }


class _End(NamedTuple):
    values: np.ndarray
    residuals: np.ndarray
    converged: np.ndarray
    num_products: int


def measure(
    operator: Any, num_eigenvalues: int, tol: float, num_steps: int, num_probes: int, seed: int
) -> Spectrum:
    """Returns both ends of the spectrum and its density, with progress on standard error.

    Args:
        operator: symmetric, of `linalg`.
        num_eigenvalues: number at each end; fewer at the lower end where n is less than twice as many.
        tol: for `eigsh`.
        num_steps: for `spectral_density`.
        num_probes: the same.
        seed: for both.

    Raises:
        NonFiniteError: a product held NaN or Inf.
    """
    size, shown = operator.shape[0], ProductsProgress()
    num_largest = min(num_eigenvalues, size)
    ends = [_end(operator, "LA", "largest eigenvalues", num_largest, tol, seed, shown)]
    if size > num_largest:
        count = min(num_eigenvalues, size - num_largest)
        ends.append(_end(operator, "SA", "smallest eigenvalues", count, tol, seed, shown))
    with shown.phase("density") as progress:
        density = spectral_density(operator, num_steps, num_probes, seed, progress)
    values = np.concatenate([end.values for end in ends])
    order = np.argsort(-values, kind="stable")
    return Spectrum(
        size=size,
        eigenvalues=values[order],
        residuals=np.concatenate([end.residuals for end in ends])[order],
        converged=np.concatenate([end.converged for end in ends])[order],
        num_largest=num_largest,
        density=density,
        width=density.width(),
        num_products=sum(end.num_products for end in ends) + density.nodes.size,
    )


def max_steps(count: int) -> int:
    """Returns the most products for `count` eigenvalues at one end: max(100, 5 for each)."""
    return max(100, 5 * count)


def table(spectrum: Spectrum) -> str:
    """Returns the text of the eigenvalues with residuals, upper end next to the lower, and of the density."""
    rows = list(zip(spectrum.eigenvalues, spectrum.residuals, spectrum.converged, strict=True))
    upper, lower = rows[: spectrum.num_largest], rows[spectrum.num_largest :][::-1]
    heading = f"{'':>5} {'largest':>13} {'residual':>10}   "
    lines = [(heading + (f"{'smallest':>13} {'residual':>10}" if lower else "")).rstrip()]
    for index in range(len(upper)):
        cells = f"{index + 1:>5} {_cells(upper[index])}"
        lines.append((cells + (_cells(lower[index]) if index < len(lower) else "")).rstrip())
    if not spectrum.converged.all():
        lines.append(
            "* not within --tol, or an eigenvalue may be missing before it: one is as near as the residual,"
            " others may be further out. Raise --tol or lower --num_eigenvalues."
        )
    mean = spectrum.density.moment(1)
    num_probes, num_steps = spectrum.density.nodes.shape
    trace = f"trace {spectrum.size * mean.value:.5g}"
    if num_probes > 1:
        trace += f" +- {spectrum.size * mean.standard_error:.2g} (standard error)"
    probes = f"{num_probes} probe{'s' * (num_probes > 1)} of {num_steps} step{'s' * (num_steps > 1)}"
    return "\n".join([*lines, f"{trace}, density from {probes}, {spectrum.num_products:,} products in all"])


def _end(
    operator: Any, which: str, name: str, count: int, tol: float, seed: int, shown: ProductsProgress
) -> _End:
    with shown.phase(name) as progress:
        found = eigsh(operator, count, which, tol, max_steps(count), seed, progress=progress)
        # Lanczos' own residuals are of exact arithmetic: in float32 they fall far below what is true.
        products = np.asarray(operator.matmat(found.vectors), np.float64)
    residuals = np.linalg.norm(products - found.vectors * found.values, axis=0)
    converged = np.arange(count) < found.num_complete  # a small one also within rounding of the largest
    return _End(found.values, residuals, converged, found.num_steps + count)


def _cells(row: tuple[float, float, bool]) -> str:
    value, residual, converged = row
    return f"{value:>13.6g} {residual:>10.1e}{' ' if converged else '*'}  "
