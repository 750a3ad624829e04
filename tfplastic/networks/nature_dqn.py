"""The convolutional Q-network of Mnih et al. 2015 (Nature), with normalisation as an argument."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import gin

from tfplastic import seeds
from tfplastic._checks import check_one_of, check_positive, check_positive_integer
from tfplastic._keras import keras
from tfplastic.layers import SharedBias

# (name, channels, kernel size, stride) of Mnih et al. 2015, Methods.
_CONVOLUTIONS = (("conv1", 32, 8, 4), ("conv2", 64, 4, 2), ("conv3", 64, 3, 1))
_DENSE_UNITS = 512
_SMALLEST_IMAGE = 36  # pixels, of which the convolutions leave one


def _layer_norm(name: str, rank: int, epsilon: float) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(axis=list(range(1, rank)), epsilon=epsilon, name=name)


_NORMS: dict[str, Callable[[str, int, float], keras.layers.Layer]] = {"layer": _layer_norm}


@gin.register(module="tfplastic.networks")
def nature_dqn(
    num_outputs: int | Sequence[int],
    observation_shape: Sequence[int] = (84, 84, 4),
    *,
    seed: int,
    norm: str | None = None,
    norm_position: str = "before",
    norm_epsilon: float = 1e-5,
    activation: str = "relu",
    width: float = 1.0,
    shared_bias: bool = False,
) -> keras.Model:
    """Builds pixels / 255 -> conv 32@8/4 -> conv 64@4/2 -> conv 64@3/1 -> dense 512 -> linear.

    The layers are named `conv1`, `conv2`, `conv3`, `dense` and `output`; the normalisation and the
    nonlinearity of each hidden layer are layers of their own (`conv1_norm`, `conv1_relu`), so that
    diagnostics see them by name. Weights and biases are uniform in +-1/sqrt(fan_in), the scheme of DQN's
    first release that DQN Zoo keeps.

    Args:
        num_outputs: number of actions; or a shape such as `(actions, atoms)` for a categorical head.
        observation_shape: `(height, width, channels)` of uint8 pixels in [0, 255]; at least 36 pixels high
            and wide.
        seed: root seed of the initial weights. Same seed, same weights.
        norm: None, or `'layer'`: Keras' LayerNormalization after each hidden layer, over all features of a
            sample (height, width and channels for a convolution), with a gain and an offset per feature. Lyle
            et al. 2023, section 6.3, add layer normalisation "after each hidden layer"; over which axes, and
            whether affine, they leave open.
        norm_position: `'before'` the nonlinearity or `'after'` it. The paper leaves it open; before is what
            the same authors specify in Lyle et al. 2024.
        norm_epsilon: added to the variance. Not given in the paper; 1e-5 is what Haiku, its framework, uses.
        activation: name of a Keras activation for the hidden layers. ReLU in the paper.
        width: multiplies the number of channels and units of every hidden layer; at least one is left.
        shared_bias: one bias for all outputs instead of one each, as Double DQN (tuned) has it (van Hasselt
            et al. 2016; DQN Zoo's `double_q`).

    Returns:
        A `keras.Sequential` from `[batch, height, width, channels] uint8` to `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or factor is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.nature_dqn(6, seed=0, norm='layer')
        >>> network.output_shape
        (None, 6)
    """
    output_shape = _check_output_shape(num_outputs)
    height, width_in_pixels, channels = _check_image_shape(observation_shape)
    check_one_of("norm", norm, (None, *_NORMS))
    check_one_of("norm_position", norm_position, ("before", "after"))
    check_positive("norm_epsilon", norm_epsilon)
    check_positive("width", width)
    _check_activation(activation)

    def widened(count: int) -> int:
        return max(1, round(width * count))

    def hidden(layer: keras.layers.Layer, rank: int) -> list[keras.layers.Layer]:
        nonlinearity = keras.layers.Activation(activation, name=f"{layer.name}_{activation}")
        if norm is None:
            return [layer, nonlinearity]
        normalisation = _NORMS[norm](f"{layer.name}_norm", rank, norm_epsilon)
        if norm_position == "before":
            return [layer, normalisation, nonlinearity]
        return [layer, nonlinearity, normalisation]

    layers: list[keras.layers.Layer] = [
        keras.layers.InputLayer((height, width_in_pixels, channels), dtype="uint8", name="pixels"),
        keras.layers.Rescaling(1 / 255, name="rescaling"),
    ]
    for name, filters, kernel_size, stride in _CONVOLUTIONS:
        fan_in = kernel_size * kernel_size * channels
        channels = widened(filters)
        layers += hidden(
            keras.layers.Conv2D(
                channels, kernel_size, stride, name=name, **_initializers(seed, name, fan_in)
            ),
            4,
        )
        height, width_in_pixels = ((size - kernel_size) // stride + 1 for size in (height, width_in_pixels))
    layers.append(keras.layers.Flatten(name="flatten"))
    fan_in = height * width_in_pixels * channels
    units = widened(_DENSE_UNITS)
    layers += hidden(keras.layers.Dense(units, name="dense", **_initializers(seed, "dense", fan_in)), 2)
    layers += _head(output_shape, shared_bias, seed, units)
    return keras.Sequential(layers, name="nature_dqn")


def _head(
    output_shape: tuple[int, ...], shared_bias: bool, seed: int, fan_in: int
) -> list[keras.layers.Layer]:
    units = math.prod(output_shape)
    initializers = _initializers(seed, "output", fan_in)
    if shared_bias:
        layers = [
            keras.layers.Dense(
                units, use_bias=False, kernel_initializer=initializers["kernel_initializer"], name="output"
            ),
            SharedBias(initializers["bias_initializer"], name="output_bias"),
        ]
    else:
        layers = [keras.layers.Dense(units, name="output", **initializers)]
    if len(output_shape) > 1:
        layers.append(keras.layers.Reshape(output_shape, name="output_shape"))
    return layers


def _initializers(seed: int, name: str, fan_in: int) -> dict[str, keras.initializers.Initializer]:
    bound = fan_in**-0.5
    return {
        kind: keras.initializers.RandomUniform(
            -bound, bound, seed=seeds.derive_integer(seed, "init", name, kind)
        )
        for kind in ("kernel_initializer", "bias_initializer")
    }


def _check_output_shape(num_outputs: Any) -> tuple[int, ...]:
    shape = tuple(num_outputs) if isinstance(num_outputs, Sequence) and num_outputs else (num_outputs,)
    return tuple(check_positive_integer("num_outputs", size) for size in shape)


def _check_image_shape(observation_shape: Any) -> tuple[int, int, int]:
    if not isinstance(observation_shape, Sequence) or len(observation_shape) != 3:
        raise ValueError(
            f"`observation_shape` must be (height, width, channels). Received: {observation_shape!r}"
        )
    height, width, channels = (
        check_positive_integer("observation_shape", size) for size in observation_shape
    )
    if min(height, width) < _SMALLEST_IMAGE:
        raise ValueError(
            f"`observation_shape` must be at least {_SMALLEST_IMAGE} pixels high and wide. "
            f"Received: {observation_shape!r}"
        )
    return height, width, channels


def _check_activation(activation: Any) -> None:
    try:
        known = isinstance(activation, str) and keras.activations.get(activation) is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"`activation` must name a Keras activation. Received: {activation!r}")
