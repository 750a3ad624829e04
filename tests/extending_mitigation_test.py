"""The recipe of a mitigation in docs/extending.md: outside of the package, against its rule in float64."""

import importlib
import pathlib
import re
import sys
from typing import Any

import gin
import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.mitigations.numpy_network import descend, loss_and_gradients
from tests.training.graph_loop_test import make_task
from tests.training.graph_loop_test import run as run_loop
from tfplastic.training import Loop, TrainConfig

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs/extending.md"
SECTION = PAGE.read_text("utf-8").partition("## A mitigation\n")[2].partition("\n## ")[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the recipe's files, from which its module is imported; nothing is left of it."""
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", SECTION, re.S | re.M):
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("tfplastic.networks")  # which registers its own in gin
    with monkeypatch.context() as patched:
        patched.setattr(gin, "register", lambda each: each)  # extending_test.py runs the recipe with gin
        importlib.import_module("still_units")
    yield tmp_path
    sys.modules.pop("still_units", None)


def test_it_resets_the_units_that_the_rule_names(folder):
    mitigation = importlib.import_module("still_units").ResetStillUnits(period=11, threshold=0.5)
    task = make_task()
    settings: Any = dict(log_period=11, evaluation_period=11, checkpoint_period=11, compiler="graph")
    loop = Loop(TrainConfig(task, tp.optimizers.sgd(0.05), 11, mitigations=[mitigation], **settings))
    weights = [each.numpy().astype(np.float64) for each in task.model.trainable_variables]
    state, gradients = task.initial_state(), []
    for number in range(1, 12):
        key = tf.random.experimental.stateless_fold_in(tp.seeds.derive(0, "step"), number, alg="philox")
        batch, state = task.next(state, key)
        x = batch.images.numpy().astype(np.float64).reshape(8, -1)
        gradients = loss_and_gradients(weights, x, batch.labels.numpy())[1]
        weights = descend(weights, gradients, 0.05)
    run_loop(folder / "run", loop)
    for layer, kernel in (("hidden1", 0), ("hidden2", 2)):
        magnitudes = np.abs(gradients[kernel]).mean(axis=0)
        chosen = magnitudes <= 0.5 * magnitudes.mean()
        assert 0 < chosen.sum() < len(chosen)
        outgoing = task.model.trainable_variables[kernel + 2].numpy()
        np.testing.assert_array_equal((outgoing == 0).all(axis=1), chosen, err_msg=layer)
    kept = (task.model.trainable_variables[2].numpy() != 0).any(axis=1)
    first = task.model.trainable_variables[0].numpy()
    np.testing.assert_allclose(first[:, kept], weights[0][:, kept], rtol=1e-3, atol=1e-5)
