import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import (
    Reference,
    Snapshot,
    cosine_from_init,
    distance_from_init,
    effective_learning_rate,
    rms_distance_from_init,
    update_ratio,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
FROM_INIT = (distance_from_init, rms_distance_from_init, cosine_from_init)
OF_UPDATES = (update_ratio, effective_learning_rate)


def vector(arrays):
    return np.concatenate([np.ravel(each) for each in arrays]).astype("float64")


@BOTH
def test_change_by_hand(keras):
    """The output's weights, of norm 4, become twice as large; hidden ones, of norm^2 5.0001, stay."""
    model = models.mlp(keras)
    snapshot = Snapshot(model, tf.ones((1, 2)), reference=Reference.of(Snapshot(model, tf.ones((1, 2)))))
    still = {"hidden": 0.0, "output": 0.0, "all": 0.0}
    assert distance_from_init(snapshot) == rms_distance_from_init(snapshot) == still
    assert cosine_from_init(snapshot) == pytest.approx(dict.fromkeys(still, 1.0), rel=1e-12)
    assert max(cosine_from_init(snapshot).values()) <= 1
    output = model.get_layer("output")
    output.set_weights([2 * each for each in output.get_weights()])
    snapshot.refresh()
    assert distance_from_init(snapshot) == {"hidden": 0.0, "output": 4.0, "all": 4.0}
    expected = {"hidden": 0.0, "output": 4 / math.sqrt(5), "all": 4 / math.sqrt(17)}
    assert rms_distance_from_init(snapshot) == pytest.approx(expected)
    expected = (5.0001 + 32) / math.sqrt((5.0001 + 16) * (5.0001 + 64))
    assert cosine_from_init(snapshot) == pytest.approx({"hidden": 1.0, "output": 1.0, "all": expected})
    output.set_weights([-each for each in output.get_weights()])
    snapshot.refresh()
    assert cosine_from_init(snapshot)["output"] == -1


@BOTH
def test_change_against_numpy(keras):
    model, inputs = models.cnn(keras), tf.ones((1, 6, 6, 2))
    snapshot = Snapshot(model, inputs, reference=Reference.of(Snapshot(model, inputs)))
    old = {name: vector(weights) for name, weights in snapshot.reference.weights.items()}
    generator = np.random.default_rng(1)
    model.set_weights([each + generator.standard_normal(each.shape) for each in model.get_weights()])
    new = {name: vector(weights) for name, weights in snapshot.weights.items()}
    for layer, values in {**new, "all": vector(new.values())}.items():
        initial = vector(old.values()) if layer == "all" else old[layer]
        distance = np.linalg.norm(values - initial)
        assert distance_from_init(snapshot)[layer] == pytest.approx(distance, rel=1e-12)
        rms = np.sqrt(np.mean((values - initial) ** 2))
        assert rms_distance_from_init(snapshot)[layer] == pytest.approx(rms, rel=1e-12)
        cosine = values @ initial / (np.linalg.norm(values) * np.linalg.norm(initial))
        assert cosine_from_init(snapshot)[layer] == pytest.approx(cosine, rel=1e-12)


@BOTH
def test_edges_of_change(keras):
    model = models.mlp(keras)
    snapshot = Snapshot(model, tf.ones((1, 2)), reference=Reference.of(Snapshot(model, tf.ones((1, 2)))))
    model.get_layer("output").set_weights([np.zeros((4, 1)), np.zeros(1)])
    assert math.isnan(cosine_from_init(snapshot)["output"]) and distance_from_init(snapshot)["output"] == 4
    model.get_layer("output").set_weights([np.full((4, 1), np.nan), np.zeros(1)])
    snapshot.refresh()
    for quantity in FROM_INIT:
        values = quantity(snapshot)
        assert math.isnan(values["output"]) and math.isnan(values["all"]) and not math.isnan(values["hidden"])
    model.trainable = False
    snapshot = Snapshot(model, tf.ones((1, 2)), reference=snapshot.reference)
    assert distance_from_init(snapshot) == {"all": 0.0}
    assert rms_distance_from_init(snapshot) == pytest.approx({"all": math.nan}, nan_ok=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    model = keras_3.Sequential([keras_3.Input((4,)), keras_3.layers.Dense(1, dtype=dtype, name="dense")])
    model.set_weights([np.full((4, 1), 200.0), np.full(1, 200.0)])
    snapshot = Snapshot(
        model, tf.ones((1, 4), dtype), reference=Reference.of(Snapshot(model, tf.ones((1, 4))))
    )
    model.set_weights([np.full((4, 1), -200.0), np.full(1, -200.0)])
    assert distance_from_init(snapshot)["dense"] == pytest.approx(400 * math.sqrt(5), rel=1e-12)
    assert rms_distance_from_init(snapshot)["dense"] == pytest.approx(400, rel=1e-12)
    assert cosine_from_init(snapshot)["dense"] == -1


def normalized(keras):
    """Two layers with a norm behind them, one before its nonlinearity, and a head without."""
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(6, name="first")(inputs)
    hidden = keras.layers.LayerNormalization(epsilon=1e-9, name="first_norm")(hidden)
    hidden = keras.layers.Dense(5, "relu", name="second")(keras.layers.ReLU(name="first_relu")(hidden))
    hidden = keras.layers.LayerNormalization(epsilon=1e-9, name="second_norm")(hidden)
    hidden = keras.layers.Dense(4, "relu", name="third")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, name="output")(hidden))
    generator = np.random.default_rng(0)
    model.set_weights([generator.standard_normal(each.shape) for each in model.get_weights()])
    return model


def on_a_batch(model, optimizer):
    inputs = tf.random.stateless_normal((8, 3), [0, 1])
    targets = tf.random.stateless_normal((8, 1), [0, 2])
    return Snapshot(model, inputs, targets, "mse", optimizer=optimizer)


@BOTH
def test_updates_of_gradient_descent(keras):
    """Delta = -eta g, so the effective rate of a normalized layer is eta / ||theta||^2."""
    model = normalized(keras)
    snapshot = on_a_batch(model, keras.optimizers.SGD(0.01))
    weights = {layer: vector(each) for layer, each in snapshot.weights.items()}
    gradients = {layer: vector(each) for layer, each in snapshot.gradients.items()}
    weights["all"], gradients["all"] = vector(weights.values()), vector(gradients.values())
    expected = {
        layer: 0.01 * np.linalg.norm(gradients[layer]) / np.linalg.norm(weights[layer]) for layer in weights
    }
    assert update_ratio(snapshot) == pytest.approx(expected, rel=1e-4)
    rates = {layer: 0.01 / np.linalg.norm(weights[layer]) ** 2 for layer in weights}
    expected = {layer: rates[layer] for layer in ("first", "second")}
    assert effective_learning_rate(snapshot) == pytest.approx(expected, rel=1e-4)
    assert effective_learning_rate(snapshot, layers=["third"]) == pytest.approx(
        {"third": rates["third"]}, rel=1e-4
    )


@BOTH
def test_the_effective_rate_is_that_of_the_direction(keras):
    """A layer half as large with a quarter of the rate moves the outputs in the same way."""
    model = normalized(keras)
    optimizer = keras.optimizers.Adam(0.01)
    snapshot = on_a_batch(model, optimizer)
    weights, updates = vector(snapshot.weights["first"]), update_ratio(snapshot)["first"]
    gradient = np.linalg.norm(weights) * np.linalg.norm(vector(snapshot.gradients["first"]))
    rate = effective_learning_rate(snapshot)["first"]
    assert rate * gradient == pytest.approx(updates, rel=1e-5)
    sgd = keras.optimizers.SGD(0.01)
    outputs = []
    for scale in (1.0, 0.5):
        copy = normalized(keras)
        first = copy.get_layer("first")
        first.set_weights([scale * each for each in first.get_weights()])
        snapshot = on_a_batch(copy, sgd.__class__(0.01 * scale**2))
        assert effective_learning_rate(snapshot)["first"] == pytest.approx(
            0.01 / np.linalg.norm(weights) ** 2, rel=1e-4
        )
        gradients = [each.numpy() for each in snapshot.gradients["first"]]
        first.set_weights(
            [each - 0.01 * scale**2 * g for each, g in zip(first.get_weights(), gradients, strict=True)]
        )
        outputs.append(copy(snapshot.inputs).numpy())
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


@BOTH
def test_edges_of_updates(keras):
    model = normalized(keras)
    model.set_weights([np.zeros_like(each) for each in model.get_weights()])
    snapshot = on_a_batch(model, keras.optimizers.SGD(0.01))
    ratio, rate = update_ratio(snapshot), effective_learning_rate(snapshot)
    assert ratio["output"] == math.inf and math.isnan(
        ratio["first"]
    )  # the gradient is of the last bias alone
    assert rate == pytest.approx({"first": math.nan, "second": math.nan}, nan_ok=True)
    model = models.bare(keras)  # which cannot be traced
    snapshot = Snapshot(model, tf.ones((1, 2)), tf.zeros((1, 1)), "mse", optimizer=keras.optimizers.SGD(0.5))
    assert effective_learning_rate(snapshot) == {}
    expected = 0.5 / np.linalg.norm(vector(snapshot.weights["bare"])) ** 2
    assert effective_learning_rate(snapshot, layers=["bare"])["bare"] == pytest.approx(expected, rel=1e-4)


def test_errors():
    model = models.mlp(keras_2)
    snapshot = Snapshot(model, tf.ones((1, 2)))
    for quantity in FROM_INIT:
        with pytest.raises(
            ValueError, match=r"^`reference` must be given for quantities of change. Received: N"
        ):
            quantity(snapshot)
    for quantity in OF_UPDATES:
        with pytest.raises(
            ValueError, match=r"^`loss` or `example_losses` must be given for quantities of the l"
        ):
            quantity(snapshot)
    snapshot = Snapshot(model, tf.ones((1, 2)), loss=models.mean_square)
    for quantity in OF_UPDATES:
        with pytest.raises(
            ValueError, match=r"^`optimizer` must be given for quantities of the next update. Rec"
        ):
            quantity(snapshot)
    optimizer = keras_2.optimizers.SGD()
    snapshot = Snapshot(model, tf.ones((1, 2)), loss=models.mean_square, optimizer=optimizer)
    with pytest.raises(ValueError, match=r"^`layers` must be one of 'hidden', 'output'. Received: 'dense'$"):
        effective_learning_rate(snapshot, layers=["dense"])
    other = Reference.of(Snapshot(models.cnn(keras_2), tf.ones((1, 6, 6, 2))))
    snapshot = Snapshot(model, tf.ones((1, 2)), reference=other)
    for quantity in FROM_INIT:
        with pytest.raises(
            ValueError, match=r"^`reference` must be of the same model, with weights of shape \[\[2"
        ):
            quantity(snapshot)
