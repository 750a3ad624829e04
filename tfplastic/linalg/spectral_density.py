"""The eigenvalue density of a symmetric operator."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gin
import numpy as np
from scipy.linalg import eigh_tridiagonal

from tfplastic import _checks, seeds
from tfplastic._text.short_repr import ShortRepr
from tfplastic.linalg.estimate import Estimate
from tfplastic.linalg.lanczos import Progress, check_square, runs

_MARGIN = 6  # widths; outside of them a Gaussian has 2e-9 of its mass
_MOST_POINTS = 1_000_000  # of a grid: 8 MB


@dataclasses.dataclass(frozen=True, repr=False)
class SpectralDensity(ShortRepr):
    """Where the eigenvalues of a symmetric operator lie: for each random probe, points and their masses.

    Attributes:
        nodes: `[num_probes, m] float64`, ascending in each row.
        weights: `[num_probes, m] float64`, at least 0; each row sums to 1.
        size: n, the size of the operator.
    """

    nodes: np.ndarray
    weights: np.ndarray
    size: int

    def width(self) -> float:
        """Returns the default width of the kernel: sqrt(1e-5 L), L = largest node - smallest node.

        The rule of google/spectral-density, the code of Ghorbani et al. 2019, whose paper has 1e-5 as well.
        That code takes L to be 1 at least, which would make a single bump of a spectrum 0.01 long; here it is
        sqrt(1e-5) L below 1. At least 1e-12 of the largest |node|, and 1e-12, where all nodes are one point.
        """
        length = float(self.nodes.max() - self.nodes.min())
        smallest = 1e-12 * max(1.0, float(np.abs(self.nodes).max()))
        return max(smallest, float(np.sqrt(1e-5 * length)) * min(1.0, float(np.sqrt(length))))

    def grid(self, width: float | None = None, num_points: int = 10_000) -> np.ndarray:
        """Returns evenly spaced points from 6 widths below the smallest node to 6 above the largest.

        google/spectral-density has 10,000 points too. It goes 0.01 beyond the nodes, which can cut the
        outermost kernels in half and is put right there by rescaling the density. And its points are further
        apart than the kernel is wide once the nodes span more than about 1,000; here there are as many more
        points as keep the distance within one width, at most 1,000,000 (or `num_points`). On this grid the
        density sums to 1 within 1e-8, unless so many points are not enough: with the default width once the
        nodes span more than about 10 million.

        Args:
            width: standard deviation of the kernel; default `width()`.
            num_points: fewest points, at least 2.

        Returns:
            `[points] float64`.

        Raises:
            ValueError: an argument is outside its range.
        """
        width = self.width() if width is None else _checks.check_positive("width", width)
        num_points = _checks.check_integer("num_points", num_points, minimum=2)
        low, high = self.nodes.min() - _MARGIN * width, self.nodes.max() + _MARGIN * width
        wanted = min(_MOST_POINTS, int(np.ceil((high - low) / width)) + 1)
        return np.linspace(low, high, max(num_points, wanted))

    def density(self, grid: Any = None, width: float | None = None) -> np.ndarray:
        """Returns the smoothed density: mean over probes of sum_i weight_i N(t; node_i, width^2).

        Its integral over the reals is 1.

        Args:
            grid: the points t, an array of any shape; default `grid(width)`.
            width: standard deviation of the Gaussian; default `width()`.

        Returns:
            float64, of the shape of `grid`, at least 0.

        Raises:
            ValueError: `width` is not above 0.
        """
        width = self.width() if width is None else _checks.check_positive("width", width)
        points = self.grid(width) if grid is None else np.asarray(grid, np.float64)
        total = np.zeros(points.shape)
        for node, weight in zip(self.nodes.ravel(), self.weights.ravel(), strict=True):
            total += weight * np.exp(-(((points - node) / width) ** 2) / 2)
        return total / (len(self.nodes) * width * np.sqrt(2 * np.pi))

    def mean(self, function: Callable[[np.ndarray], np.ndarray]) -> Estimate[float]:
        """Returns the mean of a function over all eigenvalues, tr f(A) / n, with its standard error.

        Unbiased for polynomials of degree up to 2 m - 1, for which the quadrature is exact. For others it has
        the quadrature's error besides, which no standard error shows.

        Args:
            function: from nodes, float64, to values of the same shape.
        """
        samples = np.sum(self.weights * function(self.nodes), axis=1)
        count = len(samples)
        error = float(np.std(samples, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
        return Estimate(float(samples.mean()), error, count, self.nodes.size, converged=True)

    def moment(self, p: int) -> Estimate[float]:
        """Returns the mean of the eigenvalues' p-th powers, tr A^p / n: trace / n for 1, |A|_F^2 / n for 2.

        Args:
            p: integer of at least 0. Unbiased up to 2 m - 1.

        Raises:
            ValueError: `p` is not such an integer.
        """
        _checks.check_integer("p", p)
        return self.mean(lambda nodes: nodes**p)

    def plot(self, ax: Any = None) -> Any:
        """Draws the density on a logarithmic scale, as Ghorbani et al. 2019 do.

        The scale ends a decade below the height of the bump that one eigenvalue out of n makes.

        Args:
            ax: matplotlib axes; a new figure's by default.

        Returns:
            The axes.

        Raises:
            ImportError: matplotlib is not installed; names the command that installs it.
        """
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                message = "A plot needs matplotlib, which is missing: pip install 'tfplastic[reports]'"
                raise ImportError(message) from error
            ax = plt.figure().add_subplot()
        points = self.grid()
        heights = self.density(points)
        ax.semilogy(points, heights)
        single = 1 / (self.size * self.width() * np.sqrt(2 * np.pi))
        ax.set_ylim(single / 10, 2 * heights.max())
        ax.set_xlabel("Eigenvalue")
        ax.set_ylabel("Density")
        return ax


@gin.register(module="tfplastic.linalg")
def spectral_density(
    operator: Any, num_steps: int = 90, num_probes: int = 10, seed: int = 0, progress: Progress | None = None
) -> SpectralDensity:
    """Estimates the eigenvalue density of a symmetric operator by stochastic Lanczos quadrature.

    From each of `num_probes` random unit vectors v, m steps of `lanczos` make a tridiagonal matrix T, whose
    eigenvalues are the nodes and whose eigenvectors' squared first components the weights of the Gauss
    quadrature of v . f(A) v (Golub and Welsch 1969). Its mean over v is tr f(A) / n. So a probe's points lie
    where the eigenvalues are: outliers as they are, each with a weight of about 1 / n, a bulk by as many
    nodes as it takes (Ghorbani, Krishnan and Xiao 2019, "An investigation into neural net optimization via
    Hessian eigenvalue density", section 2).

    The basis is reorthogonalized partially, which leaves nodes and weights as accurate as with full
    orthogonality (see `lanczos`).

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to
            `[n]`.
        num_steps: steps of each Lanczos run, at least 1; more than n are cut to n. Memory is as many vectors
            of n. 90 as in Figure 1 of Ghorbani et al. 2019.
        num_probes: random vectors, at least 1. 10 as there.
        seed: seed of the vectors, which are normal and then normalized.
        progress: function called with (products done, products planned) after each product, of all probes
            together.

    Returns:
        A `SpectralDensity` with m = min(num_steps, n).

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step.
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> density = linalg.spectral_density(operator, num_probes=2)
        >>> density.nodes.round(4).tolist()  # 3 steps find all eigenvalues
        [[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]
        >>> density.density().shape
        (10000,)
    """
    num_probes = _checks.check_positive_integer("num_probes", num_probes)
    size = check_square(operator)
    num_steps = min(_checks.check_positive_integer("num_steps", num_steps), size)
    _checks.check_seed("seed", seed)
    _checks.check_fits_in_memory("num_probes", num_probes, 16 * num_probes * num_steps)
    nodes, weights = np.empty((2, num_probes, num_steps))
    keys = [seeds.derive_integer(seed, "spectral_density", probe) for probe in range(num_probes)]
    for probe, result in enumerate(runs(operator, num_steps, keys, "partial", progress)):
        nodes[probe], vectors = eigh_tridiagonal(result.alpha, result.beta[:-1])
        weights[probe] = vectors[0] ** 2
    return SpectralDensity(nodes, weights, size)
