"""The example mitigations against their rules in float64, through the loop: graph and XLA."""

import importlib
import pathlib
import re
from typing import Any

import gin
import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from examples.mitigations.c_chain import ChurnPenalty
from tests.made_up_data import no_configuration_left  # noqa: F401
from tests.mitigations.numpy_network import backward, descend, loss_and_gradients, outputs
from tests.training.graph_loop_test import make_task, run
from tfplastic.configuration import gin_config
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.mitigations import DASH, ContinualBackprop, SelfNormalizedResets
from tfplastic.training import Loop, TrainConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE = 0.1
COMPILERS = ["graph", pytest.param("xla", marks=pytest.mark.slow)]


def make_loop(mitigations, steps, compiler="graph", silent=()) -> Any:
    """A loop with gradient descent; `silent` units of the first hidden layer never fire."""
    settings: Any = dict(log_period=50, evaluation_period=50, checkpoint_period=50, compiler=compiler)
    task = make_task(steps_per_task=2)
    loop = Loop(TrainConfig(task, tp.optimizers.sgd(RATE), steps, mitigations=mitigations, **settings))
    bias = task.model.get_layer("hidden1").bias
    bias.assign(np.where(np.isin(np.arange(16), silent), -1e3, bias))
    return loop


def values(loop):
    return [each.numpy().astype(np.float64) for each in loop.task.model.trainable_variables]


def batches(task, steps):
    """The batches of a run and, of each step, the state of the task."""
    state = task.initial_state()
    for number in range(1, steps + 1):
        batch, state = task.next(state, key_of("step", number))
        x = batch.images.numpy().astype(np.float64).reshape(len(batch.labels), -1)
        yield x, batch.labels.numpy(), state


def key_of(name, number, *more):
    key = tf.constant(tp.seeds.derive(0, name, *more))
    return tf.random.experimental.stateless_fold_in(key, number, alg="philox")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_chain(tmp_path, compiler):
    steps, first, share, window = 5, 1.0, 0.002, 10
    loop = make_loop([ChurnPenalty(first, share, window)], steps, compiler)
    weights, older, losses, churns = values(loop), [], [], []
    for number, (x, labels, state) in enumerate(batches(loop.task, steps), start=1):
        further = loop.task.further_batch(state, key_of("further_batch", number))
        other = further.images.numpy().astype(np.float64).reshape(8, -1)
        loss, gradients = loss_and_gradients(weights, x, labels)
        before = (older or [weights])[-1]
        change = outputs(weights, other)[2] - outputs(before, other)[2]
        weight = first if number <= window // 5 else share * np.sum(losses) / np.sum(churns)
        churn = backward(weights, other, 2 * weight * change / change.size)
        losses.append(loss)
        churns.append(np.mean(change**2))
        older.append(weights)
        total = [one + two for one, two in zip(gradients, churn, strict=True)]
        weights = descend(weights, total, RATE)
    run(tmp_path, loop)
    for found, expected in zip(values(loop), weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def all_four():
    return [
        ContinualBackprop(0.05, 1),
        SelfNormalizedResets(max_threshold=120),
        ChurnPenalty(1.0),
        DASH(max_batches=2),
    ]


@pytest.mark.parametrize("chosen", ["one", pytest.param("all", marks=pytest.mark.slow)])
def test_all_four_do_the_same_under_xla(tmp_path, chosen):
    # Before rounding has changed which unit is replaced.
    number = 1 if chosen == "one" else 4
    both = {compiler: make_loop(all_four()[:number], 4, compiler) for compiler in ("graph", "xla")}
    for compiler, loop in both.items():
        run(tmp_path / compiler, loop)
    for one, other in zip(*map(values, both.values()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


EXAMPLES = sorted(path.stem for path in (ROOT / "examples/mitigations").glob("*.py"))
TURNS = {"c_chain": 100}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_has_a_turn_a_gin_file_and_a_command(name, no_configuration_left):  # noqa: F811
    module = importlib.import_module(f"examples.mitigations.{name}")
    files = re.findall(r"--gin_file=(\S+)", str(module.__doc__))
    assert files == ["gin/random_labels_digits.gin", f"examples/mitigations/{name}.gin"]
    given = [str(ROOT / file) for file in files]
    gin_config.parse(given, (), trust=GinTrust.of_user(allow_imports=True))
    (made,) = gin.query_parameter("train.mitigations")
    assert [type(made.scoped_configurable_fn()).turn] == [TURNS[name]]
