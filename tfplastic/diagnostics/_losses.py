"""The loss of each example, of whatever form a loss is given in."""

import importlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfplastic.linalg._program import Traced


class Losses:
    """The losses L_i of the examples of a block, and their mean L. Traceable.

    Args:
        loss: takes targets and outputs, and returns the block's mean loss, `[]`, or the examples', `[b]` or
            `[b, ...]`, of which an example's loss is the mean.
        example_losses: instead of it, takes targets only and returns the examples' losses.
        call: of the model.

    Attributes:
        name: of the argument that the function came from.
    """

    def __init__(self, loss: Any, example_losses: Any, call: Callable[[Any], Any]):
        if loss is None:
            self._function = Traced("example_losses", example_losses, "a batch of targets")
        else:
            self._function = Traced("loss", loss, "targets and outputs")
        self.name = self._function.name
        self._takes_outputs = loss is not None
        self._call = call

    def of_examples(self, examples: tuple[Any, Any]) -> tf.Tensor:
        """L_i, `[b]`, of a block of examples, pairs of inputs and targets."""
        inputs, targets = examples
        targets = targets if tf.nest.flatten(targets) else None
        if not self._takes_outputs:
            return _by_example(self._function(targets))
        outputs = self._call(inputs)
        losses = self._function(targets, outputs)
        return self._of_singles(targets, outputs) if losses.shape.rank == 0 else _by_example(losses)

    def mean(self, examples: tuple[Any, Any]) -> tf.Tensor:
        """L, `[]`, of a block."""
        inputs, targets = examples
        targets = targets if tf.nest.flatten(targets) else None
        arguments = (targets, self._call(inputs)) if self._takes_outputs else (targets,)
        losses = self._function(*arguments)
        return losses if losses.shape.rank == 0 else tf.reduce_mean(_by_example(losses))

    def check(self, num_examples: int | None) -> None:
        """Raises `ValueError` if what was traced last is no loss of `num_examples`, None being any number."""
        self._function.check_tensor()
        shape = self._function.shape
        is_mean = self._takes_outputs and shape.rank == 0
        is_long = bool(shape.rank) and (None in (shape[0], num_examples) or shape[0] == num_examples)
        if not is_mean and not is_long:
            rule = "must return a loss for each example" + ", or their mean" * self._takes_outputs
            raise ValueError(f"`{self.name}` {rule}. Received: shape {shape}")

    def _of_singles(self, targets: Any, outputs: Any) -> tf.Tensor:
        """Each example's loss as that of a batch of one."""

        def loss(example: tuple[Any, Any]) -> tf.Tensor:
            target, output = tf.nest.map_structure(lambda each: each[tf.newaxis], example)
            return self._function(None if targets is None else target, output)

        return tf.vectorized_map(loss, (() if targets is None else targets, outputs))


def _by_example(losses: tf.Tensor) -> tf.Tensor:
    if not losses.shape.rank:  # `check` says so
        return losses
    return tf.reduce_mean(losses, axis=tf.range(1, tf.rank(losses)))


def as_loss_function(loss: Any, model: Any) -> Callable[..., Any]:
    """`loss`, a function, a Keras loss or its name, as a function of targets and outputs.

    Raises:
        TypeError: it is none of these.
        ValueError: the Keras of `model` knows no loss of that name.
    """
    is_of_keras = isinstance(loss, str)
    if is_of_keras:
        try:
            loss = _keras_of(model).losses.get(loss)
        except ValueError:
            raise ValueError(f"`loss` must be the name of a Keras loss. Received: {loss!r}") from None
    if not callable(loss) or isinstance(loss, type):
        rule = "must be a function of targets and outputs, a Keras loss or its name"
        raise TypeError(f"`loss` {rule}. Received: {loss!r}")
    if hasattr(loss, "reduction") and hasattr(loss, "call"):  # an object of either Keras
        loss, is_of_keras = unreduced(loss), True
    return (lambda targets, outputs: loss(*aligned(targets, outputs))) if is_of_keras else loss


def aligned(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Both with the same number of axes, as Keras has it: `[n]` and `[n, 1]` make no `[n, n]`."""
    if len(outputs.shape) == 1:
        outputs = outputs[:, None]
    if len(targets.shape) == len(outputs.shape) - 1 and outputs.shape[-1] == 1:
        targets = targets[..., None]
    elif len(targets.shape) == len(outputs.shape) + 1 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    return targets, outputs


def unreduced(loss: Any) -> Any:
    """A Keras loss, of either Keras, that returns the losses of the examples."""
    of_examples = object.__new__(type(loss))  # `copy.copy` goes through a file in Keras 3
    vars(of_examples).update({**vars(loss), "reduction": "none"})
    return of_examples


def _keras_of(model: Any) -> Any:
    roots = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    return importlib.import_module("tf_keras" if "tf_keras" in roots else "keras")
