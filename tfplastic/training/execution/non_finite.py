"""The quantity of a gradient step that is not finite, with its layer: looked for after the fact."""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import replaced_attribute, tf_variable
from tfplastic._tf.programs import own_program
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.layers import advance
from tfplastic.training.step import GradientStep
from tfplastic.training.step_parts.composites import is_composite


class Examination:
    """Search for NaN and infinities in the weights of a task's networks and in one of its gradient steps.

    Nothing is changed, and nothing is computed before it is asked: training itself is not slower for it.
    A layer goes by its path below the network, as in the tags of diagnostics.

    Args:
        gradient_step: gradient step of the task.
        networks: {name: Keras model}, the trained one under `'model'`; names of other networks' layers begin
            with the name of the network.
    """

    def __init__(self, gradient_step: GradientStep, networks: Mapping[str, Any]):
        self._gradient_step = gradient_step
        self._networks = networks
        self._layers: dict[str, Any] = {}
        for name, network in networks.items():
            prefix = "" if name == "model" else f"{name}/"
            self._layers |= {prefix + path: layer for path, layer in named_layers(network).items()}

    def of_weights(self) -> str:
        """Names the first weight that is not finite, '' where all are.

        First in the order of the layers. A weight that is not trained may be infinite, as a mask is, but not
        NaN.
        """
        bad = self._bad_weights()
        return f"the weight {bad[0]}" if bad else ""

    def of_gradients(self) -> str:
        """Names the gradient by which an update has made weights not finite, '' where all are finite.

        The gradient of the last layer, from which it continues to the layers before it.
        """
        bad = self._bad_weights()
        return f"the gradient of {bad[-1]}" if bad else ""

    def of_penalty(self, total: float) -> str:
        """Names the mitigations whose penalties are not finite together, '' where their sum is."""
        names = [type(each).__name__ for each in self._gradient_step.penalized()]
        return "" if math.isfinite(total) else f"the penalty of {' or '.join(names)}"

    def of_step(
        self, batch: Any, is_advanced: bool = False, step: int | None = None, state: Any = None
    ) -> str:
        """Names the first value that is not finite in a gradient step with the present weights, or ''.

        In the order of the computation: the batch, inputs and outputs of layers, the loss, penalties, and the
        gradients from the last layer to the first. Penalties that read the step's context, which an eager
        step does not have, come last, with the gradients that they are a part of.

        Args:
            batch: batch, in the form that the task's loss takes.
            is_advanced: whether layers that change between steps have done so for this step.
            step: number of the step; None leaves out penalties that read the context.
            state: state of the step, see `GradientStep`.
        """
        batch = tf.nest.map_structure(_as_tensor, batch)
        found = self._of_eager_step(batch, is_advanced)
        if found or step is None or not self._gradient_step.reads_step:
            return found
        return self._of_traced_step(batch, is_advanced, step, state)

    def _of_eager_step(self, batch: Any, is_advanced: bool) -> str:
        with self._unchanged(), _run_eagerly(), self._noted_calls() as calls:
            if not is_advanced:
                advance(self._networks["model"])
            output, penalties, gradients, *_ = self._gradient_step.gradients(batch, all_penalties=False)
        return _first_bad(
            [
                *_parts_of(batch),
                *calls,
                ("the loss, of finite outputs", output.loss),
                *_named(self._gradient_step.penalized(all_penalties=False), penalties),
                *self._backwards(gradients),
            ]
        )

    def _of_traced_step(self, batch: Any, is_advanced: bool, step: int, state: Any) -> str:
        def differentiate() -> tuple[list[tf.Tensor], list[Any]]:
            found = self._gradient_step.gradients(batch, tf.constant(step, tf.int64), state)
            return found.penalties, found.gradients

        with self._unchanged():
            if not is_advanced:
                advance(self._networks["model"])
            penalties, gradients = own_program(differentiate)()
        named = _named(self._gradient_step.penalized(), penalties)
        return _first_bad([*named, *self._backwards(gradients)])

    def _backwards(self, gradients: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        """Yields the gradients with their names, from the last layer to the first."""
        names = self._weight_names()
        weights = [tf_variable(each) for each in self._networks["model"].trainable_variables]
        for weight, gradient in zip(weights[::-1], gradients[::-1], strict=True):
            yield f"the gradient of {names[id(weight)]}", gradient

    def _bad_weights(self) -> list[str]:
        names, trained = self._weight_names(), set()
        for network in self._networks.values():
            trained |= {id(tf_variable(each)) for each in network.trainable_variables}
        bad = []
        for variable in self._variables():
            is_good = is_finite(variable) if id(variable) in trained else not _has_nan(variable)
            if not is_good:
                bad.append(names[id(variable)])
        return bad

    def _variables(self) -> list[tf.Variable]:
        """Returns all variables of the networks, in the order of their layers."""
        order = list(self._layers)
        found = {}
        for place, name in enumerate(order):
            for variable in map(tf_variable, self._layers[name].variables):
                found[id(variable)] = (place, variable)  # of the innermost layer, which comes last
        return [variable for _, variable in sorted(found.values(), key=lambda each: each[0])]

    def _weight_names(self) -> dict[int, str]:
        """Returns names such as 'kernel' of layer 'hidden', by the weight's id."""
        names = {}
        for layer_name, layer in self._layers.items():
            for variable in map(tf_variable, layer.variables):
                own = variable.name.rpartition("/")[2].partition(":")[0]
                names[id(variable)] = f"{own!r} of layer {layer_name!r}"
        return names

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Restores variables that calls in training mode assign, such as the moving averages of BatchNorm."""
        before = [(variable, variable.numpy()) for variable in self._variables()]
        try:
            yield
        finally:
            for variable, value in before:
                variable.assign(value)

    @contextlib.contextmanager
    def _noted_calls(self) -> Iterator[list[tuple[str, tf.Tensor]]]:
        """While open, appends the inputs and outputs of each layer, with its name, as soon as it returns."""
        calls: list[tuple[str, tf.Tensor]] = []
        with contextlib.ExitStack() as stack:
            for name, layer in self._layers.items():
                noted = _noted(layer.call, functools.partial(_note, calls, name))
                stack.enter_context(replaced_attribute(layer, "call", noted))
            yield calls


def is_finite(value: Any) -> bool:
    """Returns whether a tensor, variable or nest of them holds finite numbers only; integers are."""
    parts = [_as_tensor(each) for each in tf.nest.flatten(value, expand_composites=True)]
    numbers = [each for each in parts if each is not None and each.dtype.is_floating]
    return all(bool(tf.reduce_all(tf.math.is_finite(each))) for each in numbers)


def _first_bad(named: Sequence[tuple[str, Any]]) -> str:
    """Returns the name of the first value that is not finite, '' where all are."""
    return next((name for name, value in named if not is_finite(value)), "")


def _named(mitigations: Sequence[Any], penalties: Sequence[Any]) -> list[tuple[str, Any]]:
    names = [f"the penalty of {type(each).__name__}" for each in mitigations]
    return list(zip(names, penalties, strict=True))


def _as_tensor(value: Any) -> Any:
    """Returns a tensor, ragged and sparse ones as they are; None for parts that a batch lacks."""
    return value if value is None or is_composite(value) else tf.convert_to_tensor(value)


def _has_nan(variable: tf.Variable) -> bool:
    value = tf.convert_to_tensor(variable)
    return value.dtype.is_floating and bool(tf.reduce_any(tf.math.is_nan(value)))


def _parts_of(batch: Any) -> list[tuple[str, Any]]:
    if hasattr(batch, "_asdict"):
        batch = batch._asdict()
    if isinstance(batch, Mapping):
        return [(f"{field!r} of the batch", values) for field, values in batch.items()]
    return [("the batch", batch)]


def _noted(call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        note(args, result)
        return result

    vars(noted)["__signature__"] = inspect.signature(call)  # TF-Agents asks for it
    return noted


def _note(calls: list[tuple[str, Any]], name: str, args: Any, result: Any) -> None:
    calls.append((f"the input of layer {name!r}", _tensors_in(args)))
    calls.append((f"the output of layer {name!r}", _tensors_in(result)))


def _tensors_in(values: Any) -> list[Any]:
    return [each for each in tf.nest.flatten(values, expand_composites=True) if tf.is_tensor(each)]


@contextlib.contextmanager
def _run_eagerly() -> Iterator[None]:
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
