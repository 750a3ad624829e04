"""Products with a Hessian by central differences of the gradient, eagerly."""

import numpy as np
import tensorflow as tf

from tfplastic import linalg


def relative_error(operator, loss, step=1e-2):
    """The largest difference of a random product from central differences, over the largest entry."""
    variables = operator._variables
    point = linalg.flatten(variables).numpy()
    vector = np.random.default_rng(1).standard_normal(len(point)).astype(point.dtype)
    vector /= np.linalg.norm(vector)

    def gradient(values):
        for variable, value in zip(variables, linalg.unflatten(tf.constant(values), variables), strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            value = loss()
        parts = tape.gradient(value, variables, unconnected_gradients="zero")
        return linalg.flatten([tf.convert_to_tensor(part) for part in parts]).numpy()

    step = point.dtype.type(step)
    wanted = (gradient(point + step * vector) - gradient(point - step * vector)) / (2 * step)
    gradient(point)
    difference = np.abs(operator.matvec(vector).numpy() - wanted).max()
    assert np.abs(wanted).max() > 1e-6
    return difference / np.abs(wanted).max()
