"""The convolutional network of the paper; depth, width, strides and normalisation are arguments."""

from collections.abc import Sequence

import gin

from tfplastic._checks import check_one_of, check_positive, check_seed
from tfplastic._keras import keras
from tfplastic.networks import _parts, _size


@gin.register(module="tfplastic.networks")
def cnn(
    num_outputs: int | Sequence[int],
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    seed: int = 0,
    filters: Sequence[int] = (64, 64),
    kernel_sizes: Sequence[int] = (5, 3),
    strides: Sequence[int] = (1, 1),
    padding: str = "same",
    hidden: Sequence[int] = (256, 256),
    norm: str | None = None,
    norm_position: str = "before",
    norm_epsilon: float = 1e-5,
    norm_affine: bool = True,
    activation: str = "relu",
    initializer: str = "lecun_normal",
    spectral_norm_layers: Sequence[str] = (),
    width: float = 1.0,
    dtype: str | None = None,
    monitor: bool = False,
) -> keras.Model:
    """Builds conv 64@5 -> conv 64@3 -> dense 256 -> dense 256 -> linear, the CNN of Lyle et al. 2023, A.2.

    The layers are named `conv1`, `conv2`, `hidden1`, `hidden2` and `output`; the normalisation and the
    nonlinearity of each hidden layer are layers of their own (`conv1_norm`, `conv1_relu`), so that
    diagnostics see them by name. There is no pooling. A form that is about 50 times cheaper to train has
    `filters=(16, 16)`, `strides=(2, 2)` and `hidden=(64,)`.

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        input_shape: `(height, width, channels)`; CIFAR-10's by default.
        seed: root seed of the initial weights. Same seed, same weights.
        filters: channels of each convolution.
        kernel_sizes: pixels of each convolution, high and wide; as many as `filters`.
        strides: pixels of each convolution; as many as `filters`. The paper gives none.
        padding: `'same'` or `'valid'` for every convolution. The paper gives none.
        hidden: units of each fully connected hidden layer.
        norm: None; `'layer'`: LayerNormalization over all features of an example (height, width and channels
            for a convolution), with a gain and an offset for each; `'batch'`: BatchNormalization of each
            channel with Keras' momentum of 0.99; `'rms'`: `RMSNormalization` over all features, with a gain
            for each. The paper adds layer normalisation after each convolution and fully connected layer.
        norm_position: `'before'` the nonlinearity or `'after'` it. The paper leaves it open; the same authors
            specify "before" in Lyle et al. 2024.
        norm_epsilon: added to the variance, or the mean of squares. Not given in the paper; 1e-5 is the
            default of Haiku, its framework.
        norm_affine: whether the normalisation has trainable gains and offsets. The paper does not say; Haiku
            asks for a choice.
        activation: name of a Keras activation for the hidden layers.
        initializer: name of a Keras initialiser for the kernels; biases start at zero. Or `'pytorch'`:
            kernels and biases uniform in +-1/sqrt(fan-in), as in PyTorch's `Linear` and `Conv2d`. The paper
            names none; LeCun's truncated normal with zero biases is Haiku's default.
        spectral_norm_layers: names of the hidden layers whose kernel is divided by its largest singular
            value, as in `SpectralDense` and `SpectralConv2D`, where the matrix of a convolution's kernel is
            given; call `tfplastic.layers.advance` between steps. Lyle et al. 2023, section 6.2, normalise
            "the first linear layer", which may be `('hidden1',)` or `('conv1',)`.
        width: multiplies the channels and units of every hidden layer; at least one is left.
        dtype: Keras' policy of the layers, such as `'mixed_bfloat16'` to compute in bfloat16 with float32
            weights; None for Keras' global policy. The outputs have the dtype of the weights.
        monitor: whether an `ActivationMonitor` follows each nonlinearity, `conv1_monitor` and so on.
            Outputs and all other weights stay the same, bit for bit, in the graph and in eager code.

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
    output_shape = _parts.check_output_shape(num_outputs)
    check_seed("seed", seed)
    check_positive("width", width)
    convolutions = _check_convolutions(filters, kernel_sizes, strides)
    check_one_of("padding", padding, ("same", "valid"))
    shape = _parts.check_image_shape("input_shape", input_shape)
    if padding == "valid":
        _check_pixels(shape, convolutions)
    if max(strides, default=1) > max(shape[:2]):
        rule = f"must be at most the {max(shape[:2])} pixels of an image"
        raise ValueError(f"`strides` {rule}. Received: {strides!r}")
    units = [_parts.widened(width, count) for count in _parts.check_counts("hidden", hidden)]
    convolutions = [(_parts.widened(width, count), size, stride) for count, size, stride in convolutions]
    _size.check_size(
        _num_weights(shape, convolutions, padding, [*units, _size.outputs(output_shape)]),
        {
            **{"filters": filters, "kernel_sizes": kernel_sizes, "hidden": hidden, "width": width},
            **{"num_outputs": num_outputs, "input_shape": input_shape},
        },
    )
    head_dtype = _parts.outputs_dtype(dtype)
    names = [f"conv{number}" for number in range(1, len(convolutions) + 1)]
    names += [f"hidden{number}" for number in range(1, len(units) + 1)]
    spectral = _parts.check_layer_names("spectral_norm_layers", spectral_norm_layers, names)
    around = _parts.HiddenLayers(
        norm,
        norm_position,
        norm_epsilon,
        activation,
        dtype=dtype,
        spectral_norm_layers=spectral,
        monitor=monitor,
        norm_affine=norm_affine,
    )

    layers: list[keras.layers.Layer] = [keras.layers.InputLayer(shape, name="inputs")]
    height, width_in_pixels, channels = shape
    for number, (count, kernel_size, stride) in enumerate(convolutions, start=1):
        arguments = (kernel_size, stride, f"conv{number}", initializer, seed, channels)
        channels = count
        layers += around.around(around.convolution(channels, *arguments, padding=padding), rank=4)
        lost = kernel_size - 1 if padding == "valid" else 0
        height, width_in_pixels = (-(-(size - lost) // stride) for size in (height, width_in_pixels))
    layers.append(keras.layers.Flatten(name="flatten", dtype=dtype))
    fan_in = height * width_in_pixels * channels
    layers += _parts.dense_layers(around, units, initializer, seed, fan_in)
    head_weights = _parts.initializers_of(initializer, seed, "output", [fan_in, *units][-1])
    layers += _parts.head(output_shape, head_weights, dtype=head_dtype)
    return keras.Sequential(layers, name="cnn")


def _num_weights(
    shape: tuple[int, int, int],
    convolutions: Sequence[tuple[int, int, int]],
    padding: str,
    units: Sequence[int],
) -> int:
    """Returns the weights of convolutions (channels, kernel size, stride) and the dense layers after them."""
    height, width, channels = shape
    count = 0
    for filters, kernel_size, stride in convolutions:
        count += _size.convolution(kernel_size, channels, filters)
        lost = kernel_size - 1 if padding == "valid" else 0
        height, width = ((size - lost - 1) // stride + 1 for size in (height, width))
        channels = filters
    return count + _size.dense([height * width * channels, *units])


def _check_convolutions(
    filters: Sequence[int], kernel_sizes: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int, int]]:
    arguments = {"filters": filters, "kernel_sizes": kernel_sizes, "strides": strides}
    counts = {name: _parts.check_counts(name, value) for name, value in arguments.items()}
    for name, values in counts.items():
        if len(values) != len(counts["filters"]):
            rule = f"must have one value for each of the {len(counts['filters'])} `filters`"
            raise ValueError(f"`{name}` {rule}. Received: {arguments[name]!r}")
    return list(zip(*counts.values(), strict=True))


def _check_pixels(shape: tuple[int, int, int], convolutions: list[tuple[int, int, int]]) -> None:
    pixels = min(shape[:2])
    for _, kernel_size, stride in convolutions:
        pixels = (pixels - kernel_size) // stride + 1
        if pixels < 1:
            rule = "must leave every convolution with padding 'valid' at least one pixel"
            raise ValueError(f"`input_shape` {rule}. Received: {shape!r}")
