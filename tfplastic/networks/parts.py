"""Shared parts of the network builders: hidden layers with normalization, the head, initial weights."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from tfplastic import seeds
from tfplastic._checks import (
    check_boolean,
    check_one_of,
    check_positive,
    check_positive_integer,
    check_seed,
)
from tfplastic._keras import keras
from tfplastic.layers import (
    ActivationMonitor,
    RMSNormalization,
    SharedBias,
    SpectralConv2D,
    SpectralDense,
    SteppedDropout,
)
from tfplastic.networks.activations import activation_layer, check_activation, features_per_unit
from tfplastic.networks.image_sizes import TooSmallImageError

Initializers = dict[str, keras.initializers.Initializer]

POLICIES = (None, "float32", "mixed_bfloat16", "mixed_float16", "float64")
_INITIALIZERS = (
    *("lecun_normal", "lecun_uniform", "he_normal", "he_uniform"),
    *("glorot_normal", "glorot_uniform", "orthogonal"),
    "kaiming_uniform",
    "pytorch",
)
_GAINS = {"tanh": 5 / 3, "sigmoid": 1.0, "linear": 1.0, "pytorch_leaky_relu": math.sqrt(2 / (1 + 0.01**2))}


def _layer_norm(rank: int, affine: bool, **arguments: Any) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(list(range(1, rank)), center=affine, scale=affine, **arguments)


def _batch_norm(rank: int, affine: bool, **arguments: Any) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(center=affine, scale=affine, **arguments)


def _rms_norm(rank: int, affine: bool, **arguments: Any) -> keras.layers.Layer:
    return RMSNormalization(list(range(1, rank)), scale=affine, **arguments)


NORMS: dict[str, Callable[..., keras.layers.Layer]] = {
    "layer": _layer_norm,
    "batch": _batch_norm,
    "rms": _rms_norm,
}


@dataclasses.dataclass(frozen=True)
class HiddenLayers:
    """The arguments that the builders share, and the hidden layers that they describe.

    Each hidden layer gets a normalization and a nonlinearity, which are layers of their own.

    Attributes:
        seed: root seed of the initial weights. Same seed, same weights.
        norm: None; `'layer'`: LayerNormalization over all features of an example, with a gain and an offset
            for each; `'batch'`: BatchNormalization of each unit or channel, with Keras' momentum of 0.99;
            `'rms'`: `RMSNormalization` over all features of an example, with a gain for each. Features of a
            convolution are its height, width and channels. Lyle et al. 2023 ("the paper") add layer
            normalization after each convolution and fully connected layer.
        norm_position: `'before'` the nonlinearity or `'after'` it. The paper leaves it open; the same authors
            specify "before" in Lyle et al. 2024.
        norm_epsilon: added to the variance, or the mean of squares. Not given in the paper; 1e-5 is the
            default of Haiku, its framework.
        norm_affine: whether the normalization has trainable gains and offsets. The paper does not say; Haiku
            asks for a choice.
        activation: name of a Keras activation for the hidden layers, or of a layer of this library:
            `'crelu'` (`CReLU`), `'deep_fourier'` (`DeepFourier`) or `'rational'` (`Rational`), or
            `'pytorch_leaky_relu'` with PyTorch's slope of 0.01 below zero. ReLU in the paper. With the first
            two, the next layer has two inputs for each unit.
        initializer: name of a Keras initializer for the kernels; biases start at zero. Or `'pytorch'`:
            kernels and biases uniform in +-1/sqrt(fan-in), as in PyTorch's `Linear` and `Conv2d`. Or
            `'kaiming_uniform'`: kernels uniform in +-gain sqrt(3/fan-in), with the gain that Dohare et al.
            2024 have from PyTorch: 5/3 for tanh, 1 for sigmoid and the outputs, else that of ReLU, sqrt(2).
            The paper names none; LeCun's truncated normal with zero biases is Haiku's default.
        spectral_norm_layers: names of the hidden layers whose kernel is divided by its largest singular
            value, as in `SpectralDense` and `SpectralConv2D`, where the matrix of a convolution's kernel is
            given; call `tfplastic.layers.advance` between steps. Lyle et al. 2023, section 6.2, normalize
            "the first linear layer", which may be `('hidden1',)` or `('conv1',)`.
        width: factor of the channels and units of every hidden layer; at least one remains. 1 to 16 in the
            paper's Fig. 5.
        trim_width: whether all hidden layers are narrowed by one factor, the largest at which the network has
            no more trainable weights than with ReLU; for activations with two features for each unit. Kumar
            et al. 2023, "Maintaining plasticity in continual learning via regenerative regularization", trim
            CReLU so.
        dtype: Keras' policy of the layers, such as `'mixed_bfloat16'` to compute in bfloat16 with float32
            weights; None for Keras' global policy. The outputs have the dtype of the weights.
        monitor: whether an `ActivationMonitor` follows each nonlinearity, `<layer>_monitor`. Outputs and all
            other weights stay the same, bit for bit, in the graph and in eager code.
        norms: the names that `norm` may have.
    """

    _: dataclasses.KW_ONLY
    seed: int = 0
    norm: str | None = None
    norm_position: str = "before"
    norm_epsilon: float = 1e-5
    norm_affine: bool = True
    activation: str = "relu"
    initializer: str = "lecun_normal"
    spectral_norm_layers: Sequence[str] = ()
    width: float = 1.0
    trim_width: bool = False
    dtype: str | None = None
    monitor: bool = False
    norms: Sequence[str] = tuple(NORMS)

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)
        check_one_of("norm", self.norm, (None, *self.norms))
        check_one_of("norm_affine", self.norm_affine, (True, False))
        check_one_of("norm_position", self.norm_position, ("before", "after"))
        check_positive("norm_epsilon", self.norm_epsilon)
        check_activation(self.activation)
        check_one_of("initializer", self.initializer, _INITIALIZERS)
        check_positive("width", self.width)
        check_boolean("trim_width", self.trim_width)
        check_one_of("dtype", self.dtype, POLICIES)
        check_boolean("monitor", self.monitor)

    def check_layer_names(self, hidden: Sequence[str]) -> None:
        """Checks that `spectral_norm_layers` is a sequence of names that are all among `hidden`.

        Raises:
            ValueError: it is not.
        """
        chosen: Any = self.spectral_norm_layers
        if isinstance(chosen, str) or not isinstance(chosen, Sequence) or not set(chosen) <= set(hidden):
            known = ", ".join(map(repr, hidden)) or "none"
            raise ValueError(
                "`spectral_norm_layers` must be a sequence of names of hidden layers: "
                f"{known}. Received: {chosen!r}"
            )

    def widened(self, count: int) -> int:
        """Returns `count` units or channels times `width`, at least one."""
        return widened(self.width, count)

    @property
    def features_per_unit(self) -> int:
        """Returns the number of outputs of the nonlinearity for each unit, 1 or 2."""
        return features_per_unit(self.activation)

    @property
    def gain(self) -> float:
        """Returns the gain of the nonlinearity, for `'kaiming_uniform'`."""
        return _GAINS.get(self.activation, math.sqrt(2))

    def trimmed(self, num_weights: Callable[["HiddenLayers"], int]) -> "HiddenLayers":
        """Returns the settings with the width that `trim_width` requests.

        Args:
            num_weights: trainable weights of the network, but for a constant, with given settings; it grows
                with the width.
        """
        if not self.trim_width:
            return self
        most = num_weights(dataclasses.replace(self, activation="relu"))
        if num_weights(self) <= most:
            return self
        fits, exceeds = 0.0, 1.0
        for _ in range(50):  # halves the interval down to the spacing of floats
            factor = (fits + exceeds) / 2
            narrowed = dataclasses.replace(self, width=self.width * factor)
            fits, exceeds = (factor, exceeds) if num_weights(narrowed) <= most else (fits, factor)
        return dataclasses.replace(self, width=self.width * (fits or exceeds))

    def norm_weights(self, entries: int) -> int:
        """Returns the trainable weights of the normalization of a layer.

        Args:
            entries: gains that it has before the nonlinearity.
        """
        if self.norm is None or not self.norm_affine:
            return 0
        features = 1 if self.norm_position == "before" else self.features_per_unit
        return entries * features * (1 if self.norm == "rms" else 2)

    def head(self, output_shape: tuple[int, ...], fan_in: int) -> list[keras.layers.Layer]:
        """Returns the linear layer `output` of `fan_in` inputs, and the shape of its outputs."""
        weights = initializers_of(self.initializer, self.seed, "output", fan_in)
        return head(output_shape, weights, dtype=outputs_dtype(self.dtype))

    def around(self, layer: keras.layers.Layer, rank: int) -> list[keras.layers.Layer]:
        """Returns `layer`, of outputs with `rank` axes, its normalization and nonlinearity, in order."""
        normalization, nonlinearity = self.normalization(layer.name, rank), self.nonlinearity(layer.name)
        if self.norm_position == "before":
            return [layer, *normalization, *nonlinearity]
        return [layer, *nonlinearity, *normalization]

    def normalization(self, name: str, rank: int) -> list[keras.layers.Layer]:
        """Returns the normalization `<name>_norm` of outputs that have `rank` axes, if any."""
        if self.norm is None:
            return []
        make = NORMS[self.norm]
        name = f"{name}_norm"
        return [make(rank, self.norm_affine, epsilon=self.norm_epsilon, name=name, dtype=self.dtype)]

    def nonlinearity(self, name: str) -> list[keras.layers.Layer]:
        """Returns the nonlinearity, called `<name>_relu` or the like, and `<name>_monitor` if wanted."""
        activation = activation_layer(self.activation, name=f"{name}_{self.activation}", dtype=self.dtype)
        monitor = [ActivationMonitor(name=f"{name}_monitor", dtype=self.dtype)] if self.monitor else []
        return [activation, *monitor]

    def dense(self, units: int, name: str, fan_in: int) -> keras.layers.Layer:
        """Returns a fully connected layer of `fan_in` inputs, spectrally normalized if requested."""
        weights = initializers_of(self.initializer, self.seed, name, fan_in, self.gain)
        arguments: dict[str, Any] = {"name": name, "dtype": self.dtype, **weights}
        if name in self.spectral_norm_layers:
            return SpectralDense(units, seed=_initial_seed(self.seed, name, "u"), **arguments)
        return keras.layers.Dense(units, **arguments)

    def dense_layers(self, units: Sequence[int], fan_in: int) -> list[keras.layers.Layer]:
        """Returns the hidden layers `hidden1`, `hidden2` and so on, each with its norm and nonlinearity.

        Args:
            units: units of each.
            fan_in: inputs of the first.
        """
        layers = []
        for number, count in enumerate(units, start=1):
            layers += self.around(self.dense(count, f"hidden{number}", fan_in), rank=2)
            fan_in = count * self.features_per_unit
        return layers

    def convolution(
        self,
        filters: int,
        kernel_size: int,
        strides: int,
        name: str,
        channels: int,
        **arguments: Any,
    ) -> keras.layers.Layer:
        """Returns a convolution of `channels`, spectrally normalized if requested."""
        fan_in = kernel_size * kernel_size * channels
        weights = initializers_of(self.initializer, self.seed, name, fan_in, self.gain)
        arguments |= {"name": name, "dtype": self.dtype, **weights}
        if name in self.spectral_norm_layers:
            u_seed = _initial_seed(self.seed, name, "u")
            return SpectralConv2D(filters, kernel_size, strides, seed=u_seed, **arguments)
        return keras.layers.Conv2D(filters, kernel_size, strides, **arguments)


def outputs_dtype(policy: str | None) -> str:
    """Returns the dtype of the variables of Keras' policy of that name, of the global one if None."""
    found = keras.mixed_precision.Policy(policy) if policy else keras.mixed_precision.global_policy()
    return found.variable_dtype


def head(
    output_shape: tuple[int, ...], initializers: Initializers, shared_bias: bool = False, dtype: Any = None
) -> list[keras.layers.Layer]:
    """Returns the linear layer `output`, with one bias for each output or one for all, and their shape."""
    units = math.prod(output_shape)
    if shared_bias:
        kernel, bias = initializers["kernel_initializer"], initializers["bias_initializer"]
        layers = [
            keras.layers.Dense(units, use_bias=False, kernel_initializer=kernel, name="output", dtype=dtype),
            SharedBias(bias, name="output_bias", dtype=dtype),
        ]
    else:
        layers = [keras.layers.Dense(units, name="output", dtype=dtype, **initializers)]
    if len(output_shape) > 1:
        layers.append(keras.layers.Reshape(output_shape, name="output_shape", dtype=dtype))
    return layers


def uniform_by_fan_in(seed: int, name: str, fan_in: int) -> Initializers:
    """Returns kernel and bias uniform in +-1/sqrt(fan_in), by the seed of the layer `name`."""
    bound = fan_in**-0.5
    return {
        kind: keras.initializers.RandomUniform(-bound, bound, seed=_initial_seed(seed, name, kind))
        for kind in ("kernel_initializer", "bias_initializer")
    }


def initializers_of(initializer: str, seed: int, name: str, fan_in: int, gain: float = 1.0) -> Initializers:
    """Returns Keras' initializer of that name with the seed of the layer `name`, and a bias of zeros.

    `'pytorch'` is the default of PyTorch's `Linear` and `Conv2d`: the kernel is drawn by
    kaiming_uniform(a=sqrt(5)), whose bound sqrt(6 / ((1 + a^2) fan_in)) is 1/sqrt(fan_in), the bias'.
    """
    if initializer == "pytorch":
        return uniform_by_fan_in(seed, name, fan_in)
    kind = "kernel_initializer"
    if initializer == "kaiming_uniform":
        bound = gain * math.sqrt(3 / fan_in)
        kernel = keras.initializers.RandomUniform(-bound, bound, seed=_initial_seed(seed, name, kind))
        return {kind: kernel, "bias_initializer": keras.initializers.Zeros()}
    config = {"class_name": initializer, "config": {"seed": _initial_seed(seed, name, kind)}}
    return {kind: keras.initializers.get(config), "bias_initializer": keras.initializers.Zeros()}


def normal(standard_deviation: float, seed: int, name: str) -> keras.initializers.Initializer:
    """Returns an initializer of normal values around zero, by the seed of the layer `name`."""
    return keras.initializers.RandomNormal(0.0, standard_deviation, _initial_seed(seed, name, "initializer"))


def dropout(rate: float, seed: int, name: str, dtype: Any) -> keras.layers.Layer:
    """Returns the layer `<name>_dropout`, which has a seed of its own."""
    name = f"{name}_dropout"
    return SteppedDropout(rate, seeds.derive_integer(seed, name), name=name, dtype=dtype)


def check_output_shape(num_outputs: Any) -> tuple[int, ...]:
    """Returns `num_outputs`, a count or a shape, as a shape."""
    shape = tuple(num_outputs) if isinstance(num_outputs, Sequence) and num_outputs else (num_outputs,)
    return tuple(check_positive_integer("num_outputs", size) for size in shape)


def check_image_shape(name: str, shape: Any, smallest: int = 1) -> tuple[int, int, int]:
    """Returns `shape` if it is (height, width, channels) of at least `smallest` pixels high and wide."""
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise ValueError(f"`{name}` must be (height, width, channels). Received: {shape!r}")
    height, width, channels = (check_positive_integer(name, size) for size in shape)
    if min(height, width) < smallest:
        raise TooSmallImageError(name, smallest, shape)
    return height, width, channels


def check_counts(name: str, counts: Any, fewest: int = 0) -> tuple[int, ...]:
    """Returns `counts` if it is a sequence of at least `fewest` integers of at least 1."""
    if not isinstance(counts, Sequence) or isinstance(counts, str):
        raise ValueError(f"`{name}` must be a sequence of integers. Received: {counts!r}")
    if len(counts) < fewest:
        raise ValueError(f"`{name}` must have at least {fewest} entry. Received: {counts!r}")
    return tuple(check_positive_integer(name, count) for count in counts)


def widened(width: float, count: int) -> int:
    """Returns `count` units or channels times `width`, at least one."""
    return max(1, round(width * count))


def _initial_seed(seed: int, name: str, kind: str) -> int:
    return seeds.derive_integer(seed, "init", name, kind)
