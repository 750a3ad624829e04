"""ResNet-18 of He et al. 2016; stem, width and normalization are arguments."""

from collections.abc import Sequence
from typing import Any

import gin

from tfplastic._checks import check_one_of
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.networks import _size, parts

# (channels, stride of the first convolution) of the eight blocks of He et al. 2016, Table 1, 18 layers.
_BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
# (kernel size, stride) of the first convolution, and whether max pooling follows.
_STEMS = {"cifar": (3, 1, False), "imagenet": (7, 2, True)}


@gin.register(module="tfplastic.networks")
@shares_arguments(
    parts.HiddenLayers,
    omit=("norms", "norm_position", "norm_affine", "spectral_norm_layers"),
    norm="batch",
    initializer="he_normal",
)
def resnet18(
    num_outputs: int | Sequence[int],
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    stem: str = "cifar",
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds the 18-layer residual network of He et al. 2016, section 4.1, for small images.

    A convolution, eight blocks of two 3x3 convolutions with 64, 64, 128, 128, 256, 256, 512 and 512 channels,
    the mean over all pixels, and a linear layer. A block computes f(h(x) + s(x)): f is the nonlinearity, h is
    convolution, norm, nonlinearity, convolution, norm, and s is the identity or, where the shape changes, a
    1x1 convolution with a norm (option B). The first convolution of blocks 3, 5 and 7 has stride 2. Padding
    is 'same': with stride 2 on an even size, TensorFlow puts one more pixel behind than before the image.
    Lyle et al. 2023, appendix A.2, say "standard ResNet-18" and no more. With an activation of two features
    for each unit, such as `'crelu'`, every shortcut changes the number of channels and is a convolution.

    The layers are named `conv1`, `block1_conv1`, `block1_conv2`, ..., `block3_shortcut`, ... and `output`;
    norms and nonlinearities are layers of their own (`conv1_norm`, `conv1_relu`, `block1_conv1_relu`), as are
    sums and the nonlinearities after them (`block1_add`, `block1_relu`).

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        input_shape: `(height, width, channels)`; CIFAR-10's by default.
        stem: `'cifar'`, a 3x3 convolution with stride 1, as in their section 4.2; or `'imagenet'`, a 7x7
            convolution with stride 2 and 3x3 max pooling with stride 2. Both have 64 channels.
        norm: None; `'batch'`: BatchNormalization of each channel with Keras' momentum of 0.99, as the
            standard has it; `'layer'`: LayerNormalization, or `'rms'`: `RMSNormalization`, over height, width
            and channels, with a gain for each. Convolutions have biases unless a norm with an offset follows.
        norm_epsilon: added to the variance, or the mean of squares. 1e-5 in PyTorch's ResNet-18.
        activation: name of an activation, as in `mlp`.
        initializer: name of a Keras initializer for the kernels; biases start at zero. He et al. 2016 use
            He's normal. Or `'pytorch'`, as in `mlp`.
        settings: settings of the hidden layers, see `HiddenLayers`.

    Returns:
        A `keras.Model` from `[batch, height, width, channels] float32` to `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or factor is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.resnet18(10, seed=0, width=0.125)
        >>> network.output_shape, network.get_layer('block8_conv2').kernel.shape[-1]
        ((None, 10), 64)
    """
    output_shape = parts.check_output_shape(num_outputs)
    shape = parts.check_image_shape("input_shape", input_shape)
    check_one_of("stem", stem, tuple(_STEMS))

    def num_weights(of: parts.HiddenLayers) -> int:
        return _num_weights(of, shape, _STEMS[stem], _size.outputs(output_shape))

    settings = settings.trimmed(num_weights)
    _size.check_size(
        num_weights(settings),
        {"width": settings.width, "num_outputs": num_outputs, "input_shape": input_shape},
    )
    blocks = _Blocks(settings)

    inputs = keras.Input(shape, name="inputs")
    kernel_size, stride, pooled = _STEMS[stem]
    channels = settings.widened(_BLOCKS[0][0])
    x = blocks.convolved(inputs, "conv1", channels, kernel_size, stride)
    x = blocks.nonlinear(x, "conv1")
    if pooled:
        x = keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool", dtype=settings.dtype)(x)
    for number, (count, stride) in enumerate(_BLOCKS, start=1):
        x = blocks.block(x, f"block{number}", settings.widened(count), stride)
    x = keras.layers.GlobalAveragePooling2D(name="pool", dtype=settings.dtype)(x)
    for layer in settings.head(output_shape, x.shape[-1]):
        x = layer(x)
    return keras.Model(inputs, x, name="resnet18")


def _num_weights(
    settings: parts.HiddenLayers,
    shape: tuple[int, int, int],
    stem: tuple[int, int, bool],
    num_outputs: int,
) -> int:
    """Returns the trainable weights for images of a shape."""
    height, width, channels = shape
    kernel_size, stride, pooled = stem
    features, has_bias = settings.features_per_unit, settings.norm not in ("batch", "layer")

    def convolved(size: int, inputs: int, filters: int, stride: int) -> int:
        pixels = 1 if settings.norm == "batch" else -(-height // stride) * -(-width // stride)
        bias = filters if has_bias else 0
        return size**2 * inputs * filters + bias + settings.norm_weights(pixels * filters)

    filters = settings.widened(_BLOCKS[0][0])
    count = convolved(kernel_size, channels, filters, stride)
    shrunk = stride * (2 if pooled else 1)
    height, width, channels = -(-height // shrunk), -(-width // shrunk), filters * features
    for block_filters, stride in _BLOCKS:
        filters = settings.widened(block_filters)
        count += convolved(3, channels, filters, stride) + convolved(3, filters * features, filters, stride)
        if stride > 1 or channels != filters:
            count += convolved(1, channels, filters, stride)
        height, width, channels = -(-height // stride), -(-width // stride), filters * features
    return count + _size.dense([channels, num_outputs])


class _Blocks:
    def __init__(self, around: parts.HiddenLayers):
        self._around = around

    def convolved(self, x: Any, name: str, channels: int, kernel_size: int, stride: int) -> Any:
        """Returns a convolution and its norm."""
        convolution = self._around.convolution(
            channels,
            kernel_size,
            stride,
            name,
            x.shape[-1],
            padding="same",
            use_bias=self._around.norm not in ("batch", "layer"),
        )
        for layer in (convolution, *self._around.normalization(name, rank=4)):
            x = layer(x)
        return x

    def nonlinear(self, x: Any, name: str) -> Any:
        """Returns the nonlinearity after `name`."""
        for layer in self._around.nonlinearity(name):
            x = layer(x)
        return x

    def block(self, x: Any, name: str, channels: int, stride: int) -> Any:
        """Computes f(h(x) + s(x)) as in `resnet18`; s is a convolution where shapes differ."""
        shortcut = x
        if stride > 1 or x.shape[-1] != channels:
            shortcut = self.convolved(x, f"{name}_shortcut", channels, 1, stride)
        x = self.convolved(x, f"{name}_conv1", channels, 3, stride)
        x = self.nonlinear(x, f"{name}_conv1")
        x = self.convolved(x, f"{name}_conv2", channels, 3, 1)
        x = keras.layers.Add(name=f"{name}_add", dtype=self._around.dtype)([x, shortcut])
        return self.nonlinear(x, name)
