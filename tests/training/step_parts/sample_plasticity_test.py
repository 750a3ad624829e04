"""Sample plasticity, against losses by the weights before and after each step."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training.graph_loop_test import make_loop, make_task, rows, run, values_of
from tfplastic.training import GradientStep
from tfplastic.training.step_parts.sample_plasticity import sample_plasticity


def losses(task, batch):
    """The loss of each example, in float64."""
    logits = task.model(batch.images).numpy().astype(np.float64)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), batch.labels.numpy()]


@pytest.mark.parametrize("learning_rate", [0.1, 10.0])  # a good step, and one after which losses are larger
def test_a_step_reports_the_share_by_which_it_lowers_the_losses_of_its_batch(learning_rate):
    task = make_task()
    task.build(0)
    step = GradientStep(task, task.model, tp.optimizers.sgd(learning_rate), measures_plasticity=True)
    batch, _ = task.next(task.initial_state(), tf.constant([0, 1]))
    before = losses(task, batch)
    found = step(batch).metrics["sample_plasticity"]
    expected = np.maximum(1 - losses(task, batch) / np.maximum(before, 1e-8), 0).mean()
    assert float(found) == pytest.approx(expected, rel=1e-5) and 0 <= expected <= 1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([2.0, 1.0], [1.0, 0.0], 0.75),
        ([1.0], [5.0], 0.0),
        ([0.0], [0.0], 1.0),  # of a loss of 0 nothing is left
        ([0.0], [1e-8], 0.0),
        ([np.nan], [1.0], np.nan),
        ([1.0, 1.0], [0.0, np.nan], np.nan),
    ],
)
def test_values(before, after, expected):
    found = float(sample_plasticity(tf.constant(before), tf.constant(after)))
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("compiler", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_a_run_logs_it_and_is_the_same_otherwise(compiler, tmp_path):
    settings: Any = dict(compiler=compiler, total_steps=8, log_period=4, evaluation_period=8)
    run(tmp_path / "plain", make_loop(**settings))
    run(tmp_path / "measured", make_loop(**settings, sample_plasticity=True))
    found = values_of(tmp_path / "measured", "train/sample_plasticity")
    assert len(found) == 2 and all(0 < each < 1 for each in found)
    left = [row for row in rows(tmp_path / "measured") if "sample_plasticity" not in row]
    assert left == rows(tmp_path / "plain")
