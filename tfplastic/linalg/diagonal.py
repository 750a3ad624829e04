"""The diagonal of an operator, by its products."""

from typing import Any

import gin
import numpy as np

from tfplastic import _checks
from tfplastic.linalg._hutchinson import hutchinson
from tfplastic.linalg._products import Products
from tfplastic.linalg.estimate import Estimate
from tfplastic.linalg.lanczos import Progress


@gin.register(module="tfplastic.linalg")
def diagonal(
    operator: Any,
    tol: float = 0.05,
    max_products: int = 300,
    seed: int = 0,
    block_size: int = 8,
    progress: Progress | None = None,
) -> Estimate[np.ndarray]:
    """Estimates the diagonal d of an operator A, d_i = A_ii, by the mean of z * (A z) over random probes z.

    The entries of z are independent signs, -1 or 1 (Bekas, Kokiopoulou and Saad 2007, "An estimator for the
    diagonal of a matrix", whose denominator, the mean of z * z, is then 1). Entry i of one probe's product
    has mean A_ii and variance sum_{j != i} A_ij^2: small diagonals of matrices with large off-diagonal
    entries take many probes. A need not be symmetric.

    Probes are drawn until |standard error|_2 <= tol |value|_2, checked after each block from 16 probes on, or
    until `max_products` are used up. Where `max_products` is at least n, n products with the unit vectors are
    made instead, and the value is exact.

    Args:
        operator: with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to `[n]` or
            `matmat` from `[n, block_size]` to `[n, block_size]`, which is preferred.
        tol: relative tolerance, at least 0; with 0 the whole budget is used. The default is ours.
        max_products: most products to make, at least 2 (for n = 1, 1). The default is that of `trace`.
        seed: seed of the probes. They are the same whatever the block size.
        block_size: columns of a `matmat`. Memory beyond the operator's own is about 5 `block_size` float64
            vectors of n.
        progress: function called with (products done, `max_products`) after each product or `matmat`.

    Returns:
        An `Estimate` with `value` and `standard_error` `[n] float64`. Where `max_products` did not suffice
            `converged` is False, and `advice` names the argument to change.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the probe, counted from 1.
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([1., 2.])
        >>> operator = linalg.HessianOperator(lambda: x[0] ** 2 * x[1], [x])
        >>> linalg.diagonal(operator).value.tolist()  # H = [[2 x1, 2 x0], [2 x0, 0]]
        [4.0, 0.0]
    """
    _checks.check_non_negative("tol", tol)
    _checks.check_seed("seed", seed)
    products = Products(operator, max_products, 2, block_size, progress)
    return hutchinson(products, _diagonal_samples, "diagonal", tol, seed)


def _diagonal_samples(probes: np.ndarray, images: np.ndarray) -> np.ndarray:
    return np.multiply(probes, images, dtype=np.float64)  # [k, n]
