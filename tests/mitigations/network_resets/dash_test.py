"""DASH against its rule in float64, in the loop."""

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.numpy_network import loss_and_gradients
from tests.mitigations.oracle import Oracle
from tests.mitigations.small_run import SmallRun, loss_of
from tfplastic._keras import keras
from tfplastic.mitigations import DASH, StepContext
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.network_resets.dash import _axes_of_vectors, _cosine
from tfplastic.tasks import DataBatches


def directions(weights, images, labels, share, batches):
    found = [np.zeros_like(each) for each in weights]
    for first in range(0, 8 * batches, 8):
        part = slice(first, first + 8)
        gradients = loss_and_gradients(weights, images[part], labels[part])[1]
        found = [(1 - share) * g - share * gradient for g, gradient in zip(found, gradients, strict=True)]
    return found


def factor(w, g, floor):
    """The factors of the vectors of one weight, by its text: rows, slices, whole biases."""
    if w.ndim == 1:
        return max(min(w @ g / np.sqrt((w @ w) * (g @ g) or 1), 1), floor)
    axes = (0,) if w.ndim == 2 else (0, 1)
    norms = np.sqrt((w**2).sum(axes, keepdims=True) * (g**2).sum(axes, keepdims=True))
    cosines = (w * g).sum(axes, keepdims=True) / np.where(norms == 0, 1, norms)
    return np.clip(cosines, floor, 1)


@pytest.mark.parametrize(
    ("network", "compiler"),
    [
        ("dense", "graph"),
        ("convolutional", "graph"),
        pytest.param("dense", "xla", marks=pytest.mark.slow),
    ],
)
def test_ten_steps_with_a_pass_at_each_boundary(tmp_path, network, compiler):
    share, floor, batches = 0.3, 0.1, 5
    oracle = Oracle(DASH(None, share, floor, batches), 10, network, compiler)
    task, between = oracle.loop.task, 0
    images = task.images.numpy().astype(np.float64)
    for step in oracle.steps():
        if step % 2:
            continue
        found = directions(oracle.weights, images, task.content(step // 2).numpy(), share, batches)
        factors = [factor(w, g, floor) for w, g in zip(oracle.weights, found, strict=True)]
        oracle.weights = [w * each for w, each in zip(oracle.weights, factors, strict=True)]
        between += sum(np.sum((floor < each) & (np.asarray(each) < 1)) for each in factors)
    assert between > 20
    oracle.check(tmp_path)


def test_vectors_of_each_kind_of_weight():
    layers = keras.layers
    inputs = keras.Input((6,))
    x = layers.Embedding(7, 4)(inputs)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.Reshape((6, 4, 1))(x)
    x = layers.SeparableConv2D(3, 2)(layers.DepthwiseConv2D(2)(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.BatchNormalization()(x))))
    found = {}
    for weight in trainable_weights(model):
        kind = type(weight.layer).__name__
        name = weight.path.rpartition("/")[2] if "attention" in weight.path else kind
        found[f"{name}/{weight.role}"] = (len(weight.variable.shape), _axes_of_vectors(weight))
    assert found["Embedding/embeddings"] == (2, [1])
    for name in ("query", "key", "value"):
        assert found[f"{name}/kernel"] == (3, [0])  # [features, heads, size]
    assert found["attention_output/kernel"] == (3, [0, 1])  # [heads, size, features]
    assert found["Dense/kernel"] == (2, [0])
    assert (
        found["SeparableConv2D/pointwise_kernel"] == found["SeparableConv2D/depthwise_kernel"] == (4, [0, 1])
    )
    assert found["BatchNormalization/gamma"] == found["Dense/bias"] == (1, [0])


def test_gains_of_three_axes_biases_of_two_and_scalars_are_vectors_as_a_whole():
    layers = keras.layers
    inputs = keras.Input((4, 4, 2))
    x = layers.LayerNormalization(axis=[1, 2, 3])(inputs)
    x = layers.GRU(3)(layers.Reshape((4, 8))(layers.PReLU()(x)))
    model = keras.Model(inputs, layers.Dense(2)(x))
    found = {}
    for weight in trainable_weights(model):
        found.setdefault(weight.role, []).append(_axes_of_vectors(weight))
    assert found["gamma"] == found["beta"] == found["alpha"] == [[0, 1, 2]]
    assert found["bias"] == [[0, 1], [0]] and found["recurrent_kernel"] == [[0]]
    scalar = Weight(tf.Variable(2.0), None, "temperature", "layer")
    one, other = tf.constant(2.0), tf.constant(-0.5)
    assert float(_cosine(one, other, _axes_of_vectors(scalar))) == -1.0


def test_a_part_of_the_weights():
    training = SmallRun().train()
    before = training.weights()
    dash = DASH(weights="kernels")
    dash.build(training.model, training.optimizer, 0)
    data = DataBatches(1, lambda n: (training.inputs[n], training.labels[n]))
    context = StepContext(dash, {"data": lambda: data}, training.model, loss_of)
    dash.after_update(1, training.model, training.slots, None, context)
    for name, value in training.weights().items():
        assert (value != before[name]).any() == name.endswith("kernel")
        assert (np.abs(value) <= np.abs(before[name])).all()
        assert (np.abs(value) >= 0.3 * (1 - 1e-6) * np.abs(before[name])).all()
