import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import Snapshot, churn, same_batch_loss_change

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def _line(keras, rate=0.05):
    """f = w x with w = 1, x = 1, 3 and 2 against 0: L = 14 w^2 / 3."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.ones((1, 1))])
    inputs, targets = np.array([[1.0], [3.0], [2.0]], "float32"), np.zeros((3, 1), "float32")
    return Snapshot(model, inputs, targets, oracles.squares, optimizer=keras.optimizers.SGD(rate))


@BOTH
def test_golden(keras):
    # dL/dw = 28 / 3, w becomes 1 - 1.4 / 3 = 8 / 15.
    assert same_batch_loss_change(_line(keras)) == {
        "all": pytest.approx(14 / 3 * ((8 / 15) ** 2 - 1), rel=1e-6)
    }
    # 0.3 is too large a rate: w becomes -1.8.
    assert same_batch_loss_change(_line(keras, 0.3))["all"] == pytest.approx(14 / 3 * (1.8**2 - 1), rel=1e-6)
    # On the first example alone dL/dw = 2, w changes by -0.1, f by -0.3 and -0.2 for the other two.
    assert churn(_line(keras)) == {"all": pytest.approx(0.25, rel=1e-6)}


@BOTH
def test_against_a_step_of_its_own(keras):
    model, (inputs, targets) = models.cnn(keras), oracles.data((6, 6, 2), 7, 2)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    snapshot = Snapshot(model, inputs, targets, oracles.squares, optimizer=optimizer, batch_size=2)
    before, change = model(inputs, training=False).numpy(), churn(snapshot)["all"]
    np.testing.assert_allclose(snapshot.outputs, before, rtol=1e-5)  # undone, and of the old weights
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(oracles.squares(targets[:3], model(inputs[:3], training=False)))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    after = model(inputs, training=False).numpy()
    assert change == pytest.approx(np.abs(after - before)[3:].mean(), rel=1e-2) and change > 0


def test_several_outputs():
    keras = keras_2
    inputs = keras.Input((1,))
    heads = [keras.layers.Dense(units, use_bias=False, kernel_initializer="ones")(inputs) for units in (1, 3)]
    model = keras.Model(inputs, {"one": heads[0], "three": heads[1]})

    def loss(_, outputs):
        return tf.reduce_sum(outputs["one"] ** 2, axis=-1)

    snapshot = Snapshot(model, np.ones((2, 1), "float32"), loss=loss, optimizer=keras.optimizers.SGD(0.1))
    assert churn(snapshot)["all"] == pytest.approx(0.2 / 4)  # one entry of four changes


@BOTH
def test_edges(keras):
    model, (inputs, targets) = models.mlp(keras), oracles.data((2,), 2)
    optimizer = keras.optimizers.SGD(0.1)
    one = Snapshot(model, inputs[:1], targets[:1], oracles.squares, optimizer=optimizer)
    assert math.isnan(churn(one)["all"]) and math.isfinite(same_batch_loss_change(one)["all"])
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    still = Snapshot(model, inputs, 0 * targets, oracles.squares, optimizer=optimizer)
    assert churn(still)["all"] == same_batch_loss_change(still)["all"] == 0
    bad = Snapshot(model, inputs, targets * np.nan, oracles.squares, optimizer=optimizer)
    assert math.isnan(churn(bad)["all"]) and math.isnan(same_batch_loss_change(bad)["all"])


def test_arguments():
    model, (inputs, targets) = models.mlp(keras_2), oracles.data((2,), 2)
    for quantity in (churn, same_batch_loss_change):
        with pytest.raises(ValueError, match=r"^`optimizer` must be given for .+ Received: None$"):
            quantity(Snapshot(model, inputs, targets, oracles.squares))
        with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
            quantity(Snapshot(model, inputs, optimizer=keras_2.optimizers.SGD()))
