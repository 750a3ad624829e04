"""Streams for several learners side by side in one run, each with examples of its own."""

from collections.abc import Callable

import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_integer, check_makes
from tfplastic._keras import keras
from tfplastic._losses.keras_loss import with_model_losses
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.random import fold_in, random_bits, unit_normals
from tfplastic.tasks.stream_parts.objectives import REGRESSION
from tfplastic.tasks.stream_parts.settings import StreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch
from tfplastic.tasks.supervised_stream import SupervisedStream
from tfplastic.tasks.task_loss import TaskLoss

_MOST = 1_000_000  # replicates, and the first one: its draws follow those of all before it


class ReplicatedStream(SupervisedStream):
    """A `SupervisedStream` for several learners in one model, such as the runs of an experiment.

    Each replicate has draws of its own, which depend on the root seed and on its number alone: it gets the
    same examples whatever the other replicates are. The loss is the sum over replicates of their mean squared
    errors, so that the gradient of each is that of its own error; with `networks.replicated_mlp` and an
    optimizer that treats entries one by one, such as SGD or Adam, each trains as if it were alone. Clipping
    by a global norm, and mitigations that choose among all units, would couple them.

    The score is a replicate's error, `train/error` and `evaluation/error` its mean over the replicates;
    `training.ReplicateScores` writes it for each.

    Args:
        network: builder of the model, called with `replicates` as the number of outputs and `input_shape`
            `(replicates, inputs)`, `seed`.
        replicates: number of learners.
        first_replicate: number of the first learner. Above 0 the run is a part of a larger one, and the
            network is also called with `first_replicate`.
        num_examples: see `SupervisedStream`.
        settings: see `StreamSettings`.

    Raises:
        ValueError: an argument is out of its range.
    """

    objective = REGRESSION

    @shares_arguments(StreamSettings)
    def __init__(
        self,
        network: Callable[..., keras.Model],
        *,
        replicates: int,
        first_replicate: int = 0,
        num_examples: int | None = None,
        settings: StreamSettings,
    ):
        self.replicates = check_integer("replicates", replicates, 1, _MOST)
        self.first_replicate = check_integer("first_replicate", first_replicate, 0, _MOST)
        self.score_shape = (replicates,)
        super().__init__(network, num_examples=num_examples, **vars(settings))
        if first_replicate:
            takes = ("input_shape", "seed", "first_replicate")
            check_makes("network", network, keras.Model, "@replicated_mlp", takes)
            self.network = lambda *shape, **given: network(*shape, first_replicate=first_replicate, **given)

    @property
    def numbers(self) -> range:
        """The replicates' numbers."""
        return range(self.first_replicate, self.first_replicate + self.replicates)

    def key(self, name: str, task: int | tf.Tensor) -> tf.Tensor:
        """Returns the seed `[2] int32` of the draws of a task that go by this name; traceable."""
        root = tf.constant(seeds.derive(self.seed, self.name, name))
        return fold_in(root, task)

    def integers(self, key: tf.Tensor, count: int, below: int) -> tf.Tensor:
        """Returns draws of each replicate, uniform in [0, `below`), `[replicates, count] int32`."""
        return self._bits(key, count) % below

    def normals(self, key: tf.Tensor, count: int) -> tf.Tensor:
        """Returns draws of N(0, 1) of each replicate, `[replicates, count] float32`."""
        return unit_normals(tf.bitwise.right_shift(self._bits(key, count), 8))

    def _bits(self, key: tf.Tensor, count: int) -> tf.Tensor:
        # The first draws do not depend on how many there are: Philox counts.
        shape = [self.numbers.stop, count]
        bits = random_bits(shape, key)
        return tf.bitwise.bitwise_and(bits, 2**31 - 1)[self.first_replicate :]

    def loss(self, model: keras.Model, batch: StreamBatch, training: bool = False) -> TaskLoss:
        outputs = model(batch.inputs, training=training)  # [batch, replicates]
        errors = tf.math.squared_difference(outputs, batch.targets)
        loss = with_model_losses(tf.reduce_sum(tf.reduce_mean(errors, axis=0)), model)
        return TaskLoss(loss, tf.reshape(errors, [-1]), {"error": tf.reduce_mean(errors)})

    def step_score(self, output: TaskLoss) -> tf.Tensor:
        return tf.reduce_mean(tf.reshape(output.per_example_loss, [-1, self.replicates]), axis=0)

    def describe_data(self) -> str:
        return f"{super().describe_data()}, for each of {self.replicates:,} learners"
