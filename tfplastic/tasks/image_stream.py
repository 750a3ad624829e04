"""A stream of tasks on the images of one data set."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfplastic._checks import check_interval
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.datasets import Dataset, check_dataset_name, choose_examples, load_dataset, scale_pixels
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.supervised_stream import SupervisedStream


class ImageStream(SupervisedStream):
    """A `SupervisedStream` whose examples are training images of a data set, drawn once for the whole run.

    A subclass defines by `content` and `examples` the images and labels of each task.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the network, see `SupervisedStream`.
        num_examples: images, drawn from the training examples by the seed.
        settings: see `ImageStreamSettings`.

    Attributes:
        num_classes: classes of the data set, from `build` on.
        images: `[num_kept, height, width, channels] float32`, from `build` on.
        labels: `[num_kept] int32`, the true ones, from `build` on.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.
    """

    images: tf.Tensor
    labels: tf.Tensor
    num_classes: int

    @shares_arguments(ImageStreamSettings, pixel_range=(0.0, 1.0))
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        settings: ImageStreamSettings,
    ):
        self.dataset = check_dataset_name("dataset", dataset)
        of_stream = vars(settings).copy()
        self.pixel_range = check_interval("pixel_range", of_stream.pop("pixel_range"))
        super().__init__(network, num_examples=num_examples, **of_stream)

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        return self.keep(load_dataset(self.dataset), seed)

    def keep(self, dataset: Dataset, seed: int) -> tuple[int, Sequence[int]]:
        """Keeps what the run needs of the data set, such as its chosen images; a subclass may keep more.

        Args:
            dataset: all of it.
            seed: root seed.

        Returns:
            See `load`.
        """
        data = choose_examples(dataset, self.num_kept(dataset), seed)
        self.num_classes = data.num_classes
        self.images = tf.constant(scale_pixels(data.x_train, *self.pixel_range))
        self.labels = tf.constant(data.y_train)
        return data.num_classes, data.x_train.shape[1:]

    def num_kept(self, dataset: Dataset) -> int:
        """Returns the number of images to keep, `num_examples`; a subclass may keep more.

        Args:
            dataset: all of it.
        """
        del dataset
        return self.num_examples or 0

    def describe_data(self) -> str:
        return f"{self.num_examples:,} images of {self.dataset}"
