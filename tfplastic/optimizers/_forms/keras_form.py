"""Shared parts of the pure optimizers' Keras forms: Keras 2 and Keras 3 keep slots differently."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import check_backend, is_legacy, tf_variable
from tfplastic.optimizers.pure import PureOptimizer

# Options of every Keras optimizer besides its update, switched off.
_SWITCHED_OFF = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


def check_form(optimizer: Any, pure: PureOptimizer, **switched_off: Any) -> None:
    """Raises `ValueError` if the optimizer has a setting that its pure form lacks.

    Args:
        optimizer: optimizer of either Keras.
        pure: its pure form, which itself refuses settings out of their range.
        **switched_off: options of this optimizer, besides those of every Keras optimizer, with the value they
            must have.
    """
    check_backend("optimizer", optimizer)
    for name, off in {**_SWITCHED_OFF, **switched_off}.items():
        value = getattr(optimizer, name, off)
        if value != off:
            rule = f"must be {off!r}, which is all that {type(pure).__name__} can do"
            raise ValueError(f"`{name}` {rule}. Received: {value!r}")


def keras_arguments(pure: PureOptimizer) -> dict[str, Any]:
    """Returns the settings of a pure optimizer, but for the learning rate, as arguments of its Keras form."""
    settings = dict(vars(pure))
    del settings["learning_rate"]
    settings["global_clipnorm"] = settings.pop("max_gradient_norm")
    return settings


def index_of(optimizer: Any, variable: Any) -> int:
    """Returns the position of `variable` among those an optimizer of either Keras was built for."""
    if hasattr(optimizer, "_index_dict"):  # Keras 2
        return optimizer._index_dict[optimizer._var_key(variable)]
    return optimizer._get_variable_index(variable)


def add_slots(optimizer: Any, pure: PureOptimizer, name: str, variables: Sequence[Any]) -> list[Any]:
    """Returns a new variable of zeros for each of `variables`: the slot `name` of the pure form."""
    slots = []
    for variable in variables:
        reference = tf_variable(variable)
        dtype = pure.slot_dtype(name, reference.dtype)
        if not is_legacy():
            of_weight = f"{reference.name.split(':')[0].replace('/', '_')}_{name}"
            slots.append(optimizer.add_variable(reference.shape, "zeros", dtype.name, name=of_weight))
        else:
            zeros = tf.zeros(reference.shape, dtype)
            slots.append(optimizer.add_variable_from_reference(variable, name, initial_value=zeros))
    return slots


def apply_rule(
    pure: PureOptimizer, gradient: Any, variable: Any, slots: Sequence[Any], iterations: Any
) -> None:
    """Assigns one update of `variable` by `pure.rule`, the first where `iterations` is 0."""
    values = [tf.convert_to_tensor(slot) for slot in slots]
    parameter = tf.convert_to_tensor(variable)
    step = tf.convert_to_tensor(iterations) + 1
    new_parameter, new_slots = pure.rule(tf.convert_to_tensor(gradient), parameter, values, step)
    for slot, value in zip(slots, new_slots, strict=True):
        slot.assign(value)
    variable.assign(new_parameter)
