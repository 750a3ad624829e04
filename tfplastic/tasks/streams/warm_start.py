"""Part of the data first, and then all of it: warm-started training."""

from collections.abc import Callable, Sequence

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_one_of, check_positive_integer
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.programs import own_program
from tfplastic.tasks.datasets import Dataset, scale_pixels
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState

ARMS = ("warm", "fresh")
_TEST_BATCH = 1024  # images that go through the network at once


@gin.register(module="tfplastic.tasks")
class WarmStart(ImageStream):
    """Training on a share of the images and then on all, against training on all from the start.

    A network that was trained on the first half generalizes worse after training on everything than one that
    starts fresh, though both fit all images.

    Protocol: by the root seed, `num_examples` images are drawn once, and with them their order. The warm arm
        has the first `round(share * num_examples)` of them in task 0 and all in every later task; the fresh
        arm has all in every task. Labels are the true ones. Each task is a number of epochs, so that task 1
        of the warm arm takes as many steps as task 0 of the fresh one, which is what is compared.
    Evaluations: besides those of `SupervisedStream`, `evaluation/test_accuracy` on all test images.
    Defaults: half of the data first, 350 epochs, of the source.
    Source: Ash and Adams 2020, "On warm-starting neural network training": ResNet-18 on CIFAR-10, 56.2 %
        fresh against 51.7 % warm with SGD, 78.0 against 74.4 with Adam.
    Departures: the source trains to convergence, here a task has a fixed number of epochs. Shrink and perturb
        between tasks is `ShrinkAndPerturb`, which acts at their boundaries.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed.
        share: share of the images in the warm arm's first task, in [0, 1]; at least a batch.
        arm: `'warm'` or `'fresh'`.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.WarmStart('digits', tp.networks.mlp, num_examples=100, batch_size=10)
        >>> task.build(seed=0)
        >>> [int(task.task_size(number)) for number in range(3)]
        [50, 100, 100]
    """

    name = "warm_start"

    @shares_arguments(ImageStreamSettings, omit=("new_pass",), epochs_per_task=350, batch_size=128)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        share: float = 0.5,
        arm: str = "warm",
        settings: ImageStreamSettings,
    ):
        share = check_fraction("share", share)
        check_positive_integer("num_examples", num_examples)
        self._is_fresh = check_one_of("arm", arm, ARMS) == "fresh"
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )
        self._first = num_examples if self._is_fresh else round(share * num_examples)
        least = settings.batch_size if settings.sampling == "epochs" else 1
        if self._first < least:
            rule = f"must give the first task at least {least} images, a batch"
            raise ValueError(f"`share` {rule}. Received: {share} of {num_examples} images")

    def keep(self, dataset: Dataset, seed: int) -> tuple[int, Sequence[int]]:
        self._test_images = tf.constant(scale_pixels(dataset.x_test, *self.pixel_range))
        self._test_labels = tf.constant(dataset.y_test)
        self._hits = own_program(self._count_hits)
        return super().keep(dataset, seed)

    def task_size(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns the number of images in a task."""
        if isinstance(task, int):
            return self._first if task == 0 else len(self.images)
        return tf.where(task == 0, self._first, len(self.images))

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key, state
        return StreamBatch(tf.gather(self.images, indices), tf.gather(self.labels, indices))

    def evaluate(self, step: int, state: StreamState) -> dict[str, float]:
        found = super().evaluate(step, state)
        parts = range(0, len(self._test_labels), _TEST_BATCH)
        hits = sum(float(self._hits(*self._test_batch(start))) for start in parts)
        found["evaluation/test_accuracy"] = hits / len(self._test_labels)
        return found

    def _test_batch(self, start: int) -> tuple[tf.Tensor, tf.Tensor]:
        return self._test_images[start : start + _TEST_BATCH], self._test_labels[start : start + _TEST_BATCH]

    def _count_hits(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self.objective.scores_of(self.model(images, training=False), labels))

    def describe_data(self) -> str:
        first = "" if self._is_fresh else f", {self._first:,} of them in the first task"
        return f"{super().describe_data()}{first}"
