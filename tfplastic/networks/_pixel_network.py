"""Q-networks on images: convolutions, one fully connected layer and a linear head."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from tfplastic._checks import check_boolean
from tfplastic._keras import keras
from tfplastic.networks import _size, parts


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
        shared_bias: bool,
        settings: parts.HiddenLayers,
    ) -> keras.Model:
        """Builds the model; weights and biases are uniform in +-1/sqrt(fan_in).

        Args:
            num_outputs: number of outputs, or their shape.
            observation_shape: `(height, width, channels)` of uint8 pixels.
            shared_bias: one bias for all outputs instead of one each.
            settings: settings of the hidden layers.

        Raises:
            ValueError: if a count, size, name or factor is out of its range.
        """
        output_shape = parts.check_output_shape(num_outputs)
        check_boolean("shared_bias", shared_bias)
        shape = parts.check_image_shape("observation_shape", observation_shape, self.smallest_image)

        def num_weights(of: parts.HiddenLayers) -> int:
            return self._num_weights(of, shape, _size.outputs(output_shape))

        settings = settings.trimmed(num_weights)
        _size.check_size(
            num_weights(settings),
            {"width": settings.width, "num_outputs": num_outputs, "observation_shape": observation_shape},
        )
        layers: list[keras.layers.Layer] = [
            keras.layers.InputLayer(shape, dtype="uint8", name="pixels"),
            keras.layers.Rescaling(self.scale, name="rescaling"),
        ]
        height, width, channels = shape
        for number, each in enumerate(self.convolutions, start=1):
            name = f"conv{number}"
            initializers = parts.uniform_by_fan_in(settings.seed, name, each.kernel_size**2 * channels)
            filters = settings.widened(each.filters)
            convolution = keras.layers.Conv2D(
                filters, each.kernel_size, each.stride, name=name, **initializers
            )
            layers += settings.around(convolution, rank=4)
            channels = filters * settings.features_per_unit
            height, width = each.outputs(height), each.outputs(width)
        layers.append(keras.layers.Flatten(name="flatten"))
        initializers = parts.uniform_by_fan_in(settings.seed, "dense", height * width * channels)
        units = settings.widened(self.dense_units)
        layers += settings.around(keras.layers.Dense(units, name="dense", **initializers), rank=2)
        of_output = parts.uniform_by_fan_in(settings.seed, "output", units * settings.features_per_unit)
        layers += parts.head(output_shape, of_output, shared_bias)
        return keras.Sequential(layers, name=self.name)

    def _num_weights(
        self, settings: parts.HiddenLayers, shape: tuple[int, int, int], num_outputs: int
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
        sizes = [height * width * channels, units, num_outputs]
        return count + _size.dense(sizes, settings.features_per_unit) + settings.norm_weights(units)
