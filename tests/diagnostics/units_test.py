import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, dead_units, dormant_units

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


def _naive(activations, tau):
    """Dead and dormant fractions by loops over Python floats."""
    units = np.moveaxis(np.asarray(activations, np.float64), -1, 0)
    sums = [[abs(float(value)) for value in unit.ravel()] for unit in units]
    means = [sum(values) / len(values) for values in sums]
    scores = [mean / (sum(means) / len(means)) for mean in means]
    dead = [all(value == 0 for value in values) for values in sums]
    return sum(dead) / len(dead), sum(score <= tau for score in scores) / len(scores)


@BOTH
@pytest.mark.parametrize("batch", [1, 7])
def test_channels_are_units_over_batch_and_positions(keras, batch):
    model = models.cnn(keras)
    # Shifts down kill some channels altogether and leave others a few positive positions.
    model.get_layer("conv1_norm").set_weights([np.ones((4, 4, 3)), [0.0, -1.7, -9.0] * np.ones((4, 4, 3))])
    model.get_layer("conv2_norm").set_weights(
        [np.ones((2, 2, 4)), [0.0, -1.7, -9.0, -9.0] * np.ones((2, 2, 4))]
    )
    snapshot = Snapshot(model, tf.random.stateless_normal((batch, 6, 6, 2), [0, 1]))
    for tau in (0.025, 0.3):
        dead, dormant = dead_units(snapshot), dormant_units(snapshot, tau=tau)
        for layer, activations in snapshot.activations.items():
            expected_dead, expected_dormant = _naive(activations, tau)
            assert (dead[layer], dormant[layer]) == pytest.approx(
                (expected_dead, expected_dormant), abs=1e-12
            )
    assert 1 / 3 <= dead["conv1_relu"] < 1 and 0.5 <= dead["conv2_relu"] < 1 and dead["dense_tanh"] == 0


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_edges(keras, dtype):
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(3, "relu", name="hidden", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(hidden))
    hidden = model.get_layer("hidden")
    constant = tf.ones((5, 2))
    kernel = np.zeros((2, 3))

    def both():
        snapshot = Snapshot(model, constant)
        return dead_units(snapshot)["hidden"], dormant_units(snapshot)["hidden"]

    hidden.set_weights([kernel, np.zeros(3)])
    assert both() == (1.0, 1.0)  # zero weights: the whole layer is dead
    hidden.set_weights([kernel, np.array([-1.0, -2.0, -3.0])])
    assert both() == (1.0, 1.0)
    hidden.set_weights([kernel, np.array([1.0, 1.0, 1.0])])
    assert both() == (0.0, 0.0)  # constant, not dead
    hidden.set_weights([kernel, np.array([0.0, 1.0, 60000.0])])
    assert both() == (1 / 3, 2 / 3)  # sums overflow float16
    hidden.set_weights([kernel, np.array([0.0, 1.0, np.inf])])
    assert np.isnan(both()).all()


@BOTH
def test_nan(keras):
    model = models.mlp(keras, "elu")  # ReLU's kernel for the CPU may turn NaN into 0
    model.get_layer("hidden").set_weights([np.zeros((2, 4)), np.array([0.0, 1.0, 1.0, np.nan])])
    snapshot = Snapshot(model, tf.ones((5, 2)))
    assert np.isnan([dead_units(snapshot)["hidden"], dormant_units(snapshot)["hidden"]]).all()


def test_errors():
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^`tau` must be a finite number of at least 0. Received: -0.1$"):
        dormant_units(snapshot, tau=-0.1)
