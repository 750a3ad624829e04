"""Regression to a fixed network of threshold units while few bits of the input change slowly."""

from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import (
    check_boolean,
    check_finite,
    check_fits_in_memory,
    check_integer,
    check_one_of,
    check_positive_integer,
)
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.layers.replicated_dense import replicated_product
from tfplastic.tasks.replicated_stream import ReplicatedStream
from tfplastic.tasks.stream_parts.settings import StreamSettings
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState

_BYTES = 16  # of a sign while it is drawn


@gin.register(module="tfplastic.tasks")
class SlowlyChangingRegression(ReplicatedStream):
    """Inputs of bits, some of which flip slowly, and targets of a fixed network larger than the learner.

    The smallest problem with loss of plasticity: five units cannot represent the target, so the learner has
    to follow the changes.

    Protocol: an example has `num_bits` bits. The first `num_slow` are constant within a task, and the others
        are drawn uniformly for each example. Between tasks one uniformly chosen slow bit flips. The target is
        that of a network with one layer of `num_units` threshold units, all weights +-1: unit i gives 1 if
        its input w_i x is above theta_i = (`num_bits` + 1) `threshold` - S_i, else 0, where S_i is the number
        of its weights that are -1; the output is the signed sum of the units. Inputs have a constant bit 1 as
        well. Each learner has a target and bits of its own.
    Defaults: 20 bits, 15 slow ones, 100 units, threshold 0.7, a flip every 10,000
        examples, one example a step and 100 learners, as in the paper.
    Source: Dohare et al. 2024, "Loss of plasticity in deep continual learning", section "Slowly-Changing
        Regression", and its released code.
    Departures: none from the text. The released code differs: it draws all slow bits again
        (`flips='all'`; its configurations `flip_one` flip one), has no constant bit (`constant_bit=False`),
        and its targets have biases of +-1 in both layers, with S_i = (n - sum w_i + b_i) / 2 of n inputs and
        the bias added to the unit's input (`target_biases=True`).

    Args:
        network: builder of the model, such as `@replicated_mlp`; see `ReplicatedStream`.
        replicates: number of learners.
        first_replicate: number of the first one, see `ReplicatedStream`.
        num_bits: bits of an example, without the constant one.
        num_slow: slow ones among them.
        num_units: threshold units of the target.
        threshold: beta, share of the inputs at which a unit begins to fire.
        flips: `'one'` or `'all'`: slow bits that change between tasks, the latter drawn uniformly.
        constant_bit: whether inputs have a constant bit.
        target_biases: whether targets have biases.
        settings: see `StreamSettings`.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.tasks.SlowlyChangingRegression(tp.networks.replicated_mlp, replicates=3)
        >>> task.build(seed=0)
        >>> batch, _ = task.next(task.initial_state(), [0, 1])
        >>> batch.inputs.shape, batch.targets.shape
        (TensorShape([1, 3, 21]), TensorShape([1, 3]))
    """

    name = "slowly_changing_regression"

    @shares_arguments(
        StreamSettings,
        omit=("epochs_per_task", "sampling", "drop_last", "new_pass"),
        steps_per_task=10_000,
        batch_size=1,
    )
    def __init__(
        self,
        network: Callable[..., keras.Model],
        *,
        replicates: int = 100,
        first_replicate: int = 0,
        num_bits: int = 20,
        num_slow: int = 15,
        num_units: int = 100,
        threshold: float = 0.7,
        flips: str = "one",
        constant_bit: bool = True,
        target_biases: bool = False,
        settings: StreamSettings,
    ):
        self.num_bits = check_positive_integer("num_bits", num_bits)
        self.num_slow = check_integer("num_slow", num_slow, 1, num_bits)
        self.num_units = check_positive_integer("num_units", num_units)
        self.threshold = check_finite("threshold", threshold)
        self.flips = check_one_of("flips", flips, ("one", "all"))
        self.constant_bit = check_boolean("constant_bit", constant_bit)
        self.target_biases = check_boolean("target_biases", target_biases)
        super().__init__(
            network,
            replicates=replicates,
            first_replicate=first_replicate,
            steps_per_task=settings.steps_per_task,
            batch_size=settings.batch_size,
        )

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        inputs = self.num_bits + self.constant_bit
        sizes = {"replicates": self.replicates, "num_bits": self.num_bits, "num_units": self.num_units}
        largest = max(sizes, key=lambda name: sizes[name])
        weights = self.replicates * (inputs + 2) * (self.num_units + 1)
        check_fits_in_memory(largest, sizes[largest], _BYTES * weights)
        drawn = np.stack([self._drawn(inputs, number) for number in self.numbers])
        self._weights, self._outgoing = drawn[:, :inputs, :-1], drawn[:, -1, :-1]
        biases, self._output_biases = (
            each * self.target_biases for each in (drawn[:, inputs, :-1], drawn[:, -1, -1])
        )
        negative = (inputs - self._weights.sum(1) + biases) / 2  # [replicates, units]
        self._bounds = ((self.num_bits + 1) * self.threshold - negative - biases).astype(np.float32)
        return self.replicates, (self.replicates, inputs)

    def _drawn(self, inputs: int, number: int) -> np.ndarray:
        """Returns signs for a target, `[inputs + 2, units + 1]`.

        Rows are those of the weights, of the units' biases and of the outgoing weights, which the output's
        bias ends.
        """
        generator = seeds.generator(seeds.derive(self.seed, self.name, "target", number))
        return generator.choice([-1.0, 1.0], [inputs + 2, self.num_units + 1]).astype(np.float32)

    def content(self, task: int | tf.Tensor, previous: Any = None) -> tf.Tensor:
        """Returns the slow bits of each learner, `[replicates, num_slow] int32`."""
        key = self.key("slow_bits", task)
        if previous is None or self.flips == "all":
            return self.integers(key, self.num_slow, 2)
        chosen = self.integers(key, 1, self.num_slow)[:, 0]  # [replicates]
        return tf.bitwise.bitwise_xor(previous, tf.one_hot(chosen, self.num_slow, dtype=tf.int32))

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        count, num_fast = indices.shape[0] or 0, self.num_bits - self.num_slow
        fast = tf.reshape(self.integers(key, count * num_fast, 2), [self.replicates, count, num_fast])
        slow = tf.broadcast_to(state.content, [count, self.replicates, self.num_slow])
        constant = tf.ones([count, self.replicates, int(self.constant_bit)], tf.int32)
        bits = tf.concat([slow, tf.transpose(fast, [1, 0, 2]), constant], axis=-1)
        inputs = tf.cast(bits, tf.float32)  # [batch, replicates, inputs]
        fires = replicated_product(inputs, tf.constant(self._weights)) > self._bounds
        signs = tf.where(fires, self._outgoing, 0.0)  # [batch, replicates, units]
        return StreamBatch(inputs, tf.reduce_sum(signs, axis=-1) + self._output_biases)
