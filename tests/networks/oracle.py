"""Forward passes in float64, layer by layer as the layers are named, written from the papers."""

import numpy as np
import scipy.stats

ACTIVATIONS = {
    "gelu": lambda x: x * scipy.stats.norm.cdf(x),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


def weights(model, name):
    return [variable.numpy().astype(np.float64) for variable in model.get_layer(name).variables]


def moving_statistics(model):
    normalizations = [layer for layer in model.layers if "BatchNorm" in type(layer).__name__]
    return [variable for layer in normalizations for variable in layer.non_trainable_variables]


def disturb(model):
    """Moves every weight away from its initial value, so that gains of 1 and offsets of 0 hide nothing."""
    generator = np.random.default_rng(2)
    for variable in model.trainable_variables + moving_statistics(model):
        # Moving variances stay above 0.
        noise = np.abs(generator.normal(scale=0.1, size=variable.shape))
        variable.assign(variable + noise.astype(np.float32))


def assert_uniform(values):
    """Values are like draws from [-1, 1]: within the bounds, and of their mean, variance and reach."""
    assert np.abs(values).max() <= 1 + 1e-6
    assert np.abs(values).max() > 1 - 20 / values.size
    assert abs(values.mean()) < 5 * (3 * values.size) ** -0.5
    # The variance of squares of uniform draws is 4/45.
    assert abs((values**2).mean() - 1 / 3) < 5 * (4 / 45 / values.size) ** 0.5


def convolve(x, kernel, bias, stride, padding):
    """One output pixel after the other. Padding 'same' puts the odd pixel behind, as TensorFlow does."""
    size = kernel.shape[0]
    if padding == "same":
        outputs = [-(-pixels // stride) for pixels in x.shape[1:3]]
        total = [max((out - 1) * stride + size - n, 0) for out, n in zip(outputs, x.shape[1:3], strict=True)]
        x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    rows, columns = ((pixels - size) // stride + 1 for pixels in x.shape[1:3])
    y = np.empty((len(x), rows, columns, kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            patch = x[:, row * stride : row * stride + size, column * stride : column * stride + size]
            y[:, row, column] = np.einsum("nhwc,hwco->no", patch, kernel) + bias
    return y


def largest(x, size):
    """The largest value of each square of pixels; those that fill no square do not count."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    cut = x[:, : rows * size, : columns * size].reshape(len(x), rows, size, columns, size, -1)
    return cut.max(axis=(2, 4))


def normalize(kind, x, variables, epsilon):
    axes = tuple(range(1, x.ndim))
    if len(variables) < {"batch": 4, "layer": 2, "rms": 1}[kind]:  # without gains and offsets
        variables = [1.0, *([0.0] if kind != "rms" else []), *variables]
    if kind == "batch":  # as at inference: gain, offset, moving mean, moving variance
        gain, offset, mean, variance = variables
        return gain * (x - mean) / np.sqrt(variance + epsilon) + offset
    if kind == "rms":
        return variables[0] * x / np.sqrt((x**2).mean(axes, keepdims=True) + epsilon)
    gain, offset = variables
    deviation = x - x.mean(axes, keepdims=True)
    return gain * deviation / np.sqrt((deviation**2).mean(axes, keepdims=True) + epsilon) + offset


def divisor(kernel, bias, u, v):
    return u @ kernel.reshape(-1, kernel.shape[-1]) @ v


def forward(
    model,
    x,
    hidden,
    norm=None,
    norm_position="before",
    norm_epsilon=1e-5,
    activation="relu",
    spectral=(),
    **convolutions,
):
    """The outputs of the model, whose hidden layers are `hidden`, for the inputs `x`.

    `spectral` names the layers whose kernel is divided by u'Wv; `convolutions` has `strides` and `pools`, by
    the name of the layer, and `padding`.
    """
    x = np.asarray(x, np.float64)
    for name in hidden:
        kernel, bias = weights(model, name)[:2]
        if name in spectral:
            kernel = kernel / divisor(*weights(model, name))
        if kernel.ndim == 4:
            x = convolve(x, kernel, bias, convolutions["strides"][name], convolutions["padding"])
        else:
            x = x.reshape(len(x), -1) @ kernel + bias
        if norm and norm_position == "before":
            x = normalize(norm, x, weights(model, f"{name}_norm"), norm_epsilon)
        x = ACTIVATIONS[activation](x)
        if norm and norm_position == "after":
            x = normalize(norm, x, weights(model, f"{name}_norm"), norm_epsilon)
        if kernel.ndim == 4:
            x = largest(x, convolutions.get("pools", {}).get(name, 1))
    kernel, bias = weights(model, "output")
    return (x.reshape(len(x), -1) @ kernel + bias).reshape(len(x), *model.output_shape[1:])
