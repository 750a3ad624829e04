"""Tracing: without AutoGraph where that is enough, with it where Python's control flow is over tensors."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import diagnostics, linalg
from tfplastic._tf.read_only import compile_read_only

SPEC = tf.TensorSpec([3], tf.float32)


def branches(x):
    if tf.reduce_sum(x) > 0:
        return 2 * x
    return -x


def loops(x):
    total = tf.zeros([])
    for each in x:
        total += each**2
    return total


def counts(x):
    steps = 0
    while tf.reduce_sum(x) < 10:
        x, steps = 2 * x, steps + 1
    return x


@pytest.mark.parametrize("function", [branches, loops, counts])
def test_control_flow_over_tensors_is_converted(function):
    x = tf.constant([1.0, 2.0, 0.5])
    np.testing.assert_array_equal(compile_read_only("`f`", function, SPEC)(x), function(x))


def test_other_functions_are_traced_once_as_they_are():
    calls = []

    def plain(x):
        calls.append(x)
        return tf.square(x)

    compile_read_only("`f`", plain, SPEC)
    assert len(calls) == 1


def test_an_error_of_the_function_is_its_own():
    def broken(x):
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="^'?no such thing'?$"):
        compile_read_only("`f`", broken, SPEC)


def test_a_model_with_a_branch_over_tensors_is_measured():
    class Branching(keras_2.Model):  # Keras 3 itself cannot call one in a graph
        def __init__(self):
            super().__init__()
            self.hidden = keras_2.layers.Dense(4, "relu", name="hidden")
            self.head = keras_2.layers.Dense(1, name="head")

        def call(self, inputs):
            hidden = self.hidden(inputs)
            if tf.reduce_sum(inputs) > 0:
                return self.head(hidden)
            return -self.head(hidden)

    model, inputs = Branching(), np.ones((2, 3), np.float32)
    expected = model(inputs)
    snapshot = diagnostics.Snapshot(model, inputs, np.zeros((2, 1), np.float32), "mse")
    np.testing.assert_allclose(snapshot.outputs, expected, rtol=1e-6)
    np.testing.assert_allclose(snapshot.loss, np.mean(np.square(expected)), rtol=1e-6)


def test_a_loss_with_a_branch_over_tensors_has_a_hessian():
    weights = tf.Variable([1.0, 2.0])

    def loss():
        if tf.reduce_sum(weights) > 0:
            return tf.reduce_sum(weights**2)
        return tf.reduce_sum(weights**4)

    product = linalg.HessianOperator(loss, [weights]).matvec([1.0, 3.0])
    np.testing.assert_allclose(product, [2.0, 6.0])
