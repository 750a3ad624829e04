import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, gradient_norm, weight_norm

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_golden(keras):
    """On (1, 2) and (3, 0) the units are 3, 0, .01, 0 and 3, 0, .03, 0.

    The output f = h0 + h1 + 2 h2 + h3 + 3 is 6.02 and 6.06. The loss is the mean of f^2 over two
    inputs, so dL/df is f itself.
    """
    model, inputs = models.mlp(keras), tf.constant([[1.0, 2.0], [3.0, 0.0]])
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    hidden, output = 4 * 1 + 0.01**2 + 1, 1 + 1 + 4 + 1 + 9
    weights = {"hidden": math.sqrt(hidden), "output": 4.0, "all": math.sqrt(hidden + output)}
    assert weight_norm(snapshot) == pytest.approx(weights, rel=1e-7)
    f1, f2 = 6.02, 6.06
    bias = f1 + f2
    output = bias**2 + (3 * bias) ** 2 + (0.01 * f1 + 0.03 * f2) ** 2
    # By a unit's bias: dL/df times its outgoing weight, 1, or 2 for h2. By its kernel: that times x.
    kernel = (1 * f1 + 3 * f2) ** 2 + (2 * f1 + 0 * f2) ** 2
    hidden = (1 + 2**2) * (bias**2 + kernel)
    gradients = {"hidden": math.sqrt(hidden), "output": math.sqrt(output), "all": math.sqrt(hidden + output)}
    assert gradient_norm(snapshot) == pytest.approx(gradients, rel=1e-6)


@BOTH
def test_against_numpy(keras):
    model, inputs = models.cnn(keras), tf.random.stateless_normal((1, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, loss=models.mean_square)

    def norm(tensors):
        return np.linalg.norm(np.concatenate([np.ravel(each).astype("float64") for each in tensors]))

    with tf.GradientTape() as tape:
        loss = models.squared_loss(model, inputs)()
    gradients = iter(tape.gradient(loss, model.trainable_variables))
    weight_norms, gradient_norms = {"all": norm(model.get_weights())}, {}
    for layer in model.layers:
        if layer.get_weights():
            weight_norms[layer.name] = norm(layer.get_weights())
            gradient_norms[layer.name] = norm([next(gradients) for _ in layer.get_weights()])
    gradient_norms["all"] = math.hypot(*gradient_norms.values())
    assert weight_norm(snapshot) == pytest.approx(weight_norms, rel=1e-12)
    assert gradient_norm(snapshot) == pytest.approx(gradient_norms, rel=1e-4)


@BOTH
def test_edges(keras):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    snapshot = Snapshot(
        model, inputs, inputs, example_losses=lambda x: tf.reduce_mean(model.get_layer("hidden")(x) ** 2, 1)
    )
    assert gradient_norm(snapshot)["output"] == 0  # not touched by the loss
    model.set_weights([np.full_like(weight, 1e30) for weight in model.get_weights()])
    assert weight_norm(snapshot)["output"] == pytest.approx(math.sqrt(5) * 1e30)  # squares overflow float32
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    snapshot.refresh()
    zero = {"hidden": 0.0, "output": 0.0, "all": 0.0}
    assert weight_norm(snapshot) == zero and gradient_norm(snapshot) == zero
    model.get_layer("output").set_weights([np.full((4, 1), np.nan), np.zeros(1)])
    assert math.isnan(weight_norm(snapshot)["all"]) and weight_norm(snapshot)["hidden"] == 0
    model.trainable = False
    assert weight_norm(Snapshot(model, inputs)) == {"all": 0.0}
