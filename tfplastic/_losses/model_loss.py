"""The loss of a Keras model on data, in the form in which operators take functions and data."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic._data.blocks import check_length, in_blocks, length_of
from tfplastic._data.examples import all_examples, as_tensors
from tfplastic._data.numbers import check_inputs, check_not_text, misfit
from tfplastic._keras import check_backend
from tfplastic._losses.chosen_losses import chosen_losses, no_loss
from tfplastic._losses.draws import fixed_draws
from tfplastic._losses.example_losses import Losses
from tfplastic._losses.example_weights import weights_of_classes
from tfplastic._tf.read_only import compile_read_only


def call_of(model: Any) -> Callable[[Any], Any]:
    """Returns a function that calls a model with `training=False` and fixed random draws."""
    kwargs = {"training": False} if "training" in inspect.signature(model.call).parameters else {}

    def call(inputs: Any) -> Any:
        try:
            with fixed_draws():
                return model(inputs, **kwargs)
        except ValueError as error:
            raise misfit(error, "`inputs` must fit the model", inputs) or error from None

    return call


def check_model(model: Any) -> None:
    """Checks that `model` can be read.

    Raises:
        TypeError: it is not a Keras model or layer.
        ValueError: it is not built, or computes with another backend than TensorFlow.
    """
    if not hasattr(model, "_flatten_layers") or isinstance(model, type):
        raise TypeError(f"`model` must be a Keras model. Received: {model!r}")
    check_backend("model", model)
    if not model.built:
        raise ValueError(f"`model` must be built, by a call on a batch. Received: {model.name!r}")


def packed(inputs: Any, targets: Any, sample_weight: Any) -> tuple[Any, ...]:
    """Returns examples as `Losses` takes them: () for no targets, weights only where there are some."""
    examples = inputs, () if targets is None else targets
    return examples if sample_weight is None else (*examples, sample_weight)


class FlatLoss:
    """The losses of examples as functions of flat tensors, whose floats may have been cast.

    Args:
        losses: losses of the examples.
        examples: all of the data, in the form that `Losses` takes.

    Attributes:
        data: the examples as a flat tuple, as an operator takes them.
    """

    def __init__(self, losses: Losses, examples: tuple[Any, ...]):
        self.data = tuple(tf.nest.flatten(examples))
        self._losses = losses
        self._specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, examples)

    def mean(self, *flat: tf.Tensor) -> tf.Tensor:
        """Returns the mean over a block, `[]`; traceable."""
        return self._losses.mean(self.examples(flat))

    def of_examples(self, *flat: tf.Tensor) -> tf.Tensor:
        """Returns the losses of the examples of a block, `[b]`; traceable."""
        return self._losses.of_examples(self.examples(flat))

    def examples(self, flat: Sequence[tf.Tensor]) -> tuple[Any, ...]:
        """Returns a block in the nest and the dtypes of the examples."""
        nest = tf.nest.pack_sequence_as(self._specs, flat)
        return tf.nest.map_structure(lambda each, spec: tf.cast(each, spec.dtype), nest, self._specs)


class ModelData:
    """A model with data, as the operators' `from_model` takes them.

    Args:
        model: a Keras model, of Keras 2 or Keras 3, built.
        inputs: a nest of arrays `[n, ...]`, or a dataset that ends, of which all is kept as arrays and whose
            elements may hold the targets and weights as well; see `_data`.
        targets: a nest of arrays `[n, ...]`, or None.
        sample_weight: weights of the examples, as in `fit`.
        class_weight: {class: weight}, as in `fit`.
        batch_size: most examples to take at a time; None: all.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: the model is not built, or the data are not of one length.
    """

    def __init__(
        self,
        model: Any,
        inputs: Any,
        targets: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int | None = None,
    ):
        check_model(model)
        self.model, self.call = model, call_of(model)
        found = all_examples("inputs", inputs, targets, sample_weight)
        self.inputs, self.targets = found.inputs, found.targets
        self.num_examples = length_of(self.inputs)
        check_inputs(model, self.inputs)
        check_not_text("targets", self.targets)
        check_length("targets", self.targets, self.num_examples)
        weights = weights_of_classes(class_weight, found.sample_weight, self.targets)
        self.sample_weight = None if weights is None else as_tensors("sample_weight", weights)
        check_length("sample_weight", self.sample_weight, self.num_examples)
        if batch_size is not None:
            check_positive_integer("batch_size", batch_size)
        is_one = batch_size is None or batch_size >= self.num_examples
        self.batch_size = None if is_one else batch_size
        self.examples = packed(self.inputs, self.targets, self.sample_weight)

    def loss(self, loss: Any, include_model_losses: bool) -> FlatLoss:
        """Returns the loss of the data: the compiled one for None, else `loss`.

        Raises:
            ValueError: the model has no loss; or the loss does not fit the outputs and targets.
        """
        losses = chosen_losses(
            self.model,
            loss,
            None,
            self.targets,
            include_model_losses,
            self.call,
            self.num_examples,
            self._blocks,
        )
        if losses is None:
            raise no_loss(self.model)
        signature = tf.nest.map_structure(
            lambda each: tf.TensorSpec([self.batch_size or self.num_examples, *each.shape[1:]], each.dtype),
            self.examples,
        )
        compile_read_only(f"`{losses.name}`", losses.mean, signature)
        losses.check(self.batch_size or self.num_examples)
        return FlatLoss(losses, self.examples)

    def variables(self, variables: Sequence[Any] | None) -> Sequence[Any]:
        """Returns `variables`, for None the model's trainable ones."""
        return self.model.trainable_variables if variables is None else variables

    def _blocks(self) -> Any:
        size = self.batch_size or self.num_examples
        return (block for block, _ in in_blocks(self.examples, self.num_examples, size))
