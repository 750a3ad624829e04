"""The Lanczos process: a small tridiagonal matrix that stands for a large symmetric one."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks, seeds


class NonFiniteError(ValueError):
    """A matrix-vector product held NaN or Inf."""


@dataclasses.dataclass(frozen=True)
class Tridiagonal:
    """What m steps of Lanczos know of a symmetric operator A: A Q^T = Q^T T + beta_m q_{m+1} e_m^T.

    Attributes:
        alpha: `[m] float64`, the diagonal of T.
        beta: `[m] float64`, at least 0. The first m - 1 are the off-diagonal of T; the last is the norm of
            what T leaves out. 0 where the process met an invariant subspace.
        basis: Q, `[m, n]` in the operator's dtype, with orthonormal rows.
    """

    alpha: np.ndarray
    beta: np.ndarray
    basis: np.ndarray


def lanczos(operator: Any, num_steps: int, seed: int = 0) -> Tridiagonal:
    """Runs `num_steps` steps of the Lanczos process with full reorthogonalisation, done twice.

    Step j multiplies once, w = A q_j, sets alpha_j = q_j . w, takes from w its parts along q_1 ... q_j
    (twice: one pass leaves rounding errors that grow as Ritz values converge; Parlett 1998, "The symmetric
    eigenvalue problem", section 6.9 and chapter 13), and sets beta_j = |w|, q_{j+1} = w / beta_j. Products
    and basis are in the operator's dtype, alpha and beta are summed in float64. When beta_j is within
    rounding of 0 the subspace is invariant: beta_j becomes 0 and the process goes on from a fresh random
    vector orthogonal to the basis, so that n steps give the whole spectrum, multiple eigenvalues included.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to
            `[n]`.
        num_steps: products to make, at least 1; more than n are cut to n. The basis is as many vectors of n.
        seed: of the start vector, standard normal and then normalised.

    Returns:
        The `Tridiagonal` of m = min(num_steps, n) steps.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step, counted from 1.
        ValueError: `num_steps` is not a positive integer.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> result = linalg.lanczos(operator, num_steps=3)
        >>> result.basis.shape, round(float(result.alpha.sum()), 4)  # the trace of T is that of A
        ((3, 3), 8.0)
    """
    *_, last = iterate(operator, num_steps, seed)
    return last


def iterate(operator: Any, num_steps: int, seed: int) -> Iterator[Tridiagonal]:
    """As `lanczos`, a `Tridiagonal` after each step. They share memory; earlier ones stay valid."""
    size = operator.shape[0]
    num_steps = min(_checks.check_positive_integer("num_steps", num_steps), size)
    dtype = np.dtype(tf.as_dtype(operator.dtype).as_numpy_dtype)
    epsilon = np.finfo(dtype.name).eps
    basis = np.empty((num_steps, size), dtype)  # the system gives memory to rows as they are written
    alpha, beta = np.zeros(num_steps), np.zeros(num_steps)
    basis[0] = _fresh_direction(basis[:0], seed)
    for step in range(num_steps):
        product = np.array(operator.matvec(basis[step]), dtype)
        if not np.isfinite(product).all():
            received = f"NaN or Inf at step {step + 1}"
            raise NonFiniteError(f"`operator` must give finite products. Received: {received}")
        alpha[step] = _dot(basis[step], product)
        rest = _orthogonalise(product, basis[: step + 1])
        beta[step] = np.sqrt(_dot(rest, rest))
        scale = max(np.abs(alpha[: step + 1]).max(), beta[: step + 1].max())
        # What is left after the subtractions is their rounding error, a few units of the last place.
        invariant = step + 1 == size or beta[step] <= 10 * epsilon * scale
        if invariant:
            beta[step] = 0.0
        yield Tridiagonal(alpha[: step + 1], beta[: step + 1], basis[: step + 1])
        if step + 1 < num_steps:
            basis[step + 1] = _fresh_direction(basis[: step + 1], seed) if invariant else rest / beta[step]


def _fresh_direction(basis: np.ndarray, seed: int) -> np.ndarray:
    """A random unit vector orthogonal to the rows of `basis`."""
    key = tf.constant(seeds.derive(seed, "lanczos", len(basis)))
    normal = tf.random.stateless_normal([basis.shape[1]], key, dtype=basis.dtype).numpy()
    # Unit length before the subtraction and after, which may leave little.
    vector = _orthogonalise(normal / np.sqrt(_dot(normal, normal)), basis)
    vector = _orthogonalise(vector / np.sqrt(_dot(vector, vector)), basis)
    return vector / np.sqrt(_dot(vector, vector))


def _orthogonalise(vector: np.ndarray, basis: np.ndarray) -> np.ndarray:
    for _ in range(2):
        vector = vector - (basis @ vector) @ basis
    return vector


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.dot(left.astype(np.float64), right.astype(np.float64)))
