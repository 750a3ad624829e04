"""Regression to the mean of two inputs, whose numbers or whose sign change from task to task."""

from collections.abc import Callable, Sequence

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_finite, check_integer, check_one_of
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.random import fold_in
from tfplastic.tasks.replicated_stream import ReplicatedStream
from tfplastic.tasks.stream_parts.settings import StreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState

_MOST = 1_000_000  # inputs


@gin.register(module="tfplastic.tasks")
class TwoInputRegression(ReplicatedStream):
    """The target a (x_i + x_j) / 2 of two of the inputs; other inputs, or the other sign, in each task.

    The smallest problems of forgetting and plasticity: linear functions, where the solution of one task is
    wrong in the next.

    Protocol: inputs are N(0, 1), drawn for each example. With `changes='inputs'`, task t is of the inputs
        2 t and 2 t + 1, modulo `num_inputs`; with `'sign'`, all tasks are of the first two, and a is
        `scale` in even tasks and -`scale` in odd ones.
    Defaults: 16 inputs, a change every 200 examples, one example a step, of the paper; `scale` 1.
    Source: Elsayed and Mahmood 2024, "Addressing loss of plasticity and catastrophic forgetting in continual
        learning", the two problems that precede its experiments, with linear networks of 300 and 150 units
        and 20 runs.
    Departures: none that is known. The paper's text is the source, as the released code lacks these problems.
        Its UPGD divides by the largest utility of the whole network, so that replicates of one model would be
        coupled: with `upgd` let `replicates` be 1 and give each run a seed.

    Args:
        network: builder of the model, such as `@replicated_mlp`; see `ReplicatedStream`.
        replicates: number of learners.
        first_replicate: number of the first one, see `ReplicatedStream`.
        changes: `'inputs'` or `'sign'`, the problem 1 or 2 of the source.
        num_inputs: inputs of an example; even.
        scale: a, the factor of the mean.
        settings: see `StreamSettings`.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.TwoInputRegression(tp.networks.replicated_mlp)
        >>> task.build(seed=0)
        >>> (inputs, targets), _ = task.next(task.initial_state(), [0, 1])
        >>> inputs.shape, bool(abs(targets[0, 0] - (inputs[0, 0, 0] + inputs[0, 0, 1]) / 2) < 1e-6)
        (TensorShape([1, 1, 16]), True)
    """

    name = "two_input_regression"

    @shares_arguments(
        StreamSettings,
        omit=("epochs_per_task", "sampling", "drop_last", "new_pass"),
        steps_per_task=200,
        batch_size=1,
    )
    def __init__(
        self,
        network: Callable[..., keras.Model],
        *,
        replicates: int = 1,
        first_replicate: int = 0,
        changes: str = "inputs",
        num_inputs: int = 16,
        scale: float = 1.0,
        settings: StreamSettings,
    ):
        self.changes = check_one_of("changes", changes, ("inputs", "sign"))
        self.num_inputs = check_integer("num_inputs", num_inputs, 2, _MOST)
        if num_inputs % 2:
            raise ValueError(f"`num_inputs` must be even. Received: {num_inputs}. Add or remove one")
        self.scale = check_finite("scale", scale)
        super().__init__(
            network,
            replicates=replicates,
            first_replicate=first_replicate,
            steps_per_task=settings.steps_per_task,
            batch_size=settings.batch_size,
        )

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        return self.replicates, (self.replicates, self.num_inputs)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        count = indices.shape[0] or 0
        of_run = fold_in(key, seeds.derive_integer(self.seed, self.name))
        drawn = self.normals(of_run, count * self.num_inputs)
        inputs = tf.transpose(
            tf.reshape(drawn, [self.replicates, count, self.num_inputs]), [1, 0, 2]
        )  # [batch, replicates, inputs]
        task = tf.convert_to_tensor(state.task)
        if self.changes == "inputs":
            pair = 2 * task % self.num_inputs + tf.range(2)
            return StreamBatch(inputs, self.scale * tf.reduce_mean(tf.gather(inputs, pair, axis=-1), axis=-1))
        sign = tf.cast(1 - 2 * (task % 2), tf.float32)
        return StreamBatch(inputs, self.scale * sign * tf.reduce_mean(inputs[..., :2], axis=-1))
