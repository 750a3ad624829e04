"""Which axis of a layer's inputs has the units, where the layer can know it."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic._tf.unit_axes import unit_axes

# Layers that leave channels last where they are; models with others are traced.
_PLAIN = {
    "Activation", "ActivationMonitor", "Add", "BatchNormalization", "Dense", "Dropout", "Flatten",
    "InputLayer", "LayerNormalization", "RMSNormalization", "ReLU", "Rescaling",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
    "Conv1D", "Conv2D", "Conv3D", "NoisyDense", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
    "ClassToken", "PositionEmbedding", "Rational", "SelfAttention", "SharedBias", "SpectralConv2D",
    "SpectralDense", "SteppedDropout",
}  # fmt: skip
_TRUSTED = {"keras", "tf_keras", "tfplastic"}


def axis_of_units(inputs: Any) -> int | None:
    """Returns the axis of the units in a layer's inputs; None where it cannot be inferred, as from values.

    It is found by the operations that the inputs are made of: in a graph, or in a functional or Sequential
    model that is being built.

    Raises:
        ValueError: several axes identify the units together, such as heads and their features.
    """
    axes: tuple[int, ...] | None = None
    if hasattr(inputs, "_keras_history"):
        axes = (len(inputs.shape) - 1,) if _is_plain(inputs) else unit_axes(_traced(inputs))
    elif tf.is_tensor(inputs) and hasattr(inputs, "op") and not tf.executing_eagerly():
        axes = unit_axes(inputs)
    if axes is not None and len(axes) > 1:
        action = "Put a Reshape before the layer that joins them."
        raise ValueError(f"The inputs must have one axis of units. Received: units on axes {axes}. {action}")
    return axes[0] if axes else None


def _is_plain(tensor: Any) -> bool:
    """Returns whether all layers before `tensor` are known to have channels last."""
    return all(
        type(layer).__name__ in _PLAIN
        and type(layer).__module__.partition(".")[0] in _TRUSTED
        and getattr(layer, "data_format", None) != "channels_first"
        for layer, _ in _before(tensor)
    )


def _traced(tensor: Any) -> Any:
    """Returns the tensor in a graph of all layers before it, which are called once for that."""
    found: list[Any] = []
    sources = [
        source for _, node in _before(tensor) if node.is_input for source in tf.nest.flatten(node.outputs)
    ]
    model = keras.Model(sources, tensor, name="before_the_layer")

    def call(*inputs: Any) -> Any:
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        found.append(model(given, training=False))
        return found[-1]

    signature = [tf.TensorSpec(each.shape, each.dtype) for each in model.inputs]
    graph = tf.function(call, autograph=False, input_signature=signature).get_concrete_function().graph
    with graph.as_default():
        return found[-1]


def _before(tensor: Any) -> list[tuple[Any, Any]]:
    """Returns the layers that `tensor` is made by, each with its call."""
    found: dict[int, tuple[Any, Any]] = {}
    left = [tensor]
    while left:
        layer, place, _ = left.pop()._keras_history
        node = layer._inbound_nodes[place]
        if id(node) not in found:
            found[id(node)] = layer, node
            left += node.input_tensors if hasattr(node, "operation") else node.keras_inputs
    return list(found.values())
