"""A small network with each layer of Keras: a row for each, by the name of its class."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Apply = Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer behind a dense one.

    Attributes:
        shape: shape of the network's inputs, which a dense layer turns into as many channels.
        apply: function of `keras.layers` and a tensor of that shape; returns the layer's outputs.
        dtype: float32 where TensorFlow or Keras has no float64; differences are coarse then.
        is_first: whether it takes the network's integers itself, up to 4.
    """

    shape: tuple[int, ...]
    apply: Apply
    dtype: str = "float64"
    is_first: bool = False


def _of(name: str, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Row:
    dtype = "float32" if kwargs.pop("is_single", False) else "float64"
    return Row(shape, lambda layers, x: getattr(layers, name)(*args, **kwargs)(x), dtype)


def _each(names: str, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> dict[str, Row]:
    return {name: _of(name, shape, *args, **kwargs) for name in names.split()}


def _ranks(name: str, *args: Any, **kwargs: Any) -> dict[str, Row]:
    shapes = {1: (4, 2), 2: (4, 4, 2), 3: (2, 2, 2, 2)}
    return {
        name.format(rank): _of(name.format(rank), shape, *args, **kwargs) for rank, shape in shapes.items()
    }


def _merge(name: str, **kwargs: Any) -> dict[str, Row]:
    return {name: Row((3,), lambda layers, x: getattr(layers, name)(**kwargs)([x, x**2 + 0.5]))}


def _with_cell(cell: Callable[[Any], Any]) -> Row:
    return Row((3, 2), lambda layers, x: layers.RNN(cell(layers), unroll=True)(x))


def _first(apply: Apply, shape: tuple[int, ...] = (3,)) -> Row:
    return Row(shape, apply, is_first=True)


def _embedded_and_masked(layers: Any, x: Any) -> Any:
    return layers.SimpleRNN(2)(layers.Embedding(5, 2, mask_zero=True)(x))


def _reversible(layers: Any, x: Any) -> Any:
    layer = layers.ReversibleEmbedding(5, 2)
    return layer(layer(x), reverse=True)


def _normalized(layers: Any, x: Any) -> Any:
    return layers.Normalization(mean=0.1, variance=2.0)(x)


_IMAGE = (6, 6, 3)
ROWS: dict[str, Row] = {
    **_each("Activation", (4,), "tanh"),
    **_each("Dropout AlphaDropout GaussianDropout GaussianNoise", (4,), 0.3),
    **_each("ELU Identity LeakyReLU PReLU ReLU Softmax ThresholdedReLU Flatten", (4,)),
    **_each("ActivityRegularization", (4,), l2=0.1),
    **_each("Dense", (4,), 3, activation="tanh"),
    **_each("BatchNormalization LayerNormalization RMSNormalization UnitNormalization Masking", (4,)),
    "Normalization": Row((4,), _normalized),
    **_each("GroupNormalization", (4, 4), 2),
    **_each("RepeatVector", (4,), 2),
    **_each("Reshape", (4,), (2, 2)),
    **_each("Permute", (3, 2), (2, 1)),
    **_each("Rescaling", (4,), 2.0, 0.1),
    "Lambda": Row((4,), lambda layers, x: layers.Lambda(lambda each: tf.sin(each), output_shape=(4,))(x)),
    **_ranks("Conv{}D", 2, 2, activation="tanh"),
    **_ranks("Conv{}DTranspose", 2, 2, activation="tanh"),
    **{name: row for name, row in _ranks("DepthwiseConv{}D", 2).items() if "3" not in name},
    **{name: row for name, row in _ranks("SeparableConv{}D", 2, 2).items() if "3" not in name},
    **{name: row for name, row in _ranks("LocallyConnected{}D", 2, 2).items() if "3" not in name},
    **_ranks("MaxPooling{}D", 2),
    **_ranks("AveragePooling{}D", 2),
    **_ranks("AdaptiveMaxPooling{}D", 2),
    **_ranks("AdaptiveAveragePooling{}D", 2),
    **_each("MaxPooling3D AveragePooling3D", (2, 2, 2, 2), 2, is_single=True),
    **_each("AdaptiveMaxPooling3D AdaptiveAveragePooling3D", (2, 2, 2, 2), 2, is_single=True),
    **_ranks("GlobalMaxPooling{}D"),
    **_ranks("GlobalAveragePooling{}D"),
    **_ranks("Cropping{}D", 0),
    **_ranks("ZeroPadding{}D"),
    **_ranks("UpSampling{}D"),
    **_ranks("SpatialDropout{}D", 0.3),
    **{
        f"UpSampling2D {kind}": _of("UpSampling2D", (3, 3, 2), interpolation=kind, is_single=True)
        for kind in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    },
    **{
        f"Resizing {kind}": _of("Resizing", (3, 3, 2), 5, 4, interpolation=kind, is_single=True)
        for kind in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    },
    **_each("Resizing", _IMAGE, 4, 5, is_single=True),
    **_each("CenterCrop", _IMAGE, 4, 4),
    **_merge("Add"),
    **_merge("Average"),
    **_merge("Concatenate"),
    **_merge("Dot", axes=1),
    **_merge("Maximum"),
    **_merge("Minimum"),
    **_merge("Multiply"),
    **_merge("Subtract"),
    **_each("SimpleRNN GRU LSTM", (3, 2), 2),
    "GRU before": _of("GRU", (3, 2), 2, reset_after=False, return_sequences=True),
    "SimpleRNNCell": _with_cell(lambda layers: layers.SimpleRNNCell(2)),
    "GRUCell": _with_cell(lambda layers: layers.GRUCell(2)),
    "LSTMCell": _with_cell(lambda layers: layers.LSTMCell(2)),
    "StackedRNNCells": _with_cell(lambda layers: layers.StackedRNNCells([layers.SimpleRNNCell(2)])),
    "RNN": _with_cell(lambda layers: [layers.SimpleRNNCell(2), layers.SimpleRNNCell(1)]),
    **_each("ConvLSTM1D", (2, 3, 2), 2, 2),
    **_each("ConvLSTM2D", (2, 3, 3, 1), 1, 2),
    **_each("ConvLSTM3D", (2, 2, 2, 2, 1), 1, 2),
    "Bidirectional": Row((3, 2), lambda layers, x: layers.Bidirectional(layers.SimpleRNN(2))(x)),
    "TimeDistributed": Row((3, 2), lambda layers, x: layers.TimeDistributed(layers.Dense(2, "tanh"))(x)),
    "SpectralNormalization": Row((4,), lambda layers, x: layers.SpectralNormalization(layers.Dense(3))(x)),
    **{
        name: Row((3, 2), lambda layers, x, name=name: getattr(layers, name)(use_scale=True)([x, x**2]))
        for name in ("Attention", "AdditiveAttention")
    },
    "MultiHeadAttention": Row((3, 2), lambda layers, x: layers.MultiHeadAttention(2, 2)(x, x)),
    "GroupedQueryAttention": Row((3, 2), lambda layers, x: layers.GroupQueryAttention(2, 2, 1)(x, x)),
    **_each("EinsumDense", (3, 2), "abc,cde->abde", output_shape=(3, 2, 2), activation="tanh"),
    "Embedding": _first(lambda layers, x: layers.Embedding(5, 2)(x)),
    "Embedding masked": _first(_embedded_and_masked),
    "ReversibleEmbedding": _first(_reversible),
    "CategoryEncoding": _first(lambda layers, x: layers.CategoryEncoding(5)(x)),
    "IntegerLookup": _first(lambda layers, x: layers.IntegerLookup(vocabulary=[1, 2, 3])(x)),
    "Hashing": _first(lambda layers, x: layers.Hashing(5)(x)),
    "Discretization": Row((4,), lambda layers, x: layers.Discretization([-0.5, 0.0, 0.5])(x)),
    **_each("RandomBrightness RandomContrast RandomRotation RandomZoom", _IMAGE, 0.2),
    "RandomHeight": Row(_IMAGE, lambda layers, x: layers.GlobalMaxPooling2D()(layers.RandomHeight(0.2)(x))),
    "RandomWidth": Row(_IMAGE, lambda layers, x: layers.GlobalMaxPooling2D()(layers.RandomWidth(0.2)(x))),
    **_each("RandomFlip", _IMAGE),
    **_each("RandomCrop", _IMAGE, 6, 6, is_single=True),
    **_each("RandomTranslation", _IMAGE, 0.2, 0.2),
    **_each("RandomColorDegeneration RandomHue RandomSaturation RandomSharpness", _IMAGE, 0.2),
    **_each("AugMix CutMix MixUp RandAugment RandomColorJitter", _IMAGE),
    **_each("RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale", _IMAGE),
    **_each("RandomInvert RandomPerspective Solarization", _IMAGE),
    **_each("AutoContrast", _IMAGE, value_range=(0, 1)),
    **_each("ContrastLimitedAdaptiveHistogramEqualization", (8, 8, 3)),
    **_each("RandomPosterization", _IMAGE, 4),
    **_each("RandomShear", _IMAGE, 0.2, 0.2),
    "Pipeline": Row(_IMAGE, lambda layers, x: layers.Pipeline([layers.RandomFlip()])(x)),
    "MelSpectrogram": _of(
        "MelSpectrogram",
        (16,),
        fft_length=8,
        sequence_stride=4,
        sampling_rate=16,
        num_mel_bins=4,
        min_freq=1,
        max_freq=8,
        is_single=True,
    ),
    "STFTSpectrogram": Row(
        (16, 1),
        lambda layers, x: layers.STFTSpectrogram(frame_length=8, frame_step=4, fft_length=8)(x),
    ),
}

LEFT_OUT = {
    **dict.fromkeys(("AbstractRNNCell", "Layer", "Wrapper", "BaseRandomLayer"), "a base class"),
    "DenseFeatures": "takes columns of features, which tf.data makes",
    "Equalization": "returns the very tensor that it is given, which makes a functional model a cycle",
    "HashedCrossing": "takes pairs of integers or strings without a batch of positions",
    "InputLayer": "in every network",
    "MaxNumBoundingBoxes": "takes boxes, not tensors of activations",
    **dict.fromkeys(("FlaxLayer", "JaxLayer", "TorchModuleWrapper"), "another framework's"),
    "TFSMLayer": "takes a saved model, whose functions were traced before",
    **dict.fromkeys(("StringLookup", "TextVectorization"), "takes strings"),
}


def layer_names(keras: Any) -> list[str]:
    """The names of all layers of `keras`, a class with two names under its own."""
    classes = vars(keras.layers).values()
    return sorted(
        {each.__name__ for each in classes if inspect.isclass(each) and issubclass(each, keras.layers.Layer)}
    )


def rows_of(keras: Any) -> dict[str, Row]:
    """The rows of the layers that `keras` has."""
    names = layer_names(keras)
    return {name: row for name, row in ROWS.items() if name.partition(" ")[0] in names}


def has_loop(name: str) -> bool:
    """Whether the layer of a row is recurrent and not unrolled."""
    return name.startswith(
        ("SimpleRNN", "GRU", "LSTM", "ConvLSTM", "Bidirectional", "Embedding masked")
    ) and (not name.endswith("Cell"))
