"""Labels and tokens out of range: one line, before or instead of TensorFlow's page."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf

from tfplastic.diagnostics import diagnose
from tfplastic.linalg import HessianOperator

INPUTS = np.ones([4, 2], "float32")
LABELS = np.arange(1, 5)
EITHER = pytest.mark.parametrize("keras", [tf.keras, keras_3], ids=["keras2", "keras3"])


def _classifier(keras):
    return keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(5)])


@EITHER
@pytest.mark.parametrize("labels, received", [(LABELS + 3, "up to 7"), (LABELS - 3, "down to -2")])
def test_each_form_of_a_sparse_crossentropy_refuses_labels_out_of_range(keras, labels, received):
    model = _classifier(keras)
    rule = rf"^`targets` must be labels in \[0, 5\), as the 5 outputs\. Received: labels {received}$"
    losses = keras.losses
    for loss in (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        losses.SparseCategoricalCrossentropy(),
        losses.sparse_categorical_crossentropy,
        "sparse_categorical_crossentropy",
    ):
        with pytest.raises(ValueError, match=rule):
            diagnose(model, INPUTS, labels, loss)
        with pytest.raises(ValueError, match=rule):
            HessianOperator.from_model(model, INPUTS, labels, loss)
    model.compile("sgd", losses.SparseCategoricalCrossentropy())
    with pytest.raises(ValueError, match=rule):
        diagnose(model, INPUTS, labels)


@EITHER
def test_a_class_that_is_ignored_may_be_out_of_range(keras):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    labels = np.array([-1, 0, 4, -1])
    assert HessianOperator.from_model(_classifier(keras), INPUTS, labels, loss).shape == (15, 15)
    with pytest.raises(ValueError, match=r"Received: labels up to 5$"):
        HessianOperator.from_model(_classifier(keras), INPUTS, labels + 1, loss)  # -1 + 1 is class 0


@EITHER
def test_the_output_is_named_where_there_are_several(keras):
    inputs = keras.layers.Input((2,))
    outputs = [keras.layers.Dense(size, name=name)(inputs) for name, size in (("a", 1), ("b", 3))]
    model = keras.Model(inputs, outputs)
    with pytest.raises(ValueError, match=r"^`targets` of 'b' must be labels in \[0, 3\)"):
        diagnose(model, INPUTS, [INPUTS[:, :1], LABELS], ["mse", "sparse_categorical_crossentropy"])


def test_other_losses_take_any_numbers():
    model = tf.keras.Sequential([tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1)])
    assert HessianOperator.from_model(model, INPUTS, LABELS + 3, "mse").shape == (3, 3)


@EITHER
def test_tokens_that_an_embedding_does_not_have_are_one_line_with_the_layer(keras):
    layers = keras.layers
    embedding = layers.Embedding(30, 2, name="words")
    of_two = layers.Input((2,), dtype="int32")
    model = keras.Sequential([of_two, embedding, layers.Flatten(), layers.Dense(1)])
    tokens = np.array([[3, 129], [0, 1]])
    message = r"must fit the data\. Received: indices\[0,1\] = 129 is not in \[0, 30\), in \S*/words(_1)?$"
    with pytest.raises(ValueError, match=message) as raised:
        diagnose(model, tokens, np.ones([2, 1]), "mse", budget="cheap")
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value.__cause__, tf.errors.InvalidArgumentError)


class _OfUnknownOutputs(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(5)

    def call(self, inputs):
        return self.dense(inputs)


def test_labels_of_outputs_that_are_unknown_are_one_line_as_well():
    model = _OfUnknownOutputs()
    model(INPUTS)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(
        ValueError, match=r"`loss` must fit the data\. Received: a label value of 7"
    ) as raised:
        diagnose(model, INPUTS, LABELS + 3, loss, quantities=[_loss_of])
    assert "\n" not in str(raised.value)


def _loss_of(snapshot):
    return {"all": float(snapshot.loss)}
