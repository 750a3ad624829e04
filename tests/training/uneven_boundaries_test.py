"""Mitigations at the boundaries of tasks of different lengths: at exactly these, in every kind of program."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training import graph_loop_test, loop_test
from tests.training.graph_loop_test import run, values_of, weights
from tests.training.regression_task import RegressionTask
from tfplastic._tf.random import fold_in
from tfplastic.mitigations import DASH, Mitigation
from tfplastic.optimizers import slots
from tfplastic.training import GradientStep, Loop, TrainConfig

BOUNDARIES = [2, 6, 12, 18]  # two epochs of 8 images in batches of 8, then of 16, of 24, ...
NOTHING: Any = None
PERIODS: Any = dict(log_period=5, diagnostics_period=50, evaluation_period=3, checkpoint_period=4)


class Noting(Mitigation):
    """Notes the steps at which it is called, and whether the context says that they are boundaries."""

    reads = ("at_boundary", "gradients")

    def __init__(self, period=None):
        self.period = period

    def build(self, model, optimizer, seed):
        self.steps = tf.Variable(tf.zeros([20], tf.int64), trainable=False)
        self.flags = tf.Variable(0, trainable=False)

    def after_update(self, step, model, slots, key, context):
        place = tf.cast(tf.math.count_nonzero(self.steps), tf.int32)
        self.steps.assign(self.steps + tf.one_hot(place, 20, on_value=step, off_value=0, dtype=tf.int64))
        self.flags.assign_add(tf.cast(context.at_boundary, tf.int32))

    @property
    def state(self):
        return {"steps": self.steps, "flags": self.flags}

    def noted(self):
        return [int(each) for each in self.steps.numpy() if each]


class GrowingData(tp.tasks.ImageStream):
    """More images in each task, those of all tasks before and new ones, until all are there."""

    name = "growing_data"

    def __init__(self, *arguments: Any, num_chunks: int, **settings: Any):
        super().__init__(*arguments, **settings)
        self.num_chunks = num_chunks

    def task_size(self, task):
        return tf.minimum(task + 1, self.num_chunks) * (len(self.images) // self.num_chunks)

    def examples(self, state, indices, key):
        return tp.tasks.StreamBatch(tf.gather(self.images, indices), tf.gather(self.labels, indices))


def growing():
    network = functools.partial(tp.networks.mlp, hidden=(8,))
    return GrowingData("digits", network, num_examples=24, num_chunks=3, epochs_per_task=2, batch_size=8)


def make_loop(mitigations, compiler="graph", total_steps=20, **settings) -> Any:
    optimizer = tp.optimizers.adam(1e-2)
    config = PERIODS | dict(compiler=compiler, mitigations=mitigations, seed=0) | settings
    return Loop(TrainConfig(growing(), optimizer, total_steps, **config))


def by_hand(mitigations, steps=20):
    """The same run, each step an eager call; the scores of the network before the mitigations, by step."""
    loop = make_loop(mitigations)
    task, optimizer = loop.task, loop.config.optimizer
    step, state, scores = GradientStep(task, task.model, optimizer), task.initial_state(), {}
    for number in range(1, steps + 1):
        key = fold_in(tf.constant(tp.seeds.derive(0, "step")), number)
        batch, state = task.next(state, key)
        output = step(batch)
        state = task.after_step(state, tf.constant(number), output)
        scores[number] = task.mean_score(state)
        if number in BOUNDARIES:
            for place, each in enumerate(mitigations):
                own = fold_in(tf.constant(tp.seeds.derive(0, "mitigation", place)), number)
                taken = tf.constant(number, tf.int64)
                each.after_update(taken, task.model, functools.partial(slots, optimizer), own, NOTHING)
    return weights(loop), scores


def resets():
    return [tp.mitigations.ShrinkAndPerturb(reset_slots=True), tp.mitigations.ResetLastLayer()]


@pytest.fixture(scope="module")
def expected():
    return by_hand(resets())


@pytest.mark.parametrize("compiler", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_resets_are_those_of_eager_steps_after_the_boundaries_and_their_evaluations(
    compiler, tmp_path, expected
):
    loop, _ = run(tmp_path, make_loop(resets(), compiler))
    np.testing.assert_allclose(weights(loop), expected[0], rtol=1e-4, atol=1e-5)
    steps = [*range(3, 20, 3), 20]
    found = values_of(tmp_path, "evaluation/accuracy")
    np.testing.assert_allclose(found, [expected[1][step] for step in steps], rtol=1e-6)


@pytest.mark.parametrize("compiler", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_they_act_at_the_boundaries_alone_among_others_with_a_period(compiler, tmp_path):
    noting = [Noting(), Noting(3), Noting(11)]
    run(tmp_path, make_loop(noting, compiler))
    assert [each.noted() for each in noting] == [BOUNDARIES, [*range(3, 20, 3)], [11]]
    assert [int(each.flags.numpy()) for each in noting] == [4, 3, 0]  # 6, 12 and 18 are multiples of 3


@pytest.mark.parametrize("at_step", [6, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 5))])
def test_a_resumed_run_is_the_whole_one(at_step, tmp_path):
    whole, cut, resumed = (Noting() for _ in range(3))
    one, _ = run(tmp_path / "whole", make_loop([whole, *resets()]))
    _, code = run(tmp_path / "cut", make_loop([cut, *resets()]), interrupt_at_step=at_step)
    assert code == 143 and cut.noted() == [step for step in BOUNDARIES if step <= at_step]
    other, _ = run(tmp_path / "cut", make_loop([resumed, *resets()]))
    assert resumed.noted() == whole.noted() == BOUNDARIES
    np.testing.assert_array_equal(weights(one), weights(other))
    assert graph_loop_test.rows(tmp_path / "cut") == graph_loop_test.rows(tmp_path / "whole")


def test_a_pass_over_the_data_to_come_is_of_the_next_task(tmp_path):
    class Counting(Noting):
        reads = ("data",)

        def after_update(self, step, model, slots, key, context):
            count = context.pass_over_data(lambda total, batch: total + tf.size(batch[1]), tf.constant(0))
            self.flags.assign(10 * self.flags + count)

    counting = Counting()
    loop, _ = run(tmp_path, make_loop([counting, DASH()], total_steps=7))
    assert counting.flags.numpy() == 16 * 10 + 24  # after steps 2 and 6
    assert np.isfinite(weights(loop)).all()


def test_boundaries_of_a_task_on_the_host_without_a_period(tmp_path):
    class Uneven(RegressionTask):
        def boundary(self, step):
            return step in (3, 7)

    noting = Noting()
    loop_test.run(tmp_path, loop_test.make_loop(task=Uneven(), mitigations=[noting]))
    assert noting.noted() == [3, 7] and int(noting.flags.numpy()) == 2


def test_the_plan_is_timed_although_tasks_are_shorter_than_the_trial():
    plan = make_loop([*resets(), Noting(11)]).describe()
    assert "ShrinkAndPerturb, at each boundary of the task" in plan
    assert "Noting, after every 11 steps" in plan and "of gradient steps alone" in plan
