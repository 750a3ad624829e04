"""The convolutional Q-network of Mnih et al. 2015 (Nature), with normalization as an argument."""

from collections.abc import Sequence

import gin

from tfplastic._checks import check_boolean
from tfplastic._keras import keras
from tfplastic._shared_arguments import REQUIRED, shares_arguments
from tfplastic.networks import _parts, _size

# (name, channels, kernel size, stride) of Mnih et al. 2015, Methods.
_CONVOLUTIONS = (("conv1", 32, 8, 4), ("conv2", 64, 4, 2), ("conv3", 64, 3, 1))
_DENSE_UNITS = 512
_SMALLEST_IMAGE = 36  # pixels, of which the convolutions leave one


@gin.register(module="tfplastic.networks")
@shares_arguments(
    _parts.HiddenLayers,
    omit=("norms", "norm_affine", "initializer", "spectral_norm_layers", "dtype"),
    norms=("layer",),
    seed=REQUIRED,
)
def nature_dqn(
    num_outputs: int | Sequence[int],
    observation_shape: Sequence[int] = (84, 84, 4),
    *,
    shared_bias: bool = False,
    settings: _parts.HiddenLayers,
) -> keras.Model:
    """Builds pixels / 255 -> conv 32@8/4 -> conv 64@4/2 -> conv 64@3/1 -> dense 512 -> linear.

    The layers are named `conv1`, `conv2`, `conv3`, `dense` and `output`; the normalization and the
    nonlinearity of each hidden layer are layers of their own (`conv1_norm`, `conv1_relu`), so that
    diagnostics see them by name. Weights and biases are uniform in +-1/sqrt(fan_in), the scheme of DQN's
    first release that DQN Zoo keeps.

    Args:
        num_outputs: number of actions; or a shape such as `(actions, atoms)` for a categorical head.
        observation_shape: `(height, width, channels)` of uint8 pixels in [0, 255]; at least 36 pixels high
            and wide.
        norm: None, or `'layer'`: Keras' LayerNormalization after each hidden layer, over all features of a
            sample (height, width and channels for a convolution), with a gain and an offset per feature. Lyle
            et al. 2023, section 6.3, add layer normalization "after each hidden layer"; over which axes, and
            whether affine, they leave open.
        shared_bias: one bias for all outputs instead of one each, as Double DQN (tuned) has it (van Hasselt
            et al. 2016; DQN Zoo's `double_q`).
        settings: settings of the hidden layers, see `HiddenLayers`.

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
    output_shape = _parts.check_output_shape(num_outputs)
    check_boolean("shared_bias", shared_bias)
    height, width_in_pixels, channels = _parts.check_image_shape(
        "observation_shape", observation_shape, _SMALLEST_IMAGE
    )
    shape = height, width_in_pixels, channels

    def num_weights(of: _parts.HiddenLayers) -> int:
        return _num_weights(of, shape, _size.outputs(output_shape))

    settings = settings.trimmed(num_weights)
    _size.check_size(
        num_weights(settings),
        {"width": settings.width, "num_outputs": num_outputs, "observation_shape": observation_shape},
    )

    layers: list[keras.layers.Layer] = [
        keras.layers.InputLayer((height, width_in_pixels, channels), dtype="uint8", name="pixels"),
        keras.layers.Rescaling(1 / 255, name="rescaling"),
    ]
    for name, filters, kernel_size, stride in _CONVOLUTIONS:
        initializers = _parts.uniform_by_fan_in(settings.seed, name, kernel_size * kernel_size * channels)
        filters = settings.widened(filters)
        convolution = keras.layers.Conv2D(filters, kernel_size, stride, name=name, **initializers)
        layers += settings.around(convolution, rank=4)
        channels = filters * settings.features_per_unit
        height, width_in_pixels = ((size - kernel_size) // stride + 1 for size in (height, width_in_pixels))
    layers.append(keras.layers.Flatten(name="flatten"))
    initializers = _parts.uniform_by_fan_in(settings.seed, "dense", height * width_in_pixels * channels)
    units = settings.widened(_DENSE_UNITS)
    layers += settings.around(keras.layers.Dense(units, name="dense", **initializers), rank=2)
    of_output = _parts.uniform_by_fan_in(settings.seed, "output", units * settings.features_per_unit)
    layers += _parts.head(output_shape, of_output, shared_bias)
    return keras.Sequential(layers, name="nature_dqn")


def _num_weights(settings: _parts.HiddenLayers, shape: tuple[int, int, int], num_outputs: int) -> int:
    """Returns the weights for observations of a shape."""
    height, width, channels = shape
    count = 0
    for _, filters, kernel_size, stride in _CONVOLUTIONS:
        filters = settings.widened(filters)
        count += _size.convolution(kernel_size, channels, filters)
        height, width = ((size - kernel_size) // stride + 1 for size in (height, width))
        count += settings.norm_weights(height * width * filters)
        channels = filters * settings.features_per_unit
    units = settings.widened(_DENSE_UNITS)
    sizes = [height * width * channels, units, num_outputs]
    return count + _size.dense(sizes, settings.features_per_unit) + settings.norm_weights(units)
