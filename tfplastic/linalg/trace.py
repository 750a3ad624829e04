"""The trace of a symmetric operator, by its products."""

import dataclasses
from typing import Any

import gin
import numpy as np

from tfplastic import _checks
from tfplastic.linalg._hutchinson import advice_on, hutchinson, is_met, standard_error
from tfplastic.linalg._products import Products, all_dots, rademacher, row_dots
from tfplastic.linalg.estimate import Estimate
from tfplastic.linalg.lanczos import Progress


@gin.register(module="tfplastic.linalg")
def trace(
    operator: Any,
    tol: float = 0.01,
    max_products: int = 300,
    seed: int = 0,
    method: str = "hutch++",
    block_size: int = 8,
    progress: Progress | None = None,
) -> Estimate[float]:
    """Estimates tr A of a symmetric operator A, until its standard error is small enough.

    'hutchinson' is the mean of z . A z over random probes z (Hutchinson 1990): m products leave a standard
    error of sqrt(2 / m) times the Frobenius norm of A's off-diagonal part. 'hutch++' (Meyer, Musco, Musco and
    Woodruff 2021, Algorithm 1) spends a third of its products on the range Q of A S, S random, and a third on
    the trace of Q^T A Q, which is exact, so that only the part of A outside of Q is sampled, by the mean of z
    . P A P z, P = I - Q Q^T. For decaying spectra, as Hessians have, its error falls as 1 / m. For flat ones
    the two thirds are lost, and where A is nearly diagonal P A P is less so: there 'hutchinson' is better.

    Algorithm 1 takes m beforehand. Here Q and the probes grow together by blocks, and as Q grows the earlier
    probes' samples are corrected for its new columns, which takes no further products. So at each moment the
    estimate is that of Algorithm 1 for as many products as were made. The standard error is that of the mean
    over the probes. It is compared with tol |value| after each block, from 16 probes on; to stop where it
    happens to be small makes its intervals hold the truth a little less often than they say.

    The entries of z and S are independent signs, -1 or 1, which have the least variance of all independent
    entries (Hutchinson 1990) and are among those the bounds of Hutch++ hold for.

    Where `max_products` is at least n, n products with the unit vectors are made instead, and the value is
    exact.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to `[n]`
            or `matmat` from `[n, block_size]` to `[n, block_size]`, which is preferred.
        tol: relative tolerance of the standard error, at least 0; with 0 the whole budget is used. The
            default is ours. (PyHessian stops at 1e-3 between two iterations, a weaker criterion.)
        max_products: most products to make, at least 2 for 'hutchinson' and 4 for 'hutch++' (or n). The
            default lets 'hutch++' have the 100 probes that PyHessian makes at most.
        seed: seed of the random vectors.
        method: 'hutch++' or 'hutchinson'.
        block_size: columns of a `matmat`. Memory beyond the operator's own is about 5 `block_size` vectors of
            n in the operator's dtype, and for 'hutch++' Q, `max_products` / 3 vectors: 680 MB for the default
            and the 1.7 million float32 weights of the Nature DQN, taken up as Q grows.
        progress: function called with (products done, `max_products`) after each product or `matmat`.

    Returns:
        An `Estimate`. Where `max_products` did not suffice `converged` is False, and `advice` names the
        argument to
            change.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the probe, counted from 1.
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> estimate = linalg.trace(operator)
        >>> estimate.value, estimate.standard_error, estimate.num_products
        (8.0, 0.0, 3)
    """
    _checks.check_one_of("method", method, ("hutch++", "hutchinson"))
    _checks.check_non_negative("tol", tol)
    _checks.check_seed("seed", seed)
    products = Products(operator, max_products, 4 if method == "hutch++" else 2, block_size, progress)
    if method == "hutch++" and products.budget < products.size:
        return _hutch_plus_plus(products, tol, seed)
    sampled = hutchinson(products, row_dots, "trace", tol, seed)
    value, error = float(sampled.value), float(sampled.standard_error)
    return dataclasses.replace(sampled, value=value, standard_error=error)


def _hutch_plus_plus(products: Products, tol: float, seed: int) -> Estimate[float]:
    deflated = _DeflatedProbes(products, seed)
    converged = False
    while products.left and not converged:
        # As many products go into the sketch, into its images and into probes, as long as all three fit.
        deflated.extend_range(min(products.block_size, products.left // 3))
        deflated.add_probes(min(products.block_size, products.left))
        samples = deflated.samples
        value = deflated.captured + samples.mean()
        error = standard_error(((samples - samples.mean()) ** 2).sum(), len(samples))
        converged = is_met(value, error, len(samples), tol)
    advice = "" if converged else advice_on(value, error, len(samples), tol, products.done)
    return Estimate(float(value), float(error), len(samples), products.done, converged, advice)


class _DeflatedProbes:
    """The two sides of Hutch++, a range and probes outside of it, both of which can grow.

    Attributes:
        captured: tr Q^T A Q.
        samples: `[probes] float64`, z . P A P z for each probe z, P = I - Q Q^T.
    """

    def __init__(self, products: Products, seed: int):
        self.captured, self.samples = 0.0, np.zeros(0)
        self._products, self._seed = products, seed
        # The system gives memory to rows as they are written.
        self._basis = np.empty((products.budget // 3, products.size), products.dtype)
        self._rank = 0
        self._coordinates = np.zeros((len(self._basis), 0))  # Q^T z of each probe

    def extend_range(self, number: int) -> None:
        """Adds `number` columns to Q: a basis of the part of A S outside of Q, for new columns of S."""
        if not number:
            return
        products, rank = self._products, self._rank
        sketch = rademacher(self._seed, "sketch", rank, number, products.size, products.dtype)
        basis = self._basis[:rank]
        new = _orthonormal(products(sketch, "sketch vector", rank), basis)
        images = products(new, "basis vector", rank)
        inside, across = all_dots(new, images), all_dots(images, basis)  # new Q^T A new Q, new Q^T A old Q
        self.captured += float(np.trace(inside))
        both = np.concatenate([new, images])
        for start in range(0, len(self.samples), products.block_size):
            part = slice(start, min(start + products.block_size, len(self.samples)))
            probes = self._probes(start, part.stop - start)
            # Let y = P z for the old Q. Then u = new Q^T y = new Q^T z, w = new Q^T A y, and taking
            # new Q u from y changes y . A y by -2 u . w + u . (new Q^T A new Q) u.
            u, w = np.split(all_dots(both, probes), 2)
            w -= across @ self._coordinates[:rank, part]
            self.samples[part] += np.sum(u * (inside @ u - 2 * w), axis=0)
            self._coordinates[rank : rank + number, part] = u
        self._basis[rank : rank + number] = new
        self._rank += number

    def add_probes(self, number: int) -> None:
        """Adds the samples of `number` further probes."""
        first, basis = len(self.samples), self._basis[: self._rank]
        probes = self._probes(first, number)
        coordinates = all_dots(basis, probes)
        outside = probes - coordinates.T.astype(probes.dtype) @ basis
        samples = row_dots(outside, self._products(outside, "probe", first))
        self.samples = np.concatenate([self.samples, samples])
        columns = np.zeros((len(self._coordinates), number))
        columns[: self._rank] = coordinates
        self._coordinates = np.concatenate([self._coordinates, columns], axis=1)

    def _probes(self, first: int, number: int) -> np.ndarray:
        return rademacher(self._seed, "trace", first, number, self._products.size, self._products.dtype)


def _orthonormal(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Returns orthonormal rows that span the part of `vectors`' rows outside of the span of `basis`.

    Directions that may be mere rounding become rows of zeros. Hutch++ is right with any range, and noise
    need not be orthogonal to `basis`.
    """
    # By eigenvectors of the Gram matrix: for few long rows eight times as fast as a singular value
    # decomposition. It knows squares to 1e-16 of the largest, so lengths to 1e-8.
    smallest = max(100 * np.finfo(vectors.dtype).eps, 1e-7)
    scale = row_dots(vectors, vectors).max()
    for _ in range(2):  # the second pass takes out what rounding left in the first
        vectors = vectors - (vectors @ basis.T) @ basis
        squares, rotation = np.linalg.eigh(all_dots(vectors, vectors))
        kept = squares > smallest**2 * scale
        factors = np.where(kept, 1 / np.sqrt(np.where(kept, squares, 1)), 0)
        vectors = (rotation * factors).T.astype(vectors.dtype) @ vectors
        scale = 1.0
    return vectors
