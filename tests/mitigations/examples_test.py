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
from examples.mitigations.c_chain import CChain
from examples.mitigations.continual_backprop import ContinualBackprop
from examples.mitigations.dash import Dash
from examples.mitigations.self_normalized_resets import SelfNormalizedResets
from tests.made_up_data import no_configuration_left  # noqa: F401
from tests.mitigations.numpy_network import backward, descend, loss_and_gradients, outputs
from tests.training.graph_loop_test import make_task, run
from tfplastic.configuration import gin_config
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.mitigations._weights import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
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


def fresh_kernels(loop, step):
    """The draws of both hidden kernels after a gradient step."""
    kernels = [each for each in trainable_weights(loop.task.model) if each.is_kernel][:2]
    return [each.numpy() for each in WeightReinitializer(kernels).draw(key_of("mitigation", step, 0))]


def reset_units(weights, chosen, fresh):
    """New weights where `chosen`, of both hidden layers, are reset."""
    weights = [each.copy() for each in weights]
    for number, which in enumerate(chosen):
        weights[2 * number][:, which] = fresh[number][:, which]
        weights[2 * number + 1][which] = 0
    for number, which in enumerate(chosen):
        weights[2 * number + 2][which] = 0
    return weights


@pytest.mark.parametrize("compiler", COMPILERS)
def test_continual_backprop(tmp_path, compiler):
    steps, share, maturity, decay = 4, 0.05, 1, 0.9
    loop = make_loop([ContinualBackprop(share, maturity, decay)], steps, compiler, silent=(3, 7))
    weights = values(loop)
    kept: Any = [[np.zeros(units) for _ in range(3)] + [0.0] for units in (16, 8)]  # age, utility, mean, due
    replaced = 0
    for number, (x, labels, _) in enumerate(batches(loop.task, steps), start=1):
        hidden = outputs(weights, x)[:2]
        weights = descend(weights, loss_and_gradients(weights, x, labels)[1], RATE)
        chosen = []
        for layer, h in enumerate(hidden):
            age, utility, mean, due = kept[layer]
            age = age + 1
            contribution = np.abs(h).mean(0) * np.abs(weights[2 * layer + 2]).mean(1)
            utility = decay * utility + (1 - decay) * contribution
            mean = decay * mean + (1 - decay) * h.mean(0)
            unbias = 1 - decay**age
            mature = np.flatnonzero(age > maturity)
            due += share * len(mature)
            count, due = int(due), due - int(due)
            which = np.zeros(len(age), bool)
            which[mature[np.argsort((utility / unbias)[mature], kind="stable")[:count]]] = True
            weights[2 * layer + 3] = weights[2 * layer + 3] + (mean / unbias * which) @ weights[2 * layer + 2]
            kept[layer] = [np.where(which, 0, each) for each in (age, utility, mean)] + [due]
            chosen.append(which)
            replaced += count
        weights = reset_units(weights, chosen, fresh_kernels(loop, number))
    assert replaced >= 3
    run(tmp_path, loop)
    for found, expected in zip(values(loop), weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_self_normalized_resets(tmp_path, compiler):
    steps, longest, share, size = 16, 120, 0.3, 8
    loop = make_loop([SelfNormalizedResets(share, longest, boundaries=3)], steps, compiler, silent=(3, 7))
    weights = values(loop)
    units = (16, 8)
    ages, thresholds = [np.zeros(n, int) for n in units], [np.full(n, longest) for n in units]
    histograms, resets = [np.zeros((n, longest + 1)) for n in units], 0
    for number, (x, labels, _) in enumerate(batches(loop.task, steps), start=1):
        hidden = outputs(weights, x)[:2]
        weights = descend(weights, loss_and_gradients(weights, x, labels)[1], RATE)
        chosen = []
        for layer, h in enumerate(hidden):
            age, histogram, which = ages[layer], histograms[layer], np.zeros(units[layer], bool)
            for unit in range(units[layer]):
                if (h[:, unit] > 0).any():
                    histogram[unit, min(age[unit], longest)] += 1
                    age[unit] = 0
                else:
                    age[unit] += size
                if age[unit] >= thresholds[layer][unit]:
                    histogram[unit, min(age[unit], longest)] += 1
                    which[unit], age[unit] = True, 0
            if number % (2 * 3) == 0:
                for unit in range(units[layer]):
                    counts = histogram[unit, 1:]
                    reached = np.cumsum(counts) >= (1 - share) * counts.sum()
                    new, old = 1 + int(np.argmax(reached)), thresholds[layer][unit]
                    thresholds[layer][unit] = np.clip(new if new < old else 2 * old, 100, longest)
                histogram[:] = 0
            chosen.append(which)
            resets += which.sum()
        weights = reset_units(weights, chosen, fresh_kernels(loop, number))
    assert resets >= 2
    run(tmp_path, loop)
    for found, expected in zip(values(loop), weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    state = loop.config.mitigations[0].state
    for layer in (0, 1):
        np.testing.assert_array_equal(state[f"hidden{layer + 1}/age"], ages[layer])
        np.testing.assert_array_equal(state[f"hidden{layer + 1}/threshold"], thresholds[layer])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_chain(tmp_path, compiler):
    steps, first, share, window = 5, 1.0, 0.002, 10
    loop = make_loop([CChain(first, share, window)], steps, compiler)
    weights, older, losses, churns = values(loop), [], [], []
    for number, (x, labels, state) in enumerate(batches(loop.task, steps), start=1):
        further = loop.task.further_batch(state, key_of("further_batch", number))
        other = further.images.numpy().astype(np.float64).reshape(8, -1)
        loss, gradients = loss_and_gradients(weights, x, labels)
        before = older[-2] if len(older) > 1 else (older or [weights])[0]
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


@pytest.mark.parametrize("compiler", COMPILERS)
def test_dash(tmp_path, compiler):
    share, floor = 0.3, 0.4
    loop = make_loop([Dash(None, share, floor)], 2, compiler)
    weights, task = values(loop), loop.task
    for x, labels, _ in batches(task, 2):
        weights = descend(weights, loss_and_gradients(weights, x, labels)[1], RATE)
    images = task.images.numpy().astype(np.float64).reshape(64, -1)
    next_labels = task.content(1).numpy()  # of the task that begins
    directions = [np.zeros_like(each) for each in weights]
    for first in range(0, 64, 8):
        part = slice(first, first + 8)
        gradients = loss_and_gradients(weights, images[part], next_labels[part])[1]
        directions = [(1 - share) * g - share * d for g, d in zip(directions, gradients, strict=True)]
    lengths = [
        np.linalg.norm(w, axis=0) * np.linalg.norm(g, axis=0)
        for w, g in zip(weights, directions, strict=True)
    ]
    products = [(w * g).sum(0) for w, g in zip(weights, directions, strict=True)]
    cosines = [
        np.divide(p, n, out=np.zeros_like(p), where=n > 0) for p, n in zip(products, lengths, strict=True)
    ]
    run(tmp_path, loop)
    for found, weight, cosine in zip(values(loop), weights, cosines, strict=True):
        np.testing.assert_allclose(found, weight * np.clip(cosine, floor, 1), rtol=1e-3, atol=1e-5)
    assert any(((floor < each) & (each < 1)).any() for each in cosines)


def all_four():
    return [ContinualBackprop(0.05, 1), SelfNormalizedResets(longest=120), CChain(1.0), Dash(max_batches=2)]


def test_all_four_do_the_same_under_xla(tmp_path):
    # Before rounding has changed which unit is replaced.
    both = {compiler: make_loop(all_four(), 4, compiler) for compiler in ("graph", "xla")}
    for compiler, loop in both.items():
        run(tmp_path / compiler, loop)
    for one, other in zip(*map(values, both.values()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


EXAMPLES = sorted(path.stem for path in (ROOT / "examples/mitigations").glob("*.py"))
TURNS = {"c_chain": 100, "dash": 300, "continual_backprop": 400, "self_normalized_resets": 400}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_has_a_turn_a_gin_file_and_a_command(name, no_configuration_left):  # noqa: F811
    module = importlib.import_module(f"examples.mitigations.{name}")
    files = re.findall(r"--gin_file=(\S+)", str(module.__doc__))
    assert files == ["gin/random_labels_digits.gin", f"examples/mitigations/{name}.gin"]
    given = [str(ROOT / file) for file in files]
    gin_config.parse(given, (), trust=GinTrust.of_user(allow_imports=True))
    (made,) = gin.query_parameter("train.mitigations")
    assert [type(made.scoped_configurable_fn()).turn] == [TURNS[name]]
