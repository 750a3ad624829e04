"""Reports in a loop leave nothing in memory."""

import numpy as np
import pytest

from tests.diagnostics import models
from tests.graph_memory import graphs, growth
from tfplastic import diagnostics
from tfplastic._keras import keras

X = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")


@pytest.fixture(scope="module")
def model():
    net = models.mlp(keras, "tanh")
    net.compile("adam", "mse")
    return net


def test_snapshots_and_their_programs_are_freed(model):
    counts = []
    for _ in range(3):
        diagnostics.diagnose(model, X, X[:, :1], budget="medium", optimizer=model.optimizer)
        counts.append(graphs())
    assert counts[1] == counts[2]


@pytest.mark.slow
@pytest.mark.parametrize(("budget", "count"), [("medium", 300), ("full", 45)])
def test_many_reports_leave_memory_flat(model, budget, count):
    """A report left 4.4 MiB behind; `full` has all of the others' programs, and takes seconds."""

    def report():
        diagnostics.diagnose(model, X, X[:, :1], budget=budget, optimizer=model.optimizer)

    mebibytes, graphs_left = growth(report, count, settled=count // 3)
    assert graphs_left == 0 and mebibytes < 0.05 * count
