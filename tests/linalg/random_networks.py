"""Small classifiers, redrawn again and again, for tests that need the Hessians of many networks."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import linalg

_NUM_EXAMPLES, _NUM_CLASSES, _SIDE = 24, 4, 5


def _dense(*layers):
    return [tf.keras.layers.Input([6]), *layers, tf.keras.layers.Dense(_NUM_CLASSES)]


def _convolutional(*layers):
    ends = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(_NUM_CLASSES)]
    return [tf.keras.layers.Input([_SIDE, _SIDE, 1]), *layers, *ends]


def _layers(kind) -> list[Any]:
    layers = tf.keras.layers
    return {
        "relu": lambda: _dense(layers.Dense(9, "relu"), layers.Dense(7, "relu")),
        "tanh": lambda: _dense(layers.Dense(8, "tanh"), layers.Dense(8, "tanh"), layers.Dense(6, "tanh")),
        "normalized": lambda: _dense(
            layers.Dense(9), layers.LayerNormalization(), layers.ReLU(),
            layers.Dense(7), layers.LayerNormalization(), layers.ReLU(),
        ),
        "wide": lambda: _dense(layers.Dense(14, "gelu", use_bias=False)),
        "convolutional": lambda: _convolutional(
            layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(5, 2, activation="relu")
        ),
        "normalized_convolutional": lambda: _convolutional(
            layers.Conv2D(4, 3), layers.LayerNormalization(), layers.ReLU(),
            layers.Conv2D(5, 2), layers.LayerNormalization(), layers.ReLU(),
        ),
    }[kind]()  # fmt: skip


KINDS = ("relu", "tanh", "normalized", "wide", "convolutional", "normalized_convolutional")


class RandomNetwork:
    """A classifier on random data. Each `draw` is another network; compiled programs stay.

    Attributes:
        operator: the Hessian of its cross-entropy.
    """

    def __init__(self, kind, dtype="float64"):
        usual = tf.keras.mixed_precision.global_policy()
        tf.keras.mixed_precision.set_global_policy(dtype)
        try:
            self._model: Any = tf.keras.Sequential(_layers(kind))
        finally:
            tf.keras.mixed_precision.set_global_policy(usual)
        self._weights = self._model.trainable_variables
        shape = [_NUM_EXAMPLES, *self._model.input_shape[1:]]
        self._inputs = tf.Variable(tf.zeros(shape, dtype), trainable=False)
        self._labels = tf.Variable(tf.zeros([_NUM_EXAMPLES], tf.int64), trainable=False)
        self.operator = linalg.HessianOperator(self._loss, self._weights)

    def draw(self, seed) -> np.ndarray:
        """Makes it network number `seed`, every second one trained a little, and returns its Hessian."""
        generator = np.random.default_rng(seed)
        self._inputs.assign(generator.normal(size=self._inputs.shape))
        self._labels.assign(generator.integers(_NUM_CLASSES, size=_NUM_EXAMPLES))
        gain = generator.uniform(0.5, 2.5)
        for weight in self._weights:
            fan_in = max(1, int(np.prod(weight.shape[:-1])))
            normal = generator.normal(size=weight.shape)
            weight.assign(1 + 0.1 * normal if "gamma" in weight.name else gain * normal / np.sqrt(fan_in))
        for _ in range(int(generator.integers(50, 200)) * (seed % 2)):
            self._descend()
        return self.operator.to_dense().numpy()

    @tf.function(autograph=False)
    def _descend(self):
        with tf.GradientTape() as tape:
            loss = self._loss()
        for weight, gradient in zip(self._weights, tape.gradient(loss, self._weights), strict=True):
            weight.assign_sub(0.1 * gradient)

    def _loss(self):
        outputs = self._model(self._inputs)
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self._labels, logits=outputs)
        )
