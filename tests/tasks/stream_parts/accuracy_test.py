import re

import numpy as np
import pytest

from tfplastic.tasks import average_online_accuracy, end_of_task_accuracy, online_accuracy


def by_loops(accuracies, steps_per_task, first):
    """The mean of steps `first` to `steps_per_task - 1` of each complete task, one number after another."""
    scores = []
    for start in range(0, len(accuracies) - steps_per_task + 1, steps_per_task):
        total = 0.0
        for step in range(start + first, start + steps_per_task):
            total += accuracies[step]
        scores.append(total / (steps_per_task - first))
    return scores


# 60 steps are 6 complete tasks of 10, 8 of 7 with 4 steps left over, 60 of 1; 61 is more than there are.
@pytest.mark.parametrize("steps_per_task", [1, 7, 10, 60, 61])
def test_scores_equal_loops(steps_per_task):
    accuracies = np.random.default_rng(0).random(60)
    online = online_accuracy(accuracies, steps_per_task)
    assert online.dtype == np.float64 and online.shape == (60 // steps_per_task,)
    np.testing.assert_allclose(online, by_loops(accuracies, steps_per_task, 0), rtol=1e-12)
    for window in {1, 2, steps_per_task} & set(range(1, steps_per_task + 1)):
        np.testing.assert_allclose(
            end_of_task_accuracy(accuracies, steps_per_task, window),
            by_loops(accuracies, steps_per_task, steps_per_task - window),
            rtol=1e-12,
        )
    np.testing.assert_allclose(average_online_accuracy(accuracies), sum(accuracies) / 60, rtol=1e-12)


def test_a_case_by_hand():
    # Two tasks of three steps and one step of a third.
    accuracies = [0, 0.5, 1, 0.25, 0.5, 0.75, 0.125]
    assert online_accuracy(accuracies, 3).tolist() == [0.5, 0.5]
    assert end_of_task_accuracy(accuracies, 3).tolist() == [1, 0.75]
    assert end_of_task_accuracy(accuracies, 3, window=2).tolist() == [0.75, 0.625]
    assert float(average_online_accuracy(accuracies)) == 3.125 / 7


def test_leading_axes_are_kept():
    accuracies = np.random.default_rng(1).random((2, 3, 20)).astype(np.float32)
    for score in (lambda a: online_accuracy(a, 6), lambda a: end_of_task_accuracy(a, 6, 2)):
        scores = score(accuracies)
        assert scores.shape == (2, 3, 3)
        np.testing.assert_array_equal(scores[1, 2], score(accuracies[1, 2]))
    assert average_online_accuracy(accuracies).shape == (2, 3)
    np.testing.assert_allclose(
        average_online_accuracy(accuracies)[1, 2], np.mean(accuracies[1, 2].astype(np.float64)), rtol=1e-12
    )


def test_float32_is_averaged_in_float64():
    accuracies = np.full(3_000_000, 0.1, np.float32)
    np.testing.assert_allclose(average_online_accuracy(accuracies), np.float64(np.float32(0.1)), rtol=1e-12)


def test_nan_stays_in_its_task():
    accuracies = [0.5, np.nan, 1, 1, np.nan, 1]
    np.testing.assert_array_equal(online_accuracy(accuracies, 2), [np.nan, 1, np.nan])
    np.testing.assert_array_equal(end_of_task_accuracy(accuracies, 2), [np.nan, 1, 1])
    assert np.isnan(average_online_accuracy(accuracies))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: online_accuracy([0.5], 0),
            "`steps_per_task` must be an integer of at least 1. Received: 0",
        ),
        (
            lambda: end_of_task_accuracy([0.5] * 6, 3, 0),
            "`window` must be an integer of at least 1. Received: 0",
        ),
        (
            lambda: end_of_task_accuracy([0.5] * 6, 3, 4),
            "`window` must be at most `steps_per_task`, which is 3. Received: 4",
        ),
        (
            lambda: online_accuracy([0.5, 87.5], 1),
            "`accuracies` must be numbers in [0, 1]. Received: 87.5 among others",
        ),
        (
            lambda: average_online_accuracy([-0.5]),
            "`accuracies` must be numbers in [0, 1]. Received: -0.5 among others",
        ),
        (lambda: average_online_accuracy(0.5), "`accuracies` must be of shape [..., steps]. Received: 0.5"),
        (
            lambda: average_online_accuracy(np.zeros([3, 0])),
            "`accuracies` must have at least one step. Received: no step",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
