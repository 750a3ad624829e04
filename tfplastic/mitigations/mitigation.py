"""The contract between the training loop and a mitigation."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_positive_integer

Slots = Callable[[Any], dict[str, tf.Variable]]
"""Gives the optimizer's slots of a weight by name: `tfplastic.optimizers.slots` of the run's optimizer."""


class Mitigation:
    """What may change the loss, the gradients, or weights and optimizer slots during training.

    A mitigation overrides `penalty`, `transform_gradients` or `after_update`, one or several; each does
    nothing here. They are called while the training step is traced, perhaps inside a loop or a branch and
    under XLA, so they are made of TensorFlow operations and keep what changes from step to step in variables
    of their own, made in `build` and named in `state`.

    Attributes:
        period: gradient steps between calls of `after_update`, which then follows steps `period`,
            `2 * period` and so on; None: it follows each step at which what the network is trained towards
            changes, a copy to the target network or new labels.
        adds_penalty: whether the class overrides `penalty`.
        transforms_gradients: whether it overrides `transform_gradients`.
        acts_after_update: whether it overrides `after_update`.

    Example:
        >>> import tfplastic as tp
        >>> decay = tp.mitigations.WeightDecay()
        >>> decay.adds_penalty, decay.acts_after_update
        (True, False)
    """

    period: int | None = None
    adds_penalty = False
    transforms_gradients = False
    acts_after_update = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls.adds_penalty = cls.penalty is not Mitigation.penalty
        cls.transforms_gradients = cls.transform_gradients is not Mitigation.transform_gradients
        cls.acts_after_update = cls.after_update is not Mitigation.after_update

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Makes ready for one run: checks that it can act on the model, makes its variables.

        Args:
            model: the Keras model that is trained, built.
            optimizer: the Keras optimizer that trains it, built.
            seed: the root seed of the run.

        Raises:
            ValueError: if it cannot act on this model or optimizer.
        """

    def penalty(self, variables: Sequence[Any]) -> tf.Tensor:
        """What is added to the loss, `[] float32`; traceable, differentiable.

        Args:
            variables: the trainable variables of the model.
        """
        return tf.zeros([])

    def transform_gradients(self, gradients: list[tf.Tensor], variables: Sequence[Any]) -> list[tf.Tensor]:
        """The gradients that go to the optimizer instead of those of the loss; traceable.

        Args:
            gradients: one for each of `variables`.
            variables: the trainable variables of the model.
        """
        return gradients

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor) -> None:
        """Assigns weights and their optimizer slots, together, after an update; traceable.

        Args:
            step: `[] int64`, number of the gradient step that was taken, from 1.
            model: the one that `build` got.
            slots: gives the optimizer's slots of one of the model's trainable variables.
            key: `[2] int32`, a seed that no other step and no other mitigation of the run has.
        """

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Its own variables by name, which checkpoints save."""
        return {}


def check_period(period: Any) -> int | None:
    """Returns `period` if it is None or an integer of at least 1, else raises `ValueError`."""
    return None if period is None else check_positive_integer("period", period)
