"""Inner products of the gradients of single examples, without holding the gradients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks
from tfplastic._tf.read_only import ReadOnlyProgram, compile_read_only
from tfplastic._tf.variables import dense
from tfplastic.diagnostics.declaration.arguments import check_snapshot
from tfplastic.diagnostics.snapshot import Snapshot

_MAX_BYTES = 1 << 28  # of gradients at a time; to stack them takes as much again
_WIDTH = 1 << 12  # columns at a time, so that their float64 copies stay small

Piece = tuple[int, int, int]
"""Entries `start` to `stop` of the variable `index`, flattened."""


def gram_matrices(snapshot: Snapshot, num_examples: int = 512) -> dict[str, np.ndarray]:
    """Returns G_ij = g_i . g_j, inner products of the gradients of single examples, by layer.

    g_i is the gradient of example i's own loss. Most statistics of a set of gradients follow from their Gram
    matrix: |g_i|^2 is G_ii, |mean of g|^2 the mean of all G_ij. The result is kept until the snapshot's
        `refresh`.

    Where an example's gradient by a matrix is an outer product, as that of a dense layer's kernel is, only
    its two factors are kept. The gradients by other variables are made a part at a time, so that all examples
    of a part take at most 256 MiB, and while they are stacked as much again.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: k, the number of first examples to take; all where there are fewer. 512 as in Lyle et
            al. 2023, appendix A.1.

    Returns:
        {layer name: `[k, k] float64`} for every layer with variables of its own, and under 'all' their sum.
        Not finite in the rows and columns of examples whose gradients are not.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer='ones', name='only')])
        >>> inputs, targets = tf.constant([[1.], [2.]]), tf.constant([[0.], [3.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, targets, 'mse')
        >>> diagnostics.gram_matrices(snapshot)['only'].tolist()  # g = 2 (x - y) (x, 1): (2, 2), (-4, -2)
        [[8.0, -12.0], [-12.0, 20.0]]
    """
    _checks.check_positive_integer("num_examples", num_examples)
    check_snapshot("snapshot", snapshot)
    snapshot.require("loss")
    count = min(num_examples, snapshot.num_examples)
    key = ("gram matrices of examples", count)

    def compiled() -> GramMatrices:
        examples = tf.nest.map_structure(lambda each: each[:count], snapshot.examples)
        return GramMatrices("loss", _loss_of_one(snapshot), snapshot.weights, examples)

    matrices = snapshot.memoize(key, lambda: snapshot.memoize(key, compiled, survives_refresh=True)())
    return dict(matrices)


def _loss_of_one(snapshot: Snapshot) -> Callable[[Any], tf.Tensor]:
    def loss(example: Any) -> tf.Tensor:
        return snapshot.losses_of(tf.nest.map_structure(lambda each: each[tf.newaxis], example))[0]

    return loss


class GramMatrices:
    """The inner products of the gradients of a function's values, one for each element, by layer.

    Programs are compiled at the first call and kept.

    Args:
        name: name of the argument that `function` came from, for errors.
        function: function that maps one element to a scalar that depends on the weights; traceable.
        weights: {layer name: [variable, ...]}.
        elements: a nest of tensors `[k, ...]`.
        max_bytes: bytes of the gradients of all elements that are made at a time.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], tf.Tensor],
        weights: Mapping[str, Sequence[tf.Variable]],
        elements: Any,
        max_bytes: int = _MAX_BYTES,
    ):
        self._name, self._function, self._elements = name, function, elements
        self._layers = [layer for layer, variables in weights.items() for _ in variables]
        self._variables = [variable for variables in weights.values() for variable in variables]
        is_double = any(each.dtype == tf.float64 for each in self._variables)
        self._dtype = tf.float64 if is_double else tf.float32
        self._count = int(tf.nest.flatten(elements)[0].shape[0])
        self._max_columns = max(1, max_bytes // (self._dtype.size * self._count))
        self._programs: dict[Any, ReadOnlyProgram] = {}

    def __call__(self) -> dict[str, np.ndarray]:
        """Returns {layer name: `[k, k] float64`}, and under 'all' their sum."""
        matrices = {layer: np.zeros((self._count, self._count)) for layer in self._layers}
        rest = []
        products = self._outer_products()
        for index, layer in enumerate(self._layers):
            if index in products:
                left, right = products[index]
                matrices[layer] += _gram(left) * _gram(right)
            else:
                rest.append(index)
        for part in self._parts(rest):
            rows, start = self._rows(part), 0
            for index, first, last in part:
                stop = start + last - first
                matrices[self._layers[index]] += _gram(rows[:, start:stop])
                start = stop
        total = np.zeros((self._count, self._count))
        return {**matrices, "all": sum(matrices.values(), total)}

    def _outer_products(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Returns the factors `[k, a]` and `[k, b]` of gradients that are products in all examples."""
        indices = [index for index, each in enumerate(self._variables) if each.shape.rank == 2]
        if not indices:
            return {}
        signature = [
            (
                tf.TensorSpec([rows], self._dtype),
                tf.TensorSpec([columns], self._dtype),
                tf.TensorSpec([], tf.bool),
            )
            for rows, columns in (self._variables[index].shape for index in indices)
        ]
        program = self._program("factors", indices, lambda each: [_factors(one) for one in each], signature)
        return {
            index: (left.numpy(), right.numpy())
            for index, (left, right, is_product) in zip(indices, program(self._elements), strict=True)
            if is_product.numpy().all()
        }

    def _rows(self, part: Sequence[Piece]) -> np.ndarray:
        """Returns the gradients by a part of the weights, `[k, columns]`."""

        def cut(gradients: list[tf.Tensor]) -> tf.Tensor:
            pieces = zip(gradients, part, strict=True)
            return tf.concat(
                [tf.reshape(each, [-1])[first:last] for each, (_, first, last) in pieces], axis=0
            )

        signature = tf.TensorSpec([sum(last - first for _, first, last in part)], self._dtype)
        program = self._program(tuple(part), [index for index, _, _ in part], cut, signature)
        return program(self._elements).numpy()

    def _parts(self, indices: Sequence[int]) -> Iterator[list[Piece]]:
        """Yields the entries of the variables at `indices`, at most `_max_columns` columns at a time."""
        part: list[Piece] = []
        room = self._max_columns
        for index in indices:
            first, size = 0, self._variables[index].shape.num_elements()
            while first < size:
                last = min(size, first + room)
                part.append((index, first, last))
                room, first = room - (last - first), last
                if not room:
                    yield part
                    part, room = [], self._max_columns
        if part:
            yield part

    def _program(
        self,
        key: Any,
        indices: Sequence[int],
        function: Callable[[list[tf.Tensor]], Any],
        signature: Any,
    ) -> ReadOnlyProgram:
        """Returns `function` of each element's gradients by the variables at `indices`, stacked."""
        variables = [self._variables[index] for index in indices]

        def of_one(element: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                value = self._function(element)
            gradients = dense(tape.gradient(value, variables), variables)
            return function([tf.cast(each, self._dtype) for each in gradients])

        def of_all(elements: Any) -> Any:
            return tf.map_fn(of_one, elements, fn_output_signature=signature)

        if key not in self._programs:
            specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, self._elements)
            self._programs[key] = compile_read_only(f"`{self._name}`", of_all, specs)
        return self._programs[key]


def _factors(gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns u `[a]` and v `[b]` with gradient = u v^T, and whether that holds but for rounding."""
    flat = tf.reshape(gradient, [-1])
    pivot = tf.argmax(tf.abs(flat), output_type=tf.int32)
    row, column = pivot // gradient.shape[1], pivot % gradient.shape[1]
    left = gradient[:, column]
    right = tf.math.divide_no_nan(gradient[row], flat[pivot])
    info = np.finfo(gradient.dtype.as_numpy_dtype)
    # Each of three roundings is half an epsilon; the smallest numbers are lost as zeros.
    error = 4 * info.eps * tf.abs(gradient) + 4 * info.tiny
    is_product = tf.reduce_all(tf.abs(gradient - left[:, tf.newaxis] * right) <= error)
    return left, right, is_product


def _gram(rows: np.ndarray) -> np.ndarray:
    """Returns the inner products of all rows, `[k, k] float64`, summed in float64."""
    sums = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _WIDTH):
        part = rows[:, start : start + _WIDTH].astype(np.float64)
        sums += part @ part.T
    return sums
