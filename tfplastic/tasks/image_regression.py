"""A stream of regression tasks on the images of one data set."""

from collections.abc import Sequence

import tensorflow as tf

from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.stream_parts.objectives import REGRESSION
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState


class ImageRegression(ImageStream):
    """An `ImageStream` whose network has one output, trained on the squared error.

    A subclass defines by `content` the targets of a task, `[num_examples] float32`.
    """

    objective = REGRESSION

    def load(self, seed: int) -> tuple[int, Sequence[int]]:
        _, shape = super().load(seed)
        return 1, shape

    def examples(self, state: StreamState, indices: tf.Tensor, key: tf.Tensor) -> StreamBatch:
        del key
        targets = tf.gather(state.content, indices)[:, tf.newaxis]  # [batch, 1]
        return StreamBatch(tf.gather(self.images, indices), targets)
