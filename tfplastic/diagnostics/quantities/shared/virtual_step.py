"""The optimizer's next update, taken and undone."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._text.short_repr import ShortRepr
from tfplastic._tf.read_only import ReadOnlyProgram, compile_read_only
from tfplastic._tf.variables import as_tf_variables, dense
from tfplastic.diagnostics.declaration.arguments import check_snapshot
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.optimizers.any_keras import build_optimizer, is_optimizer


@dataclasses.dataclass(frozen=True, repr=False)
class VirtualStep(ShortRepr):
    """The optimizer's next update on a snapshot's batch, applied and undone.

    Attributes:
        updates: {layer name: [new - old value of each variable]}, in the form of `Snapshot.weights`, tensors
            in the variables' dtype.
        loss_before: the loss on the batch.
        loss_after: the loss on the same batch after the update.
    """

    updates: dict[str, list[tf.Tensor]]
    loss_before: float
    loss_after: float


def virtual_step(snapshot: Snapshot) -> VirtualStep:
    """Takes the optimizer's next update on the snapshot's batch, measures it, and undoes it bit for bit.

    The update is the optimizer's own: its slots, learning rate, clipping, decay and count of steps as they
    are now, on the gradient of the mean loss with `training=False`, over all trainable variables of the
    model. Penalties and transforms of a training loop are left out, and so is a loss scale: the update is
    that of the optimizer inside. The result is kept until the snapshot's `refresh`.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer, which is built for the model if it was
            not.

    Returns:
        A `VirtualStep`. Not finite where the gradient is not.

    Raises:
        ValueError: the snapshot has no loss or no optimizer, or the optimizer was built for other variables.
        TypeError: the optimizer is not a Keras optimizer.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, kernel_initializer='ones')])
        >>> inputs, targets = tf.ones([4, 1]), tf.zeros([4, 1])
        >>> _ = model(inputs)  # builds it
        >>> sgd = tf.keras.optimizers.SGD(0.25)
        >>> snapshot = diagnostics.Snapshot(model, inputs, targets, 'mse', optimizer=sgd)
        >>> step = diagnostics.virtual_step(snapshot)  # w = 1, loss w^2: w becomes 1 - 0.25 * 2
        >>> step.loss_before, step.loss_after, model.get_weights()[0].tolist()
        (1.0, 0.25, [[1.0]])
    """
    check_snapshot("snapshot", snapshot)
    snapshot.require("loss")
    snapshot.require("optimizer")
    return snapshot.memoize("virtual step", lambda: _virtual_step(snapshot))


def _virtual_step(snapshot: Snapshot) -> VirtualStep:
    loss_before = float(snapshot.loss)
    before = {layer: [tf.identity(each) for each in weights] for layer, weights in snapshot.weights.items()}
    with updated(snapshot, snapshot.examples):
        updates = {
            layer: [new - old for new, old in zip(weights, before[layer], strict=True)]
            for layer, weights in snapshot.weights.items()
        }
        return VirtualStep(updates, loss_before, float(snapshot.loss))


@contextlib.contextmanager
def updated(snapshot: Snapshot, examples: Any) -> Iterator[None]:
    """While open, the weights are those after the optimizer's next update on `examples`.

    Values of the snapshot in the meantime belong to these weights. On leaving, also by an error, the
    variables of model and optimizer and the snapshot's values are restored bit for bit.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.
        examples: examples of the update: some of the snapshot's `examples`, in their form.

    Raises:
        ValueError: the optimizer was built for other variables.
        TypeError: the optimizer is not a Keras optimizer.
    """
    optimizer = innermost(snapshot.optimizer)
    variables = _in_order(optimizer, snapshot.model.trainable_variables)
    weights = as_tf_variables(variables)
    gradients = _gradients(snapshot, examples, weights)
    scale = getattr(optimizer, "loss_scale_factor", None) or 1.0  # Keras 3 divides by it
    state = weights + _own_variables(optimizer)
    saved = [tf.identity(each) for each in state]
    # Nadam of Keras 2 counts in a Python number.
    numbers = {name: value for name, value in vars(optimizer).items() if isinstance(value, int | float)}
    with snapshot.fresh_values():
        try:
            pairs = [(each * scale, of) for each, of in zip(gradients, variables, strict=True)]
            optimizer.apply_gradients(pairs)
            yield
        finally:
            for variable, value in zip(state, saved, strict=True):
                variable.assign(value)
            vars(optimizer).update(numbers)


def _gradients(snapshot: Snapshot, examples: Any, weights: list[tf.Variable]) -> list[tf.Tensor]:
    """Returns the gradient of the mean loss of `examples`, a block at a time."""
    num_examples = int(tf.nest.flatten(examples)[0].shape[0])
    key = ("gradients of a block", num_examples, *map(id, weights))
    program = snapshot.memoize(key, lambda: _compile(snapshot, weights, num_examples), survives_refresh=True)
    total = [tf.zeros_like(each) for each in weights]
    for start in range(0, num_examples, snapshot.batch_size):
        part = slice(start, min(start + snapshot.batch_size, num_examples))
        block = program(tf.nest.map_structure(lambda each, part=part: each[part], examples))
        share = (part.stop - part.start) / num_examples
        total = [sum_ + tf.cast(share, each.dtype) * each for sum_, each in zip(total, block, strict=True)]
    return total


def _compile(snapshot: Snapshot, weights: list[tf.Variable], num_examples: int) -> ReadOnlyProgram:
    def gradients(block: Any) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss = snapshot.loss_of(block, num_examples)
        return dense(tape.gradient(loss, weights), weights)

    length = num_examples if num_examples <= snapshot.batch_size else None
    signature = tf.nest.map_structure(
        lambda each: tf.TensorSpec([length, *each.shape[1:]], each.dtype), snapshot.examples
    )
    return compile_read_only("`loss`", gradients, signature)


def innermost(optimizer: Any) -> Any:
    """Returns the optimizer inside of a loss scale."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _in_order(optimizer: Any, variables: Sequence[Any]) -> Sequence[Any]:
    """Returns `variables` in the order of the optimizer's slots; builds the optimizer if it was not."""
    if not is_optimizer(optimizer):
        raise TypeError(f"`optimizer` must be a Keras optimizer. Received: {optimizer!r}")
    build_optimizer(optimizer, variables)
    # Keras 2 renumbers the slots at each update, in the order of what it is given.
    indices = getattr(optimizer, "_index_dict", None)
    if indices is None:
        return variables
    by_key = {optimizer._var_key(variable): variable for variable in variables}
    if set(by_key) != set(indices):
        rule = f"must be built for the {len(variables)} trainable variables of the model"
        raise ValueError(f"`optimizer` {rule}. Received: one built for {len(indices)}, not the same")
    return [by_key[key] for key in sorted(by_key, key=indices.__getitem__)]


def _own_variables(optimizer: Any) -> list[tf.Variable]:
    """Returns all variables: Keras 2 leaves a schedule's learning rate and Nadam's product out."""
    values = [
        each
        for value in vars(optimizer).values()
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    # In Keras 3 `value` is a property that holds the tf.Variable.
    variables = [each if isinstance(each, tf.Variable) else getattr(each, "value", None) for each in values]
    return list({id(each): each for each in variables if isinstance(each, tf.Variable)}.values())
