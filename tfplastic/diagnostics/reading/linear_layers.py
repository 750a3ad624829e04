"""Outputs of layers that no nonlinearity follows, such as bottlenecks: which are measured, which not and why.

By default these are outputs of linear hidden layers, unless they are large or another layer alone takes
them, and the last hidden representation, the input of the output layer.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic.diagnostics.reading import model_layers
from tfplastic.diagnostics.reading.data_flow import Flow
from tfplastic.diagnostics.reading.recording import Call

MOST_ENTRIES = 4_096  # of a linear layer's output for an example, for it to be measured by default
_SAME_ENTRIES = {"Cast", "ExpandDims", "Identity", "Reshape", "Squeeze"}


@dataclasses.dataclass
class Linear:
    """The outputs of linear layers in a call of a model.

    Attributes:
        outputs: {name: `[n, ..., units]`} of the measured outputs. The input of the output layer 'head' is
            'head:input' if it is not the output of a measured layer.
        no_units: {layer name: why it has no unit that could be dead}, of layers with weights.
        no_features: {layer name: why its outputs are not measured}, of layers with weights.
        on_demand: names of those among them whose outputs are measured if they are chosen.
    """

    outputs: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    no_units: dict[str, str] = dataclasses.field(default_factory=dict)
    no_features: dict[str, str] = dataclasses.field(default_factory=dict)
    on_demand: set[str] = dataclasses.field(default_factory=set)

    def explained(self, layers: Iterable[str], units: bool, features: bool) -> dict[str, str]:
        """Returns {layer name: reason for no units or features}, in the order of `layers`."""
        found: dict[str, str] = {}
        for layer in layers:
            reasons: dict[str, list[str]] = {}
            for what, of in (
                ("units", self.no_units if units else {}),
                ("features", self.no_features if features else {}),
            ):
                if layer in of:
                    reasons.setdefault(of[layer], []).append(what)
            parts = [f"no {' and '.join(what)}: {reason}" for reason, what in reasons.items()]
            if features and layer in self.on_demand:
                parts.append("`layers` gives its features")
            if parts:
                found[layer] = "; ".join(parts)
        return found


@dataclasses.dataclass(frozen=True)
class _Fault:
    """Why an output is not measured.

    Attributes:
        reason: in words.
        is_firm: whether it cannot be measured even if it is asked for.
        is_of_units: whether it is also the reason why there are no units.
    """

    reason: str
    is_firm: bool = False
    is_of_units: bool = True


_OF_MODEL = _Fault("its outputs are the model's")
_IN_A_FUNCTION = _Fault("it is called in a loop, a branch or a function, which nothing leaves", is_firm=True)
_NOT_CALLED = _Fault("the model does not call it", is_firm=True)
_CONSTANT = _Fault("its outputs do not depend on the inputs", is_firm=True)
_NO_ROWS = _Fault("its outputs are not floats for each example", is_firm=True)
_LINEAR = "its output is linear"


class LinearLayers:
    """The layers of a model whose outputs may be linear.

    Args:
        layers: the model's, itself first, as `model_layers.named_layers` has them.
        chosen: names of layers whose outputs are all measured; None for the default.

    Attributes:
        watched: layers whose calls have to be recorded besides those with weights, by name.
    """

    def __init__(self, layers: Mapping[str, Any], chosen: Collection[str] | None):
        names = list(layers)[1:]
        self._weighted = [name for name in names if model_layers.owns_weights(layers[name])]
        self._with_kernel = {name for name in self._weighted if model_layers.owns_kernel(layers[name])}
        self._nonlinear = set(model_layers.nonlinear_layers(layers))
        self._chosen = None if chosen is None else [name for name in names if name in chosen]
        # A wrapper that calls its layer for every step, or with steps for examples, stands for it.
        self._wrappers = model_layers.time_distributed(layers)
        watched = [*self._wrappers.values(), *(self._chosen or ())]
        self.watched = {name: layers[name] for name in watched if name not in self._nonlinear}

    def of_call(
        self, calls: Sequence[Call], hidden: Mapping[str, Call], unmeasured: Collection[str], flow: Flow
    ) -> Linear:
        """Returns the linear outputs of a call of the model.

        Args:
            calls: calls of all nonlinearities, layers with weights and `watched` layers.
            hidden: calls of hidden nonlinearities, by their names.
            unmeasured: names of layers of which nothing can be known.
            flow: flow of the call of the model.
        """
        named = self._calls_by_layer(calls, flow)
        weighted = [call for name in self._weighted for call in named.get(name, ())]
        rule = _Rule(flow, hidden, weighted, self._with_kernel)
        last = {} if self._chosen is not None else self._last_hidden(named, hidden, flow)
        found = Linear()
        for name in self._weighted if self._chosen is None else self._chosen:
            own = named.get(name, [])
            if name in unmeasured or self._is_measured(name, own, hidden):
                continue
            faults: list[_Fault | None] = []
            if not own:
                is_elsewhere = any(call.name == name for call in calls)
                faults.append(_IN_A_FUNCTION if is_elsewhere else _NOT_CALLED)
            for call in own:
                if any(
                    reader.layer == name for reader in rule.readers(call)
                ):  # a bare nonlinearity, which goes by its name
                    continue
                fault = rule.fault(call)
                is_wanted = self._chosen is not None or call.result.name in last
                if fault is None or (is_wanted and not fault.is_firm):
                    entry = model_layers.free_name(name, ":", {**hidden, **found.outputs})
                    found.outputs[entry] = call.result
                    last.pop(call.result.name, None)
                faults.append(fault)
            if name in self._weighted and faults:
                self._explain(found, name, faults[0])
        found.outputs.update(last.values())
        return found

    def _is_measured(self, name: str, own: Sequence[Call], hidden: Mapping[str, Call]) -> bool:
        """Returns whether a layer has a measured nonlinearity of its own, or is a part of such a layer."""
        measured = [call for call in hidden.values() if call.name in self._nonlinear]
        return any(call.name == name or any(call is each for each in own) for call in measured)

    def _explain(self, found: Linear, name: str, fault: _Fault | None) -> None:
        found.no_units[name] = fault.reason if fault is not None and fault.is_of_units else _LINEAR
        if fault is not None and not any(entry.partition(":")[0] == name for entry in found.outputs):
            found.no_features[name] = fault.reason
            if not fault.is_firm:
                found.on_demand.add(name)

    def _calls_by_layer(self, calls: Sequence[Call], flow: Flow) -> dict[str, list[Call]]:
        """Returns the calls in the flow's graph: of a layer, its wrapper, or a cell's recurrent layer."""
        functions: dict[str, list[Call]] = {}
        layers: dict[str, list[Call]] = {}
        for call in calls:
            if call.graph is flow.graph:
                (functions if call.activation else layers).setdefault(call.name, []).append(call)
        named = {**functions, **layers}
        for name in self._weighted:
            outer = [own for each, own in functions.items() if name.startswith(f"{each}/")]
            if recurrent := [call for own in outer for call in own if call.is_recurrent]:
                named[name] = recurrent  # which calls its cell in a loop, and maybe once before
            elif (wrapper := self._wrappers.get(name, "")) in named:
                named[name] = named[wrapper]
        return named

    def _last_hidden(
        self, named: Mapping[str, Sequence[Call]], hidden: Mapping[str, Call], flow: Flow
    ) -> dict[str, tuple[str, tf.Tensor]]:
        """Returns the inputs of unmeasured output layers, {name of the tensor: (entry, tensor)}."""
        measured = {call.result.name for call in hidden.values()}
        every = [call.result for own in named.values() for call in own]
        results = measured | {each.name for each in every if isinstance(each, tf.Tensor)}
        found: dict[str, tuple[str, tf.Tensor]] = {}
        pairs = [(name, call) for name in self._weighted for call in named.get(name, ())]
        for name, call in pairs:
            if not isinstance(call.result, tf.Tensor):
                continue
            number = flow.number_of(call.result.op)
            if name not in self._with_kernel or number not in flow.data or flow.is_hidden(number):
                continue
            given = {each.name: each for each in (_source(each, results) for each in _given(call, flow))}
            if len(given) != 1:
                continue
            tensor = next(iter(given.values()))
            if tensor.name not in measured and _depends_on_weights(tensor, flow):
                found.setdefault(tensor.name, (f"{name}:input", tensor))
        return found


class _Reader(NamedTuple):
    """A nonlinearity or a layer with weights that takes an output.

    Attributes:
        name: name of the nonlinearity, or the layer.
        layer: layer of the nonlinearity; empty for a layer with weights.
        mixes: whether it mixes units, or takes them together with other data.
    """

    name: str
    layer: str
    mixes: bool


class _Rule:
    """Rule by which the output of a layer is measured by default, or a reason not to.

    Args:
        flow: flow of the call of the model.
        hidden: the calls of hidden nonlinearities, by their names.
        weighted: the calls of layers with weights.
        with_kernel: names of the layers with a kernel, which mix units.
    """

    def __init__(
        self,
        flow: Flow,
        hidden: Mapping[str, Call],
        weighted: Sequence[Call],
        with_kernel: Collection[str],
    ):
        self._flow = flow
        functions = [(call, _Reader(name, call.name, call.is_recurrent)) for name, call in hidden.items()]
        layers = [(call, _Reader(call.name, "", call.name in with_kernel)) for call in weighted]
        spans = [*functions, *layers]
        spans.sort(key=lambda item: item[0].span[1] - item[0].span[0])  # the innermost first
        self._around: dict[int, list[tuple[Call, _Reader]]] = {}
        for call, reader in spans:
            for number in range(*call.span):
                self._around.setdefault(number, []).append((call, reader))

    def readers(self, call: Call) -> set[_Reader]:
        """Returns the operations that read the output of a call."""
        if not isinstance(call.result, tf.Tensor):
            return set()
        start = self._flow.number_of(call.result.op)
        found: set[_Reader] = set()
        seen, left = {start}, [start]
        while left:
            for number in self._flow.after(left.pop()):
                around = [reader for other, reader in self._around.get(number, ()) if not _is_in(call, other)]
                if around:
                    found.add(around[0])
                elif number not in seen:
                    seen.add(number)
                    left.append(number)
        is_alone = all(seen.issuperset(self._flow.before(number)) for number in seen - {start})
        return found if is_alone else {reader._replace(mixes=True) for reader in found}

    def fault(self, call: Call) -> _Fault | None:
        """Returns the reason not to measure the output of a call, if there is one."""
        result = call.result
        if not isinstance(result, tf.Tensor) or not result.dtype.is_floating or not result.shape.rank:
            return _NO_ROWS
        number = self._flow.number_of(result.op)
        if number not in self._flow.data:
            return _CONSTANT
        if not self._flow.is_hidden(number):
            return _OF_MODEL
        readers = self.readers(call)
        if len(readers) == 1 and not (reader := next(iter(readers))).mixes:
            return _Fault(f"its outputs go to {reader.name!r} alone")
        entries = math.prod(each for each in result.shape.as_list()[1:] if each is not None)
        if entries > MOST_ENTRIES:
            reason = f"its outputs have {entries:,} entries for an example, more than {MOST_ENTRIES:,}"
            return _Fault(reason, is_of_units=False)
        return None


def _is_in(inner: Call, outer: Call) -> bool:
    return outer.span[0] <= inner.span[0] and inner.span[1] <= outer.span[1]


def _given(call: Call, flow: Flow) -> list[tf.Tensor]:
    """Returns the tensors that depend on the model's inputs and enter a call."""
    operations = flow.operations[slice(*call.span)]
    inputs = [each for operation in operations for each in operation.inputs]
    numbers = [flow.number_of(each.op) for each in inputs]
    return [
        each
        for each, number in zip(inputs, numbers, strict=True)
        if number in flow.data and number < call.span[0] and each.dtype.is_floating
    ]


def _source(tensor: Any, results: Collection[str]) -> Any:
    """Returns the first tensor with the same entries as `tensor`, or the output of a layer among them."""
    while tensor.name not in results and tensor.op.type in _SAME_ENTRIES:
        tensor = tensor.op.inputs[0]
    return tensor


def _depends_on_weights(tensor: Any, flow: Flow) -> bool:
    number = flow.number_of(tensor.op)
    return number in flow.weighted or flow.weighted_before(number) is not None
