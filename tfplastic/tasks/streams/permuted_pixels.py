"""Images whose pixels are in another order in each task."""

import math
from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_one_of
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.datasets import Dataset
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.schedules import chosen_examples, pixel_order
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState

PERMUTATIONS = ("fresh", "cumulative")
FIRST_TASKS = ("permuted", "original")
IMAGES = ("once", "each_task")


@gin.register(module="tfplastic.tasks")
class PermutedPixels(ImageStream):
    """The same images with their true labels, and the pixels of all images in a new order in each task.

    All tasks are equally hard, so that a falling online accuracy is a loss of plasticity.

    Protocol: by the root seed, `num_examples` images are drawn once. Task t, the first one too, has a
        permutation of the pixels of its own, uniform and independent of earlier ones. Tasks follow each other
        without notice. With `steps_per_task` epochs continue across the boundaries of tasks, so that every
        image comes once before any comes again; with `epochs_per_task` each task is whole epochs. The
        released codes differ: see the arguments.

        - Kumar et al. 2023, section 4.2 (`gin/protocols/kumar_permuted_mnist.gin`): 10,000 images of MNIST in
          [-1, 1], one epoch in batches of 16, 625 steps, in each of 500 tasks.
        - Elsayed and Mahmood 2024 (`gin/protocols/upgd_permuted_mnist.gin`): 60,000 images in [-1, 1] in
          random order, one by one, a new permutation every 5,000, 1,000,000 images in all.
        - Dohare et al. 2024 (`gin/protocols/dohare_permuted_mnist.gin`): 60,000 images in [0, 1], one by one,
          all of them in each of 800 tasks.
    Defaults: number of images, batch and range of Kumar et al.
    Source: the papers above.
    Departures: the released code of Dohare et al. permutes the images of the task before again
        (`permutation='cumulative'`), which has the same distribution as new permutations of the original
        images. That of Kumar et al. draws images again for each task (`images='each_task'`) and leaves the
        first task as it is (`first_task='original'`). That of Elsayed and Mahmood begins a new pass over the
        images with each permutation (`new_pass=True`), and does not draw permutations from the seed of the
        run; one sentence of their appendix says a new permutation every 60,000.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed.
        permutation: `'fresh'`, of the original images; or `'cumulative'`, of the images of the task before.
        first_task: `'permuted'`; or `'original'`, with the pixels of the first task as they are.
        images: `'once'`, the same in all tasks; or `'each_task'`, drawn from all training examples again.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> task = tp.tasks.PermutedPixels('digits', tp.networks.mlp, num_examples=100, epochs_per_task=1)
        >>> task.build(seed=0)
        >>> task.boundary_period  # 100 // 16
        6
        >>> batch, state = task.next(task.initial_state(), tf.constant([0, 1]))
        >>> batch.inputs.shape, batch.targets.shape
        (TensorShape([16, 8, 8, 1]), TensorShape([16]))
    """

    name = "permuted_pixels"

    @shares_arguments(ImageStreamSettings)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int = 10_000,
        permutation: str = "fresh",
        first_task: str = "permuted",
        images: str = "once",
        settings: ImageStreamSettings,
    ):
        self._is_cumulative = check_one_of("permutation", permutation, PERMUTATIONS) == "cumulative"
        self._is_first_original = check_one_of("first_task", first_task, FIRST_TASKS) == "original"
        self._draws_again = check_one_of("images", images, IMAGES) == "each_task"
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def num_kept(self, dataset: Dataset) -> int:
        count = super().num_kept(dataset)
        return max(count, len(dataset.x_train)) if self._draws_again else count

    def content(self, task: int | tf.Tensor, previous: Any = None) -> Any:
        """Returns the order of the pixels, `[pixels] int32`: entry i is the pixel that is in place i.

        With `images='each_task'` a pair: that, and the numbers of the chosen images, `[num_examples] int32`.
        """
        pixels = math.prod(self.images.shape[1:])
        order = pixel_order(pixels, self.seed, task)
        if self._is_first_original:
            order = tf.where(tf.equal(task, 0), tf.range(pixels), order)
        before = previous[0] if self._draws_again and previous is not None else previous
        if self._is_cumulative and before is not None:
            order = tf.gather(before, order)
        if not self._draws_again:
            return order
        count = self.num_examples or 0
        is_left_out = ~chosen_examples(len(self.labels), count, self.seed, task)
        return order, tf.argsort(tf.cast(is_left_out, tf.int32), stable=True)[:count]

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key
        order = state.content
        if self._draws_again:
            order, chosen = state.content
            indices = tf.gather(chosen, indices)
        images = tf.gather(self.images, indices)  # [batch, height, width, channels]
        flat = tf.reshape(images, [indices.shape[0], order.shape[0]])  # [batch, pixels]
        permuted = tf.reshape(tf.gather(flat, order, axis=1), images.shape)
        return StreamBatch(permuted, tf.gather(self.labels, indices))

    def describe_data(self) -> str:
        return f"{super().describe_data()}, pixels permuted"
