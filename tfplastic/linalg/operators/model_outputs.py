"""The outputs of a Keras model as one tensor, and its loss as a function of them."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfplastic._data.blocks import in_blocks
from tfplastic._losses.chosen_losses import chosen_losses, no_loss
from tfplastic._losses.example_losses import unpacked
from tfplastic._losses.keras_loss import computes_its_own_loss
from tfplastic._losses.model_loss import ModelData, packed
from tfplastic._tf.read_only import compile_read_only


class FlatOutputs:
    """All outputs of each example in one row, and the loss of such rows.

    Args:
        data: model and examples.

    Attributes:
        inputs: the inputs as a flat tuple, as an operator takes them.
    """

    def __init__(self, data: ModelData):
        self._data = data
        self._inputs = tf.nest.map_structure(tf.TensorSpec.from_tensor, data.inputs)
        self._outputs: Any = None  # a nest of specs
        self.inputs = tuple(tf.nest.flatten(data.inputs))
        size = data.batch_size
        signature = tf.nest.map_structure(
            lambda each: tf.TensorSpec([None if size else each.shape[0], *each.shape[1:]], each.dtype),
            data.inputs,
        )
        self._program = compile_read_only("`model`", self._rows_and_masks, signature)

    def rows(self, flat: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Returns `[b, outputs]` for a block of `inputs`, whose floats may have been cast; traceable."""
        nest = tf.nest.pack_sequence_as(self._inputs, flat)
        inputs = tf.nest.map_structure(lambda each, spec: tf.cast(each, spec.dtype), nest, self._inputs)
        return _in_rows(self._data.call(inputs))

    def _rows_and_masks(self, inputs: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        outputs = self._data.call(inputs)
        self._outputs = tf.nest.map_structure(tf.TensorSpec.from_tensor, outputs)
        masks = [getattr(each, "_keras_mask", None) for each in tf.nest.flatten(outputs)]
        return _in_rows(outputs), {str(at): each for at, each in enumerate(masks) if each is not None}

    def loss(self, loss: Any) -> "RowLoss":
        """Returns the loss of the data as a function of the outputs, without the losses of the model.

        Raises:
            ValueError: the model has no loss, or one that is not a function of outputs; or the loss does not
                fit the outputs and targets.
        """
        data = self._data
        if loss is None and computes_its_own_loss(data.model):
            rule = (
                "must be given for a model with a `compute_loss` of its own, which may take more than outputs"
            )
            raise ValueError(f"`loss` {rule}. Received: None")
        size = data.batch_size or data.num_examples
        blocks = [self._program(each) for each, _ in in_blocks(data.inputs, data.num_examples, size)]
        rows, masks = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *blocks)
        return RowLoss(data, loss, self._outputs, packed((rows, masks), data.targets, data.sample_weight))


class RowLoss:
    """A loss as a function of the rows of `FlatOutputs`.

    Args:
        data: model and examples.
        loss: the `loss` of `from_model`.
        outputs: a nest of specs of the outputs.
        examples: ((rows, masks), targets, weights), of all of the data.

    Attributes:
        data: arguments of the loss besides the rows, as a flat tuple.
    """

    def __init__(self, data: ModelData, loss: Any, outputs: Any, examples: tuple[Any, ...]):
        self._outputs = outputs
        (_, masks), targets, weights = unpacked(examples)
        others = packed(masks, targets, weights)
        self.data = tuple(tf.nest.flatten(others))
        self._others = tf.nest.map_structure(tf.TensorSpec.from_tensor, others)
        size = data.batch_size or data.num_examples

        def blocks() -> Iterator[Any]:
            return (block for block, _ in in_blocks(examples, data.num_examples, size))

        losses = chosen_losses(
            data.model, loss, None, data.targets, False, self._unpacked, data.num_examples, blocks, True
        )
        if losses is None:
            raise no_loss(data.model)
        self._losses = losses
        block = next(blocks())
        compile_read_only(
            f"`{losses.name}`", losses.mean, tf.nest.map_structure(tf.TensorSpec.from_tensor, block)
        )
        losses.check(size)

    def mean(self, rows: tf.Tensor, *flat: tf.Tensor) -> tf.Tensor:
        """Returns the mean over a block, `[]`; traceable."""
        nest = tf.nest.pack_sequence_as(self._others, flat)
        cast = tf.nest.map_structure(lambda each, spec: tf.cast(each, spec.dtype), nest, self._others)
        return self._losses.mean(((rows, cast[0]), *cast[1:]))

    def _unpacked(self, given: tuple[tf.Tensor, dict[str, tf.Tensor]]) -> Any:
        """Returns rows in the nest of the outputs, with their masks."""
        rows, masks = given
        specs = tf.nest.flatten(self._outputs)
        parts = tf.split(rows, [each.shape[1:].num_elements() for each in specs], axis=1)
        outputs = []
        for number, (part, spec) in enumerate(zip(parts, specs, strict=True)):
            output = tf.reshape(tf.cast(part, spec.dtype), [-1, *spec.shape[1:]])
            output = tf.ensure_shape(output, [rows.shape[0], *spec.shape[1:]])
            if str(number) in masks:
                vars(output)["_keras_mask"] = masks[str(number)]
            outputs.append(output)
        return tf.nest.pack_sequence_as(self._outputs, outputs)


def _in_rows(outputs: Any) -> tf.Tensor:
    flat = tf.nest.flatten(outputs)
    if not flat or not all(tf.is_tensor(each) and each.dtype.is_floating for each in flat):
        received = ", ".join(type(each).__name__ for each in flat) or "none"
        raise ValueError(f"`model` must return tensors of floats. Received: {received}")
    dtype = max((each.dtype for each in flat), key=lambda dtype: dtype.size)
    return tf.concat([tf.cast(tf.reshape(each, [tf.shape(each)[0], -1]), dtype) for each in flat], axis=1)
