import numpy as np
import pytest
import tensorflow as tf

from tests.linalg.dense_operator import BlockOperator, DenseOperator, broken_at, with_eigenvalues
from tfplastic import linalg

_VALUES = 1 / np.arange(1, 101.0)


def test_is_the_mean_of_probe_times_product():
    operator = with_eigenvalues(_VALUES)
    result = linalg.diagonal(operator, tol=0, max_products=21)
    probes = np.array(operator.columns)
    assert probes.shape == (21, 100) and set(np.unique(probes)) == {-1.0, 1.0}
    samples = probes * (probes @ operator.matrix)
    np.testing.assert_allclose(result.value, samples.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(result.standard_error, samples.std(axis=0, ddof=1) / np.sqrt(21), rtol=1e-10)
    assert result.num_probes == result.num_products == 21 and not result.converged
    assert result.value.dtype == result.standard_error.dtype == np.float64


def test_intervals_cover_the_truth_at_their_rate():
    operator = with_eigenvalues(_VALUES)
    truth, covered = np.diag(operator.matrix), []
    for seed in range(200):
        low, high = linalg.diagonal(operator, 0, 24, seed).interval()
        covered.append((low <= truth) & (truth <= high))
    # Entries share their probes, so one entry's count is Binomial(200, 0.95): 190, standard deviation 3.1.
    counts = np.sum(covered, axis=0)
    assert counts.min() >= 175 and 187 <= counts.mean() <= 193


def test_stops_at_the_tolerance():
    operator = with_eigenvalues(1 + _VALUES)
    rough, fine = (linalg.diagonal(operator, tol, 99) for tol in (0.1, 1e-6))
    assert rough.converged and rough.num_products == 16
    assert np.linalg.norm(rough.standard_error) <= 0.1 * np.linalg.norm(rough.value)
    assert not fine.converged and fine.num_products == 99
    assert rough.advice == "" and "Raise `max_products`, or `tol` to " in fine.advice


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_budget_that_covers_n_is_exact(kind, dtype):
    operator = with_eigenvalues(np.linspace(-1, 2, 11), kind, dtype)
    result = linalg.diagonal(operator, max_products=11)
    np.testing.assert_array_equal(result.value, np.diag(operator.matrix))
    np.testing.assert_array_equal(result.standard_error, np.zeros(11))
    assert result.converged and (result.num_probes, result.num_products) == (0, 11)


def test_diagonal_matrices_are_exact_after_any_probes():
    result = linalg.diagonal(DenseOperator(np.diag(_VALUES)), max_products=50)
    np.testing.assert_allclose(result.value, _VALUES, rtol=1e-14)
    assert result.converged and result.num_products == 16


def test_not_only_symmetric_matrices():
    matrix = np.random.default_rng(0).standard_normal((40, 40)) + 10 * np.eye(40)
    result = linalg.diagonal(DenseOperator(matrix), tol=0, max_products=39)
    assert np.all(np.abs(result.value - np.diag(matrix)) < 6 * result.standard_error)


def test_same_seed_same_bits_other_seed_other_bits():
    operator = with_eigenvalues(_VALUES)
    first, again, other = (linalg.diagonal(operator, 0, 24, seed) for seed in (0, 0, 1))
    for name in ("value", "standard_error"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.any(getattr(first, name) == getattr(other, name))


def test_blocks_have_one_shape_and_progress_counts_products():
    operator, calls = with_eigenvalues(_VALUES, BlockOperator), []
    linalg.diagonal(operator, 0, 20, progress=lambda *call: calls.append(call))
    assert set(operator.calls) == {(100, 8)} and calls == [(8, 20), (16, 20), (20, 20)]


def test_of_a_hessian():
    weights = tf.Variable(np.linspace(-1, 1, 50))
    loss_fn = lambda: tf.reduce_sum(weights**4) + tf.reduce_sum(weights) ** 2  # noqa: E731
    operator = linalg.HessianOperator(loss_fn, [weights])
    truth = 12 * weights.numpy() ** 2 + 2  # H = diag(12 w^2) + 2 for all pairs
    np.testing.assert_allclose(linalg.diagonal(operator).value, truth, rtol=1e-12)
    result = linalg.diagonal(operator, tol=0, max_products=48)
    assert np.all(np.abs(result.value - truth) < 5 * result.standard_error)


def test_a_product_that_is_not_finite_names_the_probe():
    received = r"^`operator` must give finite products. Received: NaN or Inf for probe 10"
    message = received + r"\. Look for it in the weights and data$"
    with pytest.raises(linalg.NonFiniteError, match=message):
        linalg.diagonal(broken_at(10, np.nan, np.eye(100)), max_products=99)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tol": float("nan")}, r"^`tol` must be a finite number of at least 0. Received: nan$"),
        ({"max_products": 1}, r"^`max_products` must be an integer of at least 2. Received: 1$"),
        ({"block_size": 2.5}, r"^`block_size` must be an integer of at least 1. Received: 2.5$"),
    ],
)
def test_errors_come_before_any_product(arguments, message):
    operator = with_eigenvalues(_VALUES)
    with pytest.raises(ValueError, match=message):
        linalg.diagonal(operator, **arguments)
    assert operator.calls == []
