"""The context of a step as hooks read it, in each kind of program, against the step by hand in float64."""

import functools
import signal
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training import graph_loop_test, loop_test
from tests.training.graph_loop_test import make_loop
from tests.training.regression_task import RegressionTask
from tfplastic.mitigations import Mitigation
from tfplastic.training import PlasticModel

EVERY = (
    "activations",
    "at_boundary",
    "batch",
    "data",
    "features",
    "further_batch",
    "gradients",
    "loss",
    "outputs",
    "step",
)
SHAPES = {"values": [8], "mean_abs": [8], "gradient": [8, 10], "of_units": [8], "older": [10], "hidden": [8]}
SHAPES |= {"features": [8], "features_again": [8]}
SCALARS = ("loss", "step", "boundaries", "further", "data", "outputs", "again")


class Spy(Mitigation):
    """Keeps the values of its last call."""

    reads = EVERY
    history = 2

    def __init__(self, period=1):
        self.period = period

    def build(self, model, optimizer, seed):
        self.units = tp.diagnostics.UnitMap(model)["hidden2"]
        shapes = SHAPES | {name: [] for name in SCALARS}
        self.kept = {name: tf.Variable(tf.zeros(shape, tf.float64)) for name, shape in shapes.items()}

    def after_update(self, step, model, slots, key, context):
        head = model.get_layer("output")
        count = context.pass_over_data(lambda total, batch: total + tf.size(batch[1]), tf.constant(0))
        read = {
            "values": context.unit_values(self.units)[0],
            "mean_abs": context.unit_statistic(self.units, "mean_abs"),
            "gradient": context.gradient(head.kernel),
            "of_units": context.unit_gradients(self.units),
            "older": context.older_weights(2)[-1],
            "loss": context.loss,
            "step": context.step,
            "further": tf.reduce_mean(tf.cast(context.further_batch[0], tf.float64)),
            "data": count,
            "outputs": tf.reduce_sum(context.outputs),
            "again": tf.reduce_sum(context.outputs_on(context.batch, context.older_weights(1))),
            "hidden": context.activations_on(context.batch, context.older_weights(1))["hidden2_relu"][0],
            "features": context.features[0],
            "features_again": context.features_on(context.batch, context.older_weights(1))[0],
        }
        for name, value in read.items():
            self.kept[name].assign(tf.cast(value, tf.float64))
        self.kept["boundaries"].assign_add(tf.cast(context.at_boundary, tf.float64))

    @property
    def state(self):
        return self.kept


@functools.cache
def by_hand(steps):
    """The same run, eagerly: a spy's values of the last step, found with float64."""
    loop = make_loop()
    task, optimizer = loop.task, loop.config.optimizer
    step = tp.training.GradientStep(task, task.model, optimizer)
    state, weights = task.initial_state(), []
    batch: Any = None
    for number in range(1, steps + 1):
        key = tf.random.experimental.stateless_fold_in(tp.seeds.derive(0, "step"), number, alg="philox")
        batch, state = task.next(state, key)
        weights.append([each.numpy().astype(np.float64) for each in task.model.trainable_variables])
        step(batch)
    w1, b1, w2, b2, w3, b3 = weights[-1]
    x = batch.images.numpy().astype(np.float64).reshape(8, -1)
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    logits = h2 @ w3 + b3
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    labels = batch.labels.numpy()
    d3 = (p - np.eye(10)[labels]) / 8
    d2 = (d3 @ w3.T) * (h2 > 0)
    return {
        "values": h2[0],
        "mean_abs": np.abs(h2).mean(0),
        "gradient": h2.T @ d3,
        "of_units": np.abs(h1.T @ d2).mean(0),
        "older": weights[-2][-1],  # after the update, two updates ago
        "loss": -np.log(p[np.arange(8), labels]).mean(),
        "step": steps,
        "data": 64,
        "outputs": logits.sum(),
        "again": logits.sum(),  # with the weights before the update
        **dict.fromkeys(("hidden", "features", "features_again"), h2[0]),
    }


@pytest.mark.parametrize(
    ("compiler", "period"),
    [("graph", 1), ("graph", 11), ("xla", 11), pytest.param("xla", 1, marks=pytest.mark.slow)],
)
def test_parts_of_a_task_in_memory(tmp_path, compiler, period):
    spy = Spy(period)
    graph_loop_test.run(tmp_path, make_loop(compiler=compiler, mitigations=[spy], total_steps=22))
    kept = {name: value.numpy() for name, value in spy.kept.items()}
    for name, expected in by_hand(22).items():
        np.testing.assert_allclose(kept[name], expected, rtol=2e-4, atol=2e-6, err_msg=name)
    assert 0.1 < kept["further"] < 0.9
    assert kept["boundaries"] == (2 if period == 1 else 0)  # of 10 and 20; 11 and 22 are none


def test_a_spy_changes_nothing(tmp_path):
    spied, _ = graph_loop_test.run(tmp_path / "spied", make_loop(compiler="graph", mitigations=[Spy(11)]))
    alone, _ = graph_loop_test.run(tmp_path / "alone", make_loop(compiler="graph"))
    np.testing.assert_array_equal(graph_loop_test.weights(spied), graph_loop_test.weights(alone))


class Fed(RegressionTask):
    """Regression with further batches and a pass over three of them, on the host."""

    boundary_period = 4

    def further_batch(self, step):
        return self._batch("further", step)

    def data_batches(self):
        return [self._batch("pass", number) for number in range(3)]


class HostSpy(Mitigation):
    """Keeps the gradient, and the parts from the host; adds the further batch's loss to the loss."""

    reads = EVERY
    period = 2

    def build(self, model, optimizer, seed):
        shapes = {"further": [8, 3], "data": [], "gradient": [4, 1], "boundaries": []}
        self.kept = {name: tf.Variable(tf.zeros(shape)) for name, shape in shapes.items()}

    def penalty(self, variables, context):
        return 0.0 * tf.reduce_sum(context.outputs_on(context.further_batch))

    def after_update(self, step, model, slots, key, context):
        total = context.pass_over_data(lambda sum_, batch: sum_ + tf.reduce_sum(batch[1]), tf.zeros([]))
        self.kept["further"].assign(context.further_batch[0])
        self.kept["data"].assign(total)
        self.kept["gradient"].assign(context.gradient(model.get_layer("output").kernel))
        self.kept["boundaries"].assign_add(tf.cast(context.at_boundary, tf.float32))

    @property
    def state(self):
        return self.kept


def test_parts_of_a_task_on_the_host(tmp_path):
    spy, task = HostSpy(), Fed()
    loop = loop_test.make_loop(task=task, mitigations=[spy])
    loop_test.run(tmp_path, loop)
    steps = loop.config.total_steps // 2 * 2
    np.testing.assert_array_equal(spy.kept["further"], task._batch("further", steps)[0])
    expected = sum(batch[1].sum() for batch in task.data_batches())
    np.testing.assert_allclose(spy.kept["data"], expected, rtol=1e-5)
    assert spy.kept["gradient"].numpy().any()
    assert float(spy.kept["boundaries"].numpy()) == loop.config.total_steps // 4


class Undeclared(Mitigation):
    """Reads a part that it does not list."""

    period = 1

    def after_update(self, step, model, slots, key, context):
        context.gradients  # noqa: B018


class TooEarly(Mitigation):
    """Reads gradients before there are any."""

    reads = ("gradients",)

    def penalty(self, variables, context):
        return tf.reduce_sum(context.gradients[0])


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        (Undeclared(), r"`Undeclared` reads `gradients` .* Set `reads = \('gradients',\)` in the class"),
        (TooEarly(), "`TooEarly` cannot read `gradients` here: .*`after_update`"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path, mitigation, message):
    with pytest.raises(ValueError, match=message):
        graph_loop_test.run(tmp_path, make_loop(compiler="graph", mitigations=[mitigation]))


class FitSpy(Mitigation):
    """Keeps the parts that `fit` can give, and adds the further batch's outputs to the loss."""

    reads = EVERY
    history = 1
    period = 3

    def build(self, model, optimizer, seed):
        self.units = tp.diagnostics.UnitMap(model)["hidden1"]
        self.kept = {"values": tf.Variable(tf.zeros([4, 6])), "data": tf.Variable(0.0)}
        self.kept["change"] = tf.Variable(0.0)

    def penalty(self, variables, context):
        old = context.outputs_on(context.further_batch, context.older_weights())
        return 0.1 * tf.reduce_mean((context.outputs_on(context.further_batch) - old) ** 2)

    def after_update(self, step, model, slots, key, context):
        older, now = context.older_weights()[0], tf.convert_to_tensor(model.trainable_variables[0])
        self.kept["values"].assign(context.unit_values(self.units))
        self.kept["change"].assign(tf.reduce_max(tf.abs(now - older)))
        total = context.pass_over_data(lambda sum_, batch: sum_ + tf.reduce_sum(batch[0]), tf.zeros([]))
        self.kept["data"].assign(total)

    @property
    def state(self):
        return self.kept


def fit(spy, data=None, **more):
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    y = x.sum(1, keepdims=True)
    model = PlasticModel(tp.networks.mlp(1, (6,), input_shape=(3,)))
    model.compile(tp.optimizers.sgd(0.1), "mse", mitigations=[spy], data=data and (x, y), **more)
    model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    return x, model


@pytest.mark.parametrize("more", [{}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)])
def test_parts_in_fit(more):
    spy = FitSpy()
    x, model = fit(spy, data=True, **more)
    np.testing.assert_allclose(spy.kept["data"], x.sum(), rtol=1e-4)
    assert float(spy.kept["change"].numpy()) > 0
    # The third batch in the network before the third update.
    w, b = (each.numpy().astype(np.float64) for each in model.trainable_variables[:2])
    assert spy.kept["values"].numpy().min() >= 0 and spy.kept["values"].numpy().any()
    after = np.maximum(x[8:].astype(np.float64) @ w + b, 0)
    assert 0 < np.abs(after - spy.kept["values"].numpy()).max() < 1


def test_fit_says_where_data_and_boundaries_come_from():
    with pytest.raises(ValueError, match=r"`fit` shows no data beyond its batches. Give them to `compile"):
        fit(FitSpy())

    class Boundary(Mitigation):
        reads, period = ("at_boundary",), 1

        def after_update(self, step, model, slots, key, context):
            context.at_boundary  # noqa: B018

    with pytest.raises(ValueError, match="`at_boundary` cannot be read in `fit`, which knows no boundaries"):
        fit(Boundary())


class Reading(Mitigation):
    """Reads one part after each update, or lists it without reading it."""

    reads, period = ("activations", "gradients", "outputs"), 1

    def __init__(self, *parts):
        self.parts = parts

    def after_update(self, step, model, slots, key, context):
        for part in self.parts:
            getattr(context, part)


class Penalizing(Mitigation):
    """Reads activations for a penalty."""

    reads = ("activations",)

    def penalty(self, variables, context):
        return tf.add_n([tf.reduce_mean(each) for each in context.activations.values()])


@pytest.mark.parametrize(
    ("mitigation", "part"),
    [
        (Reading("activations"), "activations"),
        (Reading("outputs"), "outputs"),
        (Penalizing(), "activations"),
        (Reading("gradients"), None),
        (Reading(), None),
    ],
)
def test_an_eager_step_says_what_it_does_not_have(mitigation, part):
    if part is None:
        fit(mitigation, run_eagerly=True)
        return
    kind = type(mitigation).__name__
    with pytest.raises(ValueError) as error:
        fit(mitigation, run_eagerly=True)
    message = f"`{kind}` cannot read `{part}` here: an eager step has none; compile the step"
    assert message in str(error.value)


class GradientSum(Mitigation):
    """Adds up the gradients of the steps at which it acts."""

    reads = ("gradients",)
    period = 6

    def build(self, model, optimizer, seed):
        self.total = tf.Variable(tf.zeros([4, 1]), trainable=False)

    def after_update(self, step, model, slots, key, context):
        self.total.assign_add(context.gradient(model.get_layer("output").kernel))

    @property
    def state(self):
        return {"total": self.total}


def test_a_step_whose_evaluation_was_cut_short_is_read_after_resuming(tmp_path):
    whole, cut, resumed = (GradientSum() for _ in range(3))
    loop_test.run(tmp_path / "whole", loop_test.make_loop(mitigations=[whole]))
    # As the evaluation of step 6 begins, before the mitigation acts.
    loop_test.run(tmp_path / "cut", loop_test.make_loop(mitigations=[cut]), {13: signal.SIGINT})
    assert loop_test.read_status(tmp_path / "cut")["step"] == 6 and not cut.total.numpy().any()
    loop_test.run(tmp_path / "cut", loop_test.make_loop(mitigations=[resumed]))
    np.testing.assert_array_equal(resumed.total, whole.total)
