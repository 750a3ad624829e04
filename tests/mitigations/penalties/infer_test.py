import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.mitigations.numpy_network import backward, outputs
from tests.mitigations.ten_steps import KINDS, RATE, SIZE, assert_as_by_hand, data, network
from tfplastic._keras import keras
from tfplastic.mitigations import InFeR
from tfplastic.optimizers import adam, sgd
from tfplastic.training import PlasticModel

COEFFICIENT, SCALE = 0.3, 5.0


class Heads:
    """The heads by hand, trained by gradient descent; gives the gradients of the penalty by the weights."""

    def __init__(self, kind, first):
        self._x = data(kind)[0].astype(np.float64)
        self._first = self.now = first

    def add(self, found, weights, start, step):
        x = self._x[(step - 1) * SIZE : step * SIZE]
        features, first_features = outputs(weights, x)[-2], outputs(start, x)[-2]
        (kernel, bias), (first_kernel, first_bias) = self.now, self._first
        targets = SCALE * (first_features @ first_kernel + first_bias)
        away = features @ kernel + bias - targets
        by_values = COEFFICIENT * 2 * away / away.size  # [batch, heads]
        self.now = [kernel - RATE * features.T @ by_values, bias - RATE * by_values.sum(0)]
        below = backward(weights[:-2], x, by_values @ kernel.T * (features > 0))
        return [one + two for one, two in zip(found, [*below, 0.0, 0.0], strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ten_steps(kind, jit_compile):
    infer = InFeR(COEFFICIENT, SCALE, num_heads=3, initializer="pytorch")
    infer.make_trainable(network(kind), 0)
    heads = Heads(kind, [tf.convert_to_tensor(each).numpy() for each in infer.trainable_variables])
    assert_as_by_hand(kind, [infer], heads.add, jit_compile=jit_compile)
    for found, expected in zip(infer.trainable_variables, heads.now, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_heads_of_a_seed():
    def kernel(seed, initializer="lecun_normal"):
        infer = InFeR(num_heads=200, initializer=initializer)
        infer.make_trainable(network("dense"), seed)
        return tf.convert_to_tensor(infer.trainable_variables[0]).numpy()

    assert (kernel(0) == kernel(0)).all() and (kernel(0) != kernel(1)).any()
    np.testing.assert_allclose(kernel(0).std(), 1 / np.sqrt(5), rtol=0.1)
    assert 0.9 / np.sqrt(5) < np.abs(kernel(0, "pytorch")).max() <= 1 / np.sqrt(5)


def test_features_are_inputs_of_the_last_layer_with_a_kernel():
    layers = keras.layers
    inputs = layers.Input((5, 5, 2))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(inputs))
    model = PlasticModel(keras.Model(inputs, layers.Dense(3, "sigmoid")(hidden)))
    infer = InFeR(num_heads=2)
    model.compile(adam(0.01), "mse", mitigations=[infer])
    before = tf.convert_to_tensor(infer.trainable_variables[0]).numpy()
    model.fit(*data("convolutional"), batch_size=SIZE, verbose=0)
    assert before.shape == (4, 2)
    assert (before != tf.convert_to_tensor(infer.trainable_variables[0]).numpy()).all()


def test_an_optimizer_that_was_built_before_is_refused():
    optimizer = sgd(0.1, momentum=0.9)
    optimizer.build(network("dense").trainable_variables)
    model = PlasticModel(network("dense"))
    with pytest.raises(ValueError) as error:
        model.compile(optimizer, "mse", mitigations=[InFeR()])
    assert str(error.value) == (
        "`optimizer` must not be built before `InFeR` has made weights for it to train."
        " Received: a built SGD. Give one that is not built"
    )


@pytest.mark.parametrize(
    ("model", "received"),
    [
        (
            lambda: keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)]),
            "a kernel of shape (3, 3, 1, 2)",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), keras.layers.PReLU()], name="slopes"),
            "'slopes', which has no kernel",
        ),
    ],
)
def test_models_without_features(model, received):
    with pytest.raises(ValueError) as error:
        InFeR().make_trainable(model(), 0)
    assert str(error.value) == (
        f"`model` must end with a dense layer on the features. Received: {received}."
        " Add a dense output layer, or leave InFeR out"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": -1.0}, "`coefficient` must be a finite number of at least 0. Received: -1.0"),
        ({"num_heads": 0}, "`num_heads` must be an integer of at least 1. Received: 0"),
        ({"scale": float("nan")}, "`scale` must be a finite number. Received: nan"),
        (
            {"initializer": "zeros"},
            "`initializer` must be one of 'lecun_normal', 'pytorch'. Received: 'zeros'",
        ),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        tp.mitigations.InFeR(**arguments)
    assert str(error.value).startswith(message)
