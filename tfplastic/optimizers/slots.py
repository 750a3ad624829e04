"""The slots of a Keras optimizer: its state for each weight."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import tf_variable
from tfplastic.optimizers._forms.keras_form import index_of
from tfplastic.optimizers.any_keras import is_legacy_kind, legacy_slots

# Lists with one variable for each weight, all zero at first, by the optimizer's attribute that holds them.
_NAMES = {
    "_average_gradients": "average_gradient",  # centered RMSprop
    "_increments": "increment",  # CenteredRMSprop of this package
    "_momentums": "momentum",
    "_steps": "steps",  # Adam of this package with `per_entry_steps`
    "momentums": "momentum",  # SGD, and Lion of Keras 2
    "_velocities": "velocity",
    "_velocity_hats": "velocity_hat",  # Adam with `amsgrad`
}
# Those of `tf_keras.optimizers.legacy`, by the names of its slots.
_LEGACY_NAMES = {
    "m": "momentum",
    "mg": "average_gradient",
    "momentum": "momentum",
    "rms": "velocity",
    "v": "velocity",
    "vhat": "velocity_hat",
}


def slots(optimizer: Any, variable: Any) -> dict[str, tf.Variable]:
    """Returns the slots of `optimizer` for one weight, by name; they are the optimizer's own variables.

    Names are those of Keras, and for optimizers that Keras lacks those of their pure forms: `momentum` and
    `velocity` are the m and v of Adam; `velocity` and `average_gradient` those of RMSprop; `steps` is the
    count of each entry's updates. The count of the optimizer, `optimizer.iterations`, belongs to no single
    weight and is not among them.

    Args:
        optimizer: this package's or Keras' Adam, RMSprop, SGD or another whose slots have those names
            (AdamW, Lion), of the Keras in use or of `tf.keras.optimizers.legacy`; built.
        variable: a weight that the optimizer was built for, as the model has it.

    Returns:
        Variables of the weight's shape, all zero before the first step; none if the optimizer remembers
        nothing.

    Raises:
        ValueError: if the optimizer was not built for the weight, or has variables of another kind, such as
            averages of the weights.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tf.keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> adam = tp.optimizers.adam()
        >>> adam.build(layer.trainable_variables)
        >>> sorted(tp.optimizers.slots(adam, layer.trainable_variables[0]))
        ['momentum', 'velocity']
    """
    try:
        if is_legacy_kind(optimizer):
            return _renamed(optimizer, legacy_slots(optimizer, variable))
        index = index_of(optimizer, variable)
    except (AttributeError, KeyError):
        rule = f"must be a weight that the {type(optimizer).__name__} was built for"
        raise ValueError(f"`variable` {rule}. Received: {getattr(variable, 'name', variable)!r}") from None
    found = {
        name: getattr(optimizer, attribute)
        for attribute, name in _NAMES.items()
        if getattr(optimizer, attribute, None)  # absent, or empty where the settings need none
    } | getattr(optimizer, "slot_variables", {})
    known = {id(slot) for of_weights in found.values() for slot in of_weights}
    known |= set(map(id, getattr(optimizer, "shared_variables", ())))
    known |= {id(optimizer._iterations), id(optimizer._learning_rate)}
    _check_none(optimizer, [each.name for each in optimizer.variables if id(each) not in known])
    return {name: tf_variable(of_weights[index]) for name, of_weights in found.items()}


def _renamed(optimizer: Any, found: dict[str, tf.Variable]) -> dict[str, tf.Variable]:
    _check_none(optimizer, [name for name in found if name not in _LEGACY_NAMES])
    return {_LEGACY_NAMES[name]: slot for name, slot in found.items()}


def _check_none(optimizer: Any, others: list[str]) -> None:
    """Raises `ValueError` if there are slots of another kind, of these names."""
    if others:
        rule = f"must remember of a weight nothing but {', '.join(sorted(set(_NAMES.values())))}"
        raise ValueError(f"`optimizer` {rule}. Received: a {type(optimizer).__name__} with {others[0]!r}")
