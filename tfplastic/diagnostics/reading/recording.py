"""The recording of the inputs and outputs of a model's nonlinearities during a call."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfplastic._keras import replaced_attribute
from tfplastic.diagnostics.reading import model_layers
from tfplastic.diagnostics.reading.masks import Masks


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer, or of its activation function, in a graph.

    Attributes:
        name: the layer's.
        graph: graph in which it was made.
        span: the numbers of the first operation it made there, and of the one after its last.
        result: output, a tensor; recurrent layers may return their states next to it.
        argument: input of a nonlinearity; None where it is not its pre-activation.
        activation: name of the nonlinearity; empty for the call of a layer that is none.
        is_recurrent: whether the layer is a recurrent one.
        inputs: first tensor that the layer or function got; None without any.
    """

    name: str
    graph: Any
    span: tuple[int, int]
    result: tf.Tensor
    argument: tf.Tensor | None
    activation: str
    is_recurrent: bool
    inputs: tf.Tensor | None = None


@contextlib.contextmanager
def recording(nonlinear: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[list[Call]]:
    """While open, appends to the list it gives each call of a nonlinearity and of the other layers.

    Of layers with an activation function of their own the calls of that function are taken, of activation
    layers and recurrent ones those of the layer. The replacement of `activation` or `call` is put into the
    layers' `__dict__` past Keras' tracking of attributes, and put back on leaving, also by an error.
    """
    calls: list[Call] = []
    with contextlib.ExitStack() as stack:
        for name, layer in nonlinear.items():
            attribute = "activation" if model_layers.has_own_function(layer) else "call"
            recorded = _Recorded(
                getattr(layer, attribute),
                calls,
                name,
                model_layers.activation_name(layer),
                attribute == "activation" or model_layers.is_activation_layer(layer),
                hasattr(layer, "cell"),
            )
            stack.enter_context(replaced_attribute(layer, attribute, recorded.function()))
        for name, layer in others.items():
            stack.enter_context(
                replaced_attribute(layer, "call", _Recorded(layer.call, calls, name).function())
            )
        yield calls


@dataclasses.dataclass(frozen=True)
class _Recorded:
    """A function whose calls are noted."""

    original: Callable[..., Any]
    calls: list[Call]
    name: str
    activation: str = ""
    takes_pre_activation: bool = False
    is_recurrent: bool = False

    def function(self) -> Callable[..., Any]:
        """Returns it as a function, the form that Keras takes."""

        def recorded(*args: Any, **kwargs: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            first = len(graph.get_operations())
            result = self.original(*args, **kwargs)
            inputs = next(iter(tf.nest.flatten((args, kwargs))), None)
            argument = inputs if self.takes_pre_activation else None
            span, tensor = (first, len(graph.get_operations())), tf.nest.flatten(result)[0]
            self.calls.append(
                Call(self.name, graph, span, tensor, argument, self.activation, self.is_recurrent, inputs)
            )
            return result

        vars(recorded)["__signature__"] = inspect.signature(self.original)  # TF-Agents asks for it
        return recorded


def hidden_calls(calls: list[Call], outputs: Any) -> dict[str, Call]:
    """Returns the calls of nonlinearities whose results are not among the model's `outputs`, in their order.

    A name's later calls get ':1', ':2', ... Tensors made inside a loop, a branch or a function of its own
    cannot leave it, and are not among them either. Nor are calls inside that of a recurrent layer, which
    records them itself.
    """
    final = {id(output) for output in tf.nest.flatten(outputs)}
    graph = tf.compat.v1.get_default_graph()
    here = [call for call in calls if call.activation and call.result.graph is graph]
    recurrent = [call for call in here if call.is_recurrent]
    hidden: dict[str, Call] = {}
    for call in here:
        is_inside = any(call is not each and _contains(each.span, call.span) for each in recurrent)
        if id(call.result) not in final and not is_inside:
            hidden[model_layers.free_name(call.name, ":", hidden)] = call
    return hidden


def _contains(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


@dataclasses.dataclass(frozen=True)
class ModelCall:
    """One call of a model: arguments and result, the calls of layers in it, its operations' span, masks."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any
    calls: list[Call]
    span: tuple[int, int]
    masks: Masks


@contextlib.contextmanager
def recorded_model_calls(
    model: Any, nonlinear: Mapping[str, Any], others: Mapping[str, Any], masks: Masks
) -> Iterator[list[ModelCall]]:
    """While open, appends to the list it gives each call of `model`, with those of the named layers."""
    made: list[ModelCall] = []
    call = model.call

    def noted(*args: Any, **kwargs: Any) -> Any:
        first, graph = len(calls), tf.compat.v1.get_default_graph()
        start = len(graph.get_operations())
        result = call(*args, **kwargs)
        span = start, len(graph.get_operations())
        made.append(ModelCall(args, kwargs, result, calls[first:], span, masks))
        return result

    vars(noted)["__signature__"] = inspect.signature(call)
    with replaced_attribute(model, "call", noted), recording(nonlinear, others) as calls:
        yield made
