"""The kernels of queries and keys in networks with attention."""

from typing import Any

from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.layers import SelfAttention
from tfplastic.mitigations._weights.trainable import Weight

_OF_SCORES = ("query", "key")


def query_key_kernels(model: Any, kernels: list[Weight]) -> list[tuple[Weight, int]]:
    """Returns the kernels of queries and keys, each with the number of equal blocks of its columns.

    `keras.layers.MultiHeadAttention` and layers like it have a layer for each. Before this library's
    `SelfAttention` one dense layer has the queries, keys and values side by side, 3 blocks.

    Args:
        model: the model, Sequential or functional if it has a `SelfAttention`.
        kernels: its kernels.

    Raises:
        ValueError: the dense layer before a `SelfAttention` is not found.
    """
    layers = named_layers(model)
    before = {
        id(variable)
        for name, layer in layers.items()
        if isinstance(layer, SelfAttention)
        for variable in _layer_before(name, layer).trainable_variables
    }
    found = [(each, 3) for each in kernels if id(each.variable) in before]
    for each in kernels:
        outer, _, inner = each.path.rpartition("/")
        if inner in _OF_SCORES and outer in layers and "Attention" in type(layers[outer]).__name__:
            found.append((each, 1))
    return found


def _layer_before(name: str, layer: Any) -> Any:
    try:
        before = layer.input._keras_history[0]
    except (AttributeError, ValueError):
        before = None
    if not getattr(before, "trainable_variables", ()):
        rule = "must have a layer with weights right before each SelfAttention, in a functional model"
        action = "Set `attention_only=False` to make all kernels orthogonal"
        raise ValueError(f"`model` {rule}. Received: {name!r}. {action}")
    return before
