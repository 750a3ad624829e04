"""The objectives of streams against float64, and the shapes that they refuse."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.tasks import CLASSIFICATION, REGRESSION, Objective

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 2, 4)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression_is_the_mean_squared_error_of_each_example(shape, dtype):
    outputs, targets = RANDOM.normal(size=(2, *shape)).astype(dtype)
    outputs = outputs.astype(np.float32)
    expected = ((outputs.astype(np.float64) - targets.astype(np.float64)) ** 2).reshape(5, -1).mean(-1)
    for function in (REGRESSION.losses, REGRESSION.scores):
        found = function(tf.constant(outputs), tf.constant(targets))
        assert found.shape == (5,) and found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ((16, 1), (16,), "Received: (16, 1) and (16,). Reshape the targets, `tf.reshape(targets, [-1, 1])`"),
        ((16,), (16, 1), "Received: (16,) and (16, 1). Reshape the targets, `tf.reshape(targets, [-1])`"),
        ((16, 3), (16, 1), "Received: (16, 3) and (16, 1). "),
        ((16, 3), (3,), "Received: (16, 3) and (3,). "),
        ((16, 3), (), "Received: (16, 3) and (). "),
    ],
)
def test_regression_broadcasts_nothing(outputs, targets, message, is_compiled):
    losses = tf.function(REGRESSION.losses, autograph=False) if is_compiled else REGRESSION.losses
    with pytest.raises(ValueError) as error:
        losses(tf.zeros(outputs), tf.zeros(targets))
    assert "Outputs and targets must have the same shape. " + message in str(error.value)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_classification_takes_labels_of_any_integer_type(dtype):
    logits = RANDOM.normal(size=(6, 4)).astype(np.float32)
    labels = RANDOM.integers(4, size=6).astype(dtype)
    labels[:2] = logits[:2].argmax(-1)
    exact = logits.astype(np.float64)
    expected = np.log(np.exp(exact).sum(-1)) - exact[np.arange(6), labels]
    np.testing.assert_allclose(CLASSIFICATION.losses(tf.constant(logits), labels), expected, rtol=1e-5)
    np.testing.assert_array_equal(
        CLASSIFICATION.scores(tf.constant(logits), labels), exact.argmax(-1) == labels
    )


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ((8, 4), tf.zeros([8, 1], tf.int32), "Received: (8, 4) and (8, 1) int32. Give each example the"),
        ((8, 8), tf.zeros([8, 8], tf.int64), "Received: (8, 8) and (8, 8) int64. Give each example the"),
        ((8, 4), tf.zeros([], tf.int32), "Received: (8, 4) and () int32. Give each example the number"),
        ((8, 3, 4), tf.zeros([8, 3], tf.int32), "Received: (8, 3, 4) and (8, 3) int32. Give each example"),
        ((8, 4), tf.zeros([8]), "Received: (8, 4) and (8,) float32. Give the numbers of the classes"),
    ],
)
@pytest.mark.parametrize("part", ["losses", "scores"])
def test_classification_refuses_other_shapes_and_types(logits, labels, message, part):
    with pytest.raises(ValueError) as error:
        getattr(CLASSIFICATION, part)(tf.zeros(logits), labels)
    rule = "Outputs and targets must be logits [batch, classes] and labels [batch] of an integer type. "
    assert str(error.value).startswith(rule + message)


def test_an_objective_of_ones_own_must_give_one_value_for_each_example():
    def errors(outputs, targets):
        return tf.abs(outputs - targets)  # [batch, outputs], the mean over them forgotten

    objective = Objective("error", errors, errors)
    outputs = tf.zeros([8, 1])
    for name in ("losses", "scores"):
        with pytest.raises(ValueError) as error:
            getattr(objective, f"{name}_of")(outputs, outputs)
        message = f"`Objective.{name}` must return one value for each example, (8,). Received: (8, 1). "
        assert str(error.value).startswith(message)
    np.testing.assert_array_equal(CLASSIFICATION.scores_of(outputs, np.zeros(8, np.int64)), np.ones(8))
