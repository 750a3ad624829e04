"""The base of all operators: products in compiled programs, over all of the data."""

import abc
import copy
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks
from tfplastic._tf import variables as tf_variables
from tfplastic._tf.read_only import CheckedFunction, ReadOnlyProgram, compile_read_only
from tfplastic.linalg._krylov.basis_memory import BasisMemory
from tfplastic.linalg.flatten import flatten
from tfplastic.linalg.operators.batches import as_tensor, make_batches
from tfplastic.linalg.operators.moments import check_moments, exact_moments

# A compiled loop of products cannot be interrupted, so it comes back after these many.
_PRODUCTS_PER_CALL = 32

# From a vector, `[n]`, to tensors whose entries, one tensor after another, are the product's.
Linear = Callable[[tf.Tensor], list[tf.Tensor]]


class Operator(abc.ABC):
    """A symmetric matrix that is known by its products with vectors.

    A product reads the variables' present values. Programs are compiled at their first use and kept: calls of
    equal shape are never traced again.

    Attributes:
        shape: (n, n).
        dtype: float32 or float64, of numpy.
        basis_memory: memory of the bases that `eigsh` and `spectral_density` make for it and for its blocks.
            It stays with the operator, as large as the largest of them; `basis_memory.is_kept = False` gives
            it back each time.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    basis_memory: BasisMemory

    def __init__(
        self,
        functions: Sequence[CheckedFunction],
        variables: Sequence[Any],
        data: Any,
        batch_size: int | None,
        reduction: str = "mean",
    ):
        self._functions = functions
        self._variables = tf_variables.as_tf_variables(variables)
        self._names = tf_variables.names(variables)
        self.dtype = tf_variables.common_dtype(self._variables)
        self._batches = make_batches(data, batch_size, self.dtype)
        self._reduction = _checks.check_one_of("reduction", reduction, ("mean", "sum"))
        self._is_whole = True  # not a block of another operator
        self._programs: dict[Callable[..., Any], ReadOnlyProgram] = {}
        self._host: _Host | None = None
        self.basis_memory = BasisMemory()
        self._resize()

    def __repr__(self) -> str:
        count = len(self._variables)
        variables = f"{count} variable{'s' if count > 1 else ''}"
        return f"<{type(self).__name__} of shape {self.shape}, {self.dtype}, {variables}>"

    @abc.abstractmethod
    def _linearize(self, *batch: Any) -> Linear:
        """Returns the product with a vector on one batch; traceable.

        Values that do not depend on the vector are computed here, once for all products of a program.
        """

    @abc.abstractmethod
    def _value(self, *batch: Any) -> tf.Tensor:
        """Returns a function of the variables that the operator is a derivative of; traceable."""

    @abc.abstractmethod
    def _check_functions(self) -> None:
        """Raises `ValueError` if a function, now traced, returned an output of the wrong kind."""

    def matvec(self, vector: Any) -> tf.Tensor:
        """Returns the product A v.

        Args:
            vector: v, `[n]`; cast to the operator's dtype.

        Returns:
            `[n]`, in the operator's dtype. Not finite where the derivatives are not.

        Raises:
            ValueError: `vector` is not of shape `[n]`; or see the class.
        """
        vector = tf.cast(as_tensor(vector, "vector"), self.dtype)
        if vector.shape != self.shape[:1]:
            received = vector.shape.as_list()
            raise ValueError(f"`vector` must be of shape [{self.shape[0]}]. Received: shape {received}")
        program = self._program(self._product, tf.TensorSpec(self.shape[:1], self.dtype))
        return self._over_batches(program, vector)

    def matmat(self, vectors: Any) -> tf.Tensor:
        """Returns the products A V with several vectors, which share the work common to all.

        Args:
            vectors: V, `[n, k]`, a vector in each column; cast to the operator's dtype.

        Returns:
            `[n, k]`, in the operator's dtype. One compiled program whatever k is.

        Raises:
            ValueError: `vectors` is not of shape `[n, k]`; or see the class.
        """
        vectors = tf.cast(as_tensor(vectors, "vectors"), self.dtype)
        if vectors.shape.rank != 2 or vectors.shape[0] != self.shape[0]:
            received = vectors.shape.as_list()
            raise ValueError(f"`vectors` must be of shape [{self.shape[0]}, k]. Received: shape {received}")
        program = self._program(self._products, tf.TensorSpec([None, self.shape[0]], self.dtype))
        return tf.transpose(self._over_batches(program, tf.transpose(vectors)))

    def __matmul__(self, other: Any) -> tf.Tensor:
        """Returns `matvec` of a vector, `matmat` of a matrix."""
        other = as_tensor(other)
        return self.matmat(other) if other.shape.rank == 2 else self.matvec(other)

    def to_dense(self) -> tf.Tensor:
        """Returns a itself, `[n, n]`, by n products. For small n: its memory grows as n^2."""
        return self.matmat(np.eye(self.shape[0], dtype=self.dtype))

    def feed(self, start: Any, advance: Callable[[np.ndarray], np.ndarray | None]) -> None:
        """Makes products one after another, each with a vector made of the last: for Lanczos and its kind.

        Where the data are one batch this is a loop in a compiled program, which computes the gradient once,
        not in each product: about 1.5 gradients a product instead of 2.

        Args:
            start: the first vector, `[n]`, in the operator's dtype.
            advance: function that takes a product, `[n]`, whose memory serves the next one; returns the next
                vector, or None to stop. Its errors are raised here.
        """
        if self._batches.single is None:
            vector: np.ndarray | None = start
            while vector is not None:
                vector = advance(self.matvec(vector).numpy())
            return
        program = self._program(self._feed_loop)
        outer, self._host = self._host, (host := _Host(start, advance))  # `advance` may make products, too
        try:
            while host.vector is not None:
                program(*self._batches.single)
        finally:
            self._host = outer
        if host.error is not None:
            raise host.error

    def blocks(self, by: str = "variable") -> dict[str, "Operator"]:
        """Returns the operators of parts of the variables, the others held constant: the diagonal blocks.

        Args:
            by: 'variable', or 'layer': variables whose names differ in the last part only, such as
                'dense/kernel' and 'dense/bias'.

        Returns:
            {name: operator}, in the order of the variables. A prefix that all names of layers have in common
            is left out.
        """
        _checks.check_one_of("by", by, ("variable", "layer"))
        groups = tf_variables.group(self._names, by)
        return {name: self.restricted(indices) for name, indices in groups.items()}

    def is_deterministic(self) -> bool:
        """Returns whether two passes over the data give the operator the same bits.

        False if the data are shuffled or augmented at each pass. Random numbers drawn in the function itself,
        as by dropout, are an error as soon as it is traced.
        """
        return self._values() == self._values()

    def _values(self) -> list[bytes]:
        program = self._program(self._value)
        return [program(*batch).numpy().tobytes() for batch, _ in self._batches]

    def restricted(self, indices: Sequence[int]) -> "Operator":
        """Returns the operator of some of the variables, as if the others were constants: a diagonal block.

        Args:
            indices: positions of the variables among those that the operator was given, in any order.
        """
        part = copy.copy(self)
        part._variables = [self._variables[index] for index in indices]
        part._names = [self._names[index] for index in indices]
        part._programs, part._is_whole = {}, False
        part._resize()
        return part

    def _resize(self) -> None:
        """Sets `shape`, of a matrix over all variables."""
        size = sum(variable.shape.num_elements() for variable in self._variables)
        self.shape = (size, size)

    def _over_batches(self, program: ReadOnlyProgram, argument: tf.Tensor) -> tf.Tensor:
        if self._batches.single is not None:
            return program(argument, *self._batches.single)
        total, num_examples = tf.zeros_like(argument), 0
        for batch, count in self._batches:
            weight = count if self._reduction == "mean" else 1
            total += weight * program(argument, *batch)
            num_examples += weight
        return total / num_examples if self._reduction == "mean" else total

    def _program(self, function: Callable[..., Any], *signature: tf.TensorSpec) -> ReadOnlyProgram:
        """Returns the compiled form of a method that takes the arguments in `signature` and a batch."""
        if function not in self._programs:
            self._programs[function] = self._compile(function, *signature)
        return self._programs[function]

    def _compile(self, function: Callable[..., Any], *signature: tf.TensorSpec) -> ReadOnlyProgram:
        names = " and ".join(f"`{each.name}`" for each in self._functions)
        self._is_connected = True
        with exact_moments():
            is_twice = function != self._value
            program = compile_read_only(
                names, function, *signature, *self._batches.signature, is_twice=is_twice
            )
        self._check_functions()
        check_moments(names, program)
        if not self._is_connected and self._is_whole and len(self._variables) > 1:
            received = ", ".join(self._names[:3]) + ", ..." * (len(self._names) > 3)
            raise ValueError(f"`variables` must be some that {names} depends on. Received: {received}")
        return program

    def _note_connected(self, is_connected: bool) -> None:
        """Records, while a program is traced, whether its function depends on any of the variables."""
        self._is_connected = is_connected

    def _product(self, vector: tf.Tensor, *batch: Any) -> tf.Tensor:
        return flatten(self._linearize(*batch)(vector))

    def _products(self, rows: tf.Tensor, *batch: Any) -> tf.Tensor:
        product = self._linearize(*batch)
        return tf.map_fn(lambda row: flatten(product(row)), rows, parallel_iterations=1)

    def _feed_loop(self, *batch: Any) -> tf.Tensor:
        product = self._linearize(*batch)
        # TensorFlow keeps these functions as long as the process lives; they must not keep the operator.
        give, take = _weak_functions(weakref.WeakMethod(self._running))

        def body(step: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            vector = tf.ensure_shape(tf.numpy_function(give, [], self.dtype), self.shape[:1])
            goes_on = tf.numpy_function(take, product(vector), tf.bool)
            return step + 1, tf.ensure_shape(goes_on, [])

        return tf.while_loop(
            lambda step, goes_on: goes_on,
            body,
            (0, True),
            parallel_iterations=1,
            maximum_iterations=_PRODUCTS_PER_CALL,
        )[0]

    def _running(self) -> "_Host":
        if self._host is None:
            raise RuntimeError("A loop of products runs outside `feed`.")
        return self._host


def _weak_functions(running: Callable[[], Any]) -> tuple[Callable[[], np.ndarray], Callable[..., np.bool_]]:
    """Returns `give` and `take` of the host that an operator runs, with a weak reference to it."""

    def give() -> np.ndarray:
        return running()().give()

    def take(*parts: np.ndarray) -> np.bool_:
        host = running()()
        host.take(parts)
        return np.bool_(host.vector is not None)

    return give, take


class _Host:
    """The part of a loop of products that runs in Python."""

    def __init__(self, start: np.ndarray, advance: Callable[[np.ndarray], np.ndarray | None]):
        self.vector: np.ndarray | None = start
        self.error: BaseException | None = None
        self._advance = advance
        # TensorFlow copies what does not begin at a multiple of 64 bytes.
        memory = np.empty(start.nbytes + 64, np.uint8)
        first = -memory.ctypes.data % 64
        self._memory = memory[first : first + start.nbytes].view(start.dtype)

    def give(self) -> np.ndarray:
        """Returns the vector to multiply, in memory that is TensorFlow's own until the product is there."""
        if self.vector is not None:  # the loop ends where there is none
            np.copyto(self._memory, self.vector)
        return self._memory

    def take(self, parts: Sequence[np.ndarray]) -> None:
        """Makes the next vector. Errors are kept, since TensorFlow would wrap them in its own."""
        try:
            # Parts of the product may be parts of the vector, not merely equal to them.
            rows = [part.ravel() for part in parts]
            kept = [row.copy() if np.may_share_memory(row, self._memory) else row for row in rows]
            self.vector = self._advance(np.concatenate(kept, out=self._memory))
        except BaseException as error:  # Ctrl-C as well
            self.vector, self.error = None, error
