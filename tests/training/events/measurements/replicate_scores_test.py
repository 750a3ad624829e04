"""Errors of replicates in bins, of a run in one go and of one that is resumed within a bin."""

import functools

import numpy as np
import pytest

import tfplastic as tp
from tests.training.events.event_test import Counting
from tests.training.graph_loop_test import make_loop, run, values_of

NETWORK = functools.partial(tp.networks.replicated_mlp, hidden=(3,))


def loop(**arguments):
    task = tp.tasks.SlowlyChangingRegression(NETWORK, replicates=3, num_units=5, steps_per_task=7)
    events = [Counting(**arguments), tp.training.ReplicateScores(period=10)]
    return make_loop(task=task, events=events, total_steps=30, log_period=10, checkpoint_period=100)


def errors(path):
    return [np.load(path / "arrays" / "online_error" / f"{step}.npz")["mean"] for step in (10, 20, 30)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    run(path, loop())
    return path


def test_means_over_replicates_are_the_rows_of_metrics(whole):
    found = errors(whole)
    assert [each.shape for each in found] == [(3,)] * 3
    np.testing.assert_allclose(np.mean(found, axis=1), values_of(whole, "train/error"), rtol=1e-6)
    assert len({each.tobytes() for each in found}) == 3 and found[0].std() > 0


def test_a_run_that_is_resumed_within_a_bin_has_the_same_errors(whole, tmp_path):
    _, code = run(tmp_path, loop(steps=(16,), cut_short_at=16))
    assert code == 0 and not (tmp_path / "arrays" / "online_error" / "20.npz").exists()
    run(tmp_path, loop(steps=(16,)))
    for one, other in zip(errors(tmp_path), errors(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_replicates_of_a_stream_that_drifts_have_errors_of_their_own(tmp_path):
    stream = tp.tasks.SlowlyChangingRegression(NETWORK, replicates=3, num_units=5, steps_per_task=5)
    events = [tp.training.ReplicateScores(period=10)]
    run(tmp_path, make_loop(task=tp.tasks.GradualDrift(stream), events=events, total_steps=30, log_period=10))
    found = errors(tmp_path)
    np.testing.assert_allclose(np.mean(found, axis=1), values_of(tmp_path, "train/error"), rtol=1e-6)
    assert all(len(set(each)) == 3 for each in found)


def test_a_task_without_replicates_is_refused(tmp_path):
    with pytest.raises(ValueError) as error:
        run(tmp_path, make_loop(events=[tp.training.ReplicateScores()]))
    assert str(error.value) == (
        "`task` must be a stream of replicates, such as @SlowlyChangingRegression(), with ReplicateScores."
        " Received: RandomLabelTask"
    )
