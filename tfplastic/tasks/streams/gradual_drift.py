"""A stream whose tasks give way to each other bit by bit."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_instance, check_one_of, check_positive
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in, random_bits
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState
from tfplastic.tasks.supervised_stream import SupervisedStream
from tfplastic.tasks.task_loss import TaskLoss

MIXTURES = ("examples", "inputs")


@gin.register(module="tfplastic.tasks")
class GradualDrift(SupervisedStream):
    """Another stream's tasks, each of which turns into the next one gradually instead of at once.

    If sudden changes cause the loss of plasticity, it disappears where the same tasks follow each other
    gradually.

    Protocol: within task t the share a of the next task grows from 0 to 1: it is 0 up to the step
        `(1 - drift) * steps` and grows linearly from there, so that 1 is reached as the task ends.

        - `mixture='examples'`: each example of a batch is, independently, with probability a one of task t +
          1, in inputs and target, and else one of task t.
        - `mixture='inputs'`: inputs are (1 - a) x_t + a x_{t+1}; targets are drawn as above, where they
          differ.
    Defaults: drift over the whole task.
    Source: "The gradual world" (arXiv 2602.09234), which interpolates between tasks of random labels and of
        permuted pixels.
    Departures: the source interpolates targets. Drawing the target of each example has the same expected
        gradient, because the cross-entropy is linear in the targets.

    Evaluations are of the mixture at that step; at the end of a task, of the next one.

    Args:
        stream: stream of tasks of one length, such as `RandomLabelTask` or `PermutedPixels`, not built.
        drift: share of a task's steps over which it gives way, in (0, 1].
        mixture: `'examples'` or `'inputs'`.

    Raises:
        ValueError: an argument is out of its range, or the tasks of `stream` differ in length or size.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> labels = tp.tasks.RandomLabelTask('digits', tp.networks.mlp, num_examples=100, steps_per_task=10)
        >>> task = tp.tasks.GradualDrift(labels, drift=0.5)
        >>> task.build(seed=0)
        >>> [round(float(task.share(tf.constant(step))), 1) for step in (0, 5, 6, 10)]
        [0.0, 0.0, 0.2, 1.0]
    """

    name = "gradual_drift"

    def __init__(self, stream: SupervisedStream, drift: float = 1.0, mixture: str = "examples"):
        self._stream = check_instance("stream", stream, SupervisedStream, "@PermutedPixels()")
        self._drift = check_positive("drift", drift)
        if drift > 1:
            raise ValueError(f"`drift` must be a number in (0, 1]. Received: {drift!r}")
        self._is_of_inputs = check_one_of("mixture", mixture, MIXTURES) == "inputs"
        if stream.boundary_period is None or type(stream).task_size is not SupervisedStream.task_size:
            rule = "must have tasks of one length and size, such as @PermutedPixels()"
            raise ValueError(f"`stream` {rule}. Received: {type(stream).__name__}")
        self._length = stream.boundary_period
        self.objective, self.score_shape = stream.objective, stream.score_shape
        super().__init__(
            stream.network,
            num_examples=stream.num_examples,
            steps_per_task=self._length,
            batch_size=stream.batch_size,
            sampling=stream.sampling,
            drop_last=stream.drop_last,
            new_pass=stream.begins_epochs,
        )

    def load(self, seed: int) -> Any:
        self._stream.seed = seed
        return self._stream.load(seed)

    def share(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the share a of the next task, in [0, 1], after `step` of a task's steps, `[] float32`."""
        progress = tf.cast(step, tf.float32) / self._length
        return tf.clip_by_value((progress - 1.0) / self._drift + 1.0, 0.0, 1.0)

    def content(self, task: int | tf.Tensor, previous: Any = None) -> Any:
        """Returns the contents of the task and of the next one, of the stream."""
        old = self._stream.content(task) if previous is None else previous[1]
        return old, self._stream.content(task + 1, old)

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        contents = zip((state.task, state.task + 1), state.content, strict=True)
        states = [state._replace(task=task, content=content) for task, content in contents]
        (old_inputs, old_targets), (new_inputs, new_targets) = (
            self._stream.examples(each, indices, fold_in(key, 0)) for each in states
        )
        share = self.share(state.step)
        # Of integers, which are the same under XLA.
        integers = random_bits([indices.shape[0]], fold_in(key, 1))
        draws = tf.cast(integers, tf.float64) * 2.0**-32 + 0.5  # [batch], uniform in [0, 1)
        is_new = draws < tf.cast(share, tf.float64)  # [batch]
        targets = _chosen(is_new, new_targets, old_targets)
        if self._is_of_inputs:
            return StreamBatch((1.0 - share) * old_inputs + share * new_inputs, targets)
        return StreamBatch(_chosen(is_new, new_inputs, old_inputs), targets)

    def loss(self, model: keras.Model, batch: StreamBatch, training: bool = False) -> TaskLoss:
        return self._stream.loss(model, batch, training)

    def step_score(self, output: TaskLoss) -> tf.Tensor:
        return self._stream.step_score(output)

    def diagnostics_batch(self) -> tuple[Any, Any]:
        """Returns that of the stream."""
        return self._stream.diagnostics_batch()

    def describe_data(self) -> str:
        return f"{self._stream.describe_data()}, turning into those of the next task"


def _chosen(is_new: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    shape = [-1] + [1] * (new.shape.rank - 1)
    return tf.where(tf.reshape(is_new, shape), new, old)
