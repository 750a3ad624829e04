import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import (
    Snapshot,
    active_units,
    dead_units,
    dormant_units,
    linearized_units,
    saturated_units,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_golden(keras):
    """The units of `models.mlp` are relu(a + b), relu(-a - b), relu(a / 100) and relu(-1).

    On (1, 2) and (3, 0) they are 3, 0, .01, 0 and 3, 0, .03, 0: means 3, 0, .02, 0. Their mean is .755,
    so the scores are 3.97, 0, .0265, 0.
    """
    snapshot = Snapshot(models.mlp(keras), tf.constant([[1.0, 2.0], [3.0, 0.0]]))
    assert dead_units(snapshot) == {"hidden": 0.5}
    assert dormant_units(snapshot) == {"hidden": 0.5}
    assert dormant_units(snapshot, tau=0.0264) == {"hidden": 0.5}
    assert dormant_units(snapshot, tau=0.0266) == {"hidden": 0.75}
    assert dormant_units(snapshot, tau=4.0) == {"hidden": 1.0}
    assert dormant_units(snapshot, tau=0) == dead_units(snapshot)


@BOTH
def test_a_unit_is_dead_only_if_zero_on_every_input(keras):
    snapshot = Snapshot(models.mlp(keras), tf.constant([[1.0, 2.0], [-3.0, 0.0]]))
    assert dead_units(snapshot) == {"hidden": 0.25}
    snapshot = Snapshot(models.mlp(keras, "tanh"), tf.constant([[1.0, 2.0], [-3.0, 0.0]]))
    assert dead_units(snapshot) == {"hidden": 0.0}
    assert dormant_units(snapshot, tau=0.03) == {"hidden": 0.25}  # the third, about a / 100


# Pre-activations of `models.mlp` are a + b, -a - b, a / 100 and -1.
@BOTH
@pytest.mark.parametrize(
    ("activation", "inputs", "expected"),
    [
        # 3, -3, .01, -1 and 3, -3, .03, -1. ReLU: 0 in half of the values; linear where positive.
        ("relu", [[1, 2], [3, 0]], {active_units: 0.5, linearized_units: 0.5, saturated_units: math.nan}),
        # 3, -3, .01, -1 and -3, 3, -.03, -1. Leaky ReLU: the last is linear, being negative throughout.
        ("relu", [[1, 2], [-3, 0]], {active_units: 3 / 8, linearized_units: 0, dead_units: 0.25}),
        ("leaky_relu", [[1, 2], [-3, 0]], {active_units: 1, linearized_units: 0.25, dead_units: 0}),
        ("elu", [[1, 2], [-3, 0]], {linearized_units: 0}),
        ("elu", [[1, 2], [3, 0]], {linearized_units: 0.5}),
        # tanh 3 = .995; standard deviations 0, 0, .01, 0.
        ("tanh", [[1, 2], [3, 0]], {saturated_units: 0.5, linearized_units: 1, active_units: 1}),
        # 3, -3, .01, -1 and .1, -.1, .001, -1: standard deviations 1.45, 1.45, .0045, 0; one half saturated.
        ("tanh", [[1, 2], [0.1, 0]], {saturated_units: 0, linearized_units: 0.5}),
        # sigmoid 5 = .9933, sigmoid 3 = .9526.
        ("sigmoid", [[1, 4], [3, 2]], {saturated_units: 0.5}),
        ("sigmoid", [[1, 4], [3, 0]], {saturated_units: 0}),
        ("softplus", [[1, 4], [3, 2]], {saturated_units: math.nan, linearized_units: 1}),
    ],
)
def test_by_hand(keras, activation, inputs, expected):
    snapshot = Snapshot(models.mlp(keras, activation), tf.constant(inputs, tf.float32))
    for quantity, value in expected.items():
        assert quantity(snapshot) == pytest.approx({"hidden": value}, nan_ok=True), quantity.__name__


@BOTH
def test_settings(keras):
    snapshot = Snapshot(models.mlp(keras, "tanh"), tf.constant([[1.0, 2.0], [0.1, 0.0]]))
    # z = 3 and .1: saturated on one half of the inputs, standard deviation 1.45.
    assert [saturated_units(snapshot, each)["hidden"] for each in (0, 0.5, 0.51)] == [1, 0.5, 0]
    assert [linearized_units(snapshot, each)["hidden"] for each in (0, 0.004, 0.005, 1.44, 1.46)] == [
        0.25, 0.25, 0.5, 0.5, 1,
    ]  # fmt: skip


def _naive(of, tau, tolerance, min_fraction):
    """All fractions by loops over Python floats; `of` are pairs of activation and pre-activation by unit."""
    sums = [[abs(h) for h, _ in unit] for unit in of]
    means = [math.fsum(values) / len(values) for values in sums]
    layer_mean = math.fsum(means) / len(means)
    deviations = [np.std([z for _, z in unit]) for unit in of]
    saturated = [sum(abs(h) > 0.99 for h, _ in unit) / len(unit) for unit in of]
    return {
        "dead_units": np.mean([all(h == 0 for h, _ in unit) for unit in of]),
        "dormant_units": np.mean([mean <= tau * layer_mean for mean in means]),
        "active_units": np.mean([h != 0 for unit in of for h, _ in unit]),
        "relu": np.mean([all(z > 0 for _, z in unit) for unit in of]),
        "tanh": np.mean([deviation <= tolerance for deviation in deviations]),
        "saturated_units": np.mean([each >= min_fraction for each in saturated]),
    }


@BOTH
@pytest.mark.parametrize("per_position", [False, True])
@pytest.mark.parametrize("batch", [1, 7])
def test_channels_are_units_over_batch_and_positions(keras, batch, per_position):
    model = models.cnn(keras)
    # Shifts down kill some channels altogether and leave others a few positive positions; those up linearize.
    model.get_layer("conv1_norm").set_weights([np.ones((4, 4, 3)), [0.0, -1.7, -9.0] * np.ones((4, 4, 3))])
    model.get_layer("conv2_norm").set_weights(
        [np.ones((2, 2, 4)), [0.0, -1.7, -9.0, 9.0] * np.ones((2, 2, 4))]
    )
    inputs = tf.random.stateless_normal((batch, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, batch_size=3)  # the last block has one example
    tau, tolerance, min_fraction = 0.3, 1.5, 0.5
    found = {
        "dead_units": dead_units(snapshot, per_position),
        "dormant_units": dormant_units(snapshot, tau, per_position),
        "active_units": active_units(snapshot),
    }
    linearized = linearized_units(snapshot, tolerance, per_position)
    saturated = saturated_units(snapshot, min_fraction, per_position)
    for layer, activations in snapshot.activations.items():
        pairs = np.stack([activations, snapshot.pre_activations[layer]], axis=-1)
        shape = (batch, -1, 2) if per_position else (-1, activations.shape[-1], 2)
        expected = _naive(pairs.reshape(shape).swapaxes(0, 1).tolist(), tau, tolerance, min_fraction)
        for name, values in found.items():
            assert values[layer] == pytest.approx(expected[name], abs=1e-12), name
        assert linearized[layer] == pytest.approx(expected[layer.split("_")[-1]], abs=1e-12)
        if layer == "dense_tanh":
            assert saturated[layer] == pytest.approx(expected["saturated_units"], abs=1e-12)
        else:
            assert math.isnan(saturated[layer])
    assert 1 / 3 <= found["dead_units"]["conv1_relu"] < 1 and found["dead_units"]["dense_tanh"] == 0
    assert 1 / 4 <= linearized["conv2_relu"] < 1


QUANTITIES = (dead_units, dormant_units, active_units, linearized_units)


EDGES = [  # biases; fractions dead, dormant, active, linearized
    ([0.0, 0.0, 0.0], [1, 1, 0, 0]),  # zero weights: the whole layer is dead
    ([-1.0, -2.0, -3.0], [1, 1, 0, 0]),
    ([1.0, 1.0, 1.0], [0, 0, 1, 1]),  # constant, not dead
    ([0.0, 1.0, 60000.0], [1 / 3, 2 / 3, 2 / 3, 2 / 3]),  # sums overflow float16
    ([0.0, 1.0, np.inf], [np.nan] * 4),
]


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_edges(keras, dtype):
    """Constant inputs, five of them in blocks of two, and a batch of one."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(3, "relu", name="hidden", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(hidden))
    for batch in (1, 5):
        snapshot = Snapshot(model, tf.ones((batch, 2)), batch_size=2)
        for biases, expected in EDGES:
            model.get_layer("hidden").set_weights([np.zeros((2, 3)), np.array(biases)])
            snapshot.refresh()
            found = [quantity(snapshot)["hidden"] for quantity in QUANTITIES]
            assert found == pytest.approx(expected, nan_ok=True), biases
            values = snapshot.activations["hidden"]
            found = [float(dead_units(values)), float(dormant_units(values))]
            assert found == pytest.approx(expected[:2], nan_ok=True), biases


@BOTH
def test_nan(keras):
    model = models.mlp(keras, "elu")  # ReLU's kernel for the CPU may turn NaN into 0
    model.get_layer("hidden").set_weights([np.zeros((2, 4)), np.array([0.0, 1.0, 1.0, np.nan])])
    snapshot = Snapshot(model, tf.ones((5, 2)))
    assert np.isnan([quantity(snapshot)["hidden"] for quantity in (*QUANTITIES, saturated_units)]).all()
    model = models.mlp(keras, "tanh")  # tanh of infinity is one: saturated, and a pre-activation not finite
    model.get_layer("hidden").set_weights([np.zeros((2, 4)), np.array([0.0, 1.0, 1.0, np.inf])])
    snapshot = Snapshot(model, tf.ones((5, 2)))
    assert math.isnan(linearized_units(snapshot)["hidden"]) and saturated_units(snapshot) == {"hidden": 0.25}


@BOTH
def test_a_bare_nonlinearity_is_nan(keras):
    snapshot = Snapshot(models.bare(keras), tf.ones((5, 2)))
    assert list(snapshot.unmeasured) == ["bare"]
    for quantity, expected in zip(QUANTITIES, (0, 0, 1, 1), strict=True):
        assert quantity(snapshot) == pytest.approx({"activated": expected, "bare": math.nan}, nan_ok=True)


def test_errors():
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^`tau` must be a finite number of at least 0. Received: -0.1$"):
        dormant_units(snapshot, tau=-0.1)
    with pytest.raises(
        ValueError, match=r"^`tolerance` must be a finite number of at least 0. Received: -1$"
    ):
        linearized_units(snapshot, tolerance=-1)
    with pytest.raises(ValueError, match=r"^`min_fraction` must be a number in \[0, 1\]. Received: 2$"):
        saturated_units(snapshot, min_fraction=2)


@pytest.mark.parametrize("per_position", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_of_activations_themselves(per_position, traced):
    activations = np.maximum(np.random.default_rng(0).normal(-1.0, 1.0, size=(4, 3, 2, 5)), 0).astype(
        "float32"
    )
    activations[..., 1] = 0
    means = activations.mean(axis=0 if per_position else (0, 1, 2), dtype=np.float64)

    def fractions(values):
        tau_dormant = dormant_units(values, tau=0.6, per_position=per_position)
        return dead_units(values, per_position=per_position), tau_dormant

    found = (tf.function(fractions) if traced else fractions)(tf.constant(activations))
    assert [each.dtype for each in found] == [tf.float64, tf.float64]
    expected = [(means == 0).mean(), (means <= 0.6 * means.mean()).mean()]
    assert [float(each) for each in found] == pytest.approx(expected, rel=1e-12)
    assert 0 < expected[0] < expected[1] < 1
