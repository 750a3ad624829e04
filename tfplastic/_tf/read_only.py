"""Tracing of functions that only read, with the checks that can be made once the trace is there.

The checks come after the trace because an error that is raised inside one reaches the caller with a page of
generated code around it.
"""

import contextlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfplastic._data.numbers import misfit
from tfplastic._text.lines import last_line
from tfplastic._tf.derivatives import checked_derivatives
from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.scope_names import any_scope_name

# Operations that change a variable, or draw from a random state of their own.
_DISTURBING = (
    "Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter",
    "Multinomial", "ParameterizedTruncatedNormal", "Random", "Rng", "TruncatedNormal",
)  # fmt: skip
_MOST_CHARACTERS = 200  # of an operation's message, which may list its inputs
# How lines of an error begin that say where it comes from.
_NO_MESSAGE = ("[[", "File ", "Detected at node", "Graph execution error", "Stack trace", "0 derived", "(")


class CheckedFunction:
    """A function that records its outputs while it was traced, for the checks."""

    def __init__(self, name: str, function: Callable[..., Any], takes: str = "the elements of a batch"):
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"`{name}` must be a function of {takes}. Received: {function!r}")
        self.name = name
        self._function = function
        self._output: tf.TensorSpec | None = None

    def __call__(self, *arguments: Any) -> tf.Tensor:
        """Returns the outputs of the function as a tensor."""
        output = self._function(*arguments)
        if output is None:  # `check` says so, without the page of words that an error in a trace makes
            self._output = None
            return tf.zeros([])
        output = tf.convert_to_tensor(output)
        self._output = tf.TensorSpec(output.shape, output.dtype)
        return output

    def check_takes(self, count: int, what: str = "the elements of a batch") -> None:
        """Raises `TypeError` if the function cannot be called with `count` arguments."""
        try:
            inspect.signature(self._function).bind(*[None] * count)
        except TypeError as error:
            rule = f"must take {count} argument{'s' * (count != 1)}, {what}"
            raise TypeError(f"`{self.name}` {rule}. Received: a function for which {error}") from None
        except ValueError:  # A function that does not say what it takes.
            return

    @property
    def shape(self) -> tf.TensorShape:
        """The shape of the traced output; unknown before the trace."""
        return tf.TensorShape(None) if self._output is None else self._output.shape

    def check_scalar(self) -> None:
        """Raises `ValueError` unless the traced output was a floating-point scalar."""
        self._check("a floating-point scalar", lambda shape: shape.rank == 0)

    def check_vector(self, length: int | None) -> None:
        """Raises `ValueError` unless the traced output was a floating-point vector, of `length` if known."""
        self._check(
            "a floating-point vector, an entry for each example",
            lambda shape: shape.rank == 1 and (shape[0] is None or length is None or shape[0] == length),
        )

    def check_tensor(self) -> None:
        """Raises `ValueError` unless the traced output was of floating point."""
        self._check("a floating-point tensor", lambda shape: True)

    def check_fixed_shape(self) -> None:
        """Raises `ValueError` unless the traced output was of floating point and of a known shape."""
        self._check("a floating-point tensor of a known shape", lambda shape: shape.is_fully_defined())

    def _check(self, wanted: str, fits: Callable[[tf.TensorShape], bool]) -> None:
        output = self._output
        if output is None or not output.dtype.is_floating or not fits(output.shape):
            received = "nothing" if output is None else f"shape {output.shape}, {output.dtype.name}"
            raise ValueError(f"`{self.name}` must return {wanted}. Received: {received}")


class RunError(ValueError):
    """An error of an operation inside a compiled program, in one line."""


class ReadOnlyProgram:
    """A compiled program that, given the same values on the same CPU, returns the same bits."""

    def __init__(self, name: str, concrete_function: Any):
        self._name = name
        self._concrete_function = concrete_function

    def __call__(self, *arguments: Any) -> Any:
        """Runs it.

        Raises:
            RunError: an operation refuses its inputs, such as tokens that an embedding does not have, or
                has no kernel on this device, as convolutions of channels_first on a CPU without oneDNN.
        """
        with deterministic_sums():
            try:
                return self._concrete_function(*arguments)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
                raise RunError(f"{self._name} {_rule_of(error)}. Received: {_in_one_line(error)}") from error

    def nodes(self) -> Iterator[Any]:
        """Returns an iterator over its operations and those of the functions it calls, as `NodeDef`s."""
        definition = self._concrete_function.graph.as_graph_def()
        return itertools.chain(definition.node, *(inner.node_def for inner in definition.library.function))


def compile_read_only(
    name: str, function: Callable[..., Any], *signature: Any, is_twice: bool = False
) -> ReadOnlyProgram:
    """Compiles `function` once, and refuses it if it would disturb the variables that it reads.

    Args:
        name: the argument the function came from, in backquotes, for the error.
        function: a traceable function.
        *signature: a (nest of) `tf.TensorSpec` for each of its arguments.
        is_twice: whether it takes derivatives of derivatives.

    Returns:
        The compiled program. It is never traced again.

    Raises:
        ValueError: the function takes a derivative that TensorFlow does not have; names operation and layer.
        ValueError: the function writes variables or draws random numbers, as a model does that is called with
            `training=True` and has BatchNorm or Dropout in it.
    """
    with checked_derivatives(is_twice) as gaps:
        try:
            program = ReadOnlyProgram(name, _concrete_function(function, signature))
        except NotImplementedError as error:  # as `tf.recompute_grad` raises for a derivative of its gradient
            if not is_twice:
                raise
            raise _not_differentiable(name, is_twice, last_line(error)) from None
        except ValueError as error:
            raise misfit(error, f"{name} must fit the data", signature) or error from None
    if gaps:
        raise _not_differentiable(name, is_twice, ", ".join(map(str, gaps[:3])))
    disturbing = sorted({node.op for node in program.nodes() if node.op.startswith(_DISTURBING)})
    if disturbing:
        rule = "must neither write variables nor draw random numbers, as models do with `training=True`"
        raise ValueError(f"{name} {rule}. Received: the operations {', '.join(disturbing)}")
    return program


def _rule_of(error: tf.errors.OpError) -> str:
    """Returns the rule that the function of a failed operation breaks, with a remedy where there is one."""
    if re.search(r"\bonly\b.*\bND?HWC\b.*", str(error), re.IGNORECASE):
        return "must be channels_last on this CPU, where TensorFlow lacks channels_first (docs/install.md)"
    if isinstance(error, tf.errors.UnimplementedError) or "No OpKernel" in str(error):
        return "must consist of operations that TensorFlow has on this device"
    return "must fit the data"


def _in_one_line(error: tf.errors.OpError) -> str:
    """Returns the last line of an error about its cause, and the scope of its operation."""
    text = re.sub(r"\{\{function_node .*?\}\} ", "", str(error).split("\nOriginal stack trace")[0])
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(_NO_MESSAGE)]
    told = [line for line in told if line.startswith("No OpKernel")] or told  # a list of kernels follows
    found = re.search(r"node (\S+)/", text)
    place = f", in {found[1]}" if found else ""
    message = told[-1].removeprefix("Received ") if told else type(error).__name__
    return f"{message[:_MOST_CHARACTERS]}{place}"


def _not_differentiable(name: str, is_twice: bool, received: str) -> ValueError:
    rule = (
        "must be twice differentiable in TensorFlow" if is_twice else "must be differentiable in TensorFlow"
    )
    action = "Use another operation there, or leave out " + ("curvature." if is_twice else "gradients.")
    return ValueError(f"{name} {rule}. Received: {received.removesuffix('.')}. {action}")


def _concrete_function(function: Callable[..., Any], signature: Any) -> Any:
    """Traces without AutoGraph, whose rewriting of Python takes longer than many a model's forward pass.

    Only Python control flow over tensors needs it, and raises a TypeError without it: such a
    function is traced again.
    """
    with any_scope_name():
        with contextlib.suppress(TypeError):  # such as of a tensor where Python wants a bool
            return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
        return tf.function(function, input_signature=signature).get_concrete_function()
