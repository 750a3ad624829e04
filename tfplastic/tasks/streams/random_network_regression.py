"""Regression to one random network after another."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_integer, check_sequence
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in, normal
from tfplastic.tasks.image_regression import ImageRegression

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
        steps_per_task: gradient steps per task; None if `epochs_per_task` is given.
        epochs_per_task: passes over the images per task, in place of `steps_per_task`.
        batch_size: examples per gradient step.
        sampling: `'epochs'` or `'replacement'`, see `SupervisedStream`.
        drop_last: batch that an epoch leaves out, `'partial'` or `'any'`, see `SupervisedStream`.
        pixel_range: new values of the levels 0 and 255.

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

    def __init__(
        self,
        dataset: str,
        network: Callable[..., keras.Model],
        *,
        num_examples: int,
        hidden: Sequence[int] = (512, 512),
        steps_per_task: int | None = 5_000,
        epochs_per_task: int | None = None,
        batch_size: int = 128,
        sampling: str = "epochs",
        drop_last: str = "partial",
        pixel_range: tuple[float, float] = (-1.0, 1.0),
    ):
        given = check_sequence("hidden", hidden, "(512, 512)")
        self.hidden = [check_integer(f"hidden[{place}]", each, 1, _MOST) for place, each in enumerate(given)]
        super().__init__(
            dataset,
            network,
            num_examples=num_examples,
            steps_per_task=steps_per_task,
            epochs_per_task=epochs_per_task,
            batch_size=batch_size,
            sampling=sampling,
            drop_last=drop_last,
            pixel_range=pixel_range,
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
