"""Compiled programs of the blocks of one batch."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._data.blocks import in_blocks, mean_of_blocks
from tfplastic._keras import is_of_keras_2
from tfplastic._losses.example_losses import Losses
from tfplastic._losses.keras_loss import is_compiled
from tfplastic._tf.read_only import ReadOnlyProgram, compile_read_only
from tfplastic.diagnostics.reading.forward_pass import ForwardPass


class BlockPrograms:
    """Programs that are compiled once and run on a batch block by block.

    Args:
        examples: the batch, a nest of tensors `[n, ...]`: (inputs, targets), perhaps with sample weights.
        num_examples: n.
        batch_size: most examples of a block.

    Attributes:
        kept: {key: program}.
    """

    def __init__(self, examples: tuple[Any, ...], num_examples: int, batch_size: int):
        self.kept: dict[Hashable, Any] = {}
        self._examples = examples
        self._num_examples, self._batch_size = num_examples, batch_size

    def blocks(self, nest: Any) -> Iterator[tuple[Any, int]]:
        """Returns an iterator over parts `[b, ...]` of a nest of tensors `[n, ...]`, and b."""
        return in_blocks(nest, self._num_examples, self._batch_size)

    def signature(self, nest: Any) -> Any:
        """Returns the shape of one block: the shape itself where there is only one."""
        length = self._num_examples if self._num_examples <= self._batch_size else None
        return tf.nest.map_structure(lambda each: tf.TensorSpec([length, *each.shape[1:]], each.dtype), nest)

    def forward(
        self, forward: ForwardPass, wholes: Sequence[str], arrays: Sequence[str]
    ) -> list[tuple[Any, int]]:
        """Returns `forward.selected` of each block, and the number of its examples."""
        key = ("forward", *wholes, *arrays)
        if key not in self.kept:
            self.kept[key] = forward.program(lambda traced: forward.selected(traced, wholes, arrays))
        return [(self.kept[key](block), count) for block, count in self.blocks(self._examples[0])]

    def forward_with_gradients(
        self,
        forward: ForwardPass,
        losses: Losses,
        weights: Mapping[str, list[tf.Variable]],
        wholes: Sequence[str],
        arrays: Sequence[str],
    ) -> tuple[list[tuple[Any, int]], dict[str, Any]]:
        """Returns `forward`, by the pass of the loss if it is the same, and {'loss', 'gradients': value}."""
        leaves = tf.nest.flatten(self._examples)
        tensors = list({id(each): each for each in leaves}.values())  # inputs may be among the targets
        key = ("with gradients", *wholes, *arrays)
        if key not in self.kept:
            examples, positions = self._examples, [_position(each, tensors) for each in leaves]

            def made(block: Sequence[tf.Tensor]) -> dict[str, Any]:
                of_block = tf.nest.pack_sequence_as(examples, [block[each] for each in positions])
                with forward.observed(of_block[0]) as passes:
                    gradients, loss = differentiated(losses, weights, of_block)
                return {
                    "mean": {"loss": loss, "gradients": gradients},
                    **forward.selected(passes[0], wholes, arrays),
                }

            self.kept[key] = _checked(losses, made, self.signature(tensors))
        blocks = [(self.kept[key](block), count) for block, count in self.blocks(tensors)]
        return blocks, mean_of_blocks([(block["mean"], count) for block, count in blocks])

    def mean(self, part: str, losses: Losses, function: Callable[[Any], Any]) -> Any:
        """Returns the mean over the examples of the results of `function` on blocks of them."""
        program = self.of_losses(part, losses, function)
        return mean_of_blocks([(program(block), count) for block, count in self.blocks(self._examples)])

    def of_losses(self, part: str, losses: Losses, function: Callable[[Any], Any]) -> ReadOnlyProgram:
        """Returns the program of a function of a block of examples that takes the losses.

        Raises:
            ValueError: they are not losses of the examples.
        """
        if part not in self.kept:
            self.kept[part] = _checked(losses, function, self.signature(self._examples))
        return self.kept[part]


def differentiated(
    losses: Losses, weights: Mapping[str, list[tf.Variable]], examples: tuple[Any, ...]
) -> tuple[dict[str, list[tf.Tensor]], tf.Tensor]:
    """Returns the gradient of a block's mean loss, in the form of `weights`, and that loss; traceable."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss = losses.mean(examples)
    gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.nest.map_structure(tf.convert_to_tensor, gradients), loss  # embeddings' are sparse


def _checked(losses: Losses, function: Callable[[Any], Any], signature: Any) -> ReadOnlyProgram:
    program = compile_read_only(f"`{losses.name}`", function, signature)
    losses.check(tf.nest.flatten(signature)[0].shape[0])
    return program


def _position(tensor: tf.Tensor, tensors: Sequence[tf.Tensor]) -> int:
    return next(position for position, each in enumerate(tensors) if each is tensor)


def state_of_model(model: Any) -> tuple[Any, ...]:
    """Returns the objects, to be compared by identity, that compiled programs of a model hold on to."""
    layers = list(model._flatten_layers())
    # In Keras 3 `compiled_loss` is a method, and so another object each time.
    container = getattr(model, "compiled_loss" if is_of_keras_2(model) else "_compile_loss", None)
    activations = [getattr(layer, "activation", None) for layer in layers]
    return (*layers, *activations, *model.trainable_variables, container, is_compiled(model))
