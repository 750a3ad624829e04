"""Optimizers that scale losses, which the gradient step does not do for them."""

from typing import Any


def check_scales_no_loss(optimizer: Any) -> None:
    """Raises `ValueError` if an optimizer would divide gradients by a factor that no loss was multiplied by.

    Args:
        optimizer: an optimizer of either Keras, or the name of one.
    """
    rule = "`optimizer` must be an optimizer that does not scale losses"
    name = type(optimizer).__name__
    if hasattr(optimizer, "inner_optimizer"):
        raise ValueError(f"{rule}. Received: {name}")
    factor = getattr(optimizer, "loss_scale_factor", None)
    if factor is not None:
        raise ValueError(f"{rule}. Received: {name} with loss_scale_factor={factor!r}")
