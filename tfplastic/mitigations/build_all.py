"""The preparation of mitigations and their optimizer for one run."""

from collections.abc import Sequence
from typing import Any

from tfplastic.mitigations.mitigation import Mitigation
from tfplastic.optimizers.any_keras import build_optimizer, seed_optimizer, was_built_for


def build_all(mitigations: Sequence[Mitigation], model: Any, optimizer: Any, seed: int) -> None:
    """Builds the optimizer and the mitigations, with the weights of their own that it trains.

    Args:
        mitigations: mitigations of a run, in their order.
        model: the Keras model that is trained, built.
        optimizer: a Keras optimizer.
        seed: the root seed of the run.

    Raises:
        ValueError: a mitigation cannot act on the model or the optimizer; or it has weights of its own, and
            the optimizer was built without them.
    """
    for mitigation in mitigations:
        mitigation.make_trainable(model, seed)
    # Own weights first: optimizers of hidden matrices take the last kernel for the output layer's.
    build_optimizer(optimizer, [*own_weights(mitigations), *model.trainable_variables])
    seed_optimizer(optimizer, seed)
    for mitigation in mitigations:
        if not was_built_for(optimizer, mitigation.trainable_variables):
            rule = f"must not be built before `{type(mitigation).__name__}` has made weights for it to train"
            action = "Give one that is not built"
            raise ValueError(f"`optimizer` {rule}. Received: a built {type(optimizer).__name__}. {action}")
        mitigation.build(model, optimizer, seed)


def own_weights(mitigations: Sequence[Mitigation]) -> list[Any]:
    """Returns the weights that mitigations have of their own, in their order."""
    return [variable for mitigation in mitigations for variable in mitigation.trainable_variables]
