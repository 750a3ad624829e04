"""Keras losses by name, strict about their arguments.

Keras broadcasts targets and outputs of unequal shapes and takes logits for probabilities; both give the value
of another loss.
"""

import functools
import inspect
from typing import Any

import numpy as np

from tfplastic._losses.loss_names import loss_of_name
from tfplastic.configuration.errors import UsageError


class NamedLoss:
    """The loss that a version of Keras knows as `name`: of targets and outputs, a value for each example.

    Args:
        keras: the module of that version.
        name: name of a function or a class.
        from_logits: whether outputs are logits.

    Raises:
        UsageError: there is no such loss (names near matches), or it takes no logits.
    """

    def __init__(self, keras: Any, name: str, from_logits: bool):
        try:
            loss = loss_of_name(keras, name, "--loss")
        except ValueError as error:
            raise UsageError(str(error)) from error
        # A class's name gives an instance, which would average; a function's the function.
        make = (
            functools.partial(type(loss), reduction="none") if isinstance(loss, keras.losses.Loss) else None
        )
        takes_logits = "from_logits" in inspect.signature(make.func if make else loss).parameters
        if from_logits and not takes_logits:
            raise UsageError(f"--from_logits goes with crossentropies. Received: --loss={name}")
        options = {"from_logits": from_logits} if takes_logits else {}
        self.name = name
        self._function = make(**options) if make else functools.partial(loss, **options)
        self._takes_probabilities = takes_logits and not from_logits
        self._takes_labels = name.lower().startswith("sparse")

    def __call__(self, targets: Any, outputs: Any) -> Any:
        """Returns the loss of each example, `[batch]`, or `[batch, ...]` for outputs with several losses."""
        return self._function(targets, outputs)

    def fit_targets(self, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns `targets` in the shape in which they can be compared with the outputs.

        Args:
            targets: `[examples, ...]`; a last axis of size 1 may be missing, or be too many.
            outputs: `[batch, ...]`, the model's for the first of the examples.

        Raises:
            UsageError: targets do not fit, are not labels where labels are taken, or outputs no probabilities
                where these are taken; or the loss has no value for each example.
        """
        wanted = outputs.shape[1:-1] if self._takes_labels else outputs.shape[1:]
        if targets.shape[1:] == (*wanted, 1):
            targets = targets[..., 0]
        elif (*targets.shape[1:], 1) == wanted:
            targets = targets[..., None]
        if targets.shape[1:] != wanted:
            hint = "" if self._takes_labels else self._hint(targets, outputs)
            rule = (
                f"takes y of shape {shape_text(wanted)} for outputs of shape {shape_text(outputs.shape[1:])}"
            )
            received = f"y of shape {shape_text(targets.shape[1:])}{hint}"
            raise UsageError(f"--data: --loss={self.name} {rule}. Received: {received}")
        if self._takes_labels:
            check_labels(targets, outputs.shape[-1], f"--loss={self.name}")
        if self._takes_probabilities and (outputs.min() < 0 or outputs.max() > 1):
            rule = "takes probabilities; --from_logits says that the model gives logits"
            received = f"outputs from {outputs.min():.4g} to {outputs.max():.4g}"
            raise UsageError(f"--loss={self.name} {rule}. Received: {received}")
        losses = np.asarray(self(targets[: len(outputs)], outputs))
        if losses.shape[:1] != outputs.shape[:1]:
            raise UsageError(f"--loss must have a value for each example. Received: {self.name!r}")
        return targets

    def _hint(self, targets: np.ndarray, outputs: np.ndarray) -> str:
        labels = targets.dtype.kind in "iu" and targets.shape[1:] in (
            outputs.shape[1:-1],
            (*outputs.shape[1:-1], 1),
        )
        return " (sparse_categorical_crossentropy takes labels)" if labels else ""


def check_labels(targets: np.ndarray, num_classes: int, loss: str) -> None:
    """Checks that targets are labels.

    Raises:
        UsageError: they are not integers from 0 to `num_classes` - 1; names `loss`.
    """
    # TensorFlow takes other labels for NaN losses, or ends, depending on the device.
    if np.any(targets != np.floor(targets)) or targets.min() < 0 or targets.max() >= num_classes:
        rule = f"takes integer labels from 0 to {num_classes - 1}"
        received = f"y from {targets.min()} to {targets.max()}, {targets.dtype}"
        raise UsageError(f"--data: {loss} {rule}. Received: {received}")


def shape_text(sizes: Any) -> str:
    """Returns the shape of a batch of examples of shape `sizes`, as text.

    Example:
        >>> from tfplastic.command_line.diagnose.keras_files import named_loss
        >>> named_loss.shape_text((28, 28))
        '[examples, 28, 28]'
    """
    return f"[{', '.join(['examples', *map(str, sizes)])}]"
