"""A stream of supervised tasks, of which a subclass gives the inputs and the targets."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_makes
from tfplastic._keras import keras
from tfplastic._losses.keras_loss import with_model_losses
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.programs import own_program
from tfplastic._tf.random import fold_in, random_integers
from tfplastic.tasks.batch_memory import check_batch_fits
from tfplastic.tasks.classification_mdp import uniform_integers
from tfplastic.tasks.graph_task import GraphTask
from tfplastic.tasks.host_task import TaskProgress
from tfplastic.tasks.stream_parts.data_batches import DataBatches
from tfplastic.tasks.stream_parts.objectives import CLASSIFICATION, Objective
from tfplastic.tasks.stream_parts.schedules import epoch_order
from tfplastic.tasks.stream_parts.settings import StreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamState
from tfplastic.tasks.stream_parts.task_sizes import bounded, check_of_tasks
from tfplastic.tasks.task_loss import TaskLoss

_EVALUATION_BATCH = 1024  # examples that go through the network at once
_SHOWN_ANYWAY = ("loss", "note", "step")  # on the progress line
_MEASURED_EXAMPLES = 1024  # of diagnostics, and of the evaluation of a stream without end


class SupervisedStream(GraphTask):
    """One supervised task after another on the same network; a subclass defines the tasks.

    The stream counts steps, tasks and epochs, draws the examples of each batch, sums the scores of its steps
    and evaluates. A subclass has

    - `load`, which loads data for the whole run,
    - `content`, the tensors that change from task to task, such as labels or an order of pixels,
    - `examples`, the inputs and the targets of given examples under the present content,
    - and, for other losses than the cross-entropy, `objective`.

    A stream has `num_examples` examples, all of which are in each epoch; or it has no end: then examples are
    numbered without end, and `examples` makes each one from its number or from a seed.

    The score of a step is that of its batch before the update. Evaluations report, with the score's name
    (`accuracy` here) of the objective,

    - `evaluation/task`: number of the task, from 0,
    - `evaluation/accuracy`: mean over all examples of the task, or over 1,024 if they have no end,
    - `evaluation/online_accuracy`: mean over the task's steps so far (Kumar et al. 2023, section 4.1),
    - `evaluation/average_online_accuracy`: mean over all steps so far (the same),
    - `evaluation/final_epoch_accuracy`: mean over the task's final epoch, the last
      `num_examples // batch_size` of its steps (see `drop_last`), or all if there are fewer: each before its
      update. NaN until the final epoch has started. Not for examples without end.

    A task ends with its last gradient step. Until the first step of the next one, evaluations see the task
    that has just ended.

    Args:
        network: builder of the model; called with the number of outputs and `input_shape`, `seed`.
        num_examples: examples of a task, or of the largest one; None if they have no end.
        settings: see `StreamSettings`.

    Attributes:
        network: builder of the model.
        seed: the root seed, from `build` on.
        objective: the loss, and the score that is reported.
        begins_epochs: whether each task begins an epoch of its own: by `new_pass`, or as sizes differ.
        score_shape: shape of the score of a step; a subclass with one for each of several learners overrides
            `step_score`, too.

    Raises:
        ValueError: if an argument is out of its range, or not exactly one of `steps_per_task` and
            `epochs_per_task` is given.

    Example:
        The class of a number is whether it is above a threshold, another one for each task.

        >>> import tensorflow as tf, tfplastic as tp
        >>> class Thresholds(tp.tasks.SupervisedStream):
        ...     name = 'thresholds'
        ...     def load(self, seed):
        ...         self._numbers = tf.linspace([0.0], [1.0], self.num_examples)
        ...         return 2, (1,)
        ...     def content(self, task, previous=None):
        ...         return tf.random.stateless_uniform([], [0, task], alg='philox')
        ...     def examples(self, state, indices, key):
        ...         numbers = tf.gather(self._numbers, indices)  # [batch, 1]
        ...         return tp.tasks.StreamBatch(numbers, tf.cast(numbers[:, 0] > state.content, tf.int32))
        >>> task = Thresholds(tp.networks.mlp, num_examples=100, epochs_per_task=2, batch_size=10)
        >>> task.build(seed=0)
        >>> task.boundary_period
        20
        >>> batch, state = task.next(task.initial_state(), tf.constant([0, 1]))
        >>> batch.inputs.shape, batch.targets.shape, int(state.step)
        (TensorShape([10, 1]), TensorShape([10]), 1)
    """

    kind = "supervised"
    objective: Objective = CLASSIFICATION
    score_shape: Sequence[int] = ()
    seed: int

    @shares_arguments(StreamSettings)
    def __init__(
        self,
        network: Callable[..., keras.Model],
        *,
        num_examples: int | None = None,
        settings: StreamSettings,
    ):
        self.network = check_makes("network", network, keras.Model, "@mlp", ("input_shape", "seed"))
        settings.check_examples(num_examples)
        self.num_examples = num_examples
        self.steps_per_task, self.epochs_per_task = settings.steps_per_task, settings.epochs_per_task
        self.batch_size = settings.batch_size
        self.sampling, self.drop_last = settings.sampling, settings.drop_last
        score = self.objective.score
        self.progress_fields = () if score in _SHOWN_ANYWAY else (score,)
        kind = type(self)
        self._sizes_differ = kind.task_size is not SupervisedStream.task_size
        self.begins_epochs = self._sizes_differ or settings.new_pass
        lengths_differ = kind.task_length is not SupervisedStream.task_length
        is_regular = not lengths_differ and (self.epochs_per_task is None or not self._sizes_differ)
        self.boundary_period = int(self.task_length(0)) if is_regular else None

    @abc.abstractmethod
    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        """Loads data for the whole run, such as images, by the root seed.

        Returns:
            The number of the network's outputs, and the shape of one input.
        """

    def content(self, task: int | tf.Tensor, previous: Any = None) -> Any:
        """Returns the content of a task, which differs from task to task; traceable.

        Args:
            task: number of the task, from 0; an integer or `[] int32`.
            previous: the content of the task before; None for task 0.

        Returns:
            A nest of tensors whose structure, shapes and dtypes are the same for all tasks.
        """
        return ()

    @abc.abstractmethod
    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> Any:
        """Returns the inputs and the targets of examples; traceable.

        Args:
            state: state of the stream, whose `content`, `task` and `step` (of those in the task before this
                one) they may depend on.
            indices: `[count] int32`, numbers of examples of the task.
            key: `[2] int32`, seed of the draws for this batch.

        Returns:
            A pair, such as a `StreamBatch`: inputs and targets, each `[count, ...]`.
        """

    def task_size(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns how many of the `num_examples` are in a task; all by default; traceable.

        Where it is overridden, sizes may differ, and each task begins with an epoch of its own, of the
        examples with the first numbers. A size is at least `batch_size`, or with replacement 1, and at most
        `num_examples`, which is checked for the first 1,000 tasks; where a later one has fewer examples than
        a batch, its batches have some of them more than once.
        """
        del task
        return self.num_examples or 0

    def task_length(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns the gradient steps of a task; traceable.

        Where they may differ, `boundary_period` is None: because a subclass overrides this function, or
        `task_size` while a task is a number of epochs. Each task has one step at least.
        """
        if self.epochs_per_task is None:
            return self.steps_per_task or 0
        return self.epochs_per_task * self._epoch_length(task)

    def step_score(self, output: TaskLoss) -> tf.Tensor:
        """Returns the score of a step's batch, `score_shape`; traceable."""
        return output.metrics[self.objective.score]

    # What the loop asks of a task.

    def build(self, seed: int) -> None:
        self.seed = seed
        num_outputs, input_shape = self.load(seed)
        self._check_first_tasks()
        network = self.network(num_outputs, input_shape=tuple(input_shape), seed=seed)
        self.model = self.extend_network(network)
        check_batch_fits("batch_size", self.batch_size, self.model)
        self._mean_score = own_program(self._traced_mean_score)

    def initial_state(self) -> StreamState:
        zero = tf.constant(0, tf.int32)
        nothing = tf.zeros(self.score_shape, tf.float64)
        return StreamState(
            step=zero,
            task=zero,
            content=tf.nest.map_structure(tf.convert_to_tensor, self.content(0)),
            order=self._order(0, 0),
            position=zero,
            epoch=zero,
            task_score=nothing,
            total_score=nothing,
            total_steps=tf.constant(0, tf.int64),
            final_score=nothing,
        )

    def next(self, state: StreamState, key: tf.Tensor) -> tuple[Any, StreamState]:
        state = self.begin_task_if_due(state)
        if self.num_examples is None:
            first = tf.cast(state.total_steps * self.batch_size, tf.int32)
            indices = first + tf.range(self.batch_size)
        elif self.sampling == "replacement":
            indices = self._draw(state, key)
        else:
            state = self._begin_epoch_if_due(state)
            indices = self._next_of_order(state)
            state = state._replace(position=state.position + self.batch_size)
        batch = self.examples(state, indices, fold_in(key, 1))
        return batch, state._replace(step=state.step + 1, total_steps=state.total_steps + 1)

    def loss(self, model: keras.Model, batch: Any, training: bool = False) -> TaskLoss:
        inputs, targets = batch
        outputs = model(inputs, training=training)  # [batch, outputs]
        losses = self.objective.losses_of(outputs, targets)  # [batch]
        score = tf.reduce_mean(self.objective.scores_of(outputs, targets))
        loss = with_model_losses(tf.reduce_mean(losses), model)
        return TaskLoss(loss, losses, {self.objective.score: score})

    def after_step(self, state: StreamState, step: tf.Tensor, output: TaskLoss) -> StreamState:
        del step
        score = tf.cast(self.step_score(output), tf.float64)
        is_final = tf.cast(state.step > self._steps_before_final_epoch(state.task), tf.float64)
        return state._replace(
            task_score=state.task_score + score,
            total_score=state.total_score + score,
            final_score=state.final_score + is_final * score,
        )

    def boundary(self, state: StreamState) -> tf.Tensor:
        return state.step >= bounded(self.task_length(state.task))

    def further_batch(self, state: StreamState, key: tf.Tensor) -> Any:
        if self.num_examples is None:
            indices = uniform_integers(self.batch_size, key, np.iinfo(np.int32).max)
        else:
            indices = self._draw(state, key)
        return self.examples(state, indices, fold_in(key, 1))

    def data_batches(self, state: StreamState) -> DataBatches:
        """Returns all examples; after the last step of a task, those of the next one."""
        if self.num_examples is None:
            return super().data_batches(state)
        begun = self.begin_task_if_due(state)
        key = tf.constant(seeds.derive(self.seed, "data_batches"))

        def at(index: tf.Tensor) -> Any:
            return self.examples(begun, index * self.batch_size + tf.range(self.batch_size), key)

        return DataBatches(tf.convert_to_tensor(self._size(begun.task) // self.batch_size), at)

    def progress(self, state: StreamState) -> TaskProgress:
        mean = _mean(state.task_score, int(state.step))
        return cast(TaskProgress, dict.fromkeys(self.progress_fields, mean))

    def evaluate(self, step: int, state: StreamState) -> dict[str, float]:
        score, steps = self.objective.score, int(state.step)
        found = {
            "evaluation/task": float(state.task),
            f"evaluation/{score}": self.mean_score(state),
            f"evaluation/online_{score}": _mean(state.task_score, steps),
            f"evaluation/average_online_{score}": _mean(state.total_score, int(state.total_steps)),
        }
        if self.num_examples is not None:
            final_steps = steps - int(self._steps_before_final_epoch(state.task))
            final = _mean(state.final_score, final_steps) if final_steps > 0 else math.nan
            found[f"evaluation/final_epoch_{score}"] = final
        return found

    def begin_task_if_due(self, state: StreamState) -> StreamState:
        """Returns the state that the next step begins with: at the end of a task that of the next one.

        Args:
            state: state of the stream.
        """

        # As a task's first step begins, not as its last one ends: until then evaluations see its content.
        def begin(state: StreamState) -> StreamState:
            task = state.task + 1
            begun = state._replace(
                step=tf.zeros_like(state.step),
                task=task,
                content=self.content(task, state.content),
                task_score=tf.zeros_like(state.task_score),
                final_score=tf.zeros_like(state.final_score),
            )
            return self._with_next_epoch(begun) if self.begins_epochs else begun

        return _once_if(self.boundary, begin, state)

    def mean_score(self, state: StreamState) -> float:
        """Returns the mean score of the network over all examples of the task that `state` is in.

        Of examples without end it is over 1,024. `state` may be of a task that the stream has left, for the
        transfer back to it.
        """
        return float(self._mean_score(state))

    def diagnostics_batch(self) -> tuple[Any, Any]:
        """Returns the first examples of the first task, at most 1,024."""
        size = min(int(self._size(0)) or _MEASURED_EXAMPLES, _MEASURED_EXAMPLES)
        key = tf.constant(seeds.derive(self.seed, "diagnostics"))
        batch = self.examples(self.initial_state(), tf.range(size), key)
        return batch, batch[0]

    def probe_inputs(self, state: StreamState, count: int, key: np.ndarray) -> np.ndarray:
        """Returns inputs of the present task, of each example at most once."""
        chosen = np.arange(count)
        if self.num_examples is not None:
            size = int(self._size(state.task))
            chosen = np.sort(seeds.generator(key).permutation(size)[:count])
        inputs, _ = self.examples(state, tf.constant(chosen, tf.int32), tf.constant(key))
        return inputs.numpy()

    def describe(self, total_steps: int) -> list[tuple[str, str]]:
        sampling = self.sampling if self.num_examples else "each example once"
        rows = [
            ("data", self.describe_data()),
            ("gradient steps", f"{total_steps:,}, batches of {self.batch_size}, {sampling}"),
        ]
        if self.boundary_period is None:
            epochs = f", {self.epochs_per_task} epoch(s) each" if self._is_of_epochs() else ""
            return [*rows, ("tasks", f"of different lengths{epochs}")]
        tasks = -(-total_steps // self.boundary_period)
        return [*rows, ("tasks", f"{tasks:,}, {self.boundary_period:,} gradient steps each")]

    def describe_data(self) -> str:
        """Returns the data in words, for `--dry_run`."""
        return f"{self.num_examples:,} examples" if self.num_examples else "examples without end"

    def _draw(self, state: StreamState, key: tf.Tensor) -> tf.Tensor:
        """Returns numbers of examples, with replacement, `[batch] int32`."""
        size = self._size(state.task)
        if self._sizes_differ:
            return uniform_integers(self.batch_size, key, size)
        return random_integers([self.batch_size], key, size)

    def _next_of_order(self, state: StreamState) -> tf.Tensor:
        """Returns the next examples of the epoch, `[batch] int32`."""
        if not self._sizes_differ:
            return tf.slice(state.order, [state.position], [self.batch_size])
        # Of a task with fewer examples than a batch, from its first again: those of other tasks follow.
        places = state.position + tf.range(self.batch_size)
        return tf.gather(state.order, places % self._size(state.task))

    def _size(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns how many examples are in a task, within the bounds that it may have."""
        size = self.task_size(task)
        return bounded(size, self.num_examples) if self._sizes_differ else size

    def _epoch_length(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns the gradient steps of an epoch of a task."""
        return bounded((self._size(task) - self._reserve) // self.batch_size)

    @property
    def _reserve(self) -> int:
        """Examples that an epoch leaves at least."""
        return int(self.drop_last == "any")

    def _order(self, epoch: int | tf.Tensor, task: int | tf.Tensor) -> tf.Tensor:
        """Returns an epoch's order `[num_examples] int32`, the task's own examples first."""
        if self.num_examples is None:
            return tf.zeros([0], tf.int32)
        order = epoch_order(self.num_examples, self.seed, epoch)
        if self._sizes_differ:
            is_of_another = tf.cast(order >= self._size(task), tf.int32)  # [num_examples]
            order = tf.gather(order, tf.argsort(is_of_another, stable=True))
        return order

    def _steps_before_final_epoch(self, task: tf.Tensor) -> int | tf.Tensor:
        length = bounded(self.task_length(task))
        epoch = 0 if self.num_examples is None else self._epoch_length(task)
        if isinstance(length, int) and isinstance(epoch, int):
            return max(length - epoch, 0)
        return tf.maximum(length - epoch, 0)

    def _begin_epoch_if_due(self, state: StreamState) -> StreamState:
        def is_over(state: StreamState) -> tf.Tensor:
            return state.position + self.batch_size > self._size(state.task) - self._reserve

        return _once_if(is_over, self._with_next_epoch, state)

    def _with_next_epoch(self, state: StreamState) -> StreamState:
        epoch = state.epoch + 1
        order = self._order(epoch, state.task)
        return state._replace(order=order, position=tf.zeros_like(state.position), epoch=epoch)

    def _is_of_epochs(self) -> bool:
        """Returns whether each task is the same number of epochs: a subclass may give other lengths."""
        has_own_lengths = type(self).task_length is not SupervisedStream.task_length
        return self.epochs_per_task is not None and not has_own_lengths

    def _check_first_tasks(self) -> None:
        """Raises `ValueError` unless sizes and lengths of the first tasks can be."""
        kind = type(self)
        if self._sizes_differ and self.num_examples is not None:
            most, is_in_epochs = self.num_examples, self.sampling == "epochs"
            least = self.batch_size if is_in_epochs else 1
            name = f"`batch_size`, {least}," if is_in_epochs else "1"
            rule = f"must be at least {name} and at most `num_examples`, {most}"
            action = "Lower `batch_size` or give the task more examples" if is_in_epochs else "Change it"
            check_of_tasks("task_size", self.task_size, least, most, rule, action)
        if kind.task_length is not SupervisedStream.task_length:
            action = "Give the task a gradient step"
            check_of_tasks("task_length", self.task_length, 1, None, "must be at least 1", action)

    def _traced_mean_score(self, state: StreamState) -> tf.Tensor:
        """Returns the mean score over all examples of the task, `[] float64`; of a few of endless ones."""
        most = self.num_examples or _MEASURED_EXAMPLES
        size = self._size(state.task) if self.num_examples else most
        key = tf.constant(seeds.derive(self.seed, "evaluation"))

        def total(first: tf.Tensor, count: int) -> tf.Tensor:
            indices = first + tf.range(count)  # [count]
            inputs, targets = self.examples(state, indices, key)
            scores = self.objective.scores_of(self.model(inputs, training=False), targets)  # [count]
            return tf.reduce_sum(tf.where(indices < size, tf.cast(scores, tf.float64), 0.0))

        whole = most // _EVALUATION_BATCH * _EVALUATION_BATCH
        _, score = tf.while_loop(
            lambda first, _: first < whole,
            lambda first, sum: (first + _EVALUATION_BATCH, sum + total(first, _EVALUATION_BATCH)),
            (tf.constant(0), tf.constant(0.0, tf.float64)),
        )
        if most > whole:
            score += total(tf.constant(whole), most - whole)
        return score / tf.cast(size, tf.float64)


def _once_if(
    is_due: Callable[[StreamState], tf.Tensor],
    change: Callable[[StreamState], StreamState],
    state: StreamState,
) -> StreamState:
    """Returns the changed state if it is due, else the same one.

    As a loop, because XLA leaves a loop's tensors in place. Those of a `tf.cond` it copies at each step, an
    order of 60,000 examples too.
    """
    due = is_due(state)
    _, changed = tf.while_loop(
        lambda is_due, _: is_due,
        lambda is_due, state: (tf.zeros_like(is_due), change(state)),
        (due, state),
    )
    return changed


def _mean(total: tf.Tensor, steps: int) -> float:
    """Returns the mean over the steps, and over the entries if the score has several."""
    return float(np.mean(total)) / max(steps, 1)
