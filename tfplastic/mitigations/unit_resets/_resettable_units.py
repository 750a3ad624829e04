"""The units of a model that can be reset, and the choice of the lowest among them."""

from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import UnitMap, Units
from tfplastic.mitigations._weights.trainable import trainable_weights


def resettable_units(model: Any, activated: bool = True) -> dict[str, Units]:
    """Returns the units of each hidden layer whose kernel, and whose readers' kernels, are trained.

    Args:
        model: a Keras model, built.
        activated: whether a nonlinearity has to follow the layer.

    Raises:
        ValueError: there is none.
    """
    trained = {id(weight.variable) for weight in trainable_weights(model)}
    found = {
        layer: units
        for layer, units in UnitMap(model).items()
        if all(id(part.variable) in trained for part in (units.incoming, *units.outgoing))
        and (units.activations or not activated)
    }
    if not found:
        rule = "must have a trained hidden layer" + " with a nonlinearity after it" * activated
        action = "Add or unfreeze one, or leave the method out"
        raise ValueError(f"`model` {rule}. Received: {model.name!r}. {action}")
    return found


def lowest(scores: tf.Tensor, count: Any, among: tf.Tensor) -> tf.Tensor:
    """Returns the mask of the units with the lowest scores, the first ones of equals; traceable.

    Args:
        scores: `[units]`.
        count: `[]`, the most units to choose, an integer or the floor of a number.
        among: `[units] bool`, those that may be chosen.
    """
    highest = tf.constant(float("inf"), scores.dtype)
    order = tf.argsort(tf.where(among, scores, highest), stable=True)
    ranks = tf.argsort(order, stable=True)  # [units]
    return among & (ranks < tf.cast(count, tf.int32))
