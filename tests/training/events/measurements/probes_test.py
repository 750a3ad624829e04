"""Probes in the loop: due at their steps, on the inputs asked for, and without a trace in the run."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.loop_test import make_loop, rows, run, steps_of, weights
from tfplastic import probing, writers
from tfplastic.training.events.measurements.probe_plan import ProbePlan
from tfplastic.training.events.measurements.probes import INPUTS_FILE, SHARED, RunProbes


class Result:
    """The part of a `ProbeResult` that the loop writes."""

    def __init__(self, final_loss):
        self.final_loss = final_loss

    def to_dict(self):
        return {"final_loss": self.final_loss, "loss_of_plasticity": 2 * self.final_loss}

    def arrays(self):
        return {"curves": np.full([2, 3], self.final_loss)}

    def plot(self, ax):
        ax.plot([0, 1], [0, self.final_loss])


@dataclasses.dataclass
class Probe:
    """Notes the models that it is asked to measure."""

    num_inputs: int | None = 7
    inputs: list[Any] = dataclasses.field(default_factory=list)

    def measure(self, model, inputs, optimizer):
        assert optimizer is not None and model.built
        self.inputs.append(inputs)
        return Result(float(len(self.inputs)))


def measure(run_probes, step, directory, writer=None):
    def draw(count, key):
        return np.arange(count) + float(key[0])

    class Task:
        model = tf.keras.Sequential([tf.keras.layers.InputLayer((1,)), tf.keras.layers.Dense(1)])

    run_probes.measure(step, Task(), "sgd", draw, directory, 0, writer or writers.NullWriter())


def test_what_is_found_is_written(tmp_path):
    writer = writers.MemoryWriter()
    measure(RunProbes(ProbePlan(Probe(), 5, "first")), 0, tmp_path, writer)
    assert writer.scalar_rows == [(0, "probe/final_loss", 1.0), (0, "probe/loss_of_plasticity", 2.0)]
    ((step, tag, arrays),) = writer.array_rows
    assert (step, tag, arrays["curves"].tolist()) == (0, "probe/curves", [[1.0] * 3] * 2)
    ((step, tag, image),) = writer.image_rows
    assert (step, tag, image.shape) == (0, "probe/curves", (400, 600, 3))
    assert image.min() < image.max()


def test_the_first_inputs_serve_all_probes_also_after_a_resume(tmp_path):
    probe = Probe()
    measure(RunProbes(ProbePlan(probe, 5, "first")), 0, tmp_path)
    resumed = RunProbes(ProbePlan(probe, 5, "first"))
    measure(resumed, 5, tmp_path)
    measure(resumed, 10, tmp_path)
    assert (tmp_path / INPUTS_FILE).is_file() and len(probe.inputs) == 3 and len(probe.inputs[0]) == 7
    np.testing.assert_array_equal(probe.inputs[0], probe.inputs[1])
    np.testing.assert_array_equal(probe.inputs[0], probe.inputs[2])


def test_current_inputs_are_drawn_anew_and_are_a_function_of_the_step(tmp_path):
    probe, again = Probe(), Probe()
    run_probes = RunProbes(ProbePlan(probe, 5, "current"))
    measure(run_probes, 0, tmp_path)
    measure(run_probes, 5, tmp_path)
    measure(RunProbes(ProbePlan(again, 5, "current")), 5, tmp_path)
    assert (probe.inputs[0] != probe.inputs[1]).any() and not (tmp_path / INPUTS_FILE).exists()
    np.testing.assert_array_equal(probe.inputs[1], again.inputs[0])


def test_steps_may_be_named_instead_of_a_period(tmp_path):
    """The first of them draws the inputs, though it is not step 0."""
    run_probes = RunProbes(ProbePlan(Probe(), [9, 3], "first"))
    assert [step for step in range(12) if run_probes.is_due(step)] == [3, 9]
    assert [run_probes.next_after(step) for step in (0, 3, 9)] == [3, 9, None]
    assert run_probes.describe() == "at 3 and 9 gradient steps"
    assert RunProbes(ProbePlan(None, [3], "first")).next_after(0) is None
    probe = Probe()
    _, code = run(tmp_path, make_loop(probe=probe, probe_period=[3, 11]))
    assert code == 0 and steps_of(tmp_path, "probe/final_loss") == [3, 11]
    np.testing.assert_array_equal(probe.inputs[0], probe.inputs[1])


def test_the_first_probe_alone_is_shared_next_to_the_run(tmp_path):
    @dataclasses.dataclass
    class Kept(Probe):
        asked: list[Any] = dataclasses.field(default_factory=list)

        def kept_in(self, directory):
            self.asked.append(directory)
            return self

    probe = Kept()
    run_probes = RunProbes(ProbePlan(probe, 5, "first", True))
    for step in (0, 5):
        measure(run_probes, step, tmp_path / "run")
    assert probe.asked == [tmp_path / SHARED] and len(probe.inputs) == 2


def test_a_fresh_network_that_fails_on_uncentered_inputs_is_warned_of(tmp_path, caplog):
    class Failing(Result):
        def to_dict(self):
            return {**super().to_dict(), "target_variance": 1.0}

    class OnPixels(Probe):
        def measure(self, model, inputs, optimizer):
            return Failing(super().measure(model, inputs, optimizer).final_loss)

    run_probes = RunProbes(ProbePlan(OnPixels(num_inputs=3), 5, "first"))
    for step in (0, 5):
        measure(run_probes, step, tmp_path)
    assert caplog.text.count("its inputs are not centered") == 1


def test_a_run_with_probes_is_the_run_without(tmp_path):
    without, _ = run(tmp_path / "without")
    probe = Probe()
    with_probes, code = run(tmp_path / "with", make_loop(probe=probe, probe_period=7))
    assert code == 0 and len(probe.inputs) == 3
    assert steps_of(tmp_path / "with", "probe/final_loss") == [0, 7, 14]
    np.testing.assert_array_equal(weights(with_probes), weights(without))
    others = [row for row in rows(tmp_path / "with") if not row[1].startswith("probe/")]
    assert others == rows(tmp_path / "without")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sine", 5, "first"), "`probe` must be a probe, such as @Probe(). Received: 'sine'"),
        ((None, 0, "first"), "`probe_period` must be an integer of at least 1. Received: 0"),
        ((None, [], "first"), "`probe_period` must be a period or a list of gradient steps. Received: []"),
        (
            (Probe(), 5, "first", True),
            "`share_first_probe` can be True where `probe` is a probe that can be kept, such as @Probe()."
            " Received: a probe Probe(num_inputs=7, inputs=[])",
        ),
        ((None, 5, "last"), "`probe_on` must be one of 'first', 'current'. Received: 'last'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError) as error:
        RunProbes(ProbePlan(*arguments))
    assert str(error.value) == message


@pytest.mark.parametrize(("given", "used"), [(None, 7), (3, 3)])
def test_a_probe_without_a_seed_has_that_of_the_run(given, used):
    config = make_loop(seed=7, probe=probing.Probe(seed=given), probe_period=5).config
    assert config.probe_plan.probe.seed == used
