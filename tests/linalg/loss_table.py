"""Targets and outputs for each loss of Keras: a row for each, by the name of its class."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_GENERATOR = np.random.default_rng(0)
_CLASSES = _GENERATOR.integers(0, 3, 4)


@dataclasses.dataclass(frozen=True)
class LossRow:
    """Targets of four examples, and a function from three numbers for each to outputs of the loss."""

    targets: Any
    activation: Callable[[Any], Any] = tf.identity
    arguments: tuple[Any, ...] = ()


def _each(names: str, row: LossRow) -> dict[str, LossRow]:
    return dict.fromkeys(names.split(), row)


def _over_time(outputs: tf.Tensor) -> tf.Tensor:
    """Four steps of three classes."""
    return tf.reshape(tf.stack([outputs, 2 * outputs, outputs**2, -outputs], 1), [-1, 4, 3])


def _on_sphere(outputs: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(outputs, -1)


ROWS: dict[str, LossRow] = {
    **_each(
        "MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError Huber LogCosh CosineSimilarity",
        LossRow(_GENERATOR.standard_normal((4, 3))),
    ),
    **_each("MeanSquaredLogarithmicError Poisson", LossRow(_GENERATOR.uniform(1, 2, (4, 3)), tf.exp)),
    **_each("Hinge SquaredHinge", LossRow(_GENERATOR.choice([-1.0, 1.0], (4, 3)))),
    **_each(
        "BinaryCrossentropy BinaryFocalCrossentropy Dice Tversky",
        LossRow(_GENERATOR.choice([0.0, 1.0], (4, 3)), tf.sigmoid),
    ),
    **_each(
        "CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge KLDivergence"
        " CategoricalGeneralizedCrossEntropy",
        LossRow(np.eye(3)[_CLASSES], tf.nn.softmax),
    ),
    "CategoricalGeneralizedCrossEntropy": LossRow(_CLASSES, tf.nn.softmax),
    "SparseCategoricalCrossentropy": LossRow(_CLASSES, tf.nn.softmax),
    "Circle": LossRow(np.array([0, 0, 1, 1]), _on_sphere),
    "CTC": LossRow(np.array([[1, 2], [2, 0], [1, 1], [2, 1]]), _over_time),
}


def loss_names(keras: Any) -> list[str]:
    """The names of all losses of `keras` but their base class."""
    base = keras.losses.Loss
    classes = vars(keras.losses).values()
    return sorted(
        {
            each.__name__
            for each in classes
            if inspect.isclass(each) and issubclass(each, base) and each is not base
        }
    )
