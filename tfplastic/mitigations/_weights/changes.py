"""Changes of weights together with the optimizer's slots that depend on them."""

from typing import Any

import tensorflow as tf

from tfplastic.mitigations.mitigation import Slots
from tfplastic.optimizers.any_keras import draws_noise

_REFERENCE = "reference"  # of TRAC: the weights at which its path began


def reset_slots(slots: Slots, variable: Any) -> None:
    """Assigns to the slots of a weight the values with which they start."""
    for name, slot in slots(variable).items():
        slot.assign(slot_start(name, slot, variable))


def slot_start(name: str, slot: tf.Variable, variable: Any) -> tf.Tensor:
    """Returns the value with which a slot starts: zeros, or the weight itself for the reference of TRAC.

    Args:
        name: name of the slot.
        slot: slot of the weight.
        variable: the weight.
    """
    return tf.convert_to_tensor(variable) if name == _REFERENCE else tf.zeros_like(slot)


def change(variable: Any, value: tf.Tensor, slots: Slots | None) -> None:
    """Assigns a new value to a weight whose slots stay; TRAC continues its path from there.

    Without it TRAC would take the change for a part of its path, divide it by its scale, and stop.

    Args:
        variable: a weight.
        value: its new value.
        slots: see `Mitigation.after_update`; None without an optimizer.
    """
    reference = _reference(slots, variable)
    if reference is None:
        variable.assign(value)
        return
    old, begun = tf.convert_to_tensor(variable), tf.convert_to_tensor(reference)
    variable.assign(value)
    new = tf.convert_to_tensor(variable)
    # In this form the reference of a weight that has not moved yet stays equal to it.
    reference.assign(tf.where(tf.equal(new, old), begun, new - (old - begun)))


def _reference(slots: Slots | None, variable: Any) -> tf.Variable | None:
    if slots is None:
        return None
    try:
        return slots(variable).get(_REFERENCE)
    except ValueError:  # of a weight or an optimizer without slots that are known
        return None


def check_resets_step(optimizer: Any, resets: bool) -> bool:
    """Returns `resets`, whether the optimizer's count of steps is set to 0, if the optimizer allows it.

    Raises:
        ValueError: its noise is a function of the count, so that each reset would bring the same noise.
    """
    if resets and draws_noise(optimizer):
        rule = f"must be False with {type(optimizer).__name__}, whose noise goes by the count of steps"
        raise ValueError(f"`reset_step` {rule}. Received: True")
    return resets
