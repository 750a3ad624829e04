import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import networks
from tfplastic.diagnostics import Normalization, Slice, Snapshot, UnitMap, Units

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
MLP = {"activation": "tanh", "hidden": (6, 5), "input_shape": (3, 2)}
CNN = {"activation": "tanh", "filters": (3, 4), "hidden": (5, 4), "input_shape": (7, 6, 2)}
NATURE = {"activation": "tanh", "observation_shape": (36, 40, 1), "width": 0.1, "seed": 0}
RESNET = {"activation": "tanh", "width": 0.06, "input_shape": (8, 8, 2)}
VIT = {"activation": "tanh", "model_dim": 8, "feed_forward_dim": 10, "num_heads": 2, "input_shape": (6, 6, 2)}
BLOCKS = [f"block{number}_conv1" for number in range(1, 9)]
# name -> (network, the layers whose units are in the map)
NETWORKS = {
    "mlp": (lambda: networks.mlp(3, **MLP), ["hidden1", "hidden2"]),
    "mlp_layer": (lambda: networks.mlp(3, norm="layer", **MLP), ["hidden1", "hidden2"]),
    "mlp_rms_after": (
        lambda: networks.mlp(3, norm="rms", norm_position="after", **MLP),
        ["hidden1", "hidden2"],
    ),
    "mlp_spectral": (
        lambda: networks.mlp(3, spectral_norm_layers=("hidden1",), **MLP),
        ["hidden1", "hidden2"],
    ),
    "mlp_monitor": (lambda: networks.mlp(3, monitor=True, **MLP), ["hidden1", "hidden2"]),
    "cnn": (lambda: networks.cnn((3, 2), **CNN), ["conv1", "conv2", "hidden1", "hidden2"]),
    "cnn_batch_after": (
        lambda: networks.cnn(3, norm="batch", norm_position="after", **CNN),
        ["conv1", "conv2", "hidden1", "hidden2"],
    ),
    "cnn_layer": (lambda: networks.cnn(3, norm="layer", **CNN), ["conv1", "conv2", "hidden1", "hidden2"]),
    "cnn_rms": (lambda: networks.cnn(3, norm="rms", **CNN), ["conv1", "conv2", "hidden1", "hidden2"]),
    "cnn_spectral": (
        lambda: networks.cnn(3, spectral_norm_layers=("conv1", "conv2"), **CNN),
        ["conv1", "conv2", "hidden1", "hidden2"],
    ),
    "nature_dqn": (
        lambda: networks.nature_dqn(3, shared_bias=True, **NATURE),
        ["conv1", "conv2", "conv3", "dense"],
    ),
    "nature_dqn_layer": (
        lambda: networks.nature_dqn((3, 4), norm="layer", **NATURE),
        ["conv1", "conv2", "conv3", "dense"],
    ),
    "resnet18": (lambda: networks.resnet18(3, norm="batch", **RESNET), BLOCKS),
    "resnet18_none": (lambda: networks.resnet18(3, norm=None, **RESNET), BLOCKS),
    "vit": (lambda: networks.vit(3, **VIT), ["block1_hidden"]),
    "vit_token_after": (
        lambda: networks.vit(3, norm_position="after", pooling="token", **VIT),
        ["block1_hidden"],
    ),
}


def conv_and_dense(keras):
    """Pooling of both kinds, two readers of one layer, a concatenation, a global pooling, a PReLU."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, activation="tanh", name="first")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.ZeroPadding2D(1)(x)
    left = layers.AveragePooling2D(2)(layers.Conv2D(4, 3, padding="same", name="left")(x))
    left = layers.PReLU(alpha_initializer="ones")(left)
    left = layers.Flatten()(layers.Permute((3, 1, 2))(left))
    right = layers.Conv2DTranspose(2, 3, strides=2, name="right", use_bias=False)(x)
    right = layers.GlobalAveragePooling2D()(layers.Activation("tanh")(right))
    merged = layers.Dropout(0.3)(layers.Concatenate()([left, right]))
    outputs = layers.Dense(2, name="output")(layers.Dense(5, activation="tanh", name="joined")(merged))
    return keras.Model(inputs, outputs)


def nested_and_shared(keras):
    """A tower within a model, called on two inputs; a nonlinearity that serves twice."""
    layers = keras.layers
    nonlinearity = layers.Activation("tanh", name="tanh")
    piece = keras.Input((4,))
    deep = layers.Dense(2, name="tower2")(nonlinearity(layers.Dense(3, name="tower1")(piece)))
    tower = keras.Sequential([keras.Model(piece, deep, name="inner")], name="tower")
    inputs = keras.Input((4,))
    other = keras.Input((4,))
    both = layers.Concatenate()([tower(inputs), tower(other)])
    hidden = layers.BatchNormalization(name="norm")(nonlinearity(both))
    return keras.Model([inputs, other], layers.Dense(2, name="output")(hidden))


def sequence(keras):
    """Convolutions over time, cut and repeated, group normalization of single channels."""
    layers = keras.layers
    group_norm = [layers.GroupNormalization(4, name="norm")] if hasattr(layers, "GroupNormalization") else []
    return keras.Sequential(
        [
            keras.Input((9, 2)),
            layers.Conv1D(4, 3, name="first"),
            *group_norm,
            layers.Activation("tanh"),
            layers.Cropping1D(1),
            layers.UpSampling1D(2),
            layers.Conv1D(3, 2, dilation_rate=2, activation="tanh", name="second"),
            layers.Reshape((2, -1)),
            layers.Flatten(),
            layers.Dense(3, activation="tanh", name="third"),
            layers.RepeatVector(2),
            layers.Dense(2, name="output"),
        ]
    )


KERAS_MODELS = {
    "conv_and_dense": (conv_and_dense, ["first", "left", "right", "joined"]),
    "nested_and_shared": (nested_and_shared, ["tower/inner/tower1", "tower/inner/tower2"]),
    "sequence": (sequence, ["first", "second", "third"]),
    "cnn": (models.cnn, ["conv1", "conv2", "dense"]),
    "stateful": (models.stateful, ["dense"]),
}


def randomized(model, seed=0):
    """The model with weights that make every unit count, and its inputs."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        variable.assign(scale * generator.standard_normal(variable.shape) + 0.3 * (len(variable.shape) == 1))
    shapes = [tuple(tensor.shape)[1:] for tensor in model.inputs]
    inputs = [generator.standard_normal((3, *shape)).astype("float32") for shape in shapes]
    if "int" in str(model.inputs[0].dtype):
        inputs = [np.clip(128 + 50 * each, 0, 255).astype("uint8") for each in inputs]
    return model, inputs if len(inputs) > 1 else inputs[0]


def outputs_of(model, layer, inputs):
    """The outputs of each call of `layer`, and of the model: `[calls, ...]`, `[...]`."""
    calls, original = [], layer.call
    vars(layer)["call"] = lambda *args, **kwargs: calls.append(original(*args, **kwargs)) or calls[-1]
    try:
        result = np.array(model(inputs, training=False))
    finally:
        del vars(layer)["call"]
    return np.array([np.array(call) for call in calls]), result


def value(variable):
    return tf.convert_to_tensor(variable).numpy()


def changed_units(one, other):
    """The units, on the last axis, that are not the same bits everywhere."""
    return np.unique(np.nonzero(one != other)[-1]).tolist()


def disturb(part, unit, others=False):
    """Adds noise to the weights of `unit`, or to everything else."""
    mask = part.mask(np.arange(max(part.num_units, unit + 1)) == unit).numpy() ^ others
    noise = np.random.default_rng(3).uniform(0.5, 1.0, part.variable.shape)
    part.variable.assign(value(part.variable) + mask * noise)


def silence(units, unit):
    for part in units.outgoing:
        chosen = np.arange(units.num_units) == unit
        part.variable.assign(np.where(part.mask(chosen), 0.0, value(part.variable)))


def check_units(model, inputs, expected):
    """The map of `model`, unit by unit, by the changes that follow those of weights."""
    unit_map = UnitMap(model)
    assert list(unit_map) == expected
    generator = np.random.default_rng(7)
    weights = model.get_weights()
    for name, units in unit_map.items():
        layer = next(each for each in model._flatten_layers() if each.name == name.rpartition("/")[2])
        spectral = "Spectral" in type(layer).__name__
        before, outputs = outputs_of(model, layer, inputs)
        assert units.num_units == before.shape[-1]
        unit = int(generator.integers(units.num_units))
        parts = [] if spectral else [units.incoming]
        parts += [units.bias] if units.bias else []
        for part in parts:
            disturb(part, unit)
        after, changed_outputs = outputs_of(model, layer, inputs)
        assert changed_units(before, after) == [unit]
        assert np.abs(changed_outputs - outputs).max() > 0
        model.set_weights(weights)
        for part in parts:
            disturb(part, unit, others=True)
        after, _ = outputs_of(model, layer, inputs)
        assert changed_units(before, after) == [each for each in range(units.num_units) if each != unit]
        model.set_weights(weights)
        check_outgoing(model, inputs, units, unit, parts)
        model.set_weights(weights)


def check_outgoing(model, inputs, units, unit, parts):
    """Once silenced, a unit is without effect on the outputs, the others are not."""
    silence(units, unit)
    outputs = np.array(model(inputs, training=False))
    own = [norm.parameters for norm in units.norms if norm.parameters]
    if any(norm.couples_units and norm.parameters for norm in units.norms):
        # Past the normalization, which makes other units depend on this one, only its own gain and offset.
        parts = list(own[-1].values())
    for part in parts:
        disturb(part, unit)
    np.testing.assert_array_equal(model(inputs, training=False), outputs)
    for part in parts:
        disturb(part, (unit + 1) % units.num_units)
    assert np.abs(np.array(model(inputs, training=False)) - outputs).max() > 0


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_units_of_our_networks_are_found_by_what_their_weights_change(name):
    build, expected = NETWORKS[name]
    check_units(*randomized(build()), expected)


@BOTH
@pytest.mark.parametrize("name", sorted(KERAS_MODELS))
def test_units_of_models_of_both_keras_are_found_by_what_their_weights_change(keras, name):
    build, expected = KERAS_MODELS[name]
    model, inputs = randomized(build(keras))
    check_units(model, inputs, expected)


@BOTH
@pytest.mark.parametrize("build", [conv_and_dense, nested_and_shared, sequence])
def test_activations_are_those_of_a_snapshot(keras, build):
    model, inputs = randomized(build(keras))
    weights = model.get_weights()
    before = Snapshot(model, inputs).activations
    for units in UnitMap(model).values():
        disturb(units.incoming, 1)
        after = Snapshot(model, inputs).activations
        for name in units.activations:
            changed = changed_units(before[name].numpy(), after[name].numpy())
            # A concatenation puts units of several calls or layers side by side.
            assert changed and {unit % units.num_units for unit in changed} == {1}
        first = next(name for name in before if not np.array_equal(before[name], after[name]))
        assert units.activations[:1] in ((first,), ())
        model.set_weights(weights)
    names = {name for units in UnitMap(model).values() for name in units.activations}
    assert names == set(before)


@BOTH
def test_each_call_of_a_shared_layer_has_its_activation(keras):
    unit_map = UnitMap(nested_and_shared(keras))
    assert unit_map["tower/inner/tower1"].activations == ("tanh", "tanh:1")
    assert unit_map["tower/inner/tower2"].activations == ("tanh:2",)
    assert unit_map["tower/inner/tower2"].outgoing[0].units.tolist() == [0, 1, 0, 1]
    (norm,) = unit_map["tower/inner/tower2"].norms
    assert norm.layer == "norm" and not norm.couples_units
    assert set(norm.parameters) == {"scale", "offset", "mean", "variance"}
    assert norm.parameters["mean"].indices(1).tolist() == [1, 3]


@BOTH
def test_slices_of_a_small_network_are_those_one_counts_by_hand(keras):
    # The convolution makes 2 x 2 pixels of two channels, which are flattened row by row, channels last.
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.LayerNormalization(axis=[1, 2, 3], name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="output"),
        ]
    )
    unit_map = UnitMap(model)
    units = unit_map["conv"]
    assert len(unit_map) == 1 and units.num_units == 2
    assert units.incoming.variable is model.layers[0].kernel and units.incoming.axis == 3
    assert units.bias is not None and units.bias.variable is model.layers[0].bias
    (rows,) = units.outgoing
    assert rows.variable is model.layers[-1].kernel and rows.axis == 0
    assert rows.units.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert units.activations == ("relu",) and units.coupled
    (norm,) = units.norms
    assert norm.parameters["scale"].variable.shape == (2, 2, 2) and norm.parameters["scale"].axis == 2
    assert norm.parameters["offset"].variable is model.get_layer("norm").beta
    assert set(norm.parameters) == {"scale", "offset"}
    assert unit_map.excluded == {"output": "its outputs are the model's"}


def excluded(keras, build):
    """The map's entry for 'first', whose outputs go through `build` and a dense layer; 'kept' is in it."""
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(3, 1, name="kept")(inputs)
    x = keras.layers.Conv2D(3, 3, padding="same", name="first")(x)
    x = keras.layers.Flatten()(build(keras.layers, x))
    unit_map = UnitMap(keras.Model(inputs, keras.layers.Dense(2, name="output")(x)))
    assert "kept" in unit_map and "first" not in unit_map
    return unit_map.excluded["first"]


REASONS = {
    "sum": (lambda layers, x: layers.Add(name="sum")([x, x]), "go into 'sum' (Add), which merges them"),
    "softmax": (
        lambda layers, x: layers.Softmax(name="softmax")(x),
        "into 'softmax' (Softmax), which is not",
    ),
    "activation": (
        lambda layers, x: layers.Activation("softmax", name="mixed")(x),
        "go into 'mixed' (Activation), which is not traced",
    ),
    "mask": (
        lambda layers, x: layers.Masking(name="mask")(x),
        "go into 'mask' (Masking), which is not traced",
    ),
    "rows": (
        lambda layers, x: layers.Conv2D(3, 1, name="rows", data_format="channels_first")(x),
        "its units are at different positions where 'rows' (Conv2D) reads them",
    ),
    "single positions": (
        lambda layers, x: layers.EinsumDense("abcd,bcde->abce", (4, 4, 2), name="each")(x),
        "go into 'each' (EinsumDense), which has weights of single positions",
    ),
    "operation": (lambda layers, x: x * 2.0, "which is not traced"),
    "positions": (
        lambda layers, x: layers.Dense(2, name="reader")(layers.Permute((3, 1, 2))(x)),
        "its units are at different positions where 'reader' (Dense) reads them",
    ),
}


@BOTH
@pytest.mark.parametrize("name", sorted(REASONS))
def test_layers_whose_units_mix_are_left_out_with_the_reason(keras, name):
    build, reason = REASONS[name]
    assert reason in excluded(keras, build)


@BOTH
def test_a_call_of_its_own_is_not_traced(keras):
    class Doubled(keras.layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, activation=lambda x: x**2, name="first")(inputs)
    x = keras.layers.Dense(4, activation=lambda x: x - tf.reduce_mean(x), name="mixed")(x)
    x = keras.layers.Dense(4, name="second")(Doubled(4, name="own")(x))
    unit_map = UnitMap(keras.Model(inputs, keras.layers.Dense(1, name="output")(x)))
    assert list(unit_map) == ["first", "second"]
    assert unit_map.excluded["mixed"] == "its activation mixes units"
    assert "of a kind that is not traced" in unit_map.excluded["own"]


@BOTH
def test_weights_that_also_read_other_units_are_no_units_own(keras):
    inputs = keras.Input((3,))
    one, other = (keras.layers.Dense(4, activation="tanh", name=name)(inputs) for name in ("one", "other"))
    reader = keras.layers.Dense(2, activation="tanh", name="reader")
    joined = keras.layers.Concatenate()([reader(one), reader(other)])
    unit_map = UnitMap(keras.Model(inputs, keras.layers.Dense(1, name="output")(joined)))
    assert list(unit_map) == ["reader"]
    assert set(unit_map.excluded) == {"one", "other", "output"}
    assert unit_map.excluded["one"] == "'reader' reads it and other units by the same weights"


@BOTH
def test_a_norm_that_serves_two_layers_has_no_parameters_of_a_unit(keras):
    norm = keras.layers.LayerNormalization(name="norm")
    inputs = keras.Input((3,))
    x = norm(keras.layers.Dense(4, name="one")(inputs))
    x = norm(keras.layers.Dense(4, name="two")(x))
    unit_map = UnitMap(keras.Model(inputs, keras.layers.Dense(1)(x)))
    assert [units.norms for units in unit_map.values()] == [(Normalization("norm", True),)] * 2


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_streams_have_no_units(name):
    build, included = NETWORKS[name]
    unit_map = UnitMap(build())
    kernels = [layer.name for layer in build().layers if hasattr(layer, "kernel")]
    assert sorted([*included, *unit_map.excluded]) == sorted(kernels)
    assert unit_map.excluded["output"] == "its outputs are the model's"
    merged = {"resnet18": ("conv1", "block1_add"), "vit": ("block1_project", "block1_feed_forward_add")}[name]
    assert f"go into '{merged[1]}'" in unit_map.excluded[merged[0]]


def test_spectrally_normalized_kernels_couple_their_units():
    unit_map = UnitMap(NETWORKS["mlp_spectral"][0]())
    assert unit_map["hidden1"].norms == (Normalization("hidden1", True),)
    assert unit_map["hidden1"].coupled and not unit_map["hidden2"].coupled


@BOTH
def test_a_subclassed_model_is_refused_unless_the_map_is_given(keras):
    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.one = keras.layers.Dense(4, name="one")
            self.two = keras.layers.Dense(2, name="two")

        def call(self, inputs):
            return self.two(tf.nn.tanh(self.one(inputs)))

    model = Net()
    with pytest.raises(ValueError, match="^`model` must be built, by a call on a batch. Received: 'net'$"):
        UnitMap(model)
    model(np.ones((1, 3), np.float32))
    rule = "^`model` must be Sequential or functional where `units` are not given. Received: 'net', a Net$"
    with pytest.raises(ValueError, match=rule):
        UnitMap(model)
    units = Units(Slice(model.one.kernel, -1), (Slice(model.two.kernel, 0),), Slice(model.one.bias, 0))
    assert dict(UnitMap(model, {"one": units})) == {"one": units}
    with pytest.raises(
        ValueError, match="^`units` must go by names of the model's layers. Received: 'three'$"
    ):
        UnitMap(model, {"three": units})
    foreign = Units(Slice(tf.Variable(tf.zeros([3, 4]), name="else"), -1), units.outgoing)
    with pytest.raises(
        ValueError, match="^`units` of 'one' must be of the model's variables. Received: 'else"
    ):
        UnitMap(model, {"one": foreign})


@BOTH
def test_a_model_without_hidden_units_is_refused(keras):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="output")], name="linear")
    rule = "^`model` must have hidden units. Received: 'linear', 'output': its outputs are the model's$"
    with pytest.raises(ValueError, match=rule):
        UnitMap(model)
    with pytest.raises(TypeError, match="^`model` must be a Keras model. Received: 'linear'$"):
        UnitMap("linear")


@BOTH
def test_a_sequential_that_was_built_by_a_call_is_traced(keras):
    model = keras.Sequential([keras.layers.Dense(3, activation="relu", name="one"), keras.layers.Dense(1)])
    model(np.ones((2, 5), np.float32))
    assert UnitMap(model)["one"].incoming.variable.shape == (5, 3)


def test_parts_of_several_axes():
    kernel = tf.Variable(tf.zeros([2, 3, 2]), name="kernel")
    part = Slice(kernel, -2, [[0, 1], [1, -1], [2, 0]])
    assert part.axis == 1 and part.num_units == 3
    assert part.indices(0).tolist() == [[0, 0], [2, 1]]
    assert part.mask([False, True, True]).numpy().tolist() == [[[False, True], [True, False], [True, False]]]
    with pytest.raises(ValueError, match="^`units` must be 3 x 2 integers of at least -1, along axis 1 of"):
        Slice(kernel, 1, [[0, 1, 2]])


def test_parts_of_a_variable():
    kernel = tf.Variable(tf.zeros([3, 4]), name="kernel")
    part = Slice(kernel, 0, [1, -1, 1])
    assert part.num_units == 2 and part.indices(0).size == 0
    compiled = tf.function(part.mask)
    assert compiled(tf.constant([False, True])).numpy().tolist() == [[True], [False], [True]]
    assert compiled(tf.constant([True, False])).numpy().tolist() == [[False], [False], [False]]
    assert repr(part) == "Slice('kernel:0', axis=0, units=2)"
    with pytest.raises(ValueError, match="^`axis` must be of -2 to 1 for 'kernel:0'. Received: 2$"):
        Slice(kernel, 2)
    with pytest.raises(
        ValueError, match="^`units` must be 4 integers of at least -1, along axis 1 of 'kernel"
    ):
        Slice(kernel, 1, [0, 1, -2, 0])
    with pytest.raises(ValueError, match="^`unit` must be an integer of at least 0. Received: -1$"):
        part.indices(-1)
    with pytest.raises(ValueError, match=r"^`outgoing` must hold at least one slice. Received: \(\)$"):
        Units(part, ())
    with pytest.raises(
        ValueError, match="^The units of 'kernel:0' must be of at most the 2 units of the layer."
    ):
        Units(part, (Slice(kernel, 1),))
