"""Which diagnostics of a run are due when, and their references."""

import pytest
import tensorflow as tf
from absl import logging

from tests.training.regression_task import RegressionTask
from tfplastic import diagnostics, writers
from tfplastic._keras import keras
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.training.events.measurements.diagnostics import REFERENCE_FILE, RunDiagnostics, task_snapshot
from tfplastic.training.events.measurements.diagnostics_plan import DiagnosticsPlan


@pytest.fixture
def task():
    task = RegressionTask()
    task.build(0)
    return task


def measured(run_diagnostics, task, directory, step, writer=None):
    """The tags that are written at `step`, with their values."""
    writer = writer or writers.MemoryWriter()

    def make_snapshot(loss):
        return task_snapshot(task, *task.diagnostics_batch(), loss=loss)

    run_diagnostics.measure(step, make_snapshot, directory, writer)
    return {tag: value for _, tag, value in writer.scalar_rows}


def test_each_quantity_has_its_own_period(task, tmp_path):
    quantities = [diagnostics.dead_units, diagnostics.weight_norm]
    run_diagnostics = RunDiagnostics(DiagnosticsPlan(quantities, 4, {"weight_norm": 6}))
    assert [sorted(run_diagnostics.due_after(step)) for step in (0, 5, 11)] == [[4, 6], [6, 8], [12, 12]]
    assert [step for step in range(13) if run_diagnostics.is_due(step)] == [0, 4, 6, 8, 12]
    quantities_at = {
        step: sorted({tag.split("/")[1] for tag in measured(run_diagnostics, task, tmp_path, step)})
        for step in (0, 4, 6, 12)
    }
    both = ["dead_units", "weight_norm"]
    assert quantities_at == {0: both, 4: ["dead_units"], 6: ["weight_norm"], 12: both}
    assert run_diagnostics.describe() == "1 every 4, 1 every 6 gradient steps"


def test_a_quantity_may_have_steps_instead_of_a_period(task, tmp_path):
    quantities = [diagnostics.dead_units, diagnostics.weight_norm, diagnostics.feature_srank]
    run_diagnostics = RunDiagnostics(
        DiagnosticsPlan(quantities, 4, {"weight_norm": [0, 9], "feature_srank": (3, 1)})
    )
    assert [step for step in range(13) if run_diagnostics.is_due(step)] == [0, 1, 3, 4, 8, 9, 12]
    assert [sorted(run_diagnostics.due_after(step)) for step in (0, 2, 9)] == [[1, 4, 9], [3, 4, 9], [12]]
    tags = {step: {*measured(run_diagnostics, task, tmp_path, step)} for step in (0, 1, 9)}
    assert {step: {tag.split("/")[1] for tag in found} for step, found in tags.items()} == {
        0: {"dead_units", "weight_norm"},
        1: {"feature_srank"},
        9: {"weight_norm"},
    }
    assert run_diagnostics.describe() == "1 at 1 and 3, 1 every 4, 1 at 0 and 9 gradient steps"


def test_a_quantity_may_have_a_loss_of_its_own(task, tmp_path):
    """The same quantity of three losses: that of the task, the common one, and twice it."""

    def common(model, inputs):
        outputs = model(inputs)
        return outputs + 1.0, lambda targets, outputs: tf.reduce_sum((outputs - targets) ** 2, -1)

    def twice(model, inputs):
        targets, loss = common(model, inputs)
        return targets, lambda targets, outputs: 2 * loss(targets, outputs)

    names = ("common", "of_task", "doubled")
    quantities = dict.fromkeys(names, diagnostics.gradient_norm) | {"far": diagnostics.distance_from_init}
    losses = {"of_task": None, "doubled": twice, "far": twice}
    run_diagnostics = RunDiagnostics(DiagnosticsPlan(quantities, 1, {"doubled": 2}, common, losses=losses))
    found = measured(run_diagnostics, task, tmp_path, 0)
    own = RunDiagnostics(DiagnosticsPlan([diagnostics.gradient_norm], 1, {}))
    alone = measured(own, task, tmp_path / "alone", 0)
    assert found["diagnostics/of_task/all"] == alone["diagnostics/gradient_norm/all"]
    assert found["diagnostics/common/all"] != pytest.approx(found["diagnostics/of_task/all"], rel=1e-2)
    assert found["diagnostics/doubled/all"] == pytest.approx(2 * found["diagnostics/common/all"], rel=1e-5)
    assert found["diagnostics/far/output"] == 0.0
    bias = task.model.get_layer("output").bias
    bias.assign(bias + 3.0)
    later = measured(run_diagnostics, task, tmp_path, 1)
    assert "diagnostics/doubled/all" not in later and later["diagnostics/far/output"] == pytest.approx(3.0)
    assert run_diagnostics.describe() == "3 every 1, 1 every 2 gradient steps"


def test_what_to_compare_with_is_kept_at_step_0_though_nothing_is_measured_then(task, tmp_path):
    run_diagnostics = RunDiagnostics(
        DiagnosticsPlan([diagnostics.distance_from_init], 4, {"distance_from_init": [3]})
    )
    assert [step for step in range(5) if run_diagnostics.is_due(step)] == [0, 3]
    assert measured(run_diagnostics, task, tmp_path, 0) == {}
    bias = task.model.get_layer("output").bias
    bias.assign(bias + 3.0)
    tag = "diagnostics/distance_from_init/output"
    assert measured(run_diagnostics, task, tmp_path, 3)[tag] == pytest.approx(3.0)


def test_values_are_of_the_weights_at_the_time(task, tmp_path):
    run_diagnostics = RunDiagnostics(DiagnosticsPlan([diagnostics.weight_norm], 1, {}))
    before = measured(run_diagnostics, task, tmp_path, 0)["diagnostics/weight_norm/all"]
    for variable in task.model.variables:
        variable.assign(2 * variable)
    after = measured(run_diagnostics, task, tmp_path, 1)["diagnostics/weight_norm/all"]
    assert after == pytest.approx(2 * before)


def test_change_is_measured_from_step_0_also_after_a_resume(task, tmp_path):
    quantities, tag = [diagnostics.distance_from_init], "diagnostics/distance_from_init/output"
    first = RunDiagnostics(DiagnosticsPlan(quantities, 5, {}))
    assert measured(first, task, tmp_path, 0)[tag] == 0
    assert (tmp_path / REFERENCE_FILE).is_file()
    bias = task.model.get_layer("output").bias
    bias.assign(bias + 3.0)
    assert measured(first, task, tmp_path, 5)[tag] == pytest.approx(3.0)
    assert measured(RunDiagnostics(DiagnosticsPlan(quantities, 5, {})), task, tmp_path, 10)[
        tag
    ] == pytest.approx(3.0)


def test_no_reference_is_kept_that_nothing_needs(task, tmp_path):
    measured(RunDiagnostics(DiagnosticsPlan([diagnostics.weight_norm], 5, {})), task, tmp_path, 0)
    assert not (tmp_path / REFERENCE_FILE).exists()


def test_the_loss_is_that_of_the_task(task):
    batch, inputs = task.diagnostics_batch()
    snapshot = task_snapshot(task, batch, inputs, keras.optimizers.SGD(0.1))
    assert float(snapshot.loss) == pytest.approx(float(task.loss(task.model, batch).loss), rel=1e-6)
    assert snapshot.optimizer is not None and snapshot.optimizer.learning_rate == tf.constant(0.1)


def test_the_page_is_laid_out():
    class Layouts(writers.Writer):
        layouts = []

        def layout(self, charts):
            self.layouts.append(charts)

    RunDiagnostics(DiagnosticsPlan([diagnostics.dead_units], 1, {})).lay_out(Layouts())
    RunDiagnostics(DiagnosticsPlan([], 1, {})).lay_out(Layouts())
    assert Layouts.layouts == [{"Diagnostics": {"dead_units": "diagnostics/dead_units/.*"}}]


@pytest.mark.parametrize(
    ("period", "periods", "message"),
    [
        (0, {}, "`diagnostics_period` must be an integer of at least 1. Received: 0"),
        (
            1,
            {"dead_units": 0},
            "`diagnostics_periods['dead_units']` must be an integer of at least 1. Received: 0",
        ),
        (
            1,
            {"dead": 5},
            "`diagnostics_periods` must name quantities of `diagnostics` (dead_units). Received: 'dead'",
        ),
        (
            1,
            {"dead_units": [3, -1]},
            "`diagnostics_periods['dead_units'][1]` must be an integer of at least 0. Received: -1",
        ),
        (
            1,
            {"dead_units": ()},
            "`diagnostics_periods['dead_units']` must be a period or a list of gradient steps. Received: ()",
        ),
    ],
)
def test_errors(period, periods, message):
    with pytest.raises(ValueError) as error:
        RunDiagnostics(DiagnosticsPlan([diagnostics.dead_units], period, periods))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (
            {"dead": None},
            "`diagnostics_losses` must name quantities of `diagnostics` (dead_units). Received: 'dead'",
        ),
        (
            {"dead_units": "mse"},
            "`diagnostics_losses['dead_units']` must be a function, such as @noisy_self_targets. Received:"
            " 'mse'",
        ),
    ],
)
def test_errors_of_losses(losses, message):
    with pytest.raises(ValueError) as error:
        RunDiagnostics(DiagnosticsPlan([diagnostics.dead_units], 1, {}, losses=losses))
    assert str(error.value) == message


def test_a_quantity_that_does_not_suit_is_left_out_with_a_warning(task, tmp_path, monkeypatch):
    def unsuitable(snapshot):
        raise ValueError("this network has no such thing")

    monkeypatch.setattr(
        "tfplastic.diagnostics.declaration.registry._declared", {"weight_norm": diagnostics.weight_norm}
    )
    quantity("cheap")(unsuitable)
    warnings = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: warnings.append(text % values))
    run_diagnostics = RunDiagnostics(DiagnosticsPlan("cheap", 1, {}))
    tags = [measured(run_diagnostics, task, tmp_path, step).keys() for step in (0, 1)]
    assert all(tag.startswith("diagnostics/weight_norm/") for found in tags for tag in found) and all(tags)
    assert warnings == ["unsuitable is not measured: this network has no such thing"]
    with pytest.raises(ValueError, match="no such thing"):
        measured(
            RunDiagnostics(DiagnosticsPlan([diagnostics.weight_norm, unsuitable], 1, {})), task, tmp_path, 0
        )
