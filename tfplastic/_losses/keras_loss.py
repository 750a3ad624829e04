"""The loss of a Keras model on a batch: the one that `train_on_batch` minimizes, without side effects.

Keras itself says which loss belongs to which output, how a mask and weights enter, and how values are
reduced. Here a container of its own is asked, with no metrics behind it, so that nothing is written.
"""

import contextlib
import dataclasses
import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import is_of_keras_2, replaced_attribute

_MEANS = frozenset({"auto", "mean", "mean_with_sample_weight", "sum_over_batch_size"})


@dataclasses.dataclass(frozen=True)
class Term:
    """The loss of one output on a batch.

    Attributes:
        weight: weight of the output, `loss_weights`.
        value: `[]`, the losses reduced by Keras, without `weight`.
        sums: `[b]`, each example's losses summed over positions, times weights and mask; None where the loss
            is known of the batch only.
        size: `[]`, by which the sum of `sums` is divided: the values in a batch, or those that its mask or
            its weights leave; None where it is not divided (the reductions 'sum' and 'none').
        depends_on_data: whether `size` is not the same for each example.
    """

    weight: Any
    value: tf.Tensor
    sums: tf.Tensor | None
    size: tf.Tensor | None
    depends_on_data: bool


@dataclasses.dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch.

    Attributes:
        total: `[]`, the loss of the batch alone, `model_losses` included.
        terms: losses of the outputs; None where the model has a `compute_loss` of its own, which is one
            function.
        model_losses: `[]`, the sum of `model.losses` in this call: regularizers of weights and activities,
            and terms added by `add_loss`; None where there are none, or they do not belong to the loss.
    """

    total: tf.Tensor
    terms: list[Term] | None
    model_losses: tf.Tensor | None


class KerasLoss:
    """Keras losses of a model's outputs, as its Keras puts them together.

    Args:
        model: model of Keras 2 or Keras 3.
        loss: a loss, the name of one, or a nest of them, as for `compile`; None: none, `model.losses` alone.
        loss_weights: weights of the outputs, as for `compile`.
        includes_model_losses: whether `model.losses` are added.
        is_compiled: whether it is the model's own, so that a `compute_loss` of the model's own counts.
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        loss_weights: Any = None,
        includes_model_losses: bool = True,
        is_compiled: bool = False,
    ):
        self._model, self._loss, self._loss_weights = model, loss, loss_weights
        self._includes_model_losses = includes_model_losses
        self._is_own = is_compiled and computes_its_own_loss(model)
        module = "tf_keras.src.engine" if is_of_keras_2(model) else "keras.src.trainers"
        self._containers = importlib.import_module(f"{module}.compile_utils")  # not while tracing

    @property
    def needs_no_targets(self) -> bool:
        """Whether there is no loss of outputs."""
        return self._loss is None

    @property
    def of_outputs(self) -> Any:
        """The losses of the outputs as given; None where there are none, or the model computes its own."""
        return None if self._is_own else self._loss

    def of_batch(self, inputs: Any, targets: Any, outputs: Any, sample_weight: Any) -> BatchLoss:
        """Returns the loss of a batch, right after the call of the model that gave `outputs`; traceable."""
        parts: list[_Part] = []
        make = _container_of_keras_2 if is_of_keras_2(self._model) else _container_of_keras_3
        container = None
        if self._loss is not None:
            names = getattr(self._model, "output_names", None)
            dtype = _widest(outputs)
            container = make(self._containers, self._loss, self._loss_weights, names, dtype, parts)
        added = model_losses(self._model) if self._includes_model_losses else None
        if self._is_own:
            with _compiled_with(self._model, container):
                total = _computed(self._model, inputs, targets, outputs, sample_weight)
            return BatchLoss(tf.reduce_sum(total), None, added)
        own = None if container is None else container(targets, outputs, sample_weight)
        totals = [each for each in (own, added) if each is not None]
        if not totals:
            raise ValueError("no output has both a loss and targets")
        return BatchLoss(_sum(totals), [term for part in parts for term in part.terms], added)


def compiled_loss(model: Any, includes_model_losses: bool = True) -> KerasLoss | None:
    """Returns the loss that `model` was compiled with; None if it was not compiled.

    A model that was compiled without a loss minimizes `model.losses` alone, if its call adds some.

    Args:
        model: model of Keras 2 or Keras 3.
        includes_model_losses: False leaves out `model.losses`, for a function of the outputs alone.
    """
    if not is_compiled(model):
        return None
    if is_of_keras_2(model):
        container = model.compiled_loss
        loss, weights = container._user_losses, container._user_loss_weights
    else:
        container = model._compile_loss
        loss, weights = getattr(container, "_user_loss", None), getattr(container, "_user_loss_weights", None)
    return KerasLoss(model, loss, weights, includes_model_losses, is_compiled=True)


def is_compiled(model: Any) -> bool:
    """Returns whether `compile` was called on a model of either Keras."""
    return bool(getattr(model, "_is_compiled" if is_of_keras_2(model) else "compiled", False))


def model_losses(model: Any) -> tf.Tensor | None:
    """Returns the sum of `model.losses` in the last call, `[]`; None without losses or a model."""
    losses = [tf.reduce_sum(tf.convert_to_tensor(each)) for each in getattr(model, "losses", ())]
    return _sum(losses) if losses else None


def with_model_losses(loss: tf.Tensor, model: Any) -> tf.Tensor:
    """Returns a loss `[]` plus the sum of `model.losses` in the last call, if there are any."""
    added = model_losses(model)
    return loss if added is None else loss + tf.cast(added, loss.dtype)


def _sum(losses: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of losses `[]`, in the widest of their dtypes."""
    dtype = max((each.dtype for each in losses), key=lambda dtype: dtype.size)
    return tf.add_n([tf.cast(each, dtype) for each in losses])


def unreduced(loss: Any) -> Any:
    """Returns a Keras loss, of either Keras, that returns the losses of the examples."""
    return _copied(loss, reduction="none")


class _Part:
    """The loss of one output in a container, which records its arguments."""

    def __init__(self, loss: Any, weight: Any):
        function: Any = getattr(loss, "fn", None)  # the other Keras' losses are functions to a container
        self._loss: Any = function if is_loss(function) else loss
        self._weight = 1.0 if weight is None else weight
        self.reduction = loss.reduction
        self.terms: list[Term] = []

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        loss = self._loss
        if getattr(loss, "_dtype", None) == "float32" and getattr(y_pred, "dtype", None) == tf.float64:
            loss = _copied(loss, _dtype="float64")  # Keras 3 would round to float32
        value = tf.convert_to_tensor(loss(y_true, y_pred, sample_weight=sample_weight))
        value = tf.reduce_sum(value)  # whose gradient is what `fit` takes of the values without reduction
        self.terms.append(_term(loss, self._weight, value, y_true, y_pred, sample_weight))
        return value


def is_loss(loss: Any) -> bool:
    """Returns whether `loss` is an object of a Keras loss, of either Keras."""
    return hasattr(loss, "reduction") and hasattr(loss, "call") and not isinstance(loss, type)


def _term(loss: Any, weight: Any, value: tf.Tensor, y_true: Any, y_pred: Any, sample_weight: Any) -> Term:
    owner = next(base for base in type(loss).__mro__ if "__call__" in vars(base))
    of_batch = Term(weight, value, None, None, False)
    if owner.__module__.partition(".")[0] not in ("keras", "tf_keras"):  # it may do anything
        return of_batch
    values = tf.convert_to_tensor(unreduced(loss)(y_true, y_pred, sample_weight=sample_weight))
    examples = tf.nest.flatten(y_pred)[0].shape[0]
    if not values.shape.rank or None not in (values.shape[0], examples) and values.shape[0] != examples:
        return of_batch
    sums = tf.reduce_sum(values, axis=tf.range(1, tf.rank(values)))  # [b]
    if loss.reduction not in _MEANS:
        return Term(weight, value, sums, None, False)
    masks: list[Any] = [getattr(y_pred, "_keras_mask", None)]
    is_weighted = loss.reduction == "mean_with_sample_weight" and sample_weight is not None

    def ones(y_true: Any, y_pred: Any) -> tf.Tensor:
        values = loss.call(y_true, y_pred)
        masks.append(getattr(values, "_keras_mask", None))
        made = tf.ones_like(values)
        if masks[-1] is not None:
            vars(made)["_keras_mask"] = masks[-1]
        return made

    counted = {"sample_weight": sample_weight if is_weighted else None}
    every = tf.reduce_sum(_copied(loss, reduction="none", call=ones)(y_true, y_pred, **counted))
    mean = _copied(loss, call=ones)(y_true, y_pred, **counted)
    is_masked = any(mask is not None for mask in masks)
    return Term(weight, value, sums, tf.math.divide_no_nan(every, mean), is_masked or is_weighted)


def _copied(loss: Any, **attributes: Any) -> Any:
    copy = object.__new__(type(loss))  # `copy.copy` goes through a file in Keras 3
    vars(copy).update({**vars(loss), **attributes})
    return copy


def _widest(outputs: Any) -> tf.DType:
    dtypes = [each.dtype for each in tf.nest.flatten(outputs) if tf.is_tensor(each)]
    return tf.float64 if tf.float64 in dtypes else tf.float32


def _container_of_keras_2(
    module: Any, loss: Any, weights: Any, output_names: Any, dtype: tf.DType, parts: list[_Part]
) -> Any:
    """Returns a new container of losses, which adds its parts to `parts` when it is called."""
    del dtype
    container = module.LossesContainer(loss, weights, output_names, total_loss_mean=_NoMetrics())

    def finish() -> None:  # the last step of its `build`
        pairs = zip(container._losses, container._loss_weights, strict=True)
        container._losses = [each and _Part(each, weight) for each, weight in pairs]
        container._per_output_metrics = [None] * len(container._losses)
        parts.extend(each for each in container._losses if each)

    container._create_metrics = finish
    return container


def _container_of_keras_3(
    module: Any, loss: Any, weights: Any, output_names: Any, dtype: tf.DType, parts: list[_Part]
) -> Any:
    container = module.CompileLoss(loss, weights, output_names=output_names)
    build = container.build

    def built(*arguments: Any) -> None:
        metrics, module.metrics_module = module.metrics_module, _NoMetrics  # no variables while tracing
        try:
            build(*arguments)
        finally:
            module.metrics_module = metrics
        flat = container._flat_losses
        container._flat_losses = [each._replace(loss=_Part(each.loss, each.loss_weights)) for each in flat]
        container._metrics[:] = [None] * len(flat)
        parts.extend(each.loss for each in container._flat_losses)

    container.build = built
    container._tracker = _NoMetrics()
    container._dtype = dtype.name
    return container


class _NoMetrics:
    """Substitute for a container's metrics, and a metric, that keeps nothing."""

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    @staticmethod
    def Mean(name: str) -> None:  # noqa: N802
        """Returns nothing, in the place of a metric."""

    def add_to_store(self, *args: Any) -> None:
        """Does nothing."""


def computes_its_own_loss(model: Any) -> bool:
    """Returns whether the class of `model` overrides Keras' `compute_loss`."""
    owner = next((base for base in type(model).__mro__ if "compute_loss" in vars(base)), None)
    return owner is not None and owner.__module__.partition(".")[0] not in ("keras", "tf_keras")


@contextlib.contextmanager
def _compiled_with(model: Any, container: Any) -> Iterator[None]:
    """While open, `compute_loss` of `model` takes `container`, and metrics take nothing."""
    attribute = "compiled_loss" if is_of_keras_2(model) else "_compile_loss"
    metrics = list(model.metrics)
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced_attribute(model, attribute, container))
        for each in metrics:
            stack.enter_context(replaced_attribute(each, "update_state", _NoMetrics().update_state))
        yield


def _computed(model: Any, inputs: Any, targets: Any, outputs: Any, sample_weight: Any) -> tf.Tensor:
    takes_training = "training" in inspect.signature(model.compute_loss).parameters
    given = {"training": False} if takes_training else {}
    return tf.convert_to_tensor(model.compute_loss(inputs, targets, outputs, sample_weight, **given))
