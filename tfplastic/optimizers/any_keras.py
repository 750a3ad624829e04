"""Keras optimizers of any kind: Keras 3, Keras 2, and `tf_keras.optimizers.legacy`."""

from collections.abc import Sequence
from typing import Any

from tfplastic.optimizers._forms.keras_form import index_of


def is_optimizer(received: Any) -> bool:
    """Returns whether it is a Keras optimizer of any kind."""
    if isinstance(received, type) or not (hasattr(received, "build") or is_legacy_kind(received)):
        return False
    return all(hasattr(received, name) for name in ("apply_gradients", "get_config", "from_config"))


def is_legacy_kind(optimizer: Any) -> bool:
    """Returns whether an optimizer is of `tf_keras.optimizers.legacy`, with slots by weight and name."""
    return hasattr(optimizer, "get_slot_names")


def build_optimizer(optimizer: Any, variables: Sequence[Any]) -> None:
    """Makes an optimizer's variables for the weights `variables`, unless they are there."""
    if is_legacy_kind(optimizer):
        optimizer._create_all_weights(variables)  # leaves those that are there
    elif not getattr(optimizer, "built", getattr(optimizer, "_built", False)):
        optimizer.build(variables)


def was_built_for(optimizer: Any, variables: Sequence[Any]) -> bool:
    """Returns whether a built optimizer has slots for all of `variables`, or needs none."""
    if is_legacy_kind(optimizer):
        return True
    try:
        return all(index_of(optimizer, variable) is not None for variable in variables)
    except (AttributeError, KeyError):
        return False


def seed_optimizer(optimizer: Any, seed: int) -> None:
    """Gives the root seed of a run to an optimizer of this package that draws."""
    optimizer = _inside_of_loss_scales(optimizer)
    if hasattr(optimizer, "use_root_seed"):
        optimizer.use_root_seed(seed)


def draws_noise(optimizer: Any) -> bool:
    """Returns whether each update of an optimizer of this package draws noise for every weight."""
    return getattr(_inside_of_loss_scales(optimizer), "draws_noise", False)


def _inside_of_loss_scales(optimizer: Any) -> Any:
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def variables_of(optimizer: Any) -> list[Any]:
    """Returns all variables of an optimizer, its count of steps among them."""
    variables = optimizer.variables  # a method of legacy optimizers, else a property
    return list(variables() if is_legacy_kind(optimizer) else variables)


def legacy_slots(optimizer: Any, variable: Any) -> dict[str, Any]:
    """Returns the slots of a legacy optimizer for a weight, by its own names.

    Raises:
        KeyError: the optimizer was not built for the weight.
    """
    if not optimizer.weights:  # and has no names of slots
        raise KeyError(variable.name)
    return {name: optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()}
