"""Regression to one random network after another."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_integer, check_sequence
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.random import fold_in, normal
from tfplastic.tasks.image_regression import ImageRegression
from tfplastic.tasks.stream_parts.settings import ImageStreamSettings

_MOST = 16_384  # units of a layer of the target


@gin.register(module="tfplastic.tasks")
class RandomNetworkRegression(ImageRegression):
    """Targets of a random network, which each task draws again: how well does a network still fit the next?

    Protocol: the targets of a task are the outputs of an MLP with ReLUs, whose weights are N(0, 1/fan-in),
        without biases, on the images. The network has one output, trained on the squared error.
    Defaults: targets of two hidden layers of 512 units; 30 rounds in the paper.
    Source: Lyle et al. 2022, "Understanding and preventing capacity loss in reinforcement learning": the
        images are those of MNIST, "target-fitting capacity" is the error at the end of a task.
    Departures: the paper's targets are of the network's own architecture; ours are of an MLP of `hidden`
        units, whatever the network is. Number of images, batches and steps are ours.

    Args:
        dataset: a name that `load_dataset` knows.
        network: builder of the model; called with 1 output and `input_shape`, `seed`.
        num_examples: images, drawn from the training examples by the seed.
        hidden: units of each hidden layer of the target.
        settings: see `ImageStreamSettings`.

    Raises:
        ValueError: an argument is out of its range; from `build` on, there is no such data.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.RandomNetworkRegression('digits', tp.networks.mlp, num_examples=200, hidden=(9,))
        >>> task.build(seed=0)
        >>> task.content(3).shape
        TensorShape([200])
    """

    name = "random_network_regression"

    @shares_arguments(ImageStreamSettings, steps_per_task=5_000, batch_size=128)
    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        hidden: Sequence[int] = (512, 512),
        settings: ImageStreamSettings,
    ):
        given = check_sequence("hidden", hidden, "(512, 512)")
        self.hidden = [check_integer(f"hidden[{place}]", each, 1, _MOST) for place, each in enumerate(given)]
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            **vars(settings),
        )

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the targets of the task, `[num_examples] float32`."""
        del previous
        key = fold_in(tf.constant(seeds.derive(self.seed, self.name, "target")), task)
        outputs = tf.reshape(self.images, [len(self.images), -1])  # [num_examples, pixels]
        sizes = [math.prod(self.images.shape[1:]), *self.hidden, 1]
        for place, shape in enumerate(zip(sizes, sizes[1:], strict=False)):
            weights = normal(shape, fold_in(key, place), shape[0] ** -0.5)
            outputs = tf.matmul(tf.nn.relu(outputs) if place else outputs, weights)
        return outputs[:, 0]
