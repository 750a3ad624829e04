"""Losses by name under both Kerases: their values by hand, and their errors."""

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tfplastic.command_line.diagnose.keras_files.named_loss import NamedLoss
from tfplastic.configuration.errors import UsageError


def floats(values):
    return np.array(values, np.float32)


BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
PROBABILITIES = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
LOGITS = np.log(PROBABILITIES) + np.array([[3.0], [-2.0]], np.float32)  # softmax knows no offset


@BOTH
@pytest.mark.parametrize("name", ["mse", "mean_squared_error", "MeanSquaredError"])
def test_functions_and_classes_give_a_value_for_each_example(keras, name):
    values = NamedLoss(keras, name, False)(np.zeros([3, 2], np.float32), floats([[1, 1], [2, 0], [0, 0]]))
    np.testing.assert_allclose(values, [1, 2, 0])


@BOTH
@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("from_logits", [False, True])
def test_logits_and_probabilities(keras, name, from_logits):
    loss = NamedLoss(keras, name, from_logits)
    targets = loss.fit_targets(np.array([[1], [0]]), LOGITS if from_logits else PROBABILITIES)
    assert targets.shape == (2,)
    values = loss(targets, LOGITS if from_logits else PROBABILITIES)
    np.testing.assert_allclose(values, -np.log([0.8, 0.6]), rtol=1e-5)


def test_a_column_is_a_vector():
    loss = NamedLoss(keras_2, "mse", False)
    assert loss.fit_targets(np.zeros(5), np.zeros([3, 1], np.float32)).shape == (5, 1)
    assert loss.fit_targets(np.zeros([5, 2, 1]), np.zeros([3, 2], np.float32)).shape == (5, 2)


@BOTH
def test_unknown_names(keras):
    with pytest.raises(UsageError) as caught:
        NamedLoss(keras, "mean_square_error", False)
    assert str(caught.value).startswith(
        "--loss must be the name of a Keras loss. Received: 'mean_square_error'. "
        "Did you mean 'mean_squared_error'"
    )


@pytest.mark.parametrize(
    ("name", "targets", "outputs", "message"),
    [
        (
            "mse",
            np.zeros([4, 3]),
            np.zeros([2, 2], np.float32),
            "--data: --loss=mse takes y of shape [examples, 2] for outputs of shape [examples, 2]. "
            "Received: y of shape [examples, 3]",
        ),
        (
            "categorical_crossentropy",
            np.zeros([4], int),
            PROBABILITIES,
            "--data: --loss=categorical_crossentropy takes y of shape [examples, 2] for outputs of shape "
            "[examples, 2]. Received: y of shape [examples] (sparse_categorical_crossentropy takes labels)",
        ),
        (
            "sparse_categorical_crossentropy",
            np.array([0, 2]),
            PROBABILITIES,
            "--data: --loss=sparse_categorical_crossentropy takes integer labels from 0 to 1. "
            "Received: y from 0 to 2, int64",
        ),
        (
            "sparse_categorical_crossentropy",
            np.array([0, 0.5]),
            PROBABILITIES,
            "--data: --loss=sparse_categorical_crossentropy takes integer labels from 0 to 1. "
            "Received: y from 0.0 to 0.5, float64",
        ),
        (
            "sparse_categorical_crossentropy",
            np.array([0, 1]),
            floats([[-1, 3], [0, 0]]),
            "--loss=sparse_categorical_crossentropy takes probabilities; --from_logits says that the model "
            "gives logits. Received: outputs from -1 to 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name, targets, outputs, message):
    with pytest.raises(UsageError) as caught:
        NamedLoss(keras_2, name, False).fit_targets(targets, outputs)
    assert str(caught.value) == message


def test_logits_of_a_loss_that_has_none():
    with pytest.raises(UsageError, match="^--from_logits goes with crossentropies. Received: --loss=mse$"):
        NamedLoss(keras_2, "mse", True)


def test_a_loss_of_the_whole_batch():
    outputs = floats([[0.5], [0.5]])
    with pytest.raises(UsageError, match="^--loss must have a value for each example. Received: 'dice'$"):
        NamedLoss(keras_3, "dice", False).fit_targets(floats([[0], [1]]), outputs)
