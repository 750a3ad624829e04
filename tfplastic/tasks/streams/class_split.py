"""Tasks of a few classes each, which change from task to task."""

from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_one_of, check_positive_integer, check_sequence
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.datasets import Dataset, load_dataset, scale_pixels
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.schedules import class_order
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState

LABELS = ("class", "place")


@gin.register(module="tfplastic.tasks")
class ClassSplit(ImageStream):
    """True labels of a few classes in each task, and other classes in the next one.

    Protocol: by the root seed, `examples_per_class` images of each class are drawn once, and an order of the
        classes. Task t has the next `classes_per_task[t % len(classes_per_task)]` classes of that order;
        after the last class comes the first again. Each task begins with an epoch of its own, in a random
        order. A label is the number of the class in the data set, or its place within the task.

        - 5+1 CIFAR of Kumar et al. 2023 (`gin/protocols/kumar_5_plus_1_cifar100.gin`): hard tasks of 5
          classes, 2,500 images, and easy ones of 1 class, 500 images, take turns; 780 steps of 32, 30 tasks,
          so that no class comes twice; labels of all 100 classes.
        - Continual ImageNet (`gin/protocols/kumar_continual_imagenet.gin`): 2 classes of 600 images of 32 x
          32 pixels in each task, labels 0 and 1.
    Defaults: values of 5+1 CIFAR.
    Source: Kumar et al. 2023, section 4.2; Dohare et al. 2024, "Loss of plasticity in deep continual
        learning".
    Departures: Dohare et al. set the output layer to zero between the tasks of continual ImageNet, which
        `ResetLastLayer` does by drawing it again.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of outputs and `input_shape`, `seed`.
        classes_per_task: classes of a task, in turns.
        examples_per_class: training images of each class, drawn by the seed.
        labels: `'class'`, the number of the class, with an output for each of the data set; or `'place'`,
            within the task, with as many outputs as the largest task has classes.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data, or a class has
            fewer images.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.ClassSplit(
        ...     'digits', tp.networks.mlp, classes_per_task=(3, 1), examples_per_class=20, batch_size=8)
        >>> task.build(seed=0)
        >>> [int(task.task_size(number)) for number in range(3)]
        [60, 20, 60]
    """

    name = "class_split"

    @shares_arguments(ImageStreamSettings, omit=("new_pass",), steps_per_task=780, batch_size=32)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        classes_per_task: Sequence[int] = (5, 1),
        examples_per_class: int = 500,
        labels: str = "class",
        settings: ImageStreamSettings,
    ):
        counts = check_sequence("classes_per_task", classes_per_task, "(5, 1)")
        self._counts = [check_positive_integer("classes_per_task", count) for count in counts]
        if not counts:
            raise ValueError(f"`classes_per_task` must have a number. Received: {classes_per_task!r}")
        self._per_class = check_positive_integer("examples_per_class", examples_per_class)
        self._is_place = check_one_of("labels", labels, LABELS) == "place"
        super().__init__(
            dataset,
            network,
            num_examples=max(self._counts) * examples_per_class,
            **vars(settings),
        )

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        data = load_dataset(self.dataset)
        self.num_classes = data.num_classes
        if max(self._counts) > data.num_classes:
            rule = f"must be at most {data.num_classes}, the classes of {self.dataset!r}"
            raise ValueError(f"`classes_per_task` {rule}. Received: {max(self._counts)}")
        chosen = np.concatenate([self._of_class(data, each, seed) for each in range(data.num_classes)])
        # As stored, a quarter of the memory of float32: the images of all classes are there at once.
        self.images, self.labels = tf.constant(data.x_train[chosen]), tf.constant(data.y_train[chosen])
        self._values = tf.constant(scale_pixels(np.arange(256, dtype=np.uint8), *self.pixel_range))
        self._classes = class_order(data.num_classes, seed, 0)
        return max(self._counts) if self._is_place else data.num_classes, data.x_train.shape[1:]

    def _of_class(self, data: Dataset, number: int, seed: int) -> np.ndarray:
        """Returns the places of the chosen images of a class."""
        places = np.flatnonzero(data.y_train == number)
        if len(places) < self._per_class:
            rule = f"must be at most {len(places)}, the training images of class {number} of {self.dataset!r}"
            raise ValueError(f"`examples_per_class` {rule}. Received: {self._per_class}")
        order = seeds.generator(seeds.derive(seed, "class_split", number)).permutation(len(places))
        return places[order[: self._per_class]]

    def task_size(self, task: int | tf.Tensor) -> int | tf.Tensor:
        """Returns the number of images in a task."""
        if isinstance(task, int):
            return self._counts[task % len(self._counts)] * self._per_class
        return tf.gather(tf.constant(self._counts), task % len(self._counts)) * self._per_class

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the classes of the task, `[most classes] int32`, followed by those of later ones."""
        del previous
        before = tf.constant(np.cumsum([0, *self._counts[:-1]]), tf.int32)  # in a turn
        turn, place = task // len(self._counts), task % len(self._counts)
        first = turn * sum(self._counts) + tf.gather(before, place)
        return tf.gather(self._classes, (first + tf.range(max(self._counts))) % self.num_classes)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key
        places = indices // self._per_class  # [batch], of the classes within the task
        classes = tf.gather(state.content, places)
        levels = tf.gather(self.images, classes * self._per_class + indices % self._per_class)
        images = tf.gather(self._values, tf.cast(levels, tf.int32))  # [batch, height, width, channels]
        return StreamBatch(images, places if self._is_place else classes)

    def describe_data(self) -> str:
        counts = " and ".join(map(str, self._counts))
        return f"{self._per_class:,} images of each class of {self.dataset}, {counts} classes in a task"
