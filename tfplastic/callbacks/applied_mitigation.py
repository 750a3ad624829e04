"""A mitigation that acts after updates, outside of this library's gradient step."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_seed, shown
from tfplastic._tf.random import fold_in
from tfplastic.mitigations import Mitigation, StepContext
from tfplastic.mitigations.step_context import LossFunction
from tfplastic.optimizers import slots
from tfplastic.optimizers.any_keras import build_optimizer

_INSTEAD = "Train a tfplastic.training.PlasticModel, whose `compile` takes `mitigations`."


class AppliedMitigation:
    """A mitigation with the model and the optimizer that it acts on.

    Args:
        argument: name of the argument, for errors.
        mitigation: mitigation that acts after updates and does nothing else.
        supplied: names of the parts of the step's context that it can read here.
        seed: root seed.

    Attributes:
        reads, period: attributes of the mitigation.

    Raises:
        TypeError: `mitigation` is not a mitigation.
        ValueError: it does more than act after updates, or reads parts that do not exist here.
    """

    def __init__(self, argument: str, mitigation: Any, supplied: tuple[str, ...], seed: int):
        if not isinstance(mitigation, Mitigation):
            rule = "must be a mitigation, such as tfplastic.mitigations.ReDo()"
            raise TypeError(f"`{argument}` {rule}. Received: {shown(mitigation)}")
        if reason := unfit(mitigation, supplied):
            rule = "must act after updates alone in a callback"
            received = f"{type(mitigation).__name__}, which {reason}"
            raise ValueError(f"`{argument}` {rule}. Received: {received}. {_INSTEAD}")
        self._mitigation = mitigation
        self.reads, self.period = mitigation.reads, mitigation.period
        self._seed = check_seed("seed", seed)
        self._model: Any = None

    def build(self, model: Any, optimizer: Any, number: int) -> None:
        """Prepares the mitigation for a model, once per model.

        Args:
            model: model that is trained.
            optimizer: its optimizer.
            number: place among the mitigations of the model, which have draws of their own.

        Raises:
            ValueError: the model is not built or not compiled, or the mitigation cannot act on it.
        """
        if getattr(type(model), "is_named_as_its_network", False):
            rule = "must be trained without callbacks that apply mitigations, as its `compile` takes them"
            raise ValueError(f"`model` {rule}. Received: a PlasticModel")
        if not model.built:
            raise ValueError(f"`model` must be built, by a call on a batch. Received: {model.name!r}")
        if self._model is not model or self._optimizer is not optimizer:
            build_optimizer(optimizer, model.trainable_variables)
            self._mitigation.build(model, optimizer, self._seed)
        self._model, self._optimizer = model, optimizer
        self._key = tf.constant(seeds.derive(self._seed, "mitigation", number))

    def check_replicas(self, model: Any) -> None:
        """Raises `ValueError` if a model trains on several replicas of a `tf.distribute` strategy."""
        strategy = getattr(model, "distribute_strategy", None)
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            rule = "must be trained on one device by a callback that applies a mitigation"
            action = "Train on one device" if self.reads else _INSTEAD.removesuffix(".")
            raise ValueError(f"`model` {rule}. Received: {strategy.num_replicas_in_sync} replicas. {action}")

    def act(self, step: tf.Tensor, parts: Mapping[str, Any], loss: LossFunction | None = None) -> None:
        """Acts once; traceable.

        Args:
            step: `[] int64`, number of the gradient step that was taken.
            parts: {name of a part of the context: function that makes it}.
            loss: unused but by methods of the context that evaluate other batches.
        """
        context = StepContext(self._mitigation, parts, self._model, loss or _no_loss)
        key = fold_in(self._key, step)
        of_weight = lambda variable: slots(self._optimizer, variable)  # noqa: E731
        self._mitigation.after_update(step, self._model, of_weight, key, context)


def unfit(mitigation: Mitigation, supplied: tuple[str, ...]) -> str:
    """Returns why a mitigation cannot be applied; '' if it can.

    Args:
        mitigation: mitigation, built or not.
        supplied: names of the parts of the step's context that it can read.
    """
    if mitigation.adds_penalty:
        return "adds a penalty to the loss"
    if mitigation.transforms_gradients:
        return "transforms gradients"
    if not mitigation.acts_after_update:
        return "does nothing after updates"
    if mitigation.history:
        return "reads older weights"
    missing = sorted(set(mitigation.reads) - set(supplied))
    return f"reads `{missing[0]}` of the gradient step" if missing else ""


def _no_loss(*args: Any, **kwargs: Any) -> Any:
    raise ValueError(f"`mitigation` must evaluate no other batch in a callback. {_INSTEAD} Received: one")
