"""Regression of noise around a large mean, and then around another one."""

from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_finite, check_positive, check_sequence
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.random import fold_in, normal
from tfplastic.tasks.image_regression import ImageRegression
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings


@gin.register(module="tfplastic.tasks")
class OffsetRegression(ImageRegression):
    """Targets c + eps(x) of the images x: noise to memorize around a mean c, which the tasks differ in.

    In a network that has learned a large mean all features point one way. It learns the noise of the next
    task slowly, even if the next mean is 0; how slowly depends on c.

    Protocol: task t has the mean `offsets[t]`, and the last one of them from then on. Each image has noise
        N(0, `noise`^2), drawn again in each task. The network has one output, trained on the squared error.
    Defaults: a mean of 100, and then of 0; noise 1, ours.
    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", on MNIST.
    Departures: number of images, batches, steps and the scale of the noise are ours; give other means by
        `offsets` to see the effect of c.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with 1 output and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed.
        offsets: mean of the targets of each task; the last one is that of all later ones.
        noise: standard deviation of the noise.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.OffsetRegression('digits', tp.networks.mlp, num_examples=500)
        >>> task.build(seed=0)
        >>> [round(task.content(number).numpy().mean() / 100) for number in (0, 1, 2)]
        [1, 0, 0]
    """

    name = "offset_regression"

    @shares_arguments(ImageStreamSettings, steps_per_task=5_000, batch_size=128)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        offsets: Sequence[float] = (100.0, 0.0),
        noise: float = 1.0,
        settings: ImageStreamSettings,
    ):
        given = check_sequence("offsets", offsets, "(100.0, 0.0)")
        if not len(given):
            raise ValueError(f"`offsets` must have one entry at least. Received: {offsets!r}")
        self.offsets = [check_finite(f"offsets[{place}]", each) for place, each in enumerate(given)]
        self.noise = check_positive("noise", noise)
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the targets of the task, `[num_examples] float32`."""
        del previous
        key = fold_in(tf.constant(seeds.derive(self.seed, self.name, "noise")), task)
        place = tf.minimum(task, len(self.offsets) - 1)
        noise = normal([len(self.images)], key, self.noise)
        return tf.gather(tf.constant(self.offsets, tf.float32), place) + noise
