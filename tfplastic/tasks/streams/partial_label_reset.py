"""Random labels of which each task draws a part again."""

from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.schedules import chosen_examples, random_labels
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState


@gin.register(module="tfplastic.tasks")
class PartialLabelReset(ImageStream):
    """Random labels of the same images, of which a share is drawn again at the start of each task.

    A small share is a small change of the task, so that the loss of plasticity can be seen as a function of
    the size of the change.

    Protocol: by the root seed, `num_examples` images are drawn once; in task 0 each has a label that is
        uniform over the classes. At the start of each later task `round(fraction * num_examples)` images,
        drawn without replacement, get new labels, uniform and independent (so a tenth of them keeps its
        label, of ten classes); the others keep theirs. With `fraction` 1 the labels are those of
        `RandomLabelTask`, bit for bit.
    Defaults: tasks of 100,000 steps, of the source, with 40 tasks and fractions from .01 to 1.
    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", CIFAR-10.
    Departures: the source does not say whether the number of labels that are drawn again is exact, nor the
        size of the batch; 16 is that of `RandomLabelTask`.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with the number of classes and `input_shape`, `seed`.
        fraction: share of the images with new labels, in [0, 1].
        num_examples: images, drawn from the training examples by the seed.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> task = tp.tasks.PartialLabelReset('digits', tp.networks.mlp, 0.25, num_examples=100)
        >>> task.build(seed=0)
        >>> first = task.content(0)
        >>> int(tf.math.count_nonzero(task.content(1, first) != first)) <= 25
        True
    """

    name = "partial_label_reset"

    @shares_arguments(ImageStreamSettings, steps_per_task=100_000)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        fraction: float,
        *,
        num_examples: int,
        settings: ImageStreamSettings,
    ):
        self.fraction = check_fraction("fraction", fraction)
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the labels of the task, `[num_examples] int32`."""
        count = len(self.images)
        drawn = random_labels(count, self.num_classes, self.seed, task)
        if previous is None:
            return drawn
        is_chosen = chosen_examples(count, round(self.fraction * count), self.seed, task)
        return tf.where(is_chosen, drawn, previous)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key
        return StreamBatch(tf.gather(self.images, indices), tf.gather(state.content, indices))

    def describe_data(self) -> str:
        share = f"{self.fraction:.3g} of them drawn again in each task"
        return f"{super().describe_data()}, {self.num_classes} random labels, {share}"
