"""The loop on a task in memory: chunks, programs, mitigations, and that stopping leaves no trace."""

import functools
import io
import os
import signal
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tfplastic.diagnostics import dead_units, dormant_units
from tfplastic.mitigations import Mitigation
from tfplastic.training import GradientStep, Loop, NonFiniteLossError, RunDirectory, TrainConfig
from tfplastic.training.run.progress import Progress

NOTHING: Any = None  # the context of hooks that read none
PERIODS = dict(log_period=8, diagnostics_period=12, evaluation_period=10, checkpoint_period=9)


class Doubling(Mitigation):
    """Doubles the head's bias and adds a draw to it; counts its calls."""

    def __init__(self, period):
        self.period = period

    def build(self, model, optimizer, seed):
        self.calls = tf.Variable(0, dtype=tf.int64)

    def after_update(self, step, model, slots, key, context):
        bias = model.layers[-1].bias
        bias.assign(2 * bias + tf.random.stateless_normal(bias.shape, key))
        for slot in slots(bias).values():
            slot.assign(tf.zeros_like(slot))
        self.calls.assign_add(1)

    @property
    def state(self):
        return {"calls": self.calls}


class Interrupting(Progress):
    """Sends this process SIGTERM at the given number of updates, or at the given step."""

    def __init__(self, total_steps, initial_step, at=None, at_step=None):
        super().__init__(total_steps, initial_step, stream=io.StringIO())
        self.at, self.at_step, self.count = at, at_step, 0

    def update(self, step, **fields):
        self.count += 1
        if self.count == self.at or step == self.at_step:
            os.kill(os.getpid(), signal.SIGTERM)


def make_task(**arguments) -> Any:
    settings = dict(num_examples=64, steps_per_task=10, batch_size=8) | arguments
    return tp.tasks.RandomLabelTask("digits", functools.partial(tp.networks.mlp, hidden=(16, 8)), **settings)


def make_loop(seed=0, total_steps=30, learning_rate=1e-2, task=None, **config) -> Any:
    """With the graph where a test asks for no compiler: a short run under XLA takes three times as long."""
    return Loop(
        TrainConfig(
            task=task or make_task(),
            optimizer=tp.optimizers.adam(learning_rate),
            total_steps=total_steps,
            seed=seed,
            **{**PERIODS, "compiler": "graph", **config},
        )
    )


def run(path, loop=None, interrupt_at=None, interrupt_at_step=None):
    loop = loop or make_loop()
    directory = RunDirectory.open(path, "", f"train.total_steps = {loop.config.total_steps}")
    try:
        interrupts = interrupt_at, interrupt_at_step
        code = loop.run(directory, progress=lambda total, step, _: Interrupting(total, step, *interrupts))
    finally:
        directory.close()
    return loop, code


def rows(path):
    return (path / "metrics.csv").read_text().splitlines()


def steps_of(path, tag):
    return [int(row.split(",")[0]) for row in rows(path) if row.split(",")[1] == tag]


def values_of(path, tag):
    return [float(row.split(",")[2]) for row in rows(path) if row.split(",")[1] == tag]


def weights(loop):
    variables = [*loop.task.model.variables, *loop.config.optimizer.variables]
    return np.concatenate([np.asarray(variable).astype(np.float64).ravel() for variable in variables])


def hand_made_weights(steps, mitigate=lambda step, model, optimizer: None):
    """The same run step by step, each an eager call, without the loop."""
    loop = make_loop()
    task, optimizer, key = loop.task, loop.config.optimizer, tp.seeds.derive(0, "step")
    step = GradientStep(task, task.model, optimizer)
    state = task.initial_state()
    for number in range(1, steps + 1):
        step_key = tf.random.experimental.stateless_fold_in(tf.constant(key), number, alg="philox")
        batch, state = task.next(state, step_key)
        step(batch)
        mitigate(number, task.model, optimizer)
    return weights(loop)


@pytest.fixture(scope="module", params=["graph", "xla"])
def whole(tmp_path_factory, request):
    """Program, directory and final weights of a run that nothing interrupts."""
    path = tmp_path_factory.mktemp(request.param)
    loop, code = run(path, make_loop(compiler=request.param, mitigations=[Doubling(3), Doubling(11)]))
    assert code == 0
    return request.param, path, weights(loop)


def remade(whole, **config):
    return make_loop(compiler=whole[0], mitigations=[Doubling(3), Doubling(11)], **config)


@pytest.fixture(scope="module")
def measured_run(tmp_path_factory):
    """Directory of a run with a diagnostic, made while a summary writer of the caller is active."""
    path = tmp_path_factory.mktemp("measured")
    with tf.summary.create_file_writer(str(path / "outside")).as_default():
        _, code = run(path / "run", make_loop(diagnostics=(dead_units,)))
    assert code == 0
    return path / "run"


def test_everything_happens_at_exactly_its_step(measured_run):
    assert steps_of(measured_run, "train/loss") == [8, 16, 24, 30]
    assert steps_of(measured_run, "diagnostics/dead_units/hidden1_relu") == [0, 12, 24]
    assert steps_of(measured_run, "evaluation/accuracy") == [10, 20, 30]
    checkpoints = sorted(path.name for path in (measured_run / "checkpoints").glob("step_*"))
    assert checkpoints == ["step_000000000027", "step_000000000030"]


@pytest.mark.parametrize(("program", "tolerance"), [("graph", 1e-6), ("xla", 1e-5)])
def test_20_steps_are_those_of_eager_steps(tmp_path, program, tolerance):
    loop, _ = run(tmp_path, make_loop(compiler=program, total_steps=20))
    np.testing.assert_allclose(weights(loop), hand_made_weights(20), rtol=tolerance, atol=tolerance)


def test_chunks_of_other_lengths_give_the_same_bits_and_are_traced_once(tmp_path, whole):
    loop, _ = run(tmp_path, remade(whole, log_period=1, evaluation_period=7, checkpoint_period=4))
    np.testing.assert_array_equal(weights(loop), whole[2])
    assert loop.driver._program.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "interrupt_at", [5, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 9))]
)
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole, interrupt_at):
    _, code = run(tmp_path, remade(whole), interrupt_at)
    resumed, second_code = run(tmp_path, remade(whole))
    assert (code, second_code) == (143, 0)
    assert rows(tmp_path) == rows(whole[1])
    np.testing.assert_array_equal(weights(resumed), whole[2])


def test_seeds(tmp_path, whole):
    np.testing.assert_array_equal(weights(run(tmp_path / "same", remade(whole))[0]), whole[2])
    assert np.any(weights(run(tmp_path / "other", remade(whole, seed=1))[0]) != whole[2])


def test_a_run_with_measurements_is_the_run_without(tmp_path, whole):
    measured = remade(whole, diagnostics=(dead_units,), diagnostics_period=1, step_statistics=(dead_units,))
    loop, _ = run(tmp_path, measured)
    np.testing.assert_allclose(weights(loop), whole[2], rtol=0, atol=0 if whole[0] == "graph" else 1e-6)


def test_mitigations_act_after_their_steps_and_no_others(tmp_path):
    mitigations = [Doubling(3), Doubling(11), Doubling(None)]
    loop, _ = run(tmp_path, make_loop(compiler="graph", mitigations=mitigations))
    assert [int(each.calls) for each in mitigations] == [10, 2, 3]
    keys = [tf.constant(tp.seeds.derive(0, "mitigation", number)) for number in range(3)]

    def mitigate(step, model, optimizer):
        # In the program first, then between calls of it; the task begins anew every 10 steps.
        for number, period in enumerate([3, 11, 10]):
            if step % period == 0:
                key = tf.random.experimental.stateless_fold_in(keys[number], step, alg="philox")
                slots = functools.partial(tp.optimizers.slots, optimizer)
                mitigations[number].after_update(step, model, slots, key, context=NOTHING)

    np.testing.assert_allclose(weights(loop), hand_made_weights(30, mitigate), rtol=1e-5, atol=1e-5)


class Noting(Mitigation):
    """Writes its number behind those before it, at its period."""

    def __init__(self, period, number, notes):
        self.period, self.number, self.notes = period, number, notes

    def after_update(self, step, model, slots, key, context):
        self.notes.assign(10 * self.notes + self.number)


class Penalizing(Mitigation):
    """Adds one to the loss and doubles the gradients."""

    def penalty(self, variables, context):
        return tf.ones([])

    def transform_gradients(self, gradients, variables):
        return [2 * each for each in gradients]


def test_the_plan_shows_which_mitigations_act_first(tmp_path):
    notes = tf.Variable(0, dtype=tf.int64)
    mitigations = [Noting(10, 1, notes), Noting(5, 2, notes), Penalizing(), Noting(1_000, 3, notes)]
    loop = make_loop(compiler="graph", mitigations=mitigations, total_steps=10)
    run(tmp_path, loop)
    assert int(notes) == 221  # At step 10 the one in the program precedes the one before it in the list.
    rows = [line.split(maxsplit=1)[1] for line in loop.describe().splitlines() if "mitigation " in line]
    assert rows == [
        "Noting, after every 10 steps",
        "Noting, after every 5 steps, in the program",
        "Penalizing, in the loss, on the gradients",
        "Noting, after every 1,000 steps",
    ]


def test_losses_are_means_of_all_steps_since_the_last_row(tmp_path, measured_run):
    run(tmp_path, make_loop(log_period=1))
    each = values_of(tmp_path, "train/loss")
    expected = [np.mean(each[first : first + 8]) for first in (0, 8, 16, 24)]
    np.testing.assert_allclose(values_of(measured_run, "train/loss"), expected, rtol=1e-6)


def test_step_statistics_are_those_of_the_batch_before_the_update(tmp_path):
    statistics = (dead_units, functools.partial(dormant_units, tau=0.3))
    run(tmp_path, make_loop(log_period=1, total_steps=1, compiler="graph", step_statistics=statistics))
    task = make_loop().task  # as it was before the first step
    step_key = tf.random.experimental.stateless_fold_in(tp.seeds.derive(0, "step"), 1, alg="philox")
    batch, _ = task.next(task.initial_state(), step_key)
    activations = tp.diagnostics.Snapshot(task.model, batch.images).activations
    assert list(activations) == ["hidden1_relu", "hidden2_relu"]
    for layer, values in activations.items():
        (dead,) = values_of(tmp_path, f"train/dead_units/{layer}")
        (dormant,) = values_of(tmp_path, f"train/dormant_units/{layer}")
        means = np.abs(values.numpy().astype(np.float64)).mean(axis=0)
        assert dead == np.mean(means == 0)
        assert dormant == np.mean(means <= 0.3 * means.mean()) > dead


@pytest.mark.parametrize("program", ["graph", "xla"])
def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(tmp_path, program):
    with pytest.raises(
        NonFiniteLossError,
        match=r"^The loss is not finite at gradient step 2; the first was the output of layer 'hidden2'",
    ):
        run(tmp_path, make_loop(compiler=program, learning_rate=1e30))


def test_no_summary_is_written_from_within_the_program(measured_run):
    (events,) = (measured_run.parent / "outside").iterdir()
    assert len(list(tf.data.TFRecordDataset(str(events)))) == 1  # the version of the format


def test_a_resumed_run_keeps_its_program(tmp_path, monkeypatch):
    """Here the one that is not chosen, and takes less time to compile."""
    assert make_loop(compiler="auto").driver.compiler == "xla"
    with monkeypatch.context() as patched:
        patched.setattr(
            "tfplastic.training.execution.choose_driver.choose_compiler", lambda *arguments: "graph"
        )
        run(tmp_path, make_loop(compiler="auto"), interrupt_at=4)
    resumed, code = run(tmp_path, make_loop(compiler="auto"))
    assert (resumed.driver.compiler, code) == ("graph", 0)


def test_a_mitigation_without_a_period_needs_boundaries():
    class Endless(tp.tasks.RandomLabelTask):
        boundary = tp.tasks.GraphTask.boundary

    task = Endless("digits", tp.networks.mlp, num_examples=64, batch_size=8)
    task.boundary_period = None
    rule = "^`Doubling` must have a `period`, because the task has no boundaries"
    with pytest.raises(ValueError, match=f"{rule}; in gin: Doubling.period = 1_000. Received: None"):
        make_loop(task=task, mitigations=[Doubling(None)])
