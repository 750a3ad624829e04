"""Memorising random labels, task after task: the plasticity experiment of supervised learning."""

import math
from collections.abc import Callable
from typing import NamedTuple

import gin
import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_interval, check_makes, check_one_of, check_positive_integer
from tfplastic._keras import keras
from tfplastic.tasks.batch_memory import check_batch_fits
from tfplastic.tasks.data_batches import DataBatches
from tfplastic.tasks.datasets import check_dataset_name, choose_examples, load_dataset, scale_pixels
from tfplastic.tasks.graph_task import GraphTask
from tfplastic.tasks.host_task import TaskProgress
from tfplastic.tasks.schedules import epoch_order, random_labels
from tfplastic.tasks.task_loss import TaskLoss

SAMPLINGS = ("epochs", "replacement")
_EVALUATION_BATCH = 1024  # examples that go through the network at once
_DIAGNOSTICS_EXAMPLES = 1024


class RandomLabelState(NamedTuple):
    """What changes from step to step.

    Attributes:
        step: `[] int32`, gradient steps taken within the task.
        task: `[] int32`, number of the task, from 0.
        labels: `[examples] int32`, those of the task.
        order: `[examples] int32`, of the epoch; unused where examples are drawn with replacement.
        position: `[] int32`, examples of the epoch that have been used.
        epoch: `[] int32`, number of the epoch, counted over all tasks.
        task_accuracy: `[] float64`, sum of the accuracies of the task's steps.
        total_accuracy: `[] float64`, the same over all steps.
        total_steps: `[] int64`.
        final_accuracy: `[] float64`, the sum over the steps of the task's final epoch so far.
    """

    step: tf.Tensor
    task: tf.Tensor
    labels: tf.Tensor
    order: tf.Tensor
    position: tf.Tensor
    epoch: tf.Tensor
    task_accuracy: tf.Tensor
    total_accuracy: tf.Tensor
    total_steps: tf.Tensor
    final_accuracy: tf.Tensor


class RandomLabelBatch(NamedTuple):
    """Images `[batch, height, width, channels] float32` and labels `[batch] int32`."""

    images: tf.Tensor
    labels: tf.Tensor


@gin.register(module="tfplastic.tasks")
class RandomLabelTask(GraphTask):
    """The same images again and again, labelled afresh and at random every `steps_per_task` gradient steps.

    A network that keeps its plasticity memorises each new labelling as fast as the first. Lyle et al. 2023,
    section 4.1, appendix A.1 and Fig. 1 ("the paper"), and Kumar et al. 2023, section 4.2, have it; the loss
    is the cross-entropy of the softmax of the network's outputs.

    Metrics of a step are its `accuracy` before the update. Both papers look when a task ends, so let the
    evaluation period be `steps_per_task`. Evaluations report

    - `evaluation/task`: number of the task, from 0,
    - `evaluation/accuracy`: of all images with the task's labels (the paper logs that of a sample of 4,096),
    - `evaluation/online_accuracy`: mean over the task's steps so far (Kumar et al., section 4.1),
    - `evaluation/average_online_accuracy`: mean over all steps so far (the same),
    - `evaluation/final_epoch_accuracy`: mean over the task's final epoch, the last
      `num_examples // batch_size` of its steps, or all if there are fewer: each before its update. NaN until
      the final epoch has started.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed. 5,000 in the paper, 1,200 in Kumar
            et al.
        steps_per_task: gradient steps between labellings. The paper does not say; 30,000 in Kumar et al.
        batch_size: of a gradient step. The paper does not say; 16 in Kumar et al.
        sampling: `'epochs'`: in a new random order each time all images have been used, which gives up at
            most `batch_size - 1` of an order's end; or `'replacement'`: each batch drawn by itself. The paper
            does not say; Kumar et al. train in epochs.
        pixel_range: what the levels 0 and 255 become. (-1, 1) in Kumar et al.; the paper does not say.

    Raises:
        ValueError: if an argument is out of its range; from `build` on, if there is no such data.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> task = tp.tasks.RandomLabelTask('digits', tp.networks.mlp, num_examples=100, batch_size=8)
        >>> task.build(seed=0)
        >>> batch, state = task.next(task.initial_state(), tf.constant([0, 1]))
        >>> batch.images.shape, batch.labels.shape, int(state.step)
        (TensorShape([8, 8, 8, 1]), TensorShape([8]), 1)
    """

    name = "random_labels"
    kind = "supervised"
    progress_fields = ("accuracy",)

    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int = 5_000,
        steps_per_task: int = 30_000,
        batch_size: int = 16,
        sampling: str = "epochs",
        pixel_range: tuple[float, float] = (0.0, 1.0),
    ):
        self.dataset = check_dataset_name("dataset", dataset)
        self._make_network = check_makes("network", network, keras.Model, "@mlp", ("input_shape", "seed"))
        self.num_examples = check_positive_integer("num_examples", num_examples)
        self.steps_per_task = self.boundary_period = check_positive_integer("steps_per_task", steps_per_task)
        self.batch_size = check_positive_integer("batch_size", batch_size)
        self.sampling = check_one_of("sampling", sampling, SAMPLINGS)
        self.pixel_range = check_interval("pixel_range", pixel_range)
        if batch_size > num_examples:
            raise ValueError(
                f"`batch_size` must be at most `num_examples`, {num_examples}. Received: {batch_size}"
            )
        self._final_steps = min(num_examples // batch_size, steps_per_task)

    def build(self, seed: int) -> None:
        data = choose_examples(load_dataset(self.dataset), self.num_examples, seed)
        self._seed = seed
        self.num_classes = data.num_classes
        self._images = tf.constant(scale_pixels(data.x_train, *self.pixel_range))
        self.model = self._make_network(data.num_classes, input_shape=data.x_train.shape[1:], seed=seed)
        check_batch_fits("batch_size", self.batch_size, self.model)

    def initial_state(self) -> RandomLabelState:
        zero = tf.constant(0, tf.int32)
        nothing = tf.constant(0.0, tf.float64)
        return RandomLabelState(
            step=zero,
            task=zero,
            labels=self._labels(0),
            order=epoch_order(self.num_examples, self._seed, 0),
            position=zero,
            epoch=zero,
            task_accuracy=nothing,
            total_accuracy=nothing,
            total_steps=tf.constant(0, tf.int64),
            final_accuracy=nothing,
        )

    def next(self, state: RandomLabelState, key: tf.Tensor) -> tuple[RandomLabelBatch, RandomLabelState]:
        state = self._begin_task_if_due(state)
        if self.sampling == "replacement":
            indices = self._drawn(key)
        else:
            state = self._begin_epoch_if_due(state)
            indices = tf.slice(state.order, [state.position], [self.batch_size])
            state = state._replace(position=state.position + self.batch_size)
        batch = self._batch(state.labels, indices)
        return batch, state._replace(step=state.step + 1, total_steps=state.total_steps + 1)

    def boundary(self, state: RandomLabelState) -> tf.Tensor:
        return state.step == self.steps_per_task

    def further_batch(self, state: RandomLabelState, key: tf.Tensor) -> RandomLabelBatch:
        """Images drawn with replacement, with the labels of the task."""
        return self._batch(state.labels, self._drawn(key))

    def data_batches(self, state: RandomLabelState) -> DataBatches:
        """All images, after the last step of a task with the labels of the next one."""
        labels = tf.cond(
            state.step == self.steps_per_task, lambda: self._labels(state.task + 1), lambda: state.labels
        )

        def at(index: tf.Tensor) -> RandomLabelBatch:
            return self._batch(labels, index * self.batch_size + tf.range(self.batch_size))

        return DataBatches(tf.constant(self.num_examples // self.batch_size), at)

    def loss(self, model: keras.Model, batch: RandomLabelBatch, training: bool = False) -> TaskLoss:
        logits = model(batch.images, training=training)  # [batch, classes]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, logits)
        hits = tf.argmax(logits, axis=-1, output_type=tf.int32) == batch.labels
        return TaskLoss(
            tf.reduce_mean(losses), losses, {"accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}
        )

    def after_step(self, state: RandomLabelState, step: tf.Tensor, output: TaskLoss) -> RandomLabelState:
        accuracy = tf.cast(output.metrics["accuracy"], tf.float64)
        is_final = tf.cast(state.step > self.steps_per_task - self._final_steps, tf.float64)
        return state._replace(
            task_accuracy=state.task_accuracy + accuracy,
            total_accuracy=state.total_accuracy + accuracy,
            final_accuracy=state.final_accuracy + is_final * accuracy,
        )

    def progress(self, state: RandomLabelState) -> TaskProgress:
        return {"accuracy": _mean(state.task_accuracy, state.step)}

    def evaluate(self, step: int, state: RandomLabelState) -> dict[str, float]:
        return {
            "evaluation/task": float(state.task),
            "evaluation/accuracy": float(self._accuracy(state.labels)),
            "evaluation/online_accuracy": _mean(state.task_accuracy, state.step),
            "evaluation/average_online_accuracy": _mean(state.total_accuracy, state.total_steps),
            "evaluation/final_epoch_accuracy": self._final_epoch_accuracy(state),
        }

    def diagnostics_batch(self) -> tuple[RandomLabelBatch, tf.Tensor]:
        """The first images, at most 1,024, with labels that no task has."""
        count = min(_DIAGNOSTICS_EXAMPLES, self.num_examples)
        labels = random_labels(count, self.num_classes, seeds.derive_integer(self._seed, "diagnostics"), 0)
        return RandomLabelBatch(self._images[:count], labels), self._images[:count]

    def probe_inputs(self, state: RandomLabelState, count: int, key: np.ndarray) -> np.ndarray:
        """Images of the training set, each at most once."""
        chosen = seeds.generator(key).permutation(self.num_examples)[:count]
        return self._images.numpy()[np.sort(chosen)]

    def describe(self, total_steps: int) -> list[tuple[str, str]]:
        tasks = -(-total_steps // self.steps_per_task)
        return [
            ("data", f"{self.num_examples:,} images of {self.dataset}, {self.num_classes} random labels"),
            ("gradient steps", f"{total_steps:,}, batches of {self.batch_size}, {self.sampling}"),
            ("tasks", f"{tasks:,}, {self.steps_per_task:,} gradient steps each"),
        ]

    def _final_epoch_accuracy(self, state: RandomLabelState) -> float:
        steps = int(state.step) - (self.steps_per_task - self._final_steps)
        return float(state.final_accuracy) / steps if steps > 0 else math.nan

    def _drawn(self, key: tf.Tensor) -> tf.Tensor:
        """Indices of images, `[batch] int32`, drawn with replacement."""
        return tf.random.stateless_uniform(
            [self.batch_size], key, maxval=self.num_examples, dtype=tf.int32, alg="philox"
        )

    def _batch(self, labels: tf.Tensor, indices: tf.Tensor) -> RandomLabelBatch:
        return RandomLabelBatch(tf.gather(self._images, indices), tf.gather(labels, indices))

    def _labels(self, task: int | tf.Tensor) -> tf.Tensor:
        return random_labels(self.num_examples, self.num_classes, self._seed, task)

    def _begin_task_if_due(self, state: RandomLabelState) -> RandomLabelState:
        # As a task's first step begins, not as its last one ends: until then evaluations see its labels.
        def begin() -> RandomLabelState:
            return state._replace(
                step=tf.zeros_like(state.step),
                task=state.task + 1,
                labels=self._labels(state.task + 1),
                task_accuracy=tf.zeros_like(state.task_accuracy),
                final_accuracy=tf.zeros_like(state.final_accuracy),
            )

        return tf.cond(state.step == self.steps_per_task, begin, lambda: state)

    def _begin_epoch_if_due(self, state: RandomLabelState) -> RandomLabelState:
        def begin() -> RandomLabelState:
            return state._replace(
                order=epoch_order(self.num_examples, self._seed, state.epoch + 1),
                position=tf.zeros_like(state.position),
                epoch=state.epoch + 1,
            )

        return tf.cond(state.position + self.batch_size > self.num_examples, begin, lambda: state)

    @tf.function
    def _accuracy(self, labels: tf.Tensor) -> tf.Tensor:
        """The fraction of all images that the network gives these labels, `[] float64`."""
        hits = tf.constant(0, tf.int64)
        for first in range(0, self.num_examples, _EVALUATION_BATCH):
            logits = self.model(self._images[first : first + _EVALUATION_BATCH], training=False)
            found = tf.argmax(logits, axis=-1, output_type=tf.int32)
            hits += tf.math.count_nonzero(found == labels[first : first + _EVALUATION_BATCH])
        return tf.cast(hits, tf.float64) / self.num_examples


def _mean(total: tf.Tensor, count: tf.Tensor) -> float:
    return float(total) / max(int(count), 1)
