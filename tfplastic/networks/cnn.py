"""The convolutional network of the paper; depth, width, strides and normalization are arguments."""

from collections.abc import Sequence
from typing import NamedTuple

import gin

from tfplastic._checks import check_one_of
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.networks import _size, parts


@gin.register(module="tfplastic.networks")
@shares_arguments(parts.HiddenLayers, omit=("norms",))
def cnn(
    num_outputs: int | Sequence[int],
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    filters: Sequence[int] = (64, 64),
    kernel_sizes: Sequence[int] = (5, 3),
    strides: Sequence[int] = (1, 1),
    padding: str = "same",
    pool_sizes: Sequence[int] = (),
    hidden: Sequence[int] = (256, 256),
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds conv 64@5 -> conv 64@3 -> dense 256 -> dense 256 -> linear, the CNN of Lyle et al. 2023, A.2.

    The layers are named `conv1`, `conv2`, `hidden1`, `hidden2` and `output`; the normalization and the
    nonlinearity of each hidden layer are layers of their own (`conv1_norm`, `conv1_relu`), so that
    diagnostics see them by name. With `pool_sizes` a max pooling follows each convolution (`conv1_pool`). A
    form that is about 50 times cheaper to train has `filters=(16, 16)`, `strides=(2, 2)` and `hidden=(64,)`.

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        input_shape: `(height, width, channels)`; CIFAR-10's by default.
        filters: channels of each convolution.
        kernel_sizes: pixels of each convolution, high and wide; as many as `filters`.
        strides: pixels of each convolution; as many as `filters`. The paper gives none.
        padding: `'same'` or `'valid'` for every convolution. The paper gives none.
        pool_sizes: pixels of a max pooling after each convolution, high, wide and apart, without padding; as
            many as `filters`, or none. The paper gives none; that of Kumar et al. 2023 has `(2, 2)`.
        hidden: units of each fully connected hidden layer.
        settings: settings of the hidden layers, see `HiddenLayers`.

    Returns:
        A `keras.Sequential` from `[batch, height, width, channels] float32` to
        `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or factor is out of its range, or the convolutions leave no pixel.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.cnn(10, seed=0, filters=(16, 16), strides=(2, 2), hidden=(64,))
        >>> network.output_shape, network.count_params()
        ((None, 10), 69786)
    """
    output_shape = parts.check_output_shape(num_outputs)
    convolutions = _check_convolutions(filters, kernel_sizes, strides, pool_sizes)
    check_one_of("padding", padding, ("same", "valid"))
    shape = parts.check_image_shape("input_shape", input_shape)
    _check_pixels(shape, convolutions, padding, strides, pool_sizes)
    counts = parts.check_counts("hidden", hidden)

    def num_weights(of: parts.HiddenLayers) -> int:
        return _num_weights(of, shape, convolutions, padding, counts, _size.outputs(output_shape))

    settings = settings.trimmed(num_weights)
    units = [settings.widened(count) for count in counts]
    _size.check_size(
        num_weights(settings),
        {
            **{"filters": filters, "kernel_sizes": kernel_sizes, "hidden": hidden, "width": settings.width},
            **{"num_outputs": num_outputs, "input_shape": input_shape},
        },
    )
    names = [f"conv{number}" for number in range(1, len(convolutions) + 1)]
    settings.check_layer_names([*names, *(f"hidden{number}" for number in range(1, len(units) + 1))])

    convolutional, fan_in = _convolutional_layers(settings, shape, names, convolutions, padding)
    layers = [keras.layers.InputLayer(shape, name="inputs"), *convolutional]
    layers += settings.dense_layers(units, fan_in)
    layers += settings.head(output_shape, units[-1] * settings.features_per_unit if units else fan_in)
    return keras.Sequential(layers, name="cnn")


def _convolutional_layers(
    settings: parts.HiddenLayers,
    shape: tuple[int, int, int],
    names: Sequence[str],
    convolutions: Sequence["_Convolution"],
    padding: str,
) -> tuple[list[keras.layers.Layer], int]:
    """Returns the layers up to the flat features, and the number of these."""
    layers: list[keras.layers.Layer] = []
    height, width, channels = shape
    for name, each in zip(names, convolutions, strict=True):
        filters = settings.widened(each.filters)
        convolution = settings.convolution(
            filters, each.kernel_size, each.stride, name, channels, padding=padding
        )
        layers += settings.around(convolution, rank=4)
        if each.pool_size > 1:
            layers.append(
                keras.layers.MaxPooling2D(each.pool_size, name=f"{name}_pool", dtype=settings.dtype)
            )
        channels = filters * settings.features_per_unit
        height, width = (each.pixels_after(size, padding) // each.pool_size for size in (height, width))
    layers.append(keras.layers.Flatten(name="flatten", dtype=settings.dtype))
    return layers, height * width * channels


def _num_weights(
    settings: parts.HiddenLayers,
    shape: tuple[int, int, int],
    convolutions: Sequence["_Convolution"],
    padding: str,
    hidden: Sequence[int],
    num_outputs: int,
) -> int:
    """Returns the weights of convolutions, dense layers and their norms."""
    height, width, channels = shape
    count = 0
    for each in convolutions:
        filters = settings.widened(each.filters)
        count += _size.convolution(each.kernel_size, channels, filters)
        height, width = (each.pixels_after(size, padding) for size in (height, width))
        count += settings.norm_weights(filters if settings.norm == "batch" else height * width * filters)
        height, width = height // each.pool_size, width // each.pool_size
        channels = filters * settings.features_per_unit
    units = [settings.widened(units) for units in hidden]
    sizes = [height * width * channels, *units, num_outputs]
    return count + _size.dense(sizes, settings.features_per_unit) + settings.norm_weights(sum(units))


class _Convolution(NamedTuple):
    filters: int
    kernel_size: int
    stride: int
    pool_size: int

    def pixels_after(self, pixels: int, padding: str) -> int:
        """Returns the pixels of a side after the convolution, before the pooling."""
        lost = self.kernel_size - 1 if padding == "valid" else 0
        return (pixels - lost - 1) // self.stride + 1


def _check_convolutions(
    filters: Sequence[int], kernel_sizes: Sequence[int], strides: Sequence[int], pool_sizes: Sequence[int]
) -> list[_Convolution]:
    arguments = {
        "filters": filters,
        "kernel_sizes": kernel_sizes,
        "strides": strides,
        "pool_sizes": pool_sizes,
    }
    counts = {name: parts.check_counts(name, value) for name, value in arguments.items()}
    counts["pool_sizes"] = counts["pool_sizes"] or (1,) * len(counts["filters"])
    for name, values in counts.items():
        if len(values) != len(counts["filters"]):
            rule = f"must have one value for each of the {len(counts['filters'])} `filters`"
            raise ValueError(f"`{name}` {rule}. Received: {arguments[name]!r}")
    return [_Convolution(*each) for each in zip(*counts.values(), strict=True)]


def _check_pixels(
    shape: tuple[int, int, int],
    convolutions: Sequence[_Convolution],
    padding: str,
    strides: Sequence[int],
    pool_sizes: Sequence[int],
) -> None:
    for name, values in {"strides": strides, "pool_sizes": pool_sizes}.items():
        if max(values, default=1) > max(shape[:2]):
            rule = f"must be at most the {max(shape[:2])} pixels of an image"
            raise ValueError(f"`{name}` {rule}. Received: {values!r}")
    pixels = min(shape[:2])
    for each in convolutions:
        pixels = each.pixels_after(pixels, padding)
        if pixels < 1:
            rule = "must leave every convolution with padding 'valid' at least one pixel"
            raise ValueError(f"`input_shape` {rule}. Received: {shape!r}")
        pixels //= each.pool_size
        if pixels < 1:
            rule = "must leave every max pooling at least one pixel"
            raise ValueError(f"`input_shape` {rule}. Received: {shape!r}")
