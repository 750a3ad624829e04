"""The output layers of a network: one as a rule, several where it has streams side by side."""

from collections.abc import Iterable
from typing import Any

from tfplastic.diagnostics.reading.model_layers import network_of


def output_layers(model: Any, with_kernel: Iterable[Any]) -> list[Any]:
    """Returns the layers of `model` with a kernel that no other one follows, such as both of a dueling head.

    In a network that is neither Sequential nor functional, or whose last layer is inside of another one, it
    is the last of `with_kernel` alone.

    Args:
        model: a Keras model, built.
        with_kernel: its layers with a kernel, in their order.
    """
    ordered = list({id(each): each for each in with_kernel}.values())
    network = network_of(model)
    if not ordered or not getattr(network, "_nodes_by_depth", None) or ordered[-1] not in network.layers:
        return ordered[-1:]
    kernels = {id(each) for each in ordered}
    nodes = {id(node) for level in network._nodes_by_depth.values() for node in level}
    found = [
        each for each in network.layers if id(each) in kernels and not _is_followed(each, kernels, nodes)
    ]
    return found if any(each is ordered[-1] for each in found) else ordered[-1:]


def _is_followed(layer: Any, kernels: set[int], nodes: set[int]) -> bool:
    seen, left = {id(layer)}, [layer]
    while left:
        for node in left.pop()._outbound_nodes:
            reader = node.operation if hasattr(node, "operation") else node.layer  # Keras 3, Keras 2
            if id(node) not in nodes or id(reader) in seen:
                continue
            if id(reader) in kernels or any(id(each) in kernels for each in _inner(reader)):
                return True
            seen.add(id(reader))
            left.append(reader)
    return False


def _inner(layer: Any) -> list[Any]:
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else []
