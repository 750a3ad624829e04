"""The contract between the training loop and a task whose data is in memory."""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.tasks.host_task import TaskProgress
from tfplastic.tasks.stream_parts.data_batches import DataBatches
from tfplastic.tasks.task_loss import TaskLoss

State = Any
"""A nest of tensors whose structure, shapes and dtypes stay the same."""


class GraphTask(abc.ABC):
    """A source of batches that is itself a part of the compiled program of the training loop.

    `state` changes from step to step: a nest of tensors that the loop carries along and saves with its
    checkpoints. The task object holds only constants: networks, data, settings. A task is configured by its
    constructor, which only checks its arguments; `build` makes networks and loads data. Steps and periods
    count gradient steps, from 1.

    Attributes:
        extend_network: function of each network that `build` makes, whose result is used instead; set by the
            loop for mitigations that extend networks.
        name: name of the task.
        kind: `'supervised'` or `'mdp'`, the kind that the rule table of compilers knows.
        progress_fields: fields of `TaskProgress` that the task knows.
        model: the network that is trained, from `build` on.
        boundary_period: gradient steps between changes of the network's targets: copies to the target
            network, or new labels; None if there are none, or at the steps that `boundary` says. Mitigations
            act there by default.
    """

    name: str
    kind: str
    progress_fields: Sequence[str]
    model: keras.Model
    boundary_period: int | None
    extend_network: Callable[[keras.Model], keras.Model] = staticmethod(lambda model: model)

    @abc.abstractmethod
    def build(self, seed: int) -> None:
        """Makes the network(s) and loads the data, from the root seed."""

    @abc.abstractmethod
    def initial_state(self) -> State:
        """Returns the state before the first gradient step, a warm-up included, by the root seed."""

    @abc.abstractmethod
    def next(self, state: State, key: tf.Tensor) -> tuple[Any, State]:
        """Returns the batch of the next gradient step, and the state with it taken; traceable.

        Args:
            state: from `initial_state` or `after_step`.
            key: `[2] int32`, the seed of this step's draws.

        Returns:
            A nest of tensors of fixed structure and shapes, and the new state.
        """

    def boundary(self, state: State) -> tf.Tensor:
        """Returns whether the network's targets change right after the last step; traceable.

        It is the flag of the steps at which mitigations act by default, those of `boundary_period` if the
        task has one: the last step of a task, or one after which the target network was copied.

        Args:
            state: from `after_step`.

        Returns:
            `[] bool`; False where nothing ever changes.
        """
        return tf.constant(False)

    def further_batch(self, state: State, key: tf.Tensor) -> Any:
        """Returns a batch of the distribution of the last one, drawn independently; traceable.

        Args:
            state: state of the gradient step, from `next`.
            key: `[2] int32`, the seed of the draw.

        Raises:
            ValueError: the task has none.
        """
        raise ValueError(f"`{type(self).__name__}` gives no further batches. Override `further_batch` in it")

    def data_batches(self, state: State) -> DataBatches:
        """Returns the data that the next gradient steps train on, in whole batches; traceable.

        Args:
            state: after a gradient step.

        Raises:
            ValueError: the task has none.
        """
        raise ValueError(f"`{type(self).__name__}` gives no pass over data. Override `data_batches` in it")

    def weights_replaced(self) -> None:
        """Updates copies of the first network after its weights were replaced."""

    @abc.abstractmethod
    def loss(self, model: keras.Model, batch: Any, training: bool = False) -> TaskLoss:
        """Returns the loss of a batch; traceable, differentiable in the weights of `model`."""

    def after_step(self, state: State, step: tf.Tensor, output: TaskLoss) -> State:
        """Runs the work that follows a gradient step, such as a copy to the target network; traceable.

        Args:
            state: from `next`.
            step: `[] int64`, number of the gradient step that was taken.
            output: output of `loss` for the batch, before the update.

        Returns:
            The new state.
        """
        return state

    def metrics(self, state: State) -> dict[str, float]:
        """Returns the scalars to log now, by tag; reproducible, so nothing that depends on the clock."""
        return {}

    @abc.abstractmethod
    def progress(self, state: State) -> TaskProgress:
        """Returns the task's part of the progress line, the `progress_fields`; cheap."""

    @abc.abstractmethod
    def evaluate(self, step: int, state: State) -> dict[str, float]:
        """Returns scalars of an evaluation, by tag under `evaluation/`; changes nothing."""

    @abc.abstractmethod
    def diagnostics_batch(self) -> tuple[Any, Any]:
        """Returns a batch that is the same for the whole run, and the model's inputs in it."""

    @abc.abstractmethod
    def probe_inputs(self, state: State, count: int, key: np.ndarray) -> Any:
        """Returns inputs to probe the model on, `[count, ...]` or fewer, by `key`, `[2] int32`."""

    def trackables(self) -> dict[str, Any]:
        """Returns the TensorFlow objects to save in a checkpoint, by name; the model is among them."""
        return {"model": self.model}

    @abc.abstractmethod
    def describe(self, total_steps: int) -> list[tuple[str, str]]:
        """Returns the plan as (item, amount) rows, for `--dry_run`."""
