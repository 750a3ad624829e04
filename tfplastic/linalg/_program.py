"""Tracing of functions that only read, with the checks that can be made once the trace is there.

The checks come after the trace because an error that is raised inside one reaches the caller with a page of
generated code around it.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfplastic._call_options import sums_in_order

# Operations that change a variable, or draw from a random state of their own.
_DISTURBING = (
    "Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter",
    "Multinomial", "ParameterizedTruncatedNormal", "Random", "Rng", "TruncatedNormal",
)  # fmt: skip


class ScalarLoss:
    """A loss function that notes what it returned while it was traced, for `check`."""

    def __init__(self, loss_fn: Callable[[], Any]):
        if not callable(loss_fn):
            raise TypeError(f"`loss_fn` must be a function without arguments. Received: {loss_fn!r}")
        self._loss_fn = loss_fn
        self._loss: tf.TensorSpec | None = None

    def __call__(self) -> tf.Tensor:
        """The loss."""
        loss = tf.convert_to_tensor(self._loss_fn())
        self._loss = tf.TensorSpec(loss.shape, loss.dtype)
        return loss

    def check(self) -> None:
        """Raises `ValueError` unless the traced loss was a floating-point scalar."""
        loss = self._loss
        if loss is None or loss.shape.rank != 0 or not loss.dtype.is_floating:
            received = "no loss" if loss is None else f"shape {loss.shape}, {loss.dtype.name}"
            raise ValueError(f"`loss_fn` must return a floating-point scalar. Received: {received}")


class Program:
    """A compiled program that, given the same values on the same CPU, returns the same bits."""

    def __init__(self, concrete_function: Any):
        self._concrete_function = concrete_function

    def __call__(self, *arguments: Any) -> Any:
        """Runs it."""
        with sums_in_order():
            return self._concrete_function(*arguments)

    def nodes(self) -> Iterator[Any]:
        """Its operations and those of the functions it calls, as `NodeDef`s."""
        definition = self._concrete_function.graph.as_graph_def()
        return itertools.chain(definition.node, *(inner.node_def for inner in definition.library.function))


def trace(name: str, function: Callable[..., Any], *signature: Any) -> Program:
    """Compiles `function` once, and refuses it if it would disturb what it reads.

    Args:
        name: the argument the function came from, for the error.
        function: a traceable function.
        *signature: a (nest of) `tf.TensorSpec` for each of its arguments.

    Returns:
        The compiled program. It is never traced again.

    Raises:
        ValueError: the function writes variables or draws random numbers, as a model does that is called with
            `training=True` and has BatchNorm or Dropout in it.
    """
    program = Program(tf.function(function, input_signature=signature).get_concrete_function())
    disturbing = sorted({node.op for node in program.nodes() if node.op.startswith(_DISTURBING)})
    if disturbing:
        rule = "must neither write variables nor draw random numbers, as models do with `training=True`"
        raise ValueError(f"`{name}` {rule}. Received: the operations {', '.join(disturbing)}")
    return program
