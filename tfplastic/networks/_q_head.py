"""The fully connected part of a Q-network: one stream to the outputs, or two that a dueling layer merges."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tfplastic import seeds
from tfplastic._checks import check_boolean, check_non_negative
from tfplastic._keras import keras
from tfplastic.layers import Dueling, NoisyDense
from tfplastic.networks import _size, parts


@dataclasses.dataclass(frozen=True)
class QHead:
    """The arguments of the builders that are about the fully connected part, and the layers they describe.

    One stream is `dense` -> `output`. With `dueling` there are two, `value_dense` -> `value` and
    `advantage_dense` -> `advantage`, which `dueling` merges.

    Attributes:
        shared_bias: one bias for all outputs instead of one each.
        dueling: whether state values and advantages have streams of their own.
        noise: scale of the noise at the beginning of all layers here, which are `NoisyDense` then; None for
            layers without.
    """

    shared_bias: bool = False
    dueling: bool = False
    noise: float | None = None

    def __post_init__(self) -> None:
        check_boolean("shared_bias", self.shared_bias)
        check_boolean("dueling", self.dueling)
        if self.shared_bias and self.dueling:
            raise ValueError(
                "`shared_bias` must be False with `dueling`, whose value has a bias for all actions. "
                "Received: True"
            )
        if self.noise is not None:
            check_non_negative("noise", self.noise)
            if self.shared_bias:
                raise ValueError("`shared_bias` must be False with `noise`. Received: True")

    def num_weights(
        self, settings: parts.HiddenLayers, fan_in: int, units: int, output_shape: tuple[int, ...]
    ) -> int:
        """Returns the trainable weights of the streams, of `fan_in` inputs and `units` hidden units each."""
        count = 0
        for shape in self._streams(output_shape).values():
            sizes = [fan_in, units, _size.outputs(shape)]
            dense = _size.dense(sizes, settings.features_per_unit)
            count += dense * (1 if self.noise is None else 2) + settings.norm_weights(units)
        return count

    def model(
        self,
        body: Sequence[keras.layers.Layer],
        settings: parts.HiddenLayers,
        fan_in: int,
        units: int,
        output_shape: tuple[int, ...],
        name: str,
    ) -> keras.Model:
        """Returns the network of the layers of `body` and the streams after them.

        Args:
            body: layers from the input layer to the one whose outputs are flat.
            settings: settings of the hidden layers.
            fan_in: number of outputs of `body`.
            units: hidden units of each stream.
            output_shape: shape of the outputs, actions first.
            name: name of the network.
        """
        outputs_dtype = parts.outputs_dtype(settings.dtype)
        if not self.dueling:
            hidden = self._hidden(settings, "dense", fan_in, units)
            features = units * settings.features_per_unit
            weights = parts.uniform_by_fan_in(settings.seed, "output", features)
            head = parts.head(output_shape, weights, self.shared_bias, outputs_dtype)
            if self.noise is not None:  # in place of the linear layer
                head[0] = self._linear(settings, "output", features, math.prod(output_shape), outputs_dtype)
            return keras.Sequential([*body, *hidden, *head], name=name)
        inputs, *others = body
        pixels = x = inputs.output
        for layer in others:
            x = layer(x)
        streams = []
        for stream, shape in self._streams(output_shape).items():
            each = x
            for layer in self._hidden(settings, f"{stream}_dense", fan_in, units):
                each = layer(each)
            features = units * settings.features_per_unit
            layer = self._linear(settings, stream, features, math.prod(shape), outputs_dtype)
            streams.append(layer(each))
        actions, *rest = output_shape
        joined = keras.layers.Concatenate(name="streams", dtype=outputs_dtype)(streams)
        shaped = keras.layers.Reshape((1 + actions, *rest), name="streams_shape", dtype=outputs_dtype)
        values = Dueling(name="dueling", dtype=outputs_dtype)(shaped(joined))
        return keras.Model(pixels, values, name=name)

    def _streams(self, output_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Returns the shape of each stream's outputs, by its name."""
        if not self.dueling:
            return {"output": output_shape}
        return {"value": (1, *output_shape[1:]), "advantage": output_shape}

    def _hidden(
        self, settings: parts.HiddenLayers, name: str, fan_in: int, units: int
    ) -> list[keras.layers.Layer]:
        return settings.around(self._linear(settings, name, fan_in, units, settings.dtype), rank=2)

    def _linear(
        self, settings: parts.HiddenLayers, name: str, fan_in: int, units: int, dtype: str | None
    ) -> keras.layers.Layer:
        arguments: dict[str, Any] = {"name": name, "dtype": dtype}
        arguments |= parts.uniform_by_fan_in(settings.seed, name, fan_in)
        if self.noise is None:
            return keras.layers.Dense(units, **arguments)
        seed = seeds.derive_integer(settings.seed, name, "noise")
        return NoisyDense(units, sigma=self.noise, seed=seed, **arguments)
