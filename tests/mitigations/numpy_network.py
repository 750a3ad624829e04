"""Networks of ReLU layers and their gradients, in float64 and by hand: an oracle for whole steps.

Weights are kernels, each with its bias: of dense layers, `[inputs, units]`, and before them of convolutions
without padding and strides, `[height, width, inputs, channels]`. The last layer is linear.
"""

import numpy as np


def outputs(weights, x):
    """The outputs of each layer, `[batch, ..., units]`; the last are the logits of a classifier."""
    values, h = [], x
    for number in range(0, len(weights), 2):
        h = _apply(weights[number], h) + weights[number + 1]
        if number + 2 < len(weights):
            h = np.maximum(h, 0)
        values.append(h)
    return values


def backward(weights, x, by_outputs):
    """The gradients by the weights, given those by the outputs of the last layer."""
    inputs = [x, *outputs(weights, x)[:-1]]
    gradients, by = [], by_outputs
    for number in reversed(range(len(inputs))):
        kernel, h = weights[2 * number], inputs[number]
        gradients = [_by_kernel(kernel, h, by), by.sum(axis=tuple(range(by.ndim - 1))), *gradients]
        if number:
            by = _by_input(kernel, h, by) * (h > 0)
    return gradients


def loss_and_gradients(weights, x, labels):
    """The mean cross-entropy of the softmax, and its gradients."""
    logits = outputs(weights, x)[-1]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    by_logits = (p - np.eye(p.shape[1])[labels]) / len(labels)
    return -np.log(p[rows, labels]).mean(), backward(weights, x, by_logits)


def descend(weights, gradients, learning_rate):
    """The weights after a step of gradient descent."""
    return [weight - learning_rate * gradient for weight, gradient in zip(weights, gradients, strict=True)]


def _windows(kernel, h):
    return np.lib.stride_tricks.sliding_window_view(h, kernel.shape[:2], axis=(1, 2))  # [b, h, w, c, i, j]


def _apply(kernel, h):
    if kernel.ndim == 2:
        return h.reshape(len(h), -1) @ kernel
    return np.einsum("bhwcij,ijco->bhwo", _windows(kernel, h), kernel)


def _by_kernel(kernel, h, by):
    if kernel.ndim == 2:
        return h.reshape(len(h), -1).T @ by
    return np.einsum("bhwcij,bhwo->ijco", _windows(kernel, h), by)


def _by_input(kernel, h, by):
    if kernel.ndim == 2:
        return (by @ kernel.T).reshape(h.shape)
    total, (_, height, width, _) = np.zeros_like(h), by.shape
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            total[:, i : i + height, j : j + width] += by @ kernel[i, j].T
    return total
