"""The choice of the losses that a snapshot measures, by the arguments of the snapshot."""

from collections.abc import Callable, Iterable
from typing import Any

from tfplastic._losses.example_losses import (
    Examples,
    FunctionLosses,
    KerasLosses,
    Losses,
    check_loss,
    is_of_keras,
)
from tfplastic._losses.keras_loss import KerasLoss, compiled_loss, is_compiled
from tfplastic._losses.labels import check_labels


def chosen_losses(
    model: Any,
    loss: Any,
    example_losses: Any,
    targets: Any,
    include_model_losses: bool,
    call: Callable[[Any], Any],
    num_examples: int,
    blocks: Callable[[], Iterable[Examples]],
    outputs_only: bool = False,
) -> Losses | None:
    """Returns the losses of examples; None where a snapshot has no loss.

    Args:
        model: a Keras model.
        loss: the `loss` of `Snapshot`; None: the compiled loss, if there are targets or it needs none.
        example_losses: the `example_losses` of `Snapshot`.
        targets: the targets of `Snapshot`, as tensors.
        include_model_losses: the `include_model_losses` of `Snapshot`.
        call: calls the model with `training=False`.
        num_examples: number of all examples.
        blocks: function that returns the examples block by block.
        outputs_only: whether the losses of the model have no part even in the compiled loss.

    Raises:
        TypeError: `loss` is not a function, a Keras loss, the name of one, or a nest of these.
        ValueError: arguments do not go together, or labels are not numbers of the outputs.
    """
    read = None if outputs_only else model
    if loss is not None and example_losses is not None:
        raise ValueError(f"`example_losses` must be None where `loss` is given. Received: {example_losses!r}")
    if example_losses is not None:
        if targets is None:
            raise ValueError("`targets` must be given with `example_losses`. Received: None")
        return FunctionLosses(None, example_losses, call, read, include_model_losses)

    def of_keras(loss: KerasLoss, reports: bool) -> Losses:
        check_labels(model, targets, loss.of_outputs)
        return KerasLosses(loss, call, read, num_examples, blocks, reports)

    if loss is None:
        own = compiled_loss(model, includes_model_losses=not outputs_only)
        is_whole = own is not None and (targets is not None or own.needs_no_targets)
        return of_keras(own, False) if own is not None and is_whole else None
    if targets is None and is_of_keras(loss):
        raise ValueError("`targets` must be given with a Keras loss. Received: None")
    check_loss(loss, model)
    if not is_of_keras(loss):
        check_labels(model, targets, loss)
        return FunctionLosses(loss, None, call, read, include_model_losses)
    given = KerasLoss(model, loss, includes_model_losses=include_model_losses)
    return of_keras(given, not include_model_losses)


def no_loss(model: Any) -> ValueError:
    """Returns the error to raise where `chosen_losses` finds none: it names the missing argument."""
    if is_compiled(model):
        return ValueError("`targets` must be given for the compiled loss. Received: None")
    return ValueError("`loss` must be given for a model that is not compiled. Received: None")
