"""Diagnostics on the next task, against snapshots of the network on that task's examples."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training.graph_loop_test import make_loop, run, values_of
from tfplastic import diagnostics
from tfplastic.mitigations import Mitigation

STEPS, EXAMPLES = 5, 24
QUANTITIES = [
    *(diagnostics.dead_units, diagnostics.churn, diagnostics.gradient_reliability, diagnostics.hessian_rank),
]


class Halving(Mitigation):
    """Halves the weights at boundaries."""

    period = None

    def build(self, model, optimizer, seed):
        pass

    def after_update(self, step, model, slots, key, context):
        for weight in model.trainable_variables:
            weight.assign(weight / 2)


class Keeping(tp.training.Event):
    """Keeps weights and slots after mitigations."""

    name, follows_mitigations = "keeping", True

    def __init__(self):
        self.kept = []

    def next_after(self, step):
        return (step // STEPS + 1) * STEPS

    def is_due(self, step):
        return step % STEPS == 0

    def run(self, session):
        variables = [*session.task.model.variables, *session.config.optimizer.variables]
        self.kept.append([tf.identity(each) for each in variables])
        return True


def stream(kind, **settings):
    network = functools.partial(tp.networks.mlp, hidden=(12, 10))
    return kind("digits", network, **{"num_examples": 40, "batch_size": 8, **settings})


@pytest.mark.parametrize(
    "make_task",
    [
        pytest.param(
            lambda: stream(tp.tasks.PermutedPixels, epochs_per_task=1, permutation="cumulative"), id="pixels"
        ),
        pytest.param(
            lambda: stream(tp.tasks.RandomLabelTask, steps_per_task=STEPS),
            id="labels",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_values_are_those_of_the_network_on_the_task_that_starts(make_task, tmp_path):
    event, keeping = tp.training.NextTaskDiagnostics(QUANTITIES, 2, EXAMPLES), Keeping()
    loops = [
        make_loop(task=make_task(), events=events, mitigations=[Halving()], total_steps=4 * STEPS)
        for events in ([event, keeping], [])
    ]
    for number, loop in enumerate(loops):
        run(tmp_path / str(number), loop)
    with_it, without = (loop.task.model.get_weights() for loop in loops)
    assert all(np.array_equal(first, second) for first, second in zip(with_it, without, strict=True))

    task, optimizer = loops[0].task, loops[0].config.optimizer
    variables = [*task.model.variables, *optimizer.variables]
    state = task.initial_state()
    for number in range(5):
        if number:
            state = task.begin_task_if_due(state._replace(step=tf.constant(STEPS)))
        if number % 2:
            continue
        for variable, value in zip(variables, keeping.kept[number], strict=True):
            variable.assign(value)
        inputs, targets = task.examples(state, tf.range(EXAMPLES), tf.constant([0, 0]))
        loss = lambda targets, outputs: task.objective.losses_of(outputs, targets)  # noqa: E731
        snapshot = diagnostics.Snapshot(task.model, inputs, targets, loss, optimizer=optimizer)
        measured = diagnostics.measure(snapshot, {each.__name__: each for each in QUANTITIES})
        for name, of_layer in measured.items():
            for layer, value in of_layer.items():
                found = values_of(tmp_path / "0", f"next_task/{name}/{layer}")
                assert len(found) == 3 and found[number // 2] == pytest.approx(value, rel=1e-3, abs=1e-6)


def test_a_smaller_task_is_measured_on_its_own_examples_alone(tmp_path):
    network = functools.partial(tp.networks.mlp, hidden=(12,))
    sizes = dict(classes_per_task=(3, 1), examples_per_class=10, steps_per_task=STEPS, batch_size=5)
    task = tp.tasks.ClassSplit("digits", network, **sizes)
    event, keeping = tp.training.NextTaskDiagnostics([diagnostics.gradient_norm], 1, EXAMPLES), Keeping()
    run(tmp_path, make_loop(task=task, events=[event, keeping], total_steps=STEPS))
    task.model.set_weights([each.numpy() for each in keeping.kept[1][: len(task.model.variables)]])
    state = task.begin_task_if_due(task.initial_state()._replace(step=tf.constant(STEPS)))
    inputs, targets = task.examples(state, tf.range(EXAMPLES) % 10, tf.constant([0, 0]))
    assert len(set(targets.numpy())) == 1
    loss = lambda targets, outputs: task.objective.losses_of(outputs, targets)  # noqa: E731
    snapshot = diagnostics.Snapshot(task.model, inputs, targets, loss)
    expected = diagnostics.measure(snapshot, {"gradient_norm": diagnostics.gradient_norm})["gradient_norm"]
    for layer, value in expected.items():
        found = values_of(tmp_path, f"next_task/gradient_norm/{layer}")
        assert found[1] == pytest.approx(value, rel=1e-3)


def test_wrong_usage_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"`quantities` must hold quantities of .* Received: distance_from_init"
    ):
        tp.training.NextTaskDiagnostics([diagnostics.distance_from_init])
    with pytest.raises(ValueError, match=r"`task_period` must be .* Received: 0"):
        tp.training.NextTaskDiagnostics([diagnostics.dead_units], 0)
    with pytest.raises(
        ValueError, match=r"`task` must be a stream of tasks of one length.*NextTaskDiagnostics"
    ):
        network = functools.partial(tp.networks.mlp, hidden=(4,))
        uneven = tp.tasks.ClassSplit(
            "digits", network, examples_per_class=20, steps_per_task=None, epochs_per_task=1, batch_size=8
        )
        run(
            tmp_path,
            make_loop(task=uneven, events=[tp.training.NextTaskDiagnostics([diagnostics.dead_units])]),
        )
