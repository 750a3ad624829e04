"""A stream of tasks on the images of one data set."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfplastic._checks import check_interval
from tfplastic._keras import keras
from tfplastic.tasks.datasets import check_dataset_name, choose_examples, load_dataset, scale_pixels
from tfplastic.tasks.supervised_stream import SupervisedStream


class ImageStream(SupervisedStream):
    """A `SupervisedStream` whose examples are training images of a data set, drawn once for the whole run.

    A subclass defines by `content` and `examples` the images and labels of each task.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the network, see `SupervisedStream`.
        num_examples: images, drawn from the training examples by the seed.
        steps_per_task: gradient steps per task, see `SupervisedStream`.
        epochs_per_task: epochs per task, see `SupervisedStream`.
        batch_size: examples per gradient step, see `SupervisedStream`.
        sampling: order of the examples, see `SupervisedStream`.
        drop_last: batch that an epoch leaves out, see `SupervisedStream`.
        pixel_range: new values of the levels 0 and 255.

    Attributes:
        num_classes: classes of the data set, from `build` on.
        images: `[num_examples, height, width, channels] float32`, from `build` on.
        labels: `[num_examples] int32`, the true ones, from `build` on.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.
    """

    images: tf.Tensor
    labels: tf.Tensor
    num_classes: int

    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        steps_per_task: int | None = None,
        epochs_per_task: int | None = None,
        batch_size: int = 16,
        sampling: str = "epochs",
        drop_last: str = "partial",
        pixel_range: tuple[float, float] = (0.0, 1.0),
    ):
        self.dataset = check_dataset_name("dataset", dataset)
        self.pixel_range = check_interval("pixel_range", pixel_range)
        super().__init__(
            network,
            num_examples=num_examples,
            steps_per_task=steps_per_task,
            epochs_per_task=epochs_per_task,
            batch_size=batch_size,
            sampling=sampling,
            drop_last=drop_last,
        )

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        data = choose_examples(load_dataset(self.dataset), self.num_examples or 0, seed)
        self.num_classes = data.num_classes
        self.images = tf.constant(scale_pixels(data.x_train, *self.pixel_range))
        self.labels = tf.constant(data.y_train)
        return data.num_classes, data.x_train.shape[1:]

    def describe_data(self) -> str:
        return f"{self.num_examples:,} images of {self.dataset}"
