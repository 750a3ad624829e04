"""Norms of a symmetric operator, by its products."""

import dataclasses
from typing import Any

import gin
import numpy as np

from tfplastic import _checks
from tfplastic._text.short_repr import ShortRepr
from tfplastic.linalg._hutchinson import advice_on, hutchinson
from tfplastic.linalg._products import Products, row_dots
from tfplastic.linalg.eigsh import eigsh
from tfplastic.linalg.estimate import Estimate
from tfplastic.linalg.lanczos import Progress, check_square
from tfplastic.linalg.spectral_density import spectral_density


@dataclasses.dataclass(frozen=True, repr=False)
class Norms(ShortRepr):
    """Norms of a symmetric operator with eigenvalues lambda_i.

    Attributes:
        spectral: max_i |lambda_i|, the largest Ritz value's magnitude: at most the true value, except for
            rounding.
        spectral_residual: distance from the Ritz value within which an eigenvalue lies.
        frobenius: sqrt(sum_i lambda_i^2).
        nuclear: sum_i |lambda_i|.
        num_products: matrix-vector products made for all three.
        converged: whether the tolerance was met for the spectral and the Frobenius norm.
        advice: the remedy where it was not, in one line; else empty.
    """

    spectral: float
    spectral_residual: float
    frobenius: Estimate[float]
    nuclear: Estimate[float]
    num_products: int
    converged: bool
    advice: str = ""


@gin.register(module="tfplastic.linalg")
def norms(
    operator: Any,
    tol: float = 0.01,
    max_products: int = 300,
    num_steps: int = 90,
    num_probes: int = 10,
    seed: int = 0,
    block_size: int = 8,
    progress: Progress | None = None,
) -> Norms:
    """Returns the spectral, the Frobenius and the nuclear norm of a symmetric operator A.

    - Spectral: the absolutely largest eigenvalue of `eigsh`.
    - Frobenius: |A|_F^2 = tr A^2 is the mean of |A z|^2 over random probes z of independent signs
      (Hutchinson 1990, with A^2 for the matrix). The root's standard error is that of the mean divided by
      twice the root. The root of a mean is too small, on average by standard_error^2 / (2 value). Exact
      where `max_products` is at least n.
    - Nuclear: n times the mean of |lambda| under the `spectral_density`. Besides its standard error it has
      the error of the quadrature, as |lambda| is not a polynomial: nothing where the eigenvalues are all of
      one sign, else at most of the order of 0.28 n spectral / num_steps, twice Bernstein's error of
      the best polynomial of degree 2 num_steps - 1. Exact where `num_steps` is at least n.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to `[n]`
            and perhaps `matmat` from `[n, block_size]` to `[n, block_size]`.
        tol: relative tolerance of the spectral norm's residual and of the Frobenius norm's standard error,
            above 0. The default is that of `trace`.
        max_products: most products for the Frobenius norm, at least 2 (for n = 1, 1). The default is that of
            `trace`.
        num_steps: steps of Lanczos, at most for the spectral norm and of each probe for the nuclear one.
            Memory is as many vectors of n. The default is that of `spectral_density`.
        num_probes: for the nuclear norm, at least 1. The default is that of `spectral_density`.
        seed: seed of the random vectors.
        block_size: columns of a `matmat`.
        progress: function called with (products done, products planned at most) after each product or
            `matmat`.

    Returns:
        The `Norms`.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step or probe.
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., -2., 2.] * x ** 2) / 2, [x])
        >>> norms = linalg.norms(operator)
        >>> round(norms.spectral, 4), round(norms.frobenius.value, 4), round(norms.nuclear.value, 4)
        (2.0, 3.0, 5.0)
    """
    _checks.check_positive("tol", tol)
    _checks.check_positive_integer("num_probes", num_probes)
    _checks.check_seed("seed", seed)
    _checks.check_optional_callable("progress", progress, "print")
    size = check_square(operator)
    num_steps = min(_checks.check_positive_integer("num_steps", num_steps), size)
    num_probes = 1 if num_steps == size else num_probes  # one run finds every eigenvalue
    count = _Count(progress)
    products = Products(operator, max_products, 2, block_size, count)
    count.planned = num_steps + min(products.budget, size) + num_steps * num_probes
    largest = eigsh(operator, 1, "LM", tol, num_steps, seed, return_eigenvectors=False, progress=count)
    count.next_part(largest.num_steps)
    frobenius = _frobenius(products, tol, seed)
    count.next_part(products.done)
    nuclear = _nuclear(operator, num_steps, num_probes, seed, count)
    # The spectral norm's most products have another name here.
    advice = {"spectral": largest.advice.replace("`max_steps`", "`num_steps`"), "frobenius": frobenius.advice}
    return Norms(
        float(np.abs(largest.values[0])),
        float(largest.residuals[0]),
        frobenius,
        nuclear,
        largest.num_steps + frobenius.num_products + nuclear.num_products,
        largest.converged and frobenius.converged,
        " ".join(f"`{norm}`: {text}" for norm, text in advice.items() if text),
    )


def _frobenius(products: Products, tol: float, seed: int) -> Estimate[float]:
    # To first order the root's relative error is half of the square's.
    square = hutchinson(products, lambda _, images: row_dots(images, images), "frobenius", 2 * tol, seed)
    value = float(np.sqrt(square.value))
    error = float(square.standard_error) / (2 * value) if value > 0 else 0.0
    count, num_products = square.num_probes, square.num_products
    advice = "" if square.converged else advice_on(value, error, count, tol, num_products)
    return Estimate(value, error, count, num_products, square.converged, advice)


def _nuclear(
    operator: Any, num_steps: int, num_probes: int, seed: int, progress: Progress
) -> Estimate[float]:
    density = spectral_density(operator, num_steps, num_probes, seed, progress)
    if num_steps == density.size:
        return Estimate(float(np.abs(density.nodes[0]).sum()), 0.0, 0, num_steps, True)
    mean = density.mean(np.abs)
    return dataclasses.replace(
        mean, value=density.size * mean.value, standard_error=density.size * mean.standard_error
    )


class _Count:
    """Progress of several computations, one after another, as that of one."""

    def __init__(self, progress: Progress | None):
        self.planned = 0
        self._progress, self._before = progress, 0

    def __call__(self, done: int, _: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self.planned)

    def next_part(self, done: int) -> None:
        self._before += done
