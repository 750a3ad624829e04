"""Where the units of a model go: their labels, pushed through the graph of a Keras model."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.reading.model_layers import free_name, named_layers, nonlinear_layers
from tfplastic.diagnostics.units.unit_kernels import (
    Kernel,
    Mixed,
    Own,
    Read,
    adds_bias_to_columns,
    check_variables,
    kernel_of,
)
from tfplastic.diagnostics.units.unit_rules import (
    ATTENTION,
    MERGES,
    NORMS,
    WRAPPERS,
    Labels,
    is_spectral,
    kind_of,
    moved_labels,
    norm_couples,
    norm_parameters,
)
from tfplastic.diagnostics.units.unit_slices import Normalization, Slice, Units

_NO_UNIT = -1
_KERNELS = ("kernel", "depthwise_kernel")
_Shapes = list[tuple[int, ...]]


def traced_units(model: Any) -> tuple[dict[str, Units], dict[str, str]] | None:
    """Returns the units of `model`'s hidden layers, and why layers lack them; None without a graph."""
    graph = _graph_of(model)
    return None if graph is None else _Tracer(model, graph).units()


class _State(NamedTuple):
    """Facts about a tensor: its labels, and the layers that a nonlinearity has followed already."""

    labels: Labels
    activated: frozenset[str] = frozenset()


@dataclasses.dataclass
class _Source:
    """A layer with units, whose labels run from `start`."""

    name: str
    layer: Any
    weights: Own
    start: int
    activations: list[str] = dataclasses.field(default_factory=list)
    norms: list[tuple[str, str, Any]] = dataclasses.field(default_factory=list)

    @property
    def count(self) -> int:
        """Returns the number of units of the layer."""
        return self.weights.incoming.num_units

    @property
    def labels(self) -> Labels:
        """`[units]`, the labels of its units."""
        return np.arange(self.start, self.start + self.count)

    def own(self, labels: Labels) -> Labels:
        """Returns `labels` as numbers of this layer's units."""
        is_own = (labels >= self.start) & (labels < self.start + self.count)
        return np.where(is_own, labels - self.start, _NO_UNIT)


@dataclasses.dataclass
class _Reader:
    """A kernel of a layer, and its inputs in each call."""

    name: str
    variable: Any
    axis: int
    calls: list[Labels] = dataclasses.field(default_factory=list)


class _Tracer:
    def __init__(self, model: Any, graph: Any):
        layers = named_layers(model)
        self._graph = graph
        self._names: dict[int, Any] = {id(layer): name for name, layer in layers.items()}
        self._nonlinear = {id(layer) for layer in nonlinear_layers(layers).values()}
        self._kernel_owners = [
            name for name, layer in layers.items() if any(hasattr(layer, each) for each in _KERNELS)
        ]
        self._sources: dict[str, _Source] = {}
        self._excluded: dict[str, str] = {}
        self._readers: dict[int, _Reader] = {}
        self._norms: dict[str, tuple[Any, list[Labels]]] = {}
        self._nonlinear_calls: dict[str, int] = {}
        self._final: set[int] = set()

    def units(self) -> tuple[dict[str, Units], dict[str, str]]:
        """Traces the model: {layer name: units} and {layer name: why it has none}."""
        self._final = {id(output) for output in self._graph.outputs}
        inputs = [_State(_unlabeled(_shape(tensor))) for tensor in self._graph.inputs]
        for state in self._run(self._graph, inputs):
            self._exclude(state.labels, "its outputs are the model's")
        for reader in self._readers.values():
            if any(not np.array_equal(reader.calls[0], other) for other in reader.calls[1:]):
                for labels in reader.calls:
                    self._exclude(labels, f"{reader.name!r} reads it and other units by the same weights")
        units = {}
        for source in self._sources.values():
            outgoing = self._outgoing_of(source)
            if not outgoing:
                self._excluded.setdefault(source.name, "no layer with weights reads it")
            if source.name not in self._excluded:
                units[source.name] = self._units_of(source, outgoing)
        seen = {*self._sources, *self._excluded}
        cells = [getattr(source.layer, "cell", None) for source in self._sources.values()]
        seen |= {self._name(cell) for cell in cells if cell is not None}  # whose kernels are their layer's
        unseen = "it is of a kind that is not traced, or inside of a layer that is not"
        return units, self._excluded | {name: unseen for name in self._kernel_owners if name not in seen}

    def _run(self, graph: Any, inputs: Sequence[_State]) -> list[_State]:
        """Returns the states of the outputs of `graph`, for those of its inputs."""
        states = {id(tensor): state for tensor, state in zip(graph.inputs, inputs, strict=True)}
        for node in _nodes(graph):
            results = tf.nest.flatten(node.outputs)
            is_final = all(id(tensor) in self._final for tensor in results)
            given = {name: states[id(tensor)] for name, tensor in _arguments(node) if id(tensor) in states}
            shapes = [_shape(tensor) for tensor in results]
            returned = self._apply(_layer_of(node), given, shapes, is_final)
            states |= {id(tensor): state for tensor, state in zip(results, returned, strict=True)}
        return [states[id(tensor)] for tensor in graph.outputs]

    def _apply(self, layer: Any, given: dict[str, _State], shapes: _Shapes, is_final: bool) -> list[_State]:
        """Returns the states of the outputs of one call of `layer`, given its tensor arguments by name."""
        inner, states = _graph_of(layer), list(given.values())
        if inner is not None and len(inner.inputs) == len(states):
            return self._run(inner, states)
        kind = kind_of(layer)
        if kind == "Bidirectional" and len(states) == 1:
            return self._bidirectional(layer, given, shapes, is_final)
        if kind == "TimeDistributed" and len(states) == 1 and len(shapes) == 1:
            return self._distributed(layer, states[0], shapes[0], is_final)
        if kind in ATTENTION and {"query", "value"} <= set(given):
            return self._attention(layer, given, shapes)
        returned = self._call(kind, layer, states, shapes)
        return returned if is_final else self._activate(layer, returned)

    def _call(self, kind: str, layer: Any, given: list[_State], shapes: _Shapes) -> list[_State]:
        """Applies, like `_apply`, a layer that holds no others."""
        activated = frozenset().union(*(state.activated for state in given))
        labels = [state.labels for state in given]
        if not labels:
            return [_State(_unlabeled(shape)) for shape in shapes]
        if kind in NORMS and labels[0].shape == shapes[0]:
            self._pass_norm(kind, layer, labels[0])
            return [_State(labels[0], activated)]
        moved = moved_labels(kind, layer, labels, shapes[0])
        if moved is not None:
            return [_State(moved, activated)]
        kernel = kernel_of(kind, layer)
        if kernel is not None:
            for other in labels[1:]:
                self._exclude(other, f"its outputs are states or masks of {self._quoted(layer)}")
            return self._weighted(kernel, layer, labels[0], shapes)
        reason = "merges them with others" if kind in {*MERGES, *WRAPPERS} else "is not traced"
        for each in labels:
            self._exclude(each, f"its outputs go into {self._quoted(layer)}, which {reason}")
        return [_State(_unlabeled(shape)) for shape in shapes]

    def _weighted(self, kernel: Kernel, layer: Any, labels: Labels, shapes: _Shapes) -> list[_State]:
        """Returns the output of a layer with kernels: its own units."""
        name = self._name(layer)
        try:
            reads = kernel.reads(layer, labels)
            check_variables((each.variable for each in reads), "whose")
            self._read(name, reads)
        except Mixed as error:
            positions = f"its units are at different positions where {self._quoted(layer)} reads them"
            into = f"its outputs go into {self._quoted(layer)}, {error}"
            self._exclude(labels, into if str(error) else positions)
        try:
            source = self._source(kernel, layer, name)
            placed = [kernel.place(layer, source.labels, shape) for shape in shapes]
        except (Mixed, ValueError) as error:
            unlike = "its activation changes the number of units"
            self._excluded.setdefault(name, str(error) if isinstance(error, Mixed) else unlike)
            return [_State(_unlabeled(shape)) for shape in shapes]
        if any(adds_bias_to_columns(layer, shape) for shape in shapes):
            source.weights = dataclasses.replace(source.weights, bias=None)
        self._read(name, kernel.reads_of_own(layer, source.labels))
        return [_State(each) for each in placed]

    def _read(self, name: str, reads: Sequence[Read]) -> None:
        for variable, axis, labels in reads:
            reader = self._readers.setdefault(id(variable), _Reader(name, variable, axis))
            reader.calls.append(labels)

    def _source(self, kernel: Kernel, layer: Any, name: str) -> _Source:
        if name not in self._sources:
            start = sum(source.count for source in self._sources.values())
            own = kernel.own(layer)
            check_variables([own.incoming.variable])
            self._sources[name] = _Source(name, layer, own, start)
            if not kernel.is_elementwise(layer):
                self._excluded.setdefault(name, "its activation mixes units")
        return self._sources[name]

    def _bidirectional(
        self, layer: Any, given: dict[str, _State], shapes: _Shapes, is_final: bool
    ) -> list[_State]:
        """Follows two layers side by side; the results of one come after the other's."""
        first, *states = shapes
        if layer.merge_mode is None:
            one, *states = states
            both, states = [[first], [one]], states
        else:
            half = (*first[:-1], first[-1] // 2 if layer.merge_mode == "concat" else first[-1])
            both = [[half], [half]]
        middle = len(states) // 2
        (forward, *ahead), (backward, *behind) = (
            self._apply(each, given, [*own, *of_states], is_final)
            for each, own, of_states in (
                (layer.forward_layer, both[0], states[:middle]),
                (layer.backward_layer, both[1], states[middle:]),
            )
        )
        if layer.merge_mode is None:
            return [forward, backward, *ahead, *behind]
        activated = forward.activated | backward.activated
        if layer.merge_mode == "concat":
            labels = np.concatenate([forward.labels, backward.labels], -1)
        else:
            labels = _unlabeled(first)
            for each in (forward, backward):
                self._exclude(each.labels, f"{self._quoted(layer)} merges its outputs with others")
        return [_State(labels, activated), *ahead, *behind]

    def _distributed(self, layer: Any, given: _State, shape: tuple[int, ...], is_final: bool) -> list[_State]:
        """Returns a layer at each step; once for all where all steps are alike."""
        steps = given.labels
        alike = len(steps) == shape[0] and (steps == steps[:1]).all()
        returned = [
            self._apply(layer.layer, {"inputs": _State(each, given.activated)}, [shape[1:]], is_final)[0]
            for each in (steps[:1] if alike else steps)
        ]
        labels = np.stack([each.labels for each in returned])
        activated = frozenset().union(*(each.activated for each in returned))
        return [_State(np.broadcast_to(labels, shape), activated)]

    def _attention(self, layer: Any, given: dict[str, _State], shapes: _Shapes) -> list[_State]:
        """Follows the features of heads: values go their own way, queries and keys meet in the softmax."""
        query, value = given.pop("query"), given.pop("value")
        key = given.pop("key", value)
        for each in given.values():
            self._exclude(each.labels, f"its outputs are masks of {self._quoted(layer)}")
        parts = {"_query_dense": query, "_key_dense": key, "_value_dense": value}
        if getattr(layer, "_gate_dense", None) is not None:
            parts["_gate_dense"] = query
        heads = {}
        for name, state in parts.items():
            dense = getattr(layer, name)
            features = tuple(int(each) for each in dense.kernel.shape[-2:])
            (heads[name],) = self._call(
                "EinsumDense", dense, [state], [(*state.labels.shape[:-1], *features)]
            )
            if name != "_value_dense":
                self._exclude(heads[name].labels, f"{self._quoted(layer)} mixes its heads' features")
        of_values = heads["_value_dense"].labels
        of_values = of_values.reshape(-1, *of_values.shape[-2:])[0]  # [heads, features]
        output = layer._output_dense
        repeats = int(output.kernel.shape[0]) // len(of_values)  # of a group's head, by its queries
        mixed = np.broadcast_to(
            of_values.repeat(repeats, axis=0),
            (*query.labels.shape[:-1], len(of_values) * repeats, of_values.shape[-1]),
        )
        returned = self._call("EinsumDense", output, [_State(mixed)], shapes[:1])
        return [*returned, *(_State(_unlabeled(shape)) for shape in shapes[1:])]

    def _quoted(self, layer: Any) -> str:
        return f"'{self._name(layer)}' ({type(layer).__name__})"

    def _pass_norm(self, kind: str, layer: Any, labels: Labels) -> None:
        name = self._name(layer)
        self._norms.setdefault(name, (layer, []))[1].append(labels)
        for source in self._sources_in(labels):
            if (name, kind, layer) not in source.norms:
                source.norms.append((name, kind, layer))

    def _activate(self, layer: Any, returned: list[_State]) -> list[_State]:
        """Notes the name of a call of a nonlinear layer with the sources for which it is the first."""
        if id(layer) not in self._nonlinear:
            return returned
        name = self._name(layer)
        number = self._nonlinear_calls[name] = self._nonlinear_calls.get(name, -1) + 1
        first, *others = returned
        sources = self._sources_in(first.labels)
        for source in sources:
            if source.name not in first.activated:
                source.activations.append(f"{name}:{number}" if number else name)
        return [_State(first.labels, first.activated | {source.name for source in sources}), *others]

    def _outgoing_of(self, source: _Source) -> tuple[Slice, ...]:
        return tuple(
            Slice(reader.variable, reader.axis, source.own(reader.calls[0]))
            for reader in self._readers.values()
            if (source.own(reader.calls[0]) != _NO_UNIT).any()
        )

    def _units_of(self, source: _Source, outgoing: tuple[Slice, ...]) -> Units:
        norms = [Normalization(source.name, couples_units=True)] if is_spectral(source.layer) else []
        for name, kind, layer in source.norms:
            calls = [source.own(labels) for labels in self._norms[name][1]]
            is_shared = any(not np.array_equal(calls[0], other) for other in calls[1:])
            parameters = {} if is_shared else norm_parameters(layer, calls[0])
            couples = any(norm_couples(kind, layer, labels) for labels in calls)
            norms.append(Normalization(name, couples, parameters))
        weights = source.weights
        return Units(
            incoming=weights.incoming,
            outgoing=outgoing,
            bias=weights.bias,
            recurrent=weights.recurrent,
            norms=tuple(norms),
            activations=tuple(source.activations),
        )

    def _exclude(self, labels: Labels, reason: str) -> None:
        for source in self._sources_in(labels):
            self._excluded.setdefault(source.name, reason)

    def _sources_in(self, labels: Labels) -> list[_Source]:
        return [source for source in self._sources.values() if (source.own(labels) != _NO_UNIT).any()]

    def _name(self, layer: Any) -> str:
        return self._names.get(id(layer), layer.name)  # in Keras 3 a bare operation is not a layer


def _graph_of(model: Any) -> Any:
    """Returns the holder of the call graph of a Sequential or functional model; None for other models."""
    graph = getattr(model, "_functional", None) or model
    owner = next((base for base in type(model).__mro__ if "call" in vars(base)), object)
    is_trusted = owner.__name__ in ("Functional", "Sequential")
    return graph if is_trusted and getattr(graph, "_nodes_by_depth", None) else None


def _nodes(graph: Any) -> list[Any]:
    """Returns the calls of layers in `graph`, in the order of execution."""
    nodes = [node for _, nodes in sorted(graph._nodes_by_depth.items(), reverse=True) for node in nodes]
    return [node for node in nodes if not node.is_input]


def _layer_of(node: Any) -> Any:
    return node.operation if hasattr(node, "operation") else node.layer  # Keras 3, Keras 2


def _arguments(node: Any) -> list[tuple[str, Any]]:
    """Returns the (argument, tensor) pairs of a call; several tensors of one argument get numbers."""
    if hasattr(node, "operation"):
        args, kwargs = node.arguments.args, node.arguments.kwargs
    else:
        args, kwargs = node.call_args, node.call_kwargs
    parameters = [*inspect.signature(_layer_of(node).call).parameters][: len(args)]
    parameters += [f"argument {number}" for number in range(len(parameters), len(args))]
    named = [*zip(parameters, args, strict=True), *kwargs.items()]
    found: dict[str, Any] = {}
    for name, value in named:
        for each in tf.nest.flatten(value):
            found[free_name(name, " ", found)] = each
    return list(found.items())


def _shape(tensor: Any) -> tuple[int, ...]:
    """Returns the shape without the batch; 1 where it is open."""
    return tuple(size or 1 for size in tuple(tensor.shape)[1:])


def _unlabeled(shape: tuple[int, ...]) -> Labels:
    return np.full(shape, _NO_UNIT)
