"""A regression network of convolutions and dense layers with its gradients, in float64 and by hand.

ReLU between the layers, stride 1, no padding; before the first dense layer the values are flattened. Weights
are a kernel and a bias for each layer, kernels as in Keras: `[height, width, inputs, outputs]` or `[inputs,
outputs]`.
"""

import numpy as np


def patches(values, size):
    """The patches of `[batch, height, width, channels]`, `[batch, rows, columns, *size, channels]`."""
    windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=(1, 2))
    return np.moveaxis(windows, 3, -1)


def forward(weights, x):
    """The input of each layer, with patches of convolutions, and the outputs, `[batch, outputs]`."""
    inputs = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        if kernel.ndim == 4:
            x = patches(x, kernel.shape[:2])
            y = np.tensordot(x, kernel, 3) + bias
        else:
            x = x.reshape(len(x), -1)
            y = x @ kernel + bias
        inputs.append(x)
        x = np.maximum(y, 0)
    return inputs, y


def gradients(weights, x, targets):
    """The gradients of the mean squared error by the weights."""
    shapes = [x.shape]  # of each layer's input
    inputs, outputs = forward(weights, x)
    for kernel, each in zip(weights[::2], inputs, strict=True):
        shapes.append((*each.shape[:3], kernel.shape[-1]) if kernel.ndim == 4 else (len(x), kernel.shape[-1]))
    by, found = 2 * (outputs - targets) / targets.size, []
    for place in reversed(range(len(inputs))):
        kernel, each = weights[2 * place], inputs[place]
        flat = each.reshape(-1, np.prod(kernel.shape[:-1]))
        rows = by.reshape(-1, kernel.shape[-1])
        found = [(flat.T @ rows).reshape(kernel.shape), rows.sum(0), *found]
        if place:
            by_inputs = (rows @ kernel.reshape(-1, kernel.shape[-1]).T).reshape(each.shape)
            before = weights[2 * place - 2 : 2 * place]
            by = _folded(by_inputs, shapes[place]) * _is_positive(before, inputs[place - 1], shapes[place])
    return found


def _folded(by_inputs, shape):
    if by_inputs.ndim == 2:
        return by_inputs.reshape(shape)
    rows, columns, height, width = by_inputs.shape[1:5]
    total = np.zeros(shape)
    for row in range(height):
        for column in range(width):
            total[:, row : row + rows, column : column + columns] += by_inputs[:, :, :, row, column]
    return total


def _is_positive(layer, inputs, shape):
    kernel, bias = layer
    return (np.tensordot(inputs, kernel, kernel.ndim - 1) + bias > 0).reshape(shape)
