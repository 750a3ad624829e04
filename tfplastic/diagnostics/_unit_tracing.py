"""Where the units of a model go: their labels, pushed through the graph of a Keras model."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics._layers import named_layers, nonlinear_layers
from tfplastic.diagnostics._unit_rules import (
    KERNEL_AXES,
    MERGES,
    NORMS,
    Labels,
    has_elementwise_activation,
    is_spectral,
    kind_of,
    moved_labels,
    norm_couples,
    norm_parameters,
    of_channels,
)
from tfplastic.diagnostics.unit_slices import Normalisation, Slice, Units

_NO_UNIT = -1


def traced_units(model: Any) -> tuple[dict[str, Units], dict[str, str]] | None:
    """The units of the hidden layers of `model`, and the reasons of those without; None without a graph."""
    graph = _graph_of(model)
    return None if graph is None else _Tracer(model, graph).units()


class _State(NamedTuple):
    """What is known of a tensor: its labels, and the layers that a nonlinearity has followed already."""

    labels: Labels
    activated: frozenset[str] = frozenset()


@dataclasses.dataclass
class _Source:
    """A layer with units, whose labels run from `start`."""

    name: str
    layer: Any
    start: int
    count: int
    activations: list[str] = dataclasses.field(default_factory=list)
    norms: list[tuple[str, str, Any]] = dataclasses.field(default_factory=list)

    def own(self, labels: Labels) -> Labels:
        """`labels` as numbers of this layer's units."""
        is_own = (labels >= self.start) & (labels < self.start + self.count)
        return np.where(is_own, labels - self.start, _NO_UNIT)


class _Tracer:
    def __init__(self, model: Any, graph: Any):
        layers = named_layers(model)
        self._model = model
        self._graph = graph
        self._names: dict[int, Any] = {id(layer): name for name, layer in layers.items()}
        self._nonlinear = {id(layer) for layer in nonlinear_layers(layers).values()}
        self._kernel_owners = [name for name, layer in layers.items() if hasattr(layer, "kernel")]
        self._sources: dict[str, _Source] = {}
        self._excluded: dict[str, str] = {}
        self._readers: dict[str, tuple[Any, list[Labels]]] = {}
        self._norms: dict[str, tuple[Any, list[Labels]]] = {}
        self._nonlinear_calls: dict[str, int] = {}
        self._final: set[int] = set()

    def units(self) -> tuple[dict[str, Units], dict[str, str]]:
        """Traces the model: {layer name: units} and {layer name: why it has none}."""
        self._final = {id(output) for output in self._graph.outputs}
        inputs = [_State(_unlabelled(_shape(tensor))) for tensor in self._graph.inputs]
        for state in self._run(self._graph, inputs):
            self._exclude(state.labels, "its outputs are the model's")
        for name, (_, calls) in self._readers.items():
            if any(not np.array_equal(calls[0], other) for other in calls[1:]):
                for labels in calls:
                    self._exclude(labels, f"{name!r} reads it and other units by the same weights")
        included = [source for name, source in self._sources.items() if name not in self._excluded]
        units = {source.name: self._units_of(source) for source in included}
        unseen = "it is of a kind that is not traced, or inside of a layer that is not"
        unseen_reasons = {name: unseen for name in self._kernel_owners if name not in self._sources}
        return units, self._excluded | unseen_reasons

    def _run(self, graph: Any, inputs: Sequence[_State]) -> list[_State]:
        """The states of the outputs of `graph`, for those of its inputs."""
        states = {id(tensor): state for tensor, state in zip(graph.inputs, inputs, strict=True)}
        for layer, arguments, results in _calls(graph):
            given = [states[id(tensor)] for tensor in arguments if id(tensor) in states]
            inner = _graph_of(layer)
            if inner is not None and len(inner.inputs) == len(given):
                returned = self._run(inner, given)
            else:
                shapes = [_shape(tensor) for tensor in results]
                returned = self._call(layer, given, shapes)
                if any(id(tensor) not in self._final for tensor in results):
                    returned = self._activate(layer, returned)
            states |= {id(tensor): state for tensor, state in zip(results, returned, strict=True)}
        return [states[id(tensor)] for tensor in graph.outputs]

    def _call(self, layer: Any, given: list[_State], shapes: list[tuple[int, ...]]) -> list[_State]:
        """The states of what one call of `layer` returns."""
        kind, name = kind_of(layer), self._name(layer)
        activated = frozenset().union(*(state.activated for state in given))
        labels = [state.labels for state in given]
        if not labels:
            return [_State(_unlabelled(shape)) for shape in shapes]
        if kind in NORMS and labels[0].shape == shapes[0]:
            self._pass_norm(kind, layer, labels[0])
            return [_State(labels[0], activated)]
        moved = moved_labels(kind, layer, labels, shapes[0])
        if moved is not None:
            return [_State(moved, activated)]
        what = f"'{name}' ({type(layer).__name__})"
        if kind in KERNEL_AXES:
            channels = of_channels(labels[0])
            if channels is None:
                self._exclude(labels[0], f"its units are at different positions where {what} reads them")
                channels = _unlabelled(labels[0].shape[-1:])
            self._readers.setdefault(name, (layer, []))[1].append(channels)
            return [_State(np.broadcast_to(self._labels_of(layer, name), shapes[0]))]
        reason = "merges them with others" if kind in MERGES else "is not traced"
        for each in labels:
            self._exclude(each, f"its outputs go into {what}, which {reason}")
        return [_State(_unlabelled(shape)) for shape in shapes]

    def _labels_of(self, layer: Any, name: str) -> Labels:
        """`[units]`, the labels of the units of a layer with a kernel."""
        if name not in self._sources:
            start = sum(source.count for source in self._sources.values())
            own_axis, _ = KERNEL_AXES[kind_of(layer)]
            self._sources[name] = _Source(name, layer, start, int(layer.kernel.shape[own_axis]))
        source = self._sources[name]
        labels = np.arange(source.start, source.start + source.count)
        if not has_elementwise_activation(layer):
            self._exclude(labels, "its activation mixes units")
        return labels

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

    def _units_of(self, source: _Source) -> Units:
        own_axis, _ = KERNEL_AXES[kind_of(source.layer)]
        bias = getattr(source.layer, "bias", None)
        norms = [Normalisation(source.name, couples_units=True)] if is_spectral(source.layer) else []
        for name, kind, layer in source.norms:
            calls = [source.own(labels) for labels in self._norms[name][1]]
            is_shared = any(not np.array_equal(calls[0], other) for other in calls[1:])
            parameters = {} if is_shared else norm_parameters(kind, layer, calls[0])
            norms.append(Normalisation(name, norm_couples(kind, layer, calls[0]), parameters))
        outgoing = [
            Slice(layer.kernel, KERNEL_AXES[kind_of(layer)][1], source.own(calls[0]))
            for layer, calls in self._readers.values()
            if (source.own(calls[0]) != _NO_UNIT).any()
        ]
        return Units(
            incoming=Slice(source.layer.kernel, own_axis),
            outgoing=tuple(outgoing),
            bias=None if bias is None else Slice(bias, 0),
            norms=tuple(norms),
            activations=tuple(source.activations),
        )

    def _exclude(self, labels: Labels, reason: str) -> None:
        for source in self._sources_in(labels):
            self._excluded.setdefault(source.name, reason)

    def _sources_in(self, labels: Labels) -> list[_Source]:
        return [source for source in self._sources.values() if (source.own(labels) != _NO_UNIT).any()]

    def _name(self, layer: Any) -> str:
        return self._names.get(id(layer), layer.name)  # in Keras 3 a bare operation is no layer


def _graph_of(model: Any) -> Any:
    """What holds the graph of calls of a Sequential or functional model; None for everything else."""
    graph = getattr(model, "_functional", None) or model
    owner = next((base for base in type(model).__mro__ if "call" in vars(base)), object)
    is_trusted = owner.__name__ in ("Functional", "Sequential")
    return graph if is_trusted and getattr(graph, "_nodes_by_depth", None) else None


def _calls(graph: Any) -> list[tuple[Any, list[Any], list[Any]]]:
    """(layer, tensors it takes, tensors it returns) for each call, in the order of execution."""
    nodes = [node for _, nodes in sorted(graph._nodes_by_depth.items(), reverse=True) for node in nodes]
    return [
        (_layer_of(node), tf.nest.flatten(_arguments(node)), tf.nest.flatten(node.outputs))
        for node in nodes
        if not node.is_input
    ]


def _layer_of(node: Any) -> Any:
    return node.operation if hasattr(node, "operation") else node.layer  # Keras 3, Keras 2


def _arguments(node: Any) -> Any:
    return node.input_tensors if hasattr(node, "operation") else node.keras_inputs


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape without the batch; 1 where it is open."""
    return tuple(size or 1 for size in tuple(tensor.shape)[1:])


def _unlabelled(shape: tuple[int, ...]) -> Labels:
    return np.full(shape, _NO_UNIT)
