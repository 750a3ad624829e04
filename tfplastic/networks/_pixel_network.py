"""Q-networks on images: convolutions, one fully connected layer and a linear head."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from tfplastic._keras import keras
from tfplastic.networks import _size, parts
from tfplastic.networks._q_head import QHead


class Convolution(NamedTuple):
    """Sizes of a convolution without padding.

    Attributes:
        filters: channels of its outputs.
        kernel_size: pixels, high and wide.
        stride: pixels.
    """

    filters: int
    kernel_size: int
    stride: int

    def outputs(self, size: int) -> int:
        """Returns the pixels that it makes of `size` pixels."""
        return (size - self.kernel_size) // self.stride + 1

    def inputs(self, size: int) -> int:
        """Returns the fewest pixels of which it makes `size` pixels."""
        return (size - 1) * self.stride + self.kernel_size


@dataclasses.dataclass(frozen=True)
class PixelNetwork:
    """Sizes of a network pixels -> convolutions `conv1` and so on -> `dense` -> `output`.

    Attributes:
        name: name of the model.
        scale: factor of the pixels.
        convolutions: convolutions, first to last.
        dense_units: units of the fully connected hidden layer.
    """

    name: str
    scale: float
    convolutions: Sequence[Convolution]
    dense_units: int

    @property
    def smallest_image(self) -> int:
        """The fewest pixels of an image, high and wide, of which the convolutions leave one."""
        size = 1
        for convolution in reversed(self.convolutions):
            size = convolution.inputs(size)
        return size

    def build(
        self,
        num_outputs: int | Sequence[int],
        observation_shape: Sequence[int],
        head: QHead,
        settings: parts.HiddenLayers,
    ) -> keras.Model:
        """Builds the model; weights and biases are uniform in +-1/sqrt(fan_in).

        Args:
            num_outputs: number of outputs, or their shape.
            observation_shape: `(height, width, channels)` of uint8 pixels.
            head: form of the fully connected part.
            settings: settings of the hidden layers.

        Raises:
            ValueError: if a count, size, name or factor is out of its range.
        """
        output_shape = parts.check_output_shape(num_outputs)
        shape = parts.check_image_shape("observation_shape", observation_shape, self.smallest_image)

        def num_weights(of: parts.HiddenLayers) -> int:
            return self._num_weights(of, shape, output_shape, head)

        settings = settings.trimmed(num_weights)
        _size.check_size(
            num_weights(settings),
            {"width": settings.width, "num_outputs": num_outputs, "observation_shape": observation_shape},
        )
        layers: list[keras.layers.Layer] = [
            keras.layers.InputLayer(shape, dtype="uint8", name="pixels"),
            keras.layers.Rescaling(self.scale, name="rescaling", dtype=settings.dtype),
        ]
        height, width, channels = shape
        for number, each in enumerate(self.convolutions, start=1):
            name = f"conv{number}"
            arguments: dict[str, Any] = {"name": name, "dtype": settings.dtype}
            arguments |= parts.uniform_by_fan_in(settings.seed, name, each.kernel_size**2 * channels)
            filters = settings.widened(each.filters)
            convolution = keras.layers.Conv2D(filters, each.kernel_size, each.stride, **arguments)
            layers += settings.around(convolution, rank=4)
            channels = filters * settings.features_per_unit
            height, width = each.outputs(height), each.outputs(width)
        layers.append(keras.layers.Flatten(name="flatten", dtype=settings.dtype))
        units = settings.widened(self.dense_units)
        return head.model(layers, settings, height * width * channels, units, output_shape, self.name)

    def _num_weights(
        self,
        settings: parts.HiddenLayers,
        shape: tuple[int, int, int],
        output_shape: tuple[int, ...],
        head: QHead,
    ) -> int:
        height, width, channels = shape
        count = 0
        for each in self.convolutions:
            filters = settings.widened(each.filters)
            count += _size.convolution(each.kernel_size, channels, filters)
            height, width = each.outputs(height), each.outputs(width)
            count += settings.norm_weights(height * width * filters)
            channels = filters * settings.features_per_unit
        units = settings.widened(self.dense_units)
        return count + head.num_weights(settings, height * width * channels, units, output_shape)
