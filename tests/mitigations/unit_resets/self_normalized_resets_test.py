"""Self-normalized resets against the rule of the released code, with histograms by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.oracle import NETWORKS, Oracle
from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import SelfNormalizedResets

SIZE, LARGEST, SMALLEST, REJECTION, TASKS, TASK = 8, 40, 10, 0.3, 3, 2


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rule(tmp_path, name):
    mitigation = SelfNormalizedResets(REJECTION, LARGEST, SMALLEST, num_tasks=TASKS)
    oracle = Oracle(mitigation, 16, name, silent=(3, 5), steps_per_task=TASK)
    counts = [len(bias) for bias in oracle.weights[1:-1:2]]
    ages = [np.zeros(n, int) for n in counts]
    thresholds = [np.full(n, LARGEST) for n in counts]
    histograms, resets = [np.zeros((n, LARGEST + 1)) for n in counts], 0
    for step in oracle.steps():
        chosen = []
        for h, age, threshold, histogram in zip(oracle.hidden, ages, thresholds, histograms, strict=True):
            which = np.zeros(len(age), bool)
            for unit in range(len(age)):
                if (h[:, unit] > 0).any():
                    histogram[unit, min(age[unit], LARGEST)] += 1
                    age[unit] = 0
                else:
                    age[unit] += SIZE
                if age[unit] >= threshold[unit]:
                    histogram[unit, min(age[unit], LARGEST)] += 1
                    which[unit], age[unit] = True, 0
            if step % (TASK * TASKS) == 0:
                for unit in range(len(age)):
                    from_1 = histogram[unit, 1:]
                    reached = np.cumsum(from_1) >= (1 - REJECTION) * from_1.sum()
                    new, old = 1 + int(np.argmax(reached)), threshold[unit]
                    threshold[unit] = np.clip(new if new < old else 2 * old, SMALLEST, LARGEST)
                histogram[:] = 0
            chosen.append(which)
            resets += which.sum()
        oracle.reset(chosen, oracle.fresh(step))
    assert resets >= 2 and any((each < LARGEST).any() for each in thresholds)
    oracle.check(tmp_path)
    for layer, *expected in zip(UnitMap(oracle.loop.task.model), ages, thresholds, strict=True):
        for part, value in zip(("age", "threshold"), expected, strict=True):
            np.testing.assert_array_equal(mitigation.state[f"{layer}/{part}"], value)


@pytest.mark.parametrize(
    ("counts", "threshold", "expected"),
    [
        ({3: 9, 7: 1}, 40, 3),  # 0.9 of the ages are at most 3
        ({3: 5, 7: 5}, 40, 7),
        ({7: 10}, 7, 14),  # not smaller: the double
        ({0: 10}, 40, 2),  # ages of 0 play no part: the smallest
    ],
)
def test_new_thresholds(counts, threshold, expected):
    mitigation = SelfNormalizedResets(0.1, 50, min_threshold=2)
    histogram = np.zeros((1, 51), np.int32)
    for age, count in counts.items():
        histogram[0, age] = count
    found = mitigation._estimate(tf.Variable([threshold]), tf.Variable(histogram))
    np.testing.assert_array_equal(found, [expected])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rejection": 1.5}, "`rejection` must be a number in [0, 1]. Received: 1.5"),
        (
            {"max_threshold": 50},
            "`max_threshold` must be from 100, `min_threshold`, to 1073741824. Received: 50",
        ),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        SelfNormalizedResets(**arguments)
    assert str(error.value) == message
