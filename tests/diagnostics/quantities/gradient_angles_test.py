import builtins
import functools
import math

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import (
    Snapshot,
    cosine_rows,
    flat_inputs,
    gradient_cosine,
    gradient_covariance,
    gradient_directions,
    gradient_effective_rank,
    gradient_interference,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
SCALARS = (gradient_cosine, gradient_interference, gradient_effective_rank)


def _linear(rows):
    """A snapshot of f = w.x with loss f, so that the gradient of an example is its input."""
    inputs = np.asarray(rows, "float32")
    model = keras_2.Sequential([keras_2.Input(inputs.shape[1:]), keras_2.layers.Dense(1, use_bias=False)])
    return Snapshot(model, inputs, loss=lambda _, outputs: outputs[:, 0])


def test_golden():
    """Gradients (1, 0), (0, 2), (-3, 0) and (1, 1): cosines 0, -1, h; 0, h; -h with h = sqrt(1/2)."""
    h = math.sqrt(0.5)
    snapshot = _linear([[1, 0], [0, 2], [-3, 0], [1, 1]])
    expected = np.array([[1, 0, -1, h], [0, 1, 0, h], [-1, 0, 1, -h], [h, h, -h, 1]])
    found = gradient_covariance(snapshot, num_clusters=1)
    np.testing.assert_allclose(found["all"], expected, atol=1e-6)
    np.testing.assert_array_equal(found["dense" if "dense" in found else list(found)[0]], found["all"])
    assert gradient_cosine(snapshot)["all"] == pytest.approx((-1 + h) / 6, rel=1e-6)
    assert gradient_interference(snapshot)["all"] == pytest.approx(2 / 6)
    # C = U^T U has the eigenvalues of U U^T = [[2.5, .5], [.5, 1.5]]: 2 +- h, over 4.
    p = np.array([2 + h, 2 - h]) / 4
    rank = float(np.exp(-np.sum(p * np.log(p))))
    assert gradient_effective_rank(snapshot)["all"] == pytest.approx(rank, rel=1e-6)


@BOTH
def test_against_float64(keras):
    model, (inputs, targets) = models.cnn(keras), oracles.data((6, 6, 2), 6, 2)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    rows = oracles.example_gradients(oracles.double(keras, models.cnn, model), inputs, targets)
    found = gradient_covariance(snapshot, num_clusters=1)
    for layer, gradients in rows.items():
        units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
        cosines = units @ units.T
        np.testing.assert_allclose(found[layer], cosines, atol=1e-4)
        pairs = cosines[np.triu_indices(6, 1)]
        assert gradient_cosine(snapshot)[layer] == pytest.approx(pairs.mean(), abs=1e-4)
        assert gradient_interference(snapshot)[layer] == pytest.approx((pairs < 0).mean())
        p = np.linalg.svd(units, compute_uv=False) ** 2 / 6
        assert gradient_effective_rank(snapshot)[layer] == pytest.approx(
            np.exp(-np.sum(p * np.log(p))), rel=1e-3
        )


def _groups(seed=0):
    """12 gradients along three lines through small noise, shuffled: 6, 4 and 2 of them."""
    generator = np.random.default_rng(seed)
    groups = np.repeat([0, 1, 2], [6, 4, 2])
    rows = np.eye(3)[groups] + 0.01 * generator.standard_normal((12, 3))
    order = generator.permutation(12)
    return rows[order] * generator.uniform(0.1, 10, (12, 1)), groups[order]


@pytest.mark.parametrize("cluster_by", [gradient_directions, cosine_rows, flat_inputs])
def test_clusters_come_largest_first(cluster_by):
    rows, groups = _groups()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = gradient_covariance(_linear(rows), num_clusters=3, cluster_by=cluster_by)["all"]
    units = rows[np.argsort(groups, kind="stable")]  # within a cluster in the order of the examples
    np.testing.assert_allclose(found, units @ units.T, atol=1e-5)


def test_points_have_the_cosines_as_inner_products():
    rows, _ = _groups()
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    points = gradient_directions(_linear(rows), units @ units.T)
    np.testing.assert_allclose(points @ points.T, units @ units.T, atol=1e-12)
    np.testing.assert_array_equal(flat_inputs(_linear(rows), np.eye(4)), rows[:4].astype("float32"))


def test_same_seed_same_bits_other_seed_other_bits():
    # Without any clusters the result of k-means is its start.
    snapshot = _linear(np.random.default_rng(0).standard_normal((30, 8)))
    measure = functools.partial(gradient_covariance, snapshot, num_clusters=10)
    first, again = measure(seed=0)["all"], measure(seed=0)["all"]
    np.testing.assert_array_equal(first, again)
    assert any(np.any(measure(seed=seed)["all"] != first) for seed in (1, 2, 3))


def test_edges():
    one = _linear([[1, 2]])
    assert gradient_covariance(one)["all"].tolist() == [[1.0]]
    assert math.isnan(gradient_cosine(one)["all"]) and math.isnan(gradient_interference(one)["all"])
    assert gradient_effective_rank(one)["all"] == pytest.approx(1)
    zeros = _linear(np.zeros((3, 2)))
    assert np.isnan(gradient_covariance(zeros)["all"]).all()
    assert all(math.isnan(scalar(zeros)["all"]) for scalar in SCALARS)
    # The example without a gradient comes last, and counts for nothing in the scalars.
    partly = _linear([[0, 0], [1, 0], [1, 0]])
    expected = [[1, 1, math.nan], [1, 1, math.nan], [math.nan] * 3]
    np.testing.assert_array_equal(gradient_covariance(partly)["all"], expected)
    assert gradient_cosine(partly)["all"] == 1 and gradient_interference(partly)["all"] == 0
    same = _linear(np.ones((5, 2)))  # fewer points than clusters
    np.testing.assert_allclose(gradient_covariance(same)["all"], 1)
    bad = _linear([[1, 0], [math.nan, 0], [0, 1]])
    found = gradient_covariance(bad)["all"]
    assert np.isnan(found[2]).all() and np.isfinite(found[:2, :2]).all()
    assert all(math.isnan(scalar(bad)["all"]) for scalar in SCALARS)


def test_arguments(monkeypatch):
    snapshot = _linear([[1, 2]])
    rule = r"^`num_clusters` must be an integer of at least 1\. Received: 0$"
    with pytest.raises(ValueError, match=rule):
        gradient_covariance(snapshot, num_clusters=0)
    for quantity in (gradient_covariance, *SCALARS):
        with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
            quantity(Snapshot(snapshot.model, snapshot.inputs))
    original = builtins.__import__

    def without_scikit_learn(name, *arguments, **options):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_scikit_learn)
    rule = r"^`gradient_covariance` needs scikit-learn: pip install 'tfplastic\[reports\]'$"
    with pytest.raises(ImportError, match=rule):
        gradient_covariance(snapshot)
