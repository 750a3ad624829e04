"""The contract between the training loop and a mitigation."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_integer, check_positive_integer
from tfplastic.mitigations._hook_signatures import HOOKS, with_context
from tfplastic.mitigations.step_context import StepContext, check_reads

Slots = Callable[[Any], dict[str, tf.Variable]]
"""The optimizer's slots of a weight by name: `tfplastic.optimizers.slots` of the run's optimizer."""


class Mitigation:
    """A method that changes the loss, the gradients, or weights and optimizer slots during training.

    A mitigation overrides `penalty`, `transform_gradients` or `after_update`, one or several; each does
    nothing here. They are called while the training step is traced, perhaps inside a loop or a branch and
    under XLA, so they are made of TensorFlow operations and keep their changing state in variables of their
    own, made in `build` and named in `state`.

    A penalty may have weights of its own, such as heads on the model's features: `make_trainable` makes them,
    and the run's optimizer trains those in `trainable_variables` together with the model's.

    `penalty` and `after_update` get a `StepContext`, which gives parts of the gradient step: its batch, its
    forward pass, its gradients, a second batch, older weights, a pass over the data. A class lists those that
    it reads in `reads`. A mitigation that acts at most every tenth step does so between calls of the
    compiled program, after that step's evaluation and diagnostics, and gets the listed parts of the step.

    Attributes:
        period: gradient steps between calls of `after_update`, which then follows steps `period`,
            `2 * period` and so on; None: it follows each step at which the network's targets change, by a
            copy to the target network or by new labels.
        reads: names of the parts of the context that its hooks read, of `step_context.PARTS`.
        history: number of updates that `StepContext.older_weights` reaches back; each takes a copy of the
            weights.
        turn: place in the order in which mitigations of several gin files act, the lowest first; equal ones
            act in the order of their names. 100 for penalties, 200 for gradients, 300 where weights change,
            400 where they are drawn again, 500 for optimizer slots.
        excludes: names of classes that cannot act in the same run.
        prefers_graph: whether a step takes longer under XLA than in TensorFlow's graph on a CPU, by which
            `train.compiler = 'auto'` is decided: it draws a number for each weight, sorts, or takes singular
            values.
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
    reads: Collection[str] = ()
    history: int = 0
    turn = 300
    excludes: tuple[str, ...] = ()
    prefers_graph = False
    adds_penalty = False
    transforms_gradients = False
    acts_after_update = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        check_reads(cls.__name__, cls.reads)
        check_integer(f"{cls.__name__}.history", cls.history)
        for name in HOOKS.keys() & vars(cls).keys():
            setattr(cls, name, with_context(cls.__name__, name, vars(cls)[name]))
        cls.adds_penalty = cls.penalty is not Mitigation.penalty
        cls.transforms_gradients = cls.transform_gradients is not Mitigation.transform_gradients
        cls.acts_after_update = cls.after_update is not Mitigation.after_update

    def extend_network(self, model: Any) -> Any:
        """Returns the network to train instead of `model`, by default `model` itself.

        It is called before all else, once for each network of the task, such as the target network.

        Args:
            model: a Keras model, built. Its layers and weights are to be those of the result.

        Raises:
            ValueError: if it cannot extend this model.
        """
        return model

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Prepares for one run: checks that it can act on the model, and makes its variables.

        Args:
            model: the Keras model that is trained, built.
            optimizer: the Keras optimizer that trains it, built.
            seed: the root seed of the run.

        Raises:
            ValueError: if it cannot act on this model or optimizer.
        """

    def penalty(self, variables: Sequence[Any], context: StepContext) -> tf.Tensor:
        """Returns the term that is added to the loss, `[] float32`; traceable, differentiable.

        Args:
            variables: the trainable variables of the model.
            context: context of this gradient step. All parts but its gradients can be read.
        """
        return tf.zeros([])

    def transform_gradients(self, gradients: list[tf.Tensor], variables: Sequence[Any]) -> list[tf.Tensor]:
        """Returns the gradients that go to the optimizer instead of those of the loss; traceable.

        Args:
            gradients: one for each of `variables`.
            variables: the trainable variables of the model.
        """
        return gradients

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: StepContext
    ) -> None:
        """Assigns weights and their optimizer slots, together, after an update; traceable.

        Args:
            step: `[] int64`, number of the gradient step that was taken, from 1.
            model: model that `build` was given.
            slots: function that returns the optimizer's slots of one of the model's trainable variables.
            key: `[2] int32`, a seed that no other step and no other mitigation of the run has.
            context: context of the gradient step that was taken. Its forward pass and gradients precede the
                update.
        """

    def make_trainable(self, model: Any, seed: int) -> None:
        """Makes `trainable_variables`; called once, before the optimizer is built and so before `build`.

        Args:
            model: the Keras model that is trained, built.
            seed: the root seed of the run.

        Raises:
            ValueError: if it cannot act on this model.
        """

    @property
    def trainable_variables(self) -> Sequence[Any]:
        """The mitigation's own weights, which the optimizer trains together with the model's.

        Their gradients are those of the loss with the penalties. They have slots and count in the optimizer's
        clipping; transforms of gradients do not see them. They belong to `state` too.
        """
        return ()

    @property
    def evaluation_weights(self) -> Sequence[tuple[Any, tf.Variable]]:
        """Pairs of a variable of the model and one with the value that evaluations use in its place.

        They are exchanged while the loop evaluates, and while a `PlasticModel` evaluates or predicts.
        """
        return ()

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The mitigation's own variables by name, which checkpoints save."""
        return {}


def check_period(period: Any) -> int | None:
    """Returns `period` if it is None or an integer of at least 1, else raises `ValueError`."""
    return None if period is None else check_positive_integer("period", period)
