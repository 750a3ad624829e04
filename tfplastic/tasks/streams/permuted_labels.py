"""Images whose classes get new numbers in each task."""

from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.schedules import class_order
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState


@gin.register(module="tfplastic.tasks")
class PermutedLabels(ImageStream):
    """The same images in their true classes, whose numbers are permuted in each task.

    From task to task the network's features stay useful and its last layer does not: a measure of plasticity
    with little interference.

    Protocol: by the root seed, `num_examples` images are drawn once. Task t, the first one too, has a uniform
        permutation of the classes of its own; an image of class c has the label `permutation[c]`. Tasks
        follow each other without notice, and epochs continue across their boundaries.
    Defaults: one image per step and a permutation every 2,500, of the source, which takes 1,000,000 steps
        (`gin/protocols/upgd_label_permuted_emnist.gin`).
    Source: Elsayed and Mahmood 2024, "Addressing loss of plasticity and catastrophic forgetting in continual
        learning": EMNIST with 47 classes, CIFAR-10 and mini-ImageNet. On CIFAR-10 nothing is lost there.
    Departures: mini-ImageNet, features of a trained network, is not among the data sets here. The released
        code begins a new pass over the images with each permutation (`new_pass=True`).

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> task = tp.tasks.PermutedLabels('digits', tp.networks.mlp, num_examples=100)
        >>> task.build(seed=0)
        >>> sorted(task.content(3).numpy().tolist())
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    name = "permuted_labels"

    @shares_arguments(ImageStreamSettings, steps_per_task=2_500, batch_size=1)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        settings: ImageStreamSettings,
    ):
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the label of each class, `[classes] int32`."""
        del previous
        return class_order(self.num_classes, self.seed, task)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key
        classes = tf.gather(self.labels, indices)  # [batch]
        return StreamBatch(tf.gather(self.images, indices), tf.gather(state.content, classes))

    def describe_data(self) -> str:
        return f"{super().describe_data()}, {self.num_classes} classes permuted"
