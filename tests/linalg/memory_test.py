"""Operators that are gone leave nothing in memory."""

import pytest
import tensorflow as tf

from tests.graph_memory import graphs, growth
from tfplastic import linalg

WEIGHT = tf.Variable([[0.5, 1.0], [2.0, 0.1]])


def solve():
    operator = linalg.HessianOperator(lambda: tf.reduce_sum(tf.tanh(WEIGHT @ WEIGHT) ** 2), [WEIGHT])
    linalg.eigsh(operator, 2)


def test_an_operator_and_its_programs_are_freed():
    counts = []
    for _ in range(3):
        solve()
        counts.append(graphs())
    assert counts[1] == counts[2]


@pytest.mark.slow
def test_300_operators_and_eigsh_leave_memory_flat():
    """An operator left 2.6 MiB behind."""
    mebibytes, graphs_left = growth(solve, count=300, settled=100)
    assert graphs_left == 0 and mebibytes < 10
