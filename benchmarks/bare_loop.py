"""A bare XLA loop of gradient steps on a stream of image tasks, with nothing else in it."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

_EXAMPLES = 20_000


def write_data(folder: str) -> None:
    """Writes random images of MNIST's shape, under the names of Keras' loader."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = generator.integers(0, 256, (_EXAMPLES, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = generator.integers(0, 10, _EXAMPLES, dtype=np.uint8)
    np.savez(pathlib.Path(folder, "mnist.npz"), **arrays)


class BareLoop:
    """One XLA program for each epoch, which is a `tf.while_loop` over gradient steps of an MLP.

    A step is a batch, the loss, its gradient, an update and the online accuracy. Each task has a new order of
    pixels or new labels, each epoch a new order of the examples.

    Args:
        hidden: units of the hidden layers.
        batch_size: examples per gradient step.
        optimizer: `'adam'` or `'sgd'`.
        num_examples: images.
        steps: gradient steps of a task, a whole number of epochs.
        permutes: whether tasks permute pixels; else they have random labels.
    """

    def __init__(
        self,
        hidden: tuple[int, ...],
        batch_size: int,
        optimizer: str,
        num_examples: int,
        steps: int,
        permutes: bool,
    ):
        generator = np.random.default_rng(0)
        sizes = (784, *hidden, 10)
        pairs = list(zip(sizes, sizes[1:], strict=False))
        self._weights: list[Any] = []
        for inputs, outputs in pairs:
            self._weights += [
                generator.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32),
                np.zeros(outputs, np.float32),
            ]
        self._slots = (
            [np.zeros_like(each) for each in self._weights for _ in range(2)] if optimizer == "adam" else []
        )
        self._images = generator.random((num_examples, 784), np.float32)
        self._labels = generator.integers(0, 10, num_examples).astype(np.int32)
        self._batch_size, self._steps, self._permutes = batch_size, steps, permutes
        self._count = np.int64(0)
        self._generator = generator
        self._program = tf.function(self._take_epoch, autograph=False, jit_compile=True)

    def take_task(self) -> None:
        """Takes the steps of one task."""
        images, labels = self._images, self._labels
        pixels = self._generator.permutation(784).astype(np.int32)
        if not self._permutes:
            labels = self._generator.permutation(labels)
        per_epoch = len(images) // self._batch_size
        for begun in range(0, self._steps, per_epoch):
            order = self._generator.permutation(len(images)).astype(np.int32)
            steps = min(per_epoch, self._steps - begun)
            found = self._program(
                tf.constant(steps), pixels, labels, order, self._count, self._weights, self._slots
            )
            self._count, self._weights, self._slots, accuracy = found
        float(accuracy)  # waits for it

    def _take_epoch(
        self, steps: Any, pixels: Any, labels: Any, order: Any, count: Any, weights: Any, slots: Any
    ) -> Any:
        size = self._batch_size

        def body(step: Any, count: Any, weights: Any, slots: Any, hits: Any) -> Any:
            numbers = tf.slice(order, [step * size], [size])
            batch, targets = tf.gather(self._images, numbers), tf.gather(labels, numbers)
            if self._permutes:
                batch = tf.gather(batch, pixels, axis=1)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                outputs = batch
                for place in range(0, len(weights), 2):
                    outputs = tf.matmul(outputs, weights[place]) + weights[place + 1]
                    if place + 2 < len(weights):
                        outputs = tf.nn.relu(outputs)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, weights)
            right = tf.argmax(outputs, -1, output_type=tf.int32) == targets
            hits += tf.reduce_mean(tf.cast(right, tf.float32))
            count += 1
            return step + 1, count, *_updated(weights, slots, gradients, tf.cast(count, tf.float32)), hits

        state = (tf.constant(0), count, weights, slots, tf.constant(0.0))
        _, count, weights, slots, hits = tf.while_loop(lambda step, *_: step < steps, body, state)
        return count, weights, slots, hits / tf.cast(steps, tf.float32)


def _updated(weights: Any, slots: Any, gradients: Any, step: Any) -> Any:
    """Returns weights and slots after an update of Adam, or of SGD where there are no slots."""
    if not slots:
        return [each - 0.01 * gradient for each, gradient in zip(weights, gradients, strict=True)], []
    size = 1e-3 * tf.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    new_weights, new_slots = [], []
    for place, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        mean = 0.9 * slots[2 * place] + 0.1 * gradient
        square = 0.999 * slots[2 * place + 1] + 0.001 * gradient**2
        new_weights.append(weight - size * mean / (tf.sqrt(square) + 1e-8))
        new_slots += [mean, square]
    return new_weights, new_slots
