"""The loss of each example, and of a batch, of whatever form a loss is given in.

Examples are a tuple of inputs, targets (() for none) and, where there are some, sample weights.
"""

import abc
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras_of
from tfplastic._losses.keras_loss import BatchLoss, KerasLoss, is_loss, model_losses
from tfplastic._losses.loss_names import loss_of_name
from tfplastic._tf.programs import own_program
from tfplastic._tf.read_only import CheckedFunction

Examples = tuple[Any, ...]


class Losses(abc.ABC):
    """The losses L_i of the examples, and their mean L, the loss of all. Traceable.

    Attributes:
        name: name of the argument that the loss came from.
        note: a line about terms left out of the loss; empty if there are none. Known once something is
            traced.
    """

    name = "loss"
    note = ""

    @abc.abstractmethod
    def mean(self, examples: Examples, of: int | None = None) -> tf.Tensor:
        """Returns the mean of L_i over a block, `[]`, so that L is the mean over blocks by their examples.

        Args:
            examples: the block.
            of: number of examples of the batch that contains the block; None: all. A block that is the whole
                batch has exactly the loss of that batch.
        """

    @abc.abstractmethod
    def check(self, num_examples: int | None) -> None:
        """Raises `ValueError` if the last trace did not return losses of `num_examples` (None: any)."""

    @abc.abstractmethod
    def _parts(self, examples: Examples) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns L_i without the losses of the model `[b]`, and the latter, `[]`, or None."""

    def of_examples(self, examples: Examples) -> tf.Tensor:
        """Returns L_i, `[b]`. Losses of the model enter each as in a batch of this one example."""
        values, added = self._parts(examples)
        if added is None:
            return values
        if values.shape[0] == 1:
            return values + tf.cast(added, values.dtype)

        def of_one(example: Examples) -> tf.Tensor:
            one, own = self._parts(tf.nest.map_structure(lambda each: each[tf.newaxis], example))
            return one[0] if own is None else one[0] + tf.cast(own, one.dtype)

        spec = tf.TensorSpec([], values.dtype)
        return tf.map_fn(of_one, examples, fn_output_signature=spec)


class FunctionLosses(Losses):
    """Losses of a function.

    Args:
        loss: function that takes targets and outputs, and returns the block's mean loss, `[]`, or the
            examples', `[b]` or `[b, ...]`, of which an example's loss is the mean.
        example_losses: function, instead of `loss`, of targets only that returns the examples' losses.
        call: call of the model.
        model: model whose `losses` are added with `include_model_losses`.
        include_model_losses: see `Snapshot`.
    """

    def __init__(
        self,
        loss: Any,
        example_losses: Any,
        call: Callable[[Any], Any],
        model: Any,
        include_model_losses: bool,
    ):
        if loss is None:
            self._function = CheckedFunction("example_losses", example_losses, "a batch of targets")
        else:
            self._function = CheckedFunction("loss", loss, "targets and outputs")
        self.name = self._function.name
        self._takes_outputs = loss is not None
        self._call, self._model = call, model
        self._includes_model_losses = include_model_losses
        self._is_weighted = False

    def mean(self, examples: Examples, of: int | None = None) -> tf.Tensor:
        del of  # of a mean no part depends on the whole
        losses, _, _, weights, added = self._of(examples)
        mean = losses if losses.shape.rank == 0 else tf.reduce_mean(_weighted(_by_example(losses), weights))
        return mean if added is None else mean + tf.cast(added, mean.dtype)

    def _parts(self, examples: Examples) -> tuple[tf.Tensor, tf.Tensor | None]:
        losses, targets, outputs, weights, added = self._of(examples)
        if losses.shape.rank == 0 and self._takes_outputs:
            return self._of_singles(targets, outputs), added
        return _weighted(_by_example(losses), weights), added

    def _of(self, examples: Examples) -> tuple[tf.Tensor, Any, Any, Any, tf.Tensor | None]:
        inputs, targets, weights = unpacked(examples)
        self._is_weighted = weights is not None
        added, outputs = None, None
        if self._takes_outputs:
            outputs = self._call(inputs)
            added = model_losses(self._model)
            losses = self._function(targets, outputs)
        else:
            losses = self._function(targets)
        if added is not None and not self._includes_model_losses:
            added, self.note = None, LEFT_OUT
        return losses, targets, outputs, weights, added

    def check(self, num_examples: int | None) -> None:
        self._function.check_tensor()
        shape = self._function.shape
        is_mean = self._takes_outputs and shape.rank == 0
        is_long = bool(shape.rank) and (None in (shape[0], num_examples) or shape[0] == num_examples)
        if not is_mean and not is_long:
            rule = "must return a loss for each example" + ", or their mean" * self._takes_outputs
            raise ValueError(f"`{self.name}` {rule}. Received: shape {shape}")
        if is_mean and self._is_weighted:
            rule = "must be None with a function that returns a mean; let it return the examples' losses"
            raise ValueError(f"`sample_weight` {rule}. Received: weights")

    def _of_singles(self, targets: Any, outputs: Any) -> tf.Tensor:
        """Returns each example's loss as that of a batch of one."""

        def loss(example: tuple[Any, Any]) -> tf.Tensor:
            target, output = tf.nest.map_structure(lambda each: each[tf.newaxis], example)
            return self._function(None if targets is None else target, output)

        return tf.vectorized_map(loss, (() if targets is None else targets, outputs))


LEFT_OUT = (
    "`model.losses` (regularizers, add_loss) are not part of the given `loss`;"
    " `include_model_losses=True` adds them"
)


class KerasLosses(Losses):
    """Losses of Keras, put together as the model's Keras does it.

    A sum over the batch is n times the mean of its examples' losses n l_i. Where a mask or weights say how
    many values a mean divides by, it is their number in all of the data.

    Args:
        loss: loss of Keras.
        call: call of the model.
        num_examples: n, of all of the data.
        blocks: blocks of the data, each a tuple of examples.
        reports_model_losses: whether the note names losses of the model that are left out.
    """

    def __init__(
        self,
        loss: KerasLoss,
        call: Callable[[Any], Any],
        model: Any,
        num_examples: int,
        blocks: Callable[[], Iterable[Examples]],
        reports_model_losses: bool,
    ):
        self._loss, self._call, self._model = loss, call, model
        self._num_examples, self._blocks = num_examples, blocks
        self._reports = reports_model_losses
        self._fault = ""
        self._sizes: list[float] | None = None

    def mean(self, examples: Examples, of: int | None = None) -> tf.Tensor:
        batch, count, fault = self._of(examples)
        if batch is None:
            self._fault = fault
            return tf.zeros([])
        of = self._num_examples if of is None else of
        if batch.terms is None or tf.nest.flatten(examples[0])[0].shape[0] == of:
            return batch.total
        total = tf.zeros([], batch.total.dtype)
        for index, term in enumerate(batch.terms):
            total += tf.cast(self._mean_of(index, term, count, of), total.dtype)
        return total if batch.model_losses is None else total + tf.cast(batch.model_losses, total.dtype)

    def _mean_of(self, index: int, term: Any, count: tf.Tensor, of: int) -> tf.Tensor:
        if term.sums is None:
            return term.weight * term.value
        return tf.reduce_mean(self._values(index, term, count, of))

    def _parts(self, examples: Examples) -> tuple[tf.Tensor, tf.Tensor | None]:
        batch, count, fault = self._of(examples)
        self._fault = fault
        length = tf.nest.flatten(examples[0])[0].shape[0]
        if batch is None:
            return tf.zeros([count]), None
        if batch.terms is None or any(term.sums is None for term in batch.terms):
            return tf.fill([1 if length == 1 else count], batch.total), tf.zeros([])  # one by one
        values = tf.zeros([1 if length == 1 else count], batch.total.dtype)
        for index, term in enumerate(batch.terms):
            values += tf.cast(self._values(index, term, count, self._num_examples), values.dtype)
        return values, batch.model_losses

    def _values(self, index: int, term: Any, count: tf.Tensor, of: int) -> tf.Tensor:
        """Returns the examples' parts of a term, `[b]`, whose mean over the batch is the term."""
        dtype = term.sums.dtype
        if term.size is None:
            scale = tf.cast(of, dtype)
        elif term.depends_on_data:
            scale = tf.constant(self._num_examples / max(self._sizes_of_all()[index], 1e-30), dtype)
        else:
            scale = tf.cast(count, dtype) / term.size
        return tf.cast(term.weight, dtype) * scale * term.sums

    def check(self, num_examples: int | None) -> None:
        del num_examples
        if self._fault:
            rule = "must fit the model's outputs and `targets`"
            raise ValueError(f"`{self.name}` {rule}. Received: {self._fault}")

    def _of(self, examples: Examples) -> tuple[BatchLoss | None, tf.Tensor, str]:
        inputs, targets, weights = unpacked(tf.nest.map_structure(tf.convert_to_tensor, examples))
        count = tf.shape(tf.nest.flatten(inputs)[0])[0]
        outputs = self._call(inputs)
        if self._reports and model_losses(self._model) is not None:
            self.note = LEFT_OUT
        try:
            return self._loss.of_batch(inputs, targets, outputs, weights), count, ""
        except (KeyError, TypeError, ValueError) as error:  # `check` says it without a page around it
            return None, count, " ".join(str(error).split())[:300] or type(error).__name__

    @tf.autograph.experimental.do_not_convert
    def _sizes_of_all(self) -> list[float]:
        """Returns the divisor of each term's sum over all of the data."""
        if self._sizes is None:
            with tf.init_scope():  # out of the program that is being traced
                program = own_program(self._sizes_of_block, autograph=True, reduce_retracing=True)
                blocks = [program(block) for block in self._blocks()]
                self._sizes = [float(tf.add_n(each)) for each in zip(*blocks, strict=True)]
        return self._sizes

    def _sizes_of_block(self, examples: Examples) -> list[tf.Tensor]:
        batch, _, _ = self._of(examples)
        terms = [] if batch is None or batch.terms is None else batch.terms
        return [tf.zeros([]) if each.size is None else tf.cast(each.size, tf.float32) for each in terms]


def unpacked(examples: Examples) -> tuple[Any, Any, Any]:
    """Returns inputs, targets or None, and sample weights or None."""
    inputs, targets, *weights = examples
    return inputs, targets if tf.nest.flatten(targets) else None, weights[0] if weights else None


def _by_example(losses: tf.Tensor) -> tf.Tensor:
    if not losses.shape.rank:  # `check` says so
        return losses
    return tf.reduce_mean(losses, axis=tf.range(1, tf.rank(losses)))


def _weighted(losses: tf.Tensor, weights: Any) -> tf.Tensor:
    return losses if weights is None else losses * tf.cast(weights, losses.dtype)


def is_of_keras(loss: Any) -> bool:
    """Returns whether `loss` is a name, an object of a Keras loss, or a nest of losses."""
    return isinstance(loss, str | dict | list | tuple) or is_loss(loss)


def check_loss(loss: Any, model: Any) -> None:
    """Checks a loss that is given.

    Raises:
        TypeError: it is not a function, Keras loss, name of one, or nest of these.
        ValueError: the Keras of `model` knows no loss of that name.
    """
    for each in tf.nest.flatten(loss):
        if each is None:
            continue
        if isinstance(each, str):
            loss_of_name(keras_of(model), each)
        elif not callable(each) or isinstance(each, type):
            rule = "must be a function of targets and outputs, a Keras loss or its name"
            raise TypeError(f"`loss` {rule}. Received: {each!r}")
        else:
            CheckedFunction("loss", each).check_takes(2, "targets and outputs")
