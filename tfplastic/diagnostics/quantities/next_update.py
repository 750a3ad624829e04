"""Effects of the optimizer's next update on losses and outputs."""

import math

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.virtual_step import updated, virtual_step
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = ["churn", "same_batch_loss_change"]


@quantity("medium", group="next update", needs=("loss", "optimizer"))
def same_batch_loss_change(snapshot: Snapshot) -> dict[str, float]:
    """Returns how much the optimizer's next update changes the loss on its own batch.

    Negative where the update helps. Above zero it overshoots: the first sign of a learning rate too large for
    the curvature. The update is that of `virtual_step`.

    Formula: L(theta') - L(theta)
    Range: any sign
    NaN: where a loss is NaN, or both are infinite.
    Cost: one gradient, an update that is undone, and a loss.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.

    Returns:
        {'all': difference}.

    Raises:
        ValueError: the snapshot has no loss or no optimizer, or the optimizer was built for other variables.
        TypeError: the optimizer is not a Keras optimizer.

    Source: Elsayed and Mahmood 2024, "Addressing loss of plasticity and catastrophic forgetting in continual
        learning", whose sample plasticity is max(0, 1 - L(theta') / L(theta)); this is the difference itself.
    """
    step = virtual_step(snapshot)
    return {"all": step.loss_after - step.loss_before}


@quantity("medium", group="next update", needs=("loss", "optimizer"))
def churn(snapshot: Snapshot) -> dict[str, float]:
    """Returns how much an update changes the outputs for other inputs.

    theta' is after the optimizer's next update, as in `virtual_step`, on the first half of the snapshot's
    examples (of an odd number the smaller one), x are the inputs of the second half. The mean is over inputs
    and all entries of all outputs that no mask leaves out.

    Formula: mean |f(x; theta') - f(x; theta)|
    Range: at least 0
    NaN: where there is one example only, and where an output is NaN or infinite.
    Cost: one gradient, an update that is undone, and two forward passes.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.

    Returns:
        {'all': mean}.

    Raises:
        ValueError: the snapshot has no loss or no optimizer, the optimizer was built for other variables, or
            the model does not return a tensor.
        TypeError: the optimizer is not a Keras optimizer.

    Source: Tang et al. 2025, "Mitigating plasticity loss in continual reinforcement learning by reducing
        churn" (C-CHAIN), section 3, which leaves the norm open.
    """
    snapshot.require("loss")
    snapshot.require("optimizer")
    half = snapshot.num_examples // 2
    if not half:
        return {"all": math.nan}
    before = _from(snapshot, half)
    with updated(snapshot, tf.nest.map_structure(lambda each: each[:half], snapshot.examples)):
        after = _from(snapshot, half)
    change = np.abs(after - before)
    return {"all": float(change.mean()) if np.isfinite(change).all() else math.nan}


def _from(snapshot: Snapshot, start: int) -> np.ndarray:
    """Returns the outputs for the inputs from number `start` on, in one row."""
    outputs = zip(tf.nest.flatten(snapshot.outputs), snapshot.output_masks, strict=True)
    kept = [
        each[start:] if mask is None else tf.boolean_mask(each[start:], mask[start:])
        for each, mask in outputs
    ]
    return np.concatenate([np.asarray(each, np.float64).ravel() for each in kept])
