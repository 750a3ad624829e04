"""Operators that are gone leave no graphs in memory."""

import gc

import tensorflow as tf

from tfplastic import linalg


def test_an_operator_and_its_programs_are_freed():
    def graphs():
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    weight, counts = tf.Variable([[0.5, 1.0], [2.0, 0.1]]), []
    for _ in range(3):
        linalg.eigsh(
            linalg.HessianOperator(lambda: tf.reduce_sum(tf.tanh(weight @ weight) ** 2), [weight]), 2
        )
        counts.append(graphs())
    assert counts[1] == counts[2]
