"""Extreme eigenvalues of a symmetric operator."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tfplastic import _checks
from tfplastic._text.short_repr import ShortRepr
from tfplastic.linalg._krylov import advice
from tfplastic.linalg._krylov.basis_memory import BasisMemory
from tfplastic.linalg._krylov.completeness import num_complete
from tfplastic.linalg._krylov.space import KrylovSpace
from tfplastic.linalg.lanczos import Progress, check_deterministic, check_square

# Where the wanted eigenvalues come first: positions into values that ascend.
_ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "LA": lambda values: np.arange(len(values))[::-1],
    "SA": lambda values: np.arange(len(values)),
    "LM": lambda values: np.argsort(-np.abs(values), kind="stable"),
}


@dataclasses.dataclass(frozen=True, repr=False)
class Eigen(ShortRepr):
    """Some eigenpairs of a symmetric operator A of size n.

    Attributes:
        values: `[k] float64`: descending for 'LA', ascending for 'SA', descending in magnitude for 'LM'.
        vectors: `[n, k]` in the operator's dtype; column i belongs to `values[i]` and has norm 1. Signs are
            arbitrary. `[n, 0]` if not requested.
        residuals: `[k] float64`, |A v - theta v| as Lanczos estimates it, and at least 10 epsilon |A|, its
            rounding error. An eigenvalue of A lies this near `values[i]`.
        num_steps: products made.
        converged: whether every residual met the tolerance, and no eigenvalue is missing among `values`, but
            for a chance of 1 in 1,000.
        advice: the values in doubt and the remedy, in one line, where not converged; else empty.
        num_complete: number of the first `values` that are proven to be the first eigenvalues, in [0, k]; k
            where converged. Among the others an eigenvalue may be missing.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    num_steps: int
    converged: bool
    advice: str = ""
    num_complete: int = 0


def eigsh(
    operator: Any,
    k: int = 1,
    which: str = "LA",
    tol: float = 1e-3,
    max_steps: int = 100,
    seed: int = 0,
    return_eigenvectors: bool = True,
    progress: Progress | None = None,
) -> Eigen:
    """Returns the k largest ('LA'), smallest ('SA') or absolutely largest ('LM') eigenpairs of an operator.

    Lanczos from a random start vector, until the residual's norm is at most tol |theta_i| for all k wanted
    Ritz pairs (theta_i, s_i) (Parlett 1998, "The symmetric eigenvalue problem", section 13.2); residuals
    within rounding of the largest |theta| count as met. A Ritz value lies inside the spectrum: the largest
    one is not above the largest eigenvalue, but for rounding.

    Small residuals do not show that no eigenvalue was skipped: one start vector finds a multiple eigenvalue
    once, and may be nearly orthogonal to another one's eigenvector. So for k above 1 a second random vector,
    orthogonal to all before it, starts a chain of its own, which either finds a missing eigenvalue, and then
    another one follows, or grows until anything above the last of the k values would have shown in it with a
    probability of 0.999 (see `_krylov.completeness`). For k = 1 the first chain grows until the same holds
    for it. The guard costs products: 8 instead of 5 for k = 1 and 19 instead of 12 for k = 5 with outliers
    above a bulk of 3,000; several times as many where value k lies in a dense part of the spectrum.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to
            `[n]`.
        k: number of eigenvalues, from 1 to n.
        which: 'LA', 'SA' or 'LM'.
        tol: relative tolerance of the residual, above 0. The default is PyHessian's number, whose criterion,
            the change between iterations, is weaker.
        max_steps: most products to make, at least k. Memory is max_steps vectors of n: 680 MB for the default
            and the 1.7 million float32 weights of the Nature DQN, taken up as steps are made.
        seed: seed of the start vector.
        return_eigenvectors: whether to compute the vectors, which takes k vectors of n more.
        progress: function called after each product with their number so far and the number planned at most.

    Returns:
        An `Eigen`. Where `max_steps` do not suffice, the best values so far, with `converged` False and an
        `advice`.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step.
        ValueError: an argument is outside its range.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> linalg.eigsh(operator, k=2).values.round(4).tolist()
        [5.0, 2.0]
    """
    _checks.check_one_of("which", which, _ORDERS)
    _checks.check_positive("tol", tol)
    size = check_square(operator)
    if _checks.check_positive_integer("k", k) > size:
        raise ValueError(f"`k` must be at most the operator's size, {size}. Received: {k}")
    _checks.check_integer("max_steps", max_steps, minimum=k)
    _checks.check_seed("seed", seed)
    _checks.check_boolean("return_eigenvectors", return_eigenvectors)
    _checks.check_optional_callable("progress", progress, "print")
    memory = getattr(operator, "basis_memory", BasisMemory())
    search = _Search(KrylovSpace(operator, max_steps, seed, memory), k, which, tol)
    try:
        check_deterministic(operator)

        def advance(product: np.ndarray) -> np.ndarray | None:
            following = search.take(product)
            if progress is not None:
                progress(search.space.num_steps, search.space.max_steps)
            return following

        if hasattr(operator, "feed"):
            operator.feed(search.space.vector, advance)
        else:
            vector: np.ndarray | None = search.space.vector
            while vector is not None:
                vector = advance(np.asarray(operator.matvec(vector)))
        basis = search.space.basis
        wanted = search.combinations.astype(basis.dtype)[:, : k if return_eigenvectors else 0]
        vectors = basis.T @ wanted
    finally:
        memory.take_back(search.space.memory)
    steps, advice = search.space.num_steps, search.advice()
    return Eigen(search.values, vectors, search.residuals, steps, not advice, advice, search.num_complete)


class _Search:
    """The wanted Ritz pairs of a growing basis, and the choice of how it grows.

    Attributes:
        space: the basis.
        values: `[k]` Ritz values, those wanted first.
        combinations: `[m, k]`, their vectors in the basis.
        residuals: `[k]`.
        num_complete: number of the first pairs that are proven to be the first ones.
    """

    def __init__(self, space: KrylovSpace, k: int, which: str, tol: float):
        self.space = space
        self._k, self._which, self._tol = k, which, tol
        self.num_complete = 0

    def take(self, product: np.ndarray) -> np.ndarray | None:
        """Takes A times the space's vector; returns the next vector, None at the end."""
        space = self.space
        space.take(product)
        shares = self._find_pairs()
        are_open = self.residuals > self._allowed
        are_met = space.num_steps >= self._k and not are_open.any()
        is_last, is_blocked = space.num_steps == space.max_steps, False
        if are_met or is_last:
            met = int(np.argmax(are_open)) if are_open.any() else len(self.values)
            wanted = self.values[:met], self._allowed[:met]
            self.num_complete, is_blocked = num_complete(space, *wanted, self._which)
        if is_last or (are_met and self.num_complete == self._k):
            return None
        if not len(shares):
            space.begin_chain()
        elif not are_met:  # by what the largest residuals are made of
            are_open[:] = are_open if are_open.any() else True
            space.extend(int(np.argmax(shares[:, are_open].max(axis=1))))
        elif is_blocked:  # by what the earlier chains left
            space.extend(int(np.argmax(shares[:-1].max(axis=1))) if len(shares) > 1 else 0)
        elif (self._k > 1 and not space.start) or self._has_found() or not space.is_pure:
            space.begin_chain()
        else:
            space.extend()
        return space.vector

    def advice(self) -> str:
        """Returns the remedy and the values in doubt; empty where there are none."""
        above = np.flatnonzero(self.residuals > self._allowed)
        products = self.space.num_steps
        if len(above):
            with np.errstate(divide="ignore"):
                needed = float(np.max(self.residuals[above] / np.abs(self.values[above])))
            return advice.of_residuals(above.tolist(), self.num_complete, self._tol, needed, products)
        if self.num_complete < self._k:
            return advice.of_missing(self.num_complete, products)
        return ""

    def _find_pairs(self) -> np.ndarray:
        """Sets the pairs; returns the part of each remainder in their residuals."""
        matrix = self.space.matrix
        values, combinations = np.linalg.eigh(matrix)
        wanted = _ORDERS[self._which](values)[: self._k]
        self.values, self.combinations = values[wanted], combinations[:, wanted]
        shares = self.space.residuals(self.combinations)
        largest = np.abs(matrix).sum(axis=1).max() + max(self.space.betas)  # bounds every |theta|
        floor = 10 * self.space.epsilon * largest
        self.residuals = np.maximum(shares.sum(axis=0), floor)
        self._allowed = np.maximum(self._tol * np.abs(self.values), floor)
        return shares

    def _has_found(self) -> bool:
        """Returns whether the newest chain itself holds a value that is wanted."""
        if not self.space.start:
            return False
        values = np.linalg.eigvalsh(self.space.matrix[self.space.start :, self.space.start :])
        sign = {"LA": values, "SA": -values, "LM": np.abs(values)}[self._which]
        last = {"LA": self.values, "SA": -self.values, "LM": np.abs(self.values)}[self._which][-1]
        return bool(sign.max() >= last + self._allowed[-1])
