"""Small models of either Keras to probe, and their readable state."""

import random
from typing import Any

import numpy as np
import tensorflow as tf
from keras.src.random.seed_generator import global_seed_generator


def inputs(count=30, size=3, seed=0):
    return np.random.default_rng(seed).normal(size=[count, size]).astype(np.float32)


def mlp(keras, outputs=2, **kwargs):
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.Dense(outputs, name="output", **kwargs),
    ]
    return with_weights(keras.Sequential(layers))


def stateful(keras):
    """BatchNorm moves, dropout draws."""
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.3, name="dropout"),
        keras.layers.Dense(2, name="output"),
    ]
    return with_weights(keras.Sequential(layers))


def with_weights(model, seed=0):
    generator = np.random.default_rng(seed)
    values = [generator.normal(size=weight.shape) / 2 for weight in model.get_weights()]
    model.set_weights([np.abs(value) if value.ndim == 1 else value for value in values])
    return model


def state(model, optimizer):
    """Every variable, slot and random state there is, as bytes."""
    slots: Any = optimizer.variables
    slots = slots() if callable(slots) and not isinstance(slots, list) else slots
    variables = [np.asarray(tf.convert_to_tensor(each)).tobytes() for each in [*model.variables, *slots]]
    generators = [tf.random.get_global_generator().state, global_seed_generator().state]
    states = [np.asarray(each).tobytes() for each in generators]
    return variables, states, random.getstate(), str(np.random.get_state())
