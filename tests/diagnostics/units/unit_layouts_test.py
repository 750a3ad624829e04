"""Units wherever their axis is: their weights change them alone, and once unread they change nothing."""

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.diagnostics.units.unit_layouts import LAYOUTS, layouts
from tests.diagnostics.units.unit_map_test import outputs_of, value
from tfplastic.diagnostics import Snapshot, UnitMap, dead_units, dormant_units
from tfplastic.diagnostics.reading.model_layers import named_layers

CASES = [(keras, name) for keras in (keras_2, keras_3) for name in layouts(keras)]
IDS = [f"{keras.__name__}-{name}" for keras, name in CASES]
FAST = {"channels first, flattened last", "depthwise", "groups", "distributed", "self-attention"}


def _change(parts, chosen):
    """Adds noise to the weights of the `chosen` units, `[units] bool`."""
    for part in parts:
        noise = np.random.default_rng(3).uniform(0.4, 0.8, tuple(part.variable.shape))
        part.variable.assign(value(part.variable) + np.where(part.mask(chosen), noise, 0))


def _inputs_of(model):
    shape = tuple(1 if each is None else each for each in model.input_shape[1:])  # one step, with no past
    return np.random.default_rng(1).standard_normal((3, *shape)).astype("float32")


def _check_incoming(model, layer, units, inputs):
    """Each unit's entries of the layer's result change with its weights, and with no other unit's."""
    weights = model.get_weights()
    before, _ = outputs_of(model, layer, inputs)
    owner = np.zeros(before.shape, int)
    for unit in range(units.num_units):
        chosen = np.arange(units.num_units) == unit
        _change([units.incoming, *([units.bias] if units.bias else [])], chosen)
        after, outputs = outputs_of(model, layer, inputs)
        owner += (unit + 1) * (np.abs(after - before) > 1e-6)
        assert np.count_nonzero(owner == unit + 1) == before.size // units.num_units
        model.set_weights(weights)
    assert (owner > 0).all()


def _check_outgoing(model, units, inputs):
    """A unit that nothing reads is without effect on the outputs; the next one is not."""
    unit = units.num_units - 1
    silent, other = (np.arange(units.num_units) == each for each in (unit, unit - 1))
    weights = model.get_weights()
    for part in units.outgoing:
        part.variable.assign(np.where(part.mask(silent), 0.0, value(part.variable)))
    outputs = np.array(model(inputs, training=False))
    parts = [each for each in (units.incoming, units.bias, units.recurrent) if each is not None]
    if units.coupled:  # past the normalization only its own scale and offset are the unit's alone
        parts = list(units.norms[-1].parameters.values())
    if not parts:
        return
    _change(parts, silent)
    np.testing.assert_allclose(model(inputs, training=False), outputs, atol=1e-6)
    _change(parts, other)
    assert np.abs(np.array(model(inputs, training=False)) - outputs).max() > 1e-4
    model.set_weights(weights)


def _check_statistics(model, unit_map, inputs):
    """Every other unit made zero is dead in all statistics of its layer's activations."""
    for units in unit_map.values():
        if len(units.activations) != 1:
            continue
        weights = model.get_weights()
        dead = np.arange(units.num_units) % 2 == 0
        for part in (units.incoming, units.bias, units.recurrent):
            if part is not None:
                part.variable.assign(np.where(part.mask(dead), 0.0, value(part.variable)))
        snapshot = Snapshot(model, inputs)
        (activation,) = units.activations
        assert dead_units(snapshot)[activation] == dead.mean()
        assert dormant_units(snapshot, tau=0.0)[activation] == dead.mean()
        statistics = snapshot.unit_statistics[activation].by_channel()
        np.testing.assert_array_equal(statistics.mean_abs == 0, dead)
        np.testing.assert_array_equal(statistics.zero_fraction == 1, dead)
        model.set_weights(weights)


def _check(keras, name):
    build, expected = LAYOUTS[name]
    keras.utils.set_random_seed(0)
    model = build(keras)
    _randomize(model)
    unit_map = UnitMap(model)
    assert {layer: units.num_units for layer, units in unit_map.items()} == expected
    layers = named_layers(model)
    inputs = _inputs_of(model)
    more = np.repeat(inputs, 3, axis=1) if (model.input_shape[1] is None) else inputs  # several steps
    for layer, units in unit_map.items():
        _check_incoming(model, layers[layer], units, inputs)
        _check_outgoing(model, units, more)
    _check_statistics(model, unit_map, more)


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_layers_without_ways_of_their_own_are_left_out_with_the_reason(keras):
    layers = keras.layers
    inputs = keras.Input((4, 3))
    x = layers.Dense(3, name="state")(layers.GlobalAveragePooling1D()(inputs))
    x = layers.LSTM(3, return_sequences=True, name="lstm")(inputs, initial_state=[x, x])
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"), "sum", name="both")(x)
    x = layers.Dense(4, "softmax", name="shares")(x)
    x = layers.MultiHeadAttention(2, 3, name="heads")(x, x)
    x = layers.Dense(4, name="scored")(x)
    x = layers.Attention(name="scores")([x, x])
    cells = [layers.LSTMCell(2, name="cell"), layers.LSTMCell(2, name="other")]
    stack = layers.RNN(cells, name="stack")
    x = stack(x)
    unit_map = UnitMap(keras.Model(inputs, layers.Dense(2, name="output")(x)))
    assert list(unit_map) == ["lstm", "heads/value", "heads/attention_output"]
    excluded = unit_map.excluded
    assert excluded["state"] == "its outputs are states or masks of 'lstm' (LSTM)"
    assert excluded["both/forward_gru"] == "'both' (Bidirectional) merges its outputs with others"
    assert excluded["both/backward_gru"] == excluded["both/forward_gru"]
    assert excluded["shares"] == "its activation mixes units"
    assert excluded["heads/query"] == "'heads' (MultiHeadAttention) mixes its heads' features"
    assert excluded["heads/key"] == excluded["heads/query"]
    assert excluded["scored"] == "its outputs go into 'scores' (Attention), which is not traced"
    of_stack = {name: reason for name, reason in excluded.items() if name.startswith("stack")}
    own = {f"stack/{stack.cell.name}/{name}" for name in ("cell", "other")}
    assert set(of_stack) == own
    assert all("is not traced" in reason for reason in of_stack.values())


@pytest.mark.channels_first
def test_a_bias_that_keras_adds_to_columns_is_no_units_own():
    """Where a picture is as wide as it has channels: `keras.ops.add` takes the bias for channels last."""
    inputs = keras_3.Input((2, 5, 4))
    x = keras_3.layers.Conv2D(3, 2, name="conv", bias_initializer="ones", data_format="channels_first")(
        inputs
    )
    x = keras_3.layers.Dense(2, name="head")(keras_3.layers.Flatten()(x))
    model = keras_3.Model(inputs, x)
    model.get_layer("conv").set_weights([np.zeros((2, 2, 2, 3)), np.arange(3.0)])
    is_right = (outputs_of(model, model.get_layer("conv"), _inputs_of(model))[0][0, :, 1] == 1).all()
    assert (UnitMap(model)["conv"].bias is not None) == is_right
    _randomize(model)
    _check_incoming(model, model.get_layer("conv"), UnitMap(model)["conv"], _inputs_of(model))
    _check_outgoing(model, UnitMap(model)["conv"], _inputs_of(model))


def _randomize(model):
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        scale = 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        variable.assign(scale * generator.standard_normal(variable.shape) + 0.3 * (len(variable.shape) == 1))


@pytest.mark.channels_first
@pytest.mark.parametrize("name", sorted(FAST))
def test_some_layouts(name):
    _check(keras_3, name)


@pytest.mark.channels_first
@pytest.mark.slow
@pytest.mark.parametrize(("keras", "name"), CASES, ids=IDS)
def test_every_layout(keras, name):
    _check(keras, name)
