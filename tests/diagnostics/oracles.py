"""The same model in float64, and gradients one at a time, in numpy: the references of quantities."""

import contextlib

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def policy(keras, name):
    """Models that are built while this is open compute in the dtype `name`."""
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


def double(keras, build, model):
    """`model`, which `build` made, in float64."""
    with policy(keras, "float64"):
        copy = build(keras)
    copy.set_weights([weight.astype("float64") for weight in model.get_weights()])
    return copy


def data(shape, count, outputs=1, seed=0):
    """Inputs and targets, float32."""
    generator = np.random.default_rng(seed)
    shapes = ((count, *shape), (count, outputs))
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def squares(targets, outputs):
    """The loss of each example: the mean squared difference."""
    return tf.reduce_mean((outputs - tf.cast(targets, outputs.dtype)) ** 2, axis=-1)


def example_gradients(model, inputs, targets, loss=squares):
    """{layer name: `[k, n] float64`} and 'all', by a tape for each example."""
    rows = []
    for index in range(len(inputs)):
        one = slice(index, index + 1)
        with tf.GradientTape() as tape:
            value = loss(targets[one], model(inputs[one].astype(model.dtype), training=False))[0]
        rows.append(tape.gradient(value, model.trainable_variables))
    return by_layer(model, rows)


def output_gradients(model, inputs):
    """Like `example_gradients`, of all outputs, example after example."""
    rows = []
    for index in range(len(inputs)):
        one = inputs[index : index + 1].astype(model.dtype)
        with tf.GradientTape(persistent=True) as tape:
            outputs = tf.unstack(model(one, training=False)[0])
        rows += [tape.gradient(each, model.trainable_variables) for each in outputs]
    return by_layer(model, rows)


def by_layer(model, rows):
    """The gradients of each row, by layer, in one vector."""
    found, start = {}, 0
    for layer in model.layers:
        stop = start + len(layer.trainable_variables)
        if stop > start:
            found[layer.name] = np.stack([_flat(row[start:stop]) for row in rows])
        start = stop
    return {**found, "all": np.concatenate(list(found.values()), axis=1)}


def hessian(model, inputs, targets, loss=squares):
    """The Hessian of the mean loss over all weights, `[n, n] float64`, of a float64 model."""
    variables = [each if isinstance(each, tf.Variable) else each.value for each in model.trainable_variables]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = tf.reduce_mean(loss(targets, model(inputs.astype(model.dtype), training=False)))
        gradients = inner.gradient(value, variables)
        entries = tf.unstack(tf.concat([tf.reshape(each, [-1]) for each in gradients], axis=0))
    zero = tf.UnconnectedGradients.ZERO
    return np.stack([_flat(outer.gradient(each, variables, unconnected_gradients=zero)) for each in entries])


def _flat(tensors):
    return np.concatenate([np.ravel(tf.convert_to_tensor(each)).astype("float64") for each in tensors])
