"""A Krylov space that can grow from more than one start vector, for eigenvalues that one of them misses."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic.linalg._krylov.basis_memory import BasisMemory
from tfplastic.linalg._krylov.orthogonality import dot, project_out
from tfplastic.linalg.lanczos import NonFiniteError, check_square_of


@dataclasses.dataclass(eq=False)
class _Remainder:
    """A vector w outside of the basis, and c, `[m]`: the part of A Q^T outside is the sum of all w c^T."""

    vector: np.ndarray
    coefficients: np.ndarray
    norm: float


class KrylovSpace:
    """An orthonormal basis Q of chains of Lanczos vectors, and H = Q A Q^T.

    Each chain starts from a random vector orthogonal to all before it. The remainder of a chain is kept when
    the next one starts, so that residuals are known, and the chain can be continued. With one chain this is
    Lanczos with full reorthogonalization.

    Attributes:
        size: n.
        max_steps: most products.
        num_steps: m, products taken.
        start: the first row of the newest chain.
        betas: norms of the remainders of the newest chain's products, as long as nothing else came between.
        is_pure: whether nothing else did.
        outside: `[start, start]`, R^T R, R being the part of A outside of the basis when the chain started.
    """

    def __init__(self, operator: Any, max_steps: int, seed: int, memory: BasisMemory):
        self.size = int(operator.shape[0])
        self.max_steps = min(max_steps, self.size)
        dtype = np.dtype(tf.as_dtype(operator.dtype).as_numpy_dtype)
        self.epsilon = float(np.finfo(dtype).eps)
        shape = (self.max_steps + 1, self.size)
        num_bytes = shape[0] * self.size * dtype.itemsize
        self.memory = memory.lend(num_bytes)
        self._rows = self.memory[:num_bytes].view(dtype).reshape(shape)
        self._matrix = np.zeros((self.max_steps, self.max_steps))
        self._remainders: list[_Remainder] = []
        self._seed, self._scale = seed, 0.0
        self.num_steps = 0
        self.begin_chain()

    @property
    def vector(self) -> np.ndarray:
        """The vector to multiply next."""
        return self._rows[self.num_steps]

    @property
    def basis(self) -> np.ndarray:
        """Q, `[m, n]`."""
        return self._rows[: self.num_steps]

    @property
    def matrix(self) -> np.ndarray:
        """H, `[m, m] float64`."""
        return self._matrix[: self.num_steps, : self.num_steps]

    @property
    def is_whole(self) -> bool:
        """Whether the basis spans everything."""
        return self.num_steps == self.size

    def residuals(self, combinations: np.ndarray) -> np.ndarray:
        """Returns bounds of each remainder's part in the residual of each Ritz vector, `[remainders, k]`."""
        parts = [
            each.norm * np.abs(each.coefficients[: self.num_steps] @ combinations)
            for each in self._remainders
        ]
        return np.array(parts).reshape(len(parts), combinations.shape[1])

    def take(self, product: np.ndarray) -> None:
        """Adds A times `vector`. Then `extend` or `begin_chain` sets the next one, if any."""
        step, vector = self.num_steps, self.vector
        alpha = dot(vector, product)
        if not np.isfinite(alpha):  # as soon as one entry of the product is not
            received = f"NaN or Inf at step {step + 1}"
            raise NonFiniteError.at(received)
        rest = self._rows[step + 1]
        rest[:] = product
        project_out(rest, self._rows[: step + 1], passes=2)
        square = dot(rest, rest)
        check_square_of(rest, square, max(self._scale, abs(alpha)), step)
        norm = float(np.sqrt(square))
        self._matrix[step, step] = alpha
        self._scale = max(self._scale, abs(alpha), norm)
        self.num_steps += 1
        if norm <= 10 * self.epsilon * self._scale or self.is_whole:  # nothing but rounding is left
            norm = 0.0
        else:
            self._remainders.append(_Remainder(rest, np.eye(1, self.max_steps, step)[0], norm))
        self.betas.append(norm)

    def extend(self, number: int = -1) -> None:
        """Continues with a remainder, by default that of the last product."""
        chosen = self._remainders.pop(number)
        row = self._rows[self.num_steps]
        is_newest = np.may_share_memory(chosen.vector, self._rows)
        if not is_newest:
            self.is_pure = False
            self._set_aside()
            row[:] = chosen.vector
            project_out(row, self.basis)
        row /= row.dtype.type(np.sqrt(dot(row, row)))
        self._couple(row, chosen.norm * chosen.coefficients)

    def begin_chain(self) -> None:
        """Continues with a random unit vector orthogonal to the basis."""
        self._set_aside()
        self.start, self.is_pure = self.num_steps, True
        self.betas: list[float] = []
        columns = np.array([each.coefficients[: self.start] for each in self._remainders])
        gram = np.array([[dot(a.vector, b.vector) for b in self._remainders] for a in self._remainders])
        empty = np.zeros((self.start, self.start))
        self.outside = columns.T @ gram @ columns if self._remainders else empty
        row = self._rows[self.num_steps]
        key = tf.constant(seeds.derive(self._seed, "lanczos", self.num_steps))
        normal: Any = tf.random.stateless_normal(row.shape, key, dtype=row.dtype)
        row[:] = memoryview(normal)
        for _ in range(3):  # unit length before the subtractions and after, which may leave little
            row /= row.dtype.type(np.sqrt(dot(row, row)))
            project_out(row, self.basis)
        row /= row.dtype.type(np.sqrt(dot(row, row)))
        self._couple(row, np.zeros(self.max_steps))

    def _couple(self, row: np.ndarray, entries: np.ndarray) -> None:
        """Takes a new basis vector out of the remainders, which then are entries of H."""
        for each in self._remainders:
            along = dot(each.vector, row)
            each.vector -= row.dtype.type(along) * row
            each.norm = float(np.sqrt(dot(each.vector, each.vector)))
            entries = entries + along * each.coefficients
        step = self.num_steps
        self._matrix[step, :step] = self._matrix[:step, step] = entries[:step]

    def _set_aside(self) -> None:
        """Moves the newest remainder out of the row that the next vector takes, unless that is it."""
        if self._remainders and np.may_share_memory(self._remainders[-1].vector, self._rows):
            newest = self._remainders[-1]
            newest.vector = newest.vector.copy()
