"""Targets and heads alone."""

from typing import Any, cast

import numpy as np
import pytest

from tfplastic import probing
from tfplastic.networks import CategoricalHead


def source(count=2, seed=0):
    predictions = np.random.default_rng(7).normal(size=[count, 50, 3]).astype(np.float32)
    return probing.TargetSource(count, seed, 50, 3, lambda number: predictions[number])


def test_sines_are_computed_with_all_digits():
    targets = probing.SineTargets().make(source())
    predictions = np.stack([source().fresh_predictions(number) for number in range(2)])
    np.testing.assert_allclose(targets, np.sin(1e5 * predictions.astype(np.float64)), atol=1e-6)
    assert 0.4 < targets.var() < 0.6


def test_offsets():
    predictions = np.array([[1.0, 5.0], [3.0, 7.0]], np.float32)
    assert probing.SineTargets().offset(predictions) == 4
    np.testing.assert_array_equal(
        probing.SineTargets(offset_from="mean_per_output").offset(predictions), [2, 6]
    )
    assert probing.SineTargets(offset_from=0.5).offset(predictions) == 0.5
    for others in (probing.RandomNetworkTargets(), probing.RandomLabels()):
        assert others.offset(predictions) == 0


def test_random_networks_without_the_sine():
    np.testing.assert_array_equal(
        probing.RandomNetworkTargets().make(source())[1], source().fresh_predictions(1)
    )


def test_labels_are_uniform_and_the_seeds():
    big = source()._replace(num_examples=6_000)
    labels = probing.RandomLabels().make(big)
    assert labels.dtype == np.int32 and labels.shape == (2, 6_000)
    assert np.all(np.abs(np.bincount(labels[0]) / 2_000 - 1) < 0.1)
    np.testing.assert_array_equal(probing.RandomLabels().make(big), labels)
    assert np.mean(labels[0] == labels[1]) < 0.4
    assert np.mean(probing.RandomLabels().make(big._replace(seed=1))[0] == labels[0]) < 0.4


def test_two_hot_heads_warn_of_targets_beyond_their_bins():
    head = probing.TwoHot(head=CategoricalHead(-1.0, 1.0))
    assert head.warning(np.array([-1.0, 1.0])) == ""
    assert head.warning(np.array([-0.5, 1.5])) == (
        "targets of [-0.5, 1.5] do not fit into bins of [-1, 1], which no training can mend"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: probing.SineTargets(scale=0),
            "`scale` must be a finite number above 0. Received: 0",
        ),
        (
            lambda: probing.SineTargets(offset_from="x"),
            "`offset_from` must be one of 'mean', 'mean_per_output', 'a number'. Received: 'x'",
        ),
        (
            lambda: probing.Regression(outputs=[]),
            "`outputs` must be None or integers of at least 0, at least one. Received: []",
        ),
        (
            lambda: probing.Regression(outputs=[-1]),
            "`outputs` must be None or integers of at least 0, at least one. Received: [-1]",
        ),
        (
            lambda: probing.Regression(outputs=cast(Any, 3)),
            "`outputs` must be None or integers of at least 0, at least one. Received: 3",
        ),
        (
            lambda: probing.TwoHot(head=cast(Any, 3)),
            "`head` must be of type CategoricalHead, such as CategoricalHead(-2.0, 2.0). Received: 3",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
