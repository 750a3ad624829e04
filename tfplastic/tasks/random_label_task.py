"""Memorizing random labels, task after task: the plasticity experiment of supervised learning."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_one_of
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.schedules import random_labels, shuffled_labels
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamState

LABELS = ("uniform", "shuffled")


class RandomLabelBatch(NamedTuple):
    """Images `[batch, height, width, channels] float32` and labels `[batch] int32`."""

    images: tf.Tensor
    labels: tf.Tensor


@gin.register(module="tfplastic.tasks")
class RandomLabelTask(ImageStream):
    """The same images for all tasks, with new random labels every `steps_per_task` gradient steps.

    A network that keeps its plasticity memorizes each new labelling as fast as the first. The loss is the
    cross-entropy of the softmax of the network's outputs.

    Protocol: by the root seed, `num_examples` images are drawn once. Task t has labels of its own,
        independent of those of other tasks: uniform over the classes, or the true labels in a random order.
        Tasks follow each other without notice, and epochs continue across their boundaries.
    Defaults: Kumar et al. train 30,000 steps of 16 of 1,200 images, 400 epochs, scaled to [-1, 1], over 50
        tasks (`gin/protocols/kumar_random_label_mnist.gin`). The 5,000 images are the paper's.
    Source: Lyle et al. 2023, section 4.1, appendix A.1 and Fig. 1 ("the paper"); Kumar et al. 2023, section
        4.2.
    Departures: Kumar et al. write uniform labels; their code shuffles the true ones (`labels='shuffled'`) and
        leaves out the last batch of each epoch (`drop_last='any'`) and begins a new pass with each task
        (`new_pass=True`).

    The metric of a step is its `accuracy` before the update. Both papers evaluate at the end of a task: set
    the evaluation period to `steps_per_task`. Evaluations report

    - `evaluation/task`: number of the task, from 0,
    - `evaluation/accuracy`: accuracy on all images with the task's labels (in the paper on a sample of
      4,096),
    - `evaluation/online_accuracy`: mean over the task's steps so far (Kumar et al., section 4.1),
    - `evaluation/average_online_accuracy`: mean over all steps so far (the same),
    - `evaluation/final_epoch_accuracy`: mean over the task's final epoch, the last
      `num_examples // batch_size` of its steps (see `drop_last`), or all if there are fewer: each before its
      update. NaN until the final epoch has started.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed. 5,000 in the paper, 1,200 in Kumar
            et al.
        steps_per_task: gradient steps between labellings; None if `epochs_per_task` is given. The paper does
            not say; 30,000 in Kumar et al.
        batch_size: examples per gradient step. The paper does not say; 16 in Kumar et al.
        sampling: `'epochs'`: in a new random order each time all images have been used, which leaves out at
            most `batch_size - 1` at the end of an order; or `'replacement'`: each batch drawn independently.
            The paper does not say; Kumar et al. train in epochs.
        labels: `'uniform'` over the classes, each independent; or `'shuffled'`: the true labels in a random
            order, so that each class keeps its number of images.
        pixel_range: new values of the levels 0 and 255. (-1, 1) in Kumar et al.; the paper does not say.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> task = tp.tasks.RandomLabelTask('digits', tp.networks.mlp, num_examples=100, batch_size=8)
        >>> task.build(seed=0)
        >>> batch, state = task.next(task.initial_state(), tf.constant([0, 1]))
        >>> batch.images.shape, batch.labels.shape, int(state.step)
        (TensorShape([8, 8, 8, 1]), TensorShape([8]), 1)
    """

    name = "random_labels"

    @shares_arguments(ImageStreamSettings, steps_per_task=30_000, pixel_range=(0.0, 1.0))
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int = 5_000,
        labels: str = "uniform",
        settings: ImageStreamSettings,
    ):
        self._is_shuffled = check_one_of("labels", labels, LABELS) == "shuffled"
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the labels of the task, `[num_examples] int32`."""
        del previous
        return self._labels_of(self.labels, self.seed, task)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> RandomLabelBatch:
        del key
        return RandomLabelBatch(tf.gather(self.images, indices), tf.gather(state.content, indices))

    def diagnostics_batch(self) -> tuple[RandomLabelBatch, tf.Tensor]:
        """Returns the first images, at most 1,024, with labels that no task has."""
        batch, images = super().diagnostics_batch()
        seed = seeds.derive_integer(self.seed, "diagnostics")
        return batch._replace(labels=self._labels_of(self.labels[: len(images)], seed, 0)), images

    def describe_data(self) -> str:
        of_labels = "shuffled true" if self._is_shuffled else f"{self.num_classes} random"
        return f"{super().describe_data()}, {of_labels} labels"

    def _labels_of(self, true: tf.Tensor, seed: int, task: int | tf.Tensor) -> tf.Tensor:
        if self._is_shuffled:
            return shuffled_labels(true, seed, task)
        return random_labels(len(true), self.num_classes, seed, task)
