"""The weights of a model's layers as matrices."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.reading.model_layers import is_kernel, named_layers, variable_role
from tfplastic.diagnostics.snapshot import Snapshot


def weight_matrices(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Returns the kernel of each layer that has one, as a matrix `[inputs, outputs]`.

    A convolution's kernel `[height, width, channels, filters]` becomes `[height * width * channels,
    filters]`, and so every other kernel by its last axis. A depthwise one becomes `[height * width, channels
    * multiplier]`, a column for each filter; that of `EinsumDense`, as in attention, `[summed axes, axes of
    the output]`. Embeddings `[tokens, units]` count; biases, and gains and offsets of normalization layers
    do not.

    Returns:
        {layer name: `[inputs, outputs]`}; {'layer/variable': ...} of a layer that has several, as an LSTM.
    """
    layers = named_layers(snapshot.model)
    found: dict[str, np.ndarray] = {}
    for name, variables in snapshot.weights.items():
        kernels = [each for each in variables if is_kernel(each)]
        for kernel in kernels:
            key = name if len(kernels) == 1 else f"{name}/{variable_role(kernel)}"
            found[key] = _as_matrix(layers[name], kernel)
    return found


def _as_matrix(layer: Any, variable: tf.Variable) -> np.ndarray:
    kernel = np.asarray(variable)
    if hasattr(layer, "equation"):
        return by_equation(layer.equation, kernel)
    is_depthwise = any(base.__name__.startswith("Depthwise") for base in type(layer).__mro__)
    if is_depthwise or variable_role(variable) == "depthwise_kernel":  # the latter of a separable convolution
        return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1])
    return kernel.reshape(-1, kernel.shape[-1])


def by_equation(equation: str, kernel: np.ndarray) -> np.ndarray:
    """Returns the axes of `kernel` that the output has as columns, the others as rows."""
    letters, output = equation.split(",")[1].split("->")
    columns = [axis for axis, letter in enumerate(letters) if letter in output]
    rows = [axis for axis, letter in enumerate(letters) if letter not in output]
    num_columns = int(np.prod([kernel.shape[axis] for axis in columns]))
    return kernel.transpose(*rows, *columns).reshape(-1, num_columns)
