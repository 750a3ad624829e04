"""Small models of every layout of units: where their axis is, and the layers between them and readers."""

from typing import Any

FIRST: dict[str, Any] = {"data_format": "channels_first"}


def _chain(shape, *hidden):
    """From functions of `keras.layers`, each to a layer, to the model."""

    def build(keras):
        x = inputs = keras.Input(shape)
        for each in hidden:
            x = each(keras.layers)(x)
        x = x if len(x.shape) == 2 else keras.layers.Flatten(data_format="channels_last")(x)
        return keras.Model(inputs, keras.layers.Dense(2, name="output")(x))

    return build


def _layer(kind, /, *args, **kwargs):
    return lambda layers: getattr(layers, kind)(*args, **kwargs)


def _conv(name, filters=4, size=2, **kwargs):
    return _layer("Conv2D", filters, size, activation="tanh", name=name, **kwargs)


def _attention(keras):
    layers = keras.layers
    inputs = keras.Input((5, 3))
    x = layers.Dense(4, activation="tanh", name="values")(inputs)
    x = layers.MultiHeadAttention(2, 3, name="heads")(query=inputs, value=x, key=inputs)
    x = layers.Flatten()(layers.Activation("tanh")(x))
    return keras.Model(inputs, layers.Dense(2, name="output")(x))


def _self_attention(keras):
    layers = keras.layers
    inputs = keras.Input((5, 3))
    x = layers.Dense(4, activation="tanh", name="before")(inputs)
    x = layers.MultiHeadAttention(2, 3, name="heads")(x, x)
    return keras.Model(inputs, layers.Dense(2, name="output")(layers.GlobalAveragePooling1D()(x)))


def _of_groups(keras):
    layers = keras.layers
    inputs = keras.Input((5, 3))
    x = layers.GroupQueryAttention(3, 4, 2, name="heads", use_gate=True)(inputs, inputs)
    return keras.Model(inputs, layers.Dense(2, name="output")(layers.Flatten()(x)))


def _states(keras):
    layers = keras.layers
    inputs = keras.Input((None, 3))
    _, hidden, carried = layers.LSTM(3, return_state=True, name="lstm")(inputs)
    x = layers.Concatenate()([hidden, carried])
    return keras.Model(inputs, layers.Dense(2, name="output")(x))


def _two_ways(keras):
    """Channels first, read by a convolution and, put last, by a dense layer."""
    layers = keras.layers
    inputs = keras.Input((2, 5, 6))
    x = layers.Conv2D(3, 2, activation="tanh", name="conv", **FIRST)(inputs)
    left = layers.GlobalMaxPooling2D(**FIRST)(layers.Conv2D(2, 2, name="left", **FIRST)(x))
    right = layers.Dense(3, activation="tanh", name="right")(layers.Permute((2, 3, 1))(x))
    x = layers.Concatenate()([left, layers.Flatten()(right)])
    return keras.Model(inputs, layers.Dense(2, name="output")(x))


# name -> (model, {layer: number of units})
LAYOUTS = {
    "channels first": (
        _chain(
            (2, 7, 6), _conv("one", **FIRST), _layer("MaxPooling2D", 2, **FIRST), _conv("two", 3, **FIRST)
        ),
        {"one": 4, "two": 3},
    ),
    "channels first, flattened last": (
        _chain((2, 5, 6), _conv("one", 3, **FIRST), _layer("Flatten", **FIRST)),
        {"one": 3},
    ),
    "channels first, cut and grown": (
        _chain(
            (2, 6, 6),
            _conv("one", 3, **FIRST),
            _layer("ZeroPadding2D", 1, **FIRST),
            _layer("UpSampling2D", 2, **FIRST),
            _layer("Cropping2D", 2, **FIRST),
            _layer("SpatialDropout2D", 0.5, **FIRST),
            _layer("GlobalAveragePooling2D", keepdims=True, **FIRST),
        ),
        {"one": 3},
    ),
    "batch norm of axis 1": (
        _chain((2, 5, 6), _conv("one", 3, **FIRST), _layer("BatchNormalization", axis=1, name="norm")),
        {"one": 3},
    ),
    "layer norm of axis 1": (
        _chain((2, 5, 6), _conv("one", 3, **FIRST), _layer("LayerNormalization", axis=1, name="norm")),
        {"one": 3},
    ),
    "layer norm of all axes": (
        _chain(
            (2, 5, 6), _conv("one", 3, **FIRST), _layer("LayerNormalization", axis=[1, 2, 3], name="norm")
        ),
        {"one": 3},
    ),
    "layer norm of positions": (  # of a channel's columns: it couples no units, and its scale is of all
        _chain((2, 5, 6), _conv("one", 3, **FIRST), _layer("LayerNormalization", axis=-1, name="norm")),
        {"one": 3},
    ),
    "group norm of axis 1": (
        _chain((2, 5, 6), _conv("one", 4, **FIRST), _layer("GroupNormalization", 4, axis=1, name="norm")),
        {"one": 4},
    ),
    "permuted": (
        _chain((2, 5, 6), _conv("one", 3, **FIRST), _layer("Permute", (2, 3, 1)), _conv("two", 2)),
        {"one": 3, "two": 2},
    ),
    "reshaped": (
        _chain(
            (2, 5, 6),
            _conv("one", 3, **FIRST),
            _layer("Reshape", (3, -1)),
            _layer("Permute", (2, 1)),
            _layer("Dense", 2, name="two"),
        ),
        {"one": 3, "two": 2},
    ),
    "two ways": (_two_ways, {"conv": 3, "left": 2, "right": 3}),
    "one dimension": (
        _chain(
            (2, 7),
            _layer("Conv1D", 3, 2, name="one", **FIRST),
            _layer("Conv1DTranspose", 4, 2, name="two", **FIRST),
            _layer("AveragePooling1D", 2, **FIRST),
        ),
        {"one": 3, "two": 4},
    ),
    "three dimensions": (
        _chain(
            (2, 4, 3, 3),
            _layer("Conv3D", 3, 2, name="one", **FIRST),
            _layer("Conv3DTranspose", 2, 2, name="two", **FIRST),
        ),
        {"one": 3, "two": 2},
    ),
    "depthwise": (
        _chain(
            (6, 5, 2),
            _conv("one", 3),
            _layer("DepthwiseConv2D", 2, depth_multiplier=2, name="depth"),
            _conv("two", 2, 1),
        ),
        {"one": 3, "depth": 6, "two": 2},
    ),
    "depthwise, channels first": (
        _chain(
            (2, 6, 7),
            _conv("one", 3, **FIRST),
            _layer("DepthwiseConv2D", 2, activation="tanh", name="depth", **FIRST),
        ),
        {"one": 3, "depth": 3},
    ),
    "depthwise of one dimension": (
        _chain((6, 3), _layer("DepthwiseConv1D", 2, depth_multiplier=2, name="depth")),
        {"depth": 6},
    ),
    "separable": (
        _chain(
            (6, 5, 2),
            _conv("one", 3),
            _layer("SeparableConv2D", 4, 2, depth_multiplier=2, name="separable"),
        ),
        {"one": 3, "separable": 4},
    ),
    "separable, channels first": (
        _chain(
            (2, 7),
            _layer("Conv1D", 3, 2, name="one", **FIRST),
            _layer("SeparableConv1D", 4, 2, name="separable", **FIRST),
        ),
        {"one": 3, "separable": 4},
    ),
    "groups": (_chain((5, 6, 2), _conv("one", 6), _conv("two", 4, groups=2)), {"one": 6, "two": 4}),
    "groups, channels first": (
        _chain((2, 5, 6), _conv("one", 6, **FIRST), _conv("two", 3, 1, groups=3, **FIRST)),
        {"one": 6, "two": 3},
    ),
    "distributed": (
        _chain(
            (3, 4, 4, 2),
            lambda layers: layers.TimeDistributed(layers.Conv2D(3, 2, name="conv"), name="each"),
            lambda layers: layers.TimeDistributed(layers.Flatten(), name="flat"),
            lambda layers: layers.TimeDistributed(layers.Dense(4, "tanh", name="dense"), name="all"),
        ),
        {"each/conv": 3, "all/dense": 4},
    ),
    "distributed, channels first": (
        _chain(
            (3, 2, 5, 6),
            lambda layers: layers.TimeDistributed(layers.Conv2D(3, 2, name="conv", **FIRST), name="each"),
            lambda layers: layers.TimeDistributed(
                layers.BatchNormalization(axis=1, name="norm"), name="norms"
            ),
            lambda layers: layers.TimeDistributed(layers.GlobalAveragePooling2D(**FIRST), name="pool"),
        ),
        {"each/conv": 3},
    ),
    "recurrent": (
        _chain(
            (None, 2),
            _layer("SimpleRNN", 3, return_sequences=True, name="simple"),
            _layer("GRU", 4, return_sequences=True, name="gru"),
            _layer("GRU", 3, return_sequences=True, reset_after=False, name="before"),
            _layer("LSTM", 3, name="lstm"),
        ),
        {"simple": 3, "gru": 4, "before": 3, "lstm": 3},
    ),
    "states": (_states, {"lstm": 3}),
    "cell": (_chain((None, 2), lambda layers: layers.RNN(layers.LSTMCell(3), name="rnn")), {"rnn": 3}),
    "bidirectional": (
        _chain(
            (None, 2),
            lambda layers: layers.Bidirectional(
                layers.LSTM(3, return_sequences=True, name="lstm"), name="both"
            ),
            lambda layers: layers.Bidirectional(layers.GRU(2, name="gru"), name="ends"),
        ),
        {"both/forward_lstm": 3, "both/backward_lstm": 3, "ends/forward_gru": 2, "ends/backward_gru": 2},
    ),
    "convolutional memory": (
        _chain(
            (None, 2, 4, 4),
            _layer("ConvLSTM2D", 3, 2, name="memory", recurrent_activation="sigmoid", **FIRST),
        ),
        {"memory": 3},
    ),
    "attention": (_attention, {"values": 4, "heads/value": 6, "heads/attention_output": 3}),
    "self-attention": (_self_attention, {"before": 4, "heads/value": 6, "heads/attention_output": 4}),
    "grouped attention": (_of_groups, {"heads/value": 6, "heads/attention_output": 3}),
    "heads": (
        _chain(
            (4, 3),
            _layer("EinsumDense", "abc,cde->abde", (4, 2, 3), "tanh", "de", name="split"),
            _layer("EinsumDense", "abde,def->abf", (4, 4), bias_axes="f", name="joined"),
        ),
        {"split": 6, "joined": 4},
    ),
}


def layouts(keras):
    """The names of those that `keras` can build."""
    missing = [] if hasattr(keras.layers, "GroupQueryAttention") else ["grouped attention"]
    return [name for name in LAYOUTS if name not in missing]
