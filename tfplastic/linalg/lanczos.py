"""The Lanczos process: a small tridiagonal matrix that approximates a large symmetric one."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks, seeds
from tfplastic._text.short_repr import ShortRepr
from tfplastic.linalg._krylov.basis_memory import BasisMemory
from tfplastic.linalg._krylov.orthogonality import (
    OrthogonalityEstimate,
    dot,
    project_out,
    project_out_pair,
    subtract,
)

Progress = Callable[[int, int], None]
_ROUNDING = 1e-6  # of products, in float32, with room


class NonFiniteError(ValueError):
    """A matrix-vector product held NaN or Inf."""

    @classmethod
    def at(cls, place: str) -> "NonFiniteError":
        """Returns the error of a product, such as that with `"NaN or Inf at step 3"`."""
        rule = "`operator` must give finite products"
        return cls(f"{rule}. Received: {place}. Look for it in the weights and data")


def check_square_of(rest: np.ndarray, square: float, scale: float, step: int) -> None:
    """Raises `NonFiniteError` where the squared norm of a product's remainder is beyond float64.

    Args:
        rest: the remainder, `[n]`.
        square: its squared norm.
        scale: size of the products so far, next to which a remainder is rounding.
        step: products before this one.
    """
    if np.isfinite(square) and square > 0:
        return
    largest = float(np.abs(rest).max(initial=0.0))
    if not np.isfinite(square) or largest > _ROUNDING * scale:
        received = f"entries of {largest:.1e} at step {step + 1}, whose squares float64 cannot hold"
        raise NonFiniteError.at(received)


@dataclasses.dataclass(frozen=True, repr=False)
class Tridiagonal(ShortRepr):
    """Result of m steps of Lanczos on a symmetric operator A: A Q^T = Q^T T + beta_m q_{m+1} e_m^T.

    Attributes:
        alpha: `[m] float64`, the diagonal of T.
        beta: `[m] float64`, at least 0. The first m - 1 are the off-diagonal of T; the last is the norm of
            the remainder. 0 where the process met an invariant subspace.
        basis: Q, `[m, n]` in the operator's dtype, with rows of length 1 that are as orthogonal as
            `reorthogonalize` says; `[0, n]` for 'none', which keeps none.
    """

    alpha: np.ndarray
    beta: np.ndarray
    basis: np.ndarray


def lanczos(
    operator: Any,
    num_steps: int,
    seed: int = 0,
    reorthogonalize: str | bool = "full",
    progress: Progress | None = None,
) -> Tridiagonal:
    """Runs `num_steps` steps of the Lanczos process.

    Step j multiplies once, w = A q_j, sets alpha_j = q_j . w, takes from w its parts along q_j and q_{j-1},
    and sets beta_j = |w|, q_{j+1} = w / beta_j. In exact arithmetic all q are orthonormal; rounding undoes
    that as soon as Ritz values converge (Paige 1971), and then eigenvalues appear several times.
    `reorthogonalize` prevents this:

    - 'full': w is made orthogonal to all earlier vectors in each step, twice. Inner products of rows stay at
      the rounding error of the dtype. 4 m n multiplications and additions in step m.
    - 'partial': only when Simon's recurrence (1984) says that an inner product may have passed
      sqrt(epsilon), epsilon being that of the dtype, and then w and q_j together. T is, to within rounding of
      |A|, that of an exactly orthogonal basis, so that no copies appear. A quarter of the cost of 'full' or
      less.
    - 'none': never. Costs no memory and gives copies of converged eigenvalues. Extreme eigenvalues are right;
      multiplicities, and in a quadrature the places of single nodes, are not.

    Products and basis are in the operator's dtype; alpha and beta are float64 sums over pieces of 4,096
    entries. When beta_j is within rounding of 0 the subspace is invariant: beta_j becomes 0 and the process
    continues from a fresh random vector orthogonal to the basis, so that n steps give the whole spectrum,
    multiple eigenvalues included; with 'none' it ends there.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to
            `[n]`.
        num_steps: products to make, at least 1; more than n are cut to n.
        seed: seed of the start vector, standard normal and then normalized.
        reorthogonalize: 'full', 'partial' or 'none'; True and False are 'full' and 'none'. The first two keep
            the basis, `num_steps` vectors of n.
        progress: function called after each product with their number so far and the number planned.

    Returns:
        The `Tridiagonal` of m = min(num_steps, n) steps, or fewer with 'none'.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step, counted from 1.
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> result = linalg.lanczos(operator, num_steps=3)
        >>> result.basis.shape, round(float(result.alpha.sum()), 4)  # the trace of T is that of A
        ((3, 3), 8.0)
    """
    _checks.check_seed("seed", seed)
    own = BasisMemory()  # the caller keeps the basis
    return next(runs(operator, num_steps, [seed], reorthogonalize, progress, memory=own))


def runs(
    operator: Any,
    num_steps: int,
    seeds: Sequence[int],
    reorthogonalize: str | bool,
    progress: Progress | None,
    is_enough: Callable[[Tridiagonal], bool] = lambda tridiagonal: False,
    memory: BasisMemory | None = None,
) -> Iterator[Tridiagonal]:
    """Yields `lanczos` from each of `seeds`, in one basis' memory: a result is valid until the next one.

    Args:
        operator: operator, as in `lanczos`.
        num_steps: number of steps, as in `lanczos`.
        seeds: seeds of the start vectors.
        reorthogonalize: reorthogonalization, as in `lanczos`.
        progress: function called with the products of all runs so far and the number planned.
        is_enough: function of the result after a step: whether to end the run there.
        memory: memory of the basis; the operator's own by default, if it has one.
    """
    _checks.check_optional_callable("progress", progress, "print")
    given = getattr(operator, "basis_memory", BasisMemory()) if memory is None else memory
    process = _Process(operator, num_steps, reorthogonalize, given)
    try:
        check_deterministic(operator)
        for number, seed in enumerate(seeds):
            before = number * process.max_steps
            process.begin(seed)

            def advance(product: np.ndarray, before: int = before) -> np.ndarray | None:
                following = process.take(product)
                if progress is not None:
                    progress(before + process.num_steps, len(seeds) * process.max_steps)
                is_done = is_enough(process.result())
                return None if is_done else following

            if hasattr(operator, "feed"):
                operator.feed(process.vector, advance)
            else:
                vector: np.ndarray | None = process.vector
                while vector is not None:
                    vector = advance(np.asarray(operator.matvec(vector)))
            yield process.result()
    finally:
        given.take_back(process.memory)


def check_square(operator: Any) -> int:
    """Returns n of a square operator, else raises `ValueError`, or `TypeError` if it is not an operator."""
    products = [name for name in ("matvec", "matmat") if callable(getattr(operator, name, None))]
    if isinstance(operator, type) or not products or not hasattr(operator, "shape"):
        rule = "must have `shape`, `dtype` and `matvec`, such as HessianOperator(loss, variables)"
        raise TypeError(f"`operator` {rule}. Received: {_checks.shown(operator)}")
    if len(operator.shape) != 2 or operator.shape[0] != operator.shape[1]:
        raise ValueError(f"`operator` must be square. Received: shape {tuple(operator.shape)}")
    return int(operator.shape[0])


def check_deterministic(operator: Any) -> None:
    """Raises `ValueError` if `operator` can say whether it is deterministic, and says no."""
    if hasattr(operator, "is_deterministic") and not operator.is_deterministic():
        rule = "must be the same at each pass over its data"
        received = "one whose loss changed between two passes, as with a dataset that shuffles"
        raise ValueError(f"`operator` {rule}. Received: {received}")


class _Process:
    """The state of a Lanczos process between two products.

    Attributes:
        vector: q, the vector to multiply next.
        num_steps: products taken.
        max_steps: products to take at most.
        memory: memory of the basis.
    """

    def __init__(self, operator: Any, num_steps: int, reorthogonalize: str | bool, memory: BasisMemory):
        modes = {True: "full", False: "none", "full": "full", "partial": "partial", "none": "none"}
        self._mode = modes[_checks.check_one_of("reorthogonalize", reorthogonalize, modes)]
        size = check_square(operator)
        self.max_steps = min(_checks.check_positive_integer("num_steps", num_steps), size)
        dtype = np.dtype(tf.as_dtype(operator.dtype).as_numpy_dtype)
        self._epsilon = float(np.finfo(dtype).eps)
        # The last row is for what the last step leaves. Without a basis three take turns.
        shape = (3 if self._mode == "none" else self.max_steps + 1, size)
        num_bytes = shape[0] * size * dtype.itemsize
        self.memory = memory.lend(num_bytes)
        self._rows = self.memory[:num_bytes].view(dtype).reshape(shape)

    def begin(self, seed: int) -> None:
        """Starts again, with the start vector of `seed`."""
        self.num_steps = 0
        self._seed = seed
        self._alpha, self._beta = np.zeros(self.max_steps), np.zeros(self.max_steps)
        self._estimate = OrthogonalityEstimate(self._epsilon)
        self._write_fresh_direction(0)

    @property
    def vector(self) -> np.ndarray:
        return self._row(self.num_steps)

    def result(self) -> Tridiagonal:
        """Returns the result so far. Results share memory; earlier ones stay valid."""
        steps = self.num_steps
        basis = self._rows[: 0 if self._mode == "none" else steps]
        return Tridiagonal(self._alpha[:steps], self._beta[:steps], basis)

    def take(self, product: np.ndarray) -> np.ndarray | None:
        """Takes A times `vector`; returns the next vector, None at the end."""
        step = self.num_steps
        self.num_steps += 1
        rest = self._residual(product)  # in the row of the next vector
        predicted = None
        if self._mode == "partial" and not self._is_invariant():
            predicted = self._estimate.predict(self._alpha[: step + 1], self._beta[: step + 1])
            if np.abs(predicted).max() > np.sqrt(self._epsilon):
                self._reorthogonalize()
                predicted = None
        is_invariant = self._is_invariant()
        if is_invariant:
            self._beta[step] = 0.0
        if self.num_steps == self.max_steps or (is_invariant and self._mode == "none"):
            return None
        if is_invariant:
            self._write_fresh_direction(step + 1)
            predicted = None
        else:
            rest /= rest.dtype.type(self._beta[step])
        self._estimate.advance(predicted)
        return rest

    def _is_invariant(self) -> bool:
        """Returns whether the remainder of the newest product is nothing but rounding error."""
        alpha, beta = self._alpha[: self.num_steps], self._beta[: self.num_steps]
        rounding = 10 * self._epsilon * max(np.abs(alpha).max(), beta.max())  # a few units of the last place
        return self.num_steps == self._rows.shape[1] or bool(beta[-1] <= rounding)

    def _residual(self, product: np.ndarray) -> np.ndarray:
        """Sets alpha and beta; returns the product without its parts along the basis."""
        step, vector = self.num_steps - 1, self._row(self.num_steps - 1)
        self._alpha[step] = dot(vector, product)
        if not np.isfinite(self._alpha[step]):  # as soon as one entry of the product is not
            received = f"NaN or Inf at step {step + 1}"
            raise NonFiniteError.at(received)
        rest = self._row(step + 1)
        if self._mode == "full":
            rest[:] = product
            project_out(rest, self._rows[: step + 1], passes=2)
            square = dot(rest, rest)
        else:
            previous = [(self._beta[step - 1], self._row(step - 1))] if step else []
            left, square = subtract(product, (self._alpha[step], vector), *previous, along=vector, out=rest)
            if abs(left) > self._epsilon * np.sqrt(square):  # by the rounding of a far larger alpha
                _, square = subtract(rest, (left, vector), along=vector, out=rest)
        check_square_of(rest, square, np.abs(self._alpha[: step + 1]).max(), step)
        self._beta[step] = np.sqrt(square)
        return rest

    def _reorthogonalize(self) -> None:
        """Takes all earlier vectors out of the remainder of the product and out of the vector before it."""
        # Both, because the next vector is made of both (Parlett 1998, section 13.8).
        last = self.num_steps - 1
        previous, rest = pair = self._rows[last : last + 2]
        for _ in range(3):
            taken_before, taken = project_out_pair(pair, self._rows[:last])
            left = dot(previous, rest) / dot(previous, previous)
            _, square = subtract(rest, (left, previous), along=previous, out=rest)
            self._beta[last] = length = np.sqrt(square)
            # What a pass leaves is what it took, times the basis' own deviation, at most such a root.
            if max(taken, abs(left), taken_before * length) <= np.sqrt(self._epsilon) * length:
                break
        self._estimate.clean()

    def _row(self, index: int) -> np.ndarray:
        return self._rows[index % 3 if self._mode == "none" else index]

    def _write_fresh_direction(self, step: int) -> None:
        """Makes row `step` a random unit vector orthogonal to those before it."""
        vector, basis = self._rows[step], self._rows[:step]
        key = tf.constant(seeds.derive(self._seed, "lanczos", step))
        normal: Any = tf.random.stateless_normal(vector.shape, key, dtype=vector.dtype)
        vector[:] = memoryview(normal)  # without a copy between
        for _ in range(3):  # Unit length before the subtractions and after, which may leave little.
            vector /= np.sqrt(dot(vector, vector)).astype(vector.dtype)
            project_out(vector, basis)
        vector /= np.sqrt(dot(vector, vector)).astype(vector.dtype)
