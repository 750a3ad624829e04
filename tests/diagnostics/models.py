"""Small models of either Keras whose statistics can be checked by hand."""

import numpy as np
import tensorflow as tf


def mlp(keras, activation="relu"):
    """Two inputs, four hidden units, one output, with the kernels below."""
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, activation=activation, name="hidden"),
            keras.layers.Dense(1, name="output"),
        ]
    )
    model.set_weights(
        [
            np.array([[1.0, -1.0, 0.01, 0.0], [1.0, -1.0, 0.0, 0.0]]),
            np.array([0.0, 0.0, 0.0, -1.0]),
            np.array([[1.0], [1.0], [2.0], [1.0]]),
            np.array([3.0]),
        ]
    )
    return model


def cnn(keras, seed=0):
    """Two convolutions and a dense layer, normalized before the nonlinearity, as the Nature network is."""
    inputs = hidden = keras.Input((6, 6, 2))
    for index, filters in enumerate((3, 4), start=1):
        hidden = keras.layers.Conv2D(filters, 3, name=f"conv{index}")(hidden)
        hidden = keras.layers.LayerNormalization(axis=[1, 2, 3], name=f"conv{index}_norm")(hidden)
        hidden = keras.layers.ReLU(name=f"conv{index}_relu")(hidden)
    hidden = keras.layers.Flatten()(hidden)
    hidden = keras.layers.Dense(5, name="dense")(hidden)
    hidden = keras.layers.Activation("tanh", name="dense_tanh")(hidden)
    outputs = keras.layers.Dense(2, name="output")(hidden)
    return _with_random_weights(keras.Model(inputs, outputs), seed)


def stateful(keras, seed=0):
    """Dropout and BatchNorm: in training mode, a call changes the model."""
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(6, activation="relu", name="dense"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.5, name="dropout"),
        keras.layers.Dense(2, name="output"),
    ]
    return _with_random_weights(keras.Sequential(layers), seed)


def bare(keras):
    """A subclassed model of two hidden layers; the nonlinearity of the first is inside a function."""

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.bare = keras.layers.Dense(3, kernel_initializer="ones", name="bare")
            self.activated = keras.layers.Dense(3, "relu", kernel_initializer="ones", name="activated")
            self.head = keras.layers.Dense(1, name="head")

        def call(self, inputs):
            return self.head(self.activated(tf.function(tf.nn.relu)(self.bare(inputs))))

    model = Subclassed()
    model(tf.ones((1, 2)))
    return model


def mean_square(targets, outputs):
    """The loss mean(f(x)^2), as a snapshot takes it; there are no targets."""
    del targets
    return tf.reduce_mean(outputs**2)


def squared_loss(model, inputs, training=False):
    """The loss mean(f(x)^2) on fixed inputs."""
    return lambda: tf.reduce_mean(model(inputs, training=training) ** 2)


def _with_random_weights(model, seed):
    generator = np.random.default_rng(seed)
    weights = [generator.standard_normal(weight.shape) for weight in model.get_weights()]
    # BatchNorm's variance is among the vectors, and must not be negative.
    model.set_weights([np.abs(weight) if weight.ndim == 1 else weight for weight in weights])
    return model
