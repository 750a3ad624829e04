"""The output layers of a network: one as a rule, several where it has streams side by side."""

from collections.abc import Iterable, Sequence
from typing import Any

from tfplastic.diagnostics.reading.model_layers import named_layers, network_of, owns_kernel


def kernel_layers(model: Any) -> list[Any]:
    """Returns the layers of a built model with a kernel, frozen ones too, in their order."""
    return [each for each in named_layers(model).values() if owns_kernel(each)]


def output_layers(model: Any, with_kernel: Iterable[Any]) -> list[Any]:
    """Returns the layers of `model` with a kernel that no other one follows, such as both of a dueling head.

    Inside of Sequential and functional models that are layers of it, such as those of an actor and a critic,
    they are found likewise. In a network of another kind it is the last of `with_kernel` alone.

    Args:
        model: a Keras model, built.
        with_kernel: its layers with a kernel, in their order.
    """
    ordered = list({id(each): each for each in with_kernel}.values())
    found = _last_of(network_of(model), ordered)
    return found if any(each is ordered[-1] for each in found) else ordered[-1:]


def _last_of(network: Any, ordered: Sequence[Any]) -> list[Any]:
    """Returns the output layers of a layer, among those that are it or are inside of it."""
    kernels = {id(each) for each in ordered}
    if not ordered or id(network) in kernels or not getattr(network, "_nodes_by_depth", None):
        return list(ordered[-1:])
    nodes = {id(node) for level in network._nodes_by_depth.values() for node in level}
    ends = [each for each in network.layers if _has(each, kernels) and not _is_followed(each, kernels, nodes)]
    inner = [[kernel for kernel in ordered if any(kernel is each for each in _inner(end))] for end in ends]
    return [kernel for end, own in zip(ends, inner, strict=True) for kernel in _last_of(end, own)]


def _is_followed(layer: Any, kernels: set[int], nodes: set[int]) -> bool:
    seen, left = {id(layer)}, [layer]
    while left:
        for node in left.pop()._outbound_nodes:
            reader = node.operation if hasattr(node, "operation") else node.layer  # Keras 3, Keras 2
            if id(node) not in nodes or id(reader) in seen:
                continue
            if _has(reader, kernels):
                return True
            seen.add(id(reader))
            left.append(reader)
    return False


def _has(layer: Any, kernels: set[int]) -> bool:
    return id(layer) in kernels or any(id(each) in kernels for each in _inner(layer))


def _inner(layer: Any) -> list[Any]:
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else []
