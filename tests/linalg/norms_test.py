import numpy as np
import pytest
import tensorflow as tf

from tests.linalg.dense_operator import BlockOperator, DenseOperator, broken_at, with_eigenvalues
from tfplastic import linalg

_VALUES = np.concatenate([1 / np.arange(1, 150.0), [-2.0]])


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
def test_exact_within_the_budget(kind):
    matrix = with_eigenvalues([-4.0, -1.0, 0.0, 2.0, 2.0]).matrix
    operator = kind(matrix)
    operator.matvec = lambda vector: matrix @ np.asarray(vector)
    norms = linalg.norms(operator, tol=1e-10)
    assert norms.spectral == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-10)
    assert norms.frobenius.value == pytest.approx(np.linalg.norm(matrix, "fro"), rel=1e-12)
    assert norms.nuclear.value == pytest.approx(np.linalg.norm(matrix, "nuc"), rel=1e-10)
    assert norms.frobenius.standard_error == norms.nuclear.standard_error == 0
    assert norms.frobenius.num_probes == norms.nuclear.num_probes == 0
    assert norms.converged and norms.spectral_residual <= 1e-10 * 4


def test_sampled_norms_hold_the_truth_at_their_rate():
    operator = with_eigenvalues(_VALUES)
    truths = {"frobenius": np.sum(_VALUES**2) ** 0.5, "nuclear": np.abs(_VALUES).sum()}
    results = [linalg.norms(operator, 1e-9, 40, 12, 10, seed) for seed in range(100)]
    for name, truth in truths.items():
        estimates = [getattr(result, name) for result in results]
        covered = [low <= truth <= high for low, high in (estimate.interval() for estimate in estimates)]
        # Binomial(100, 0.95) has mean 95 and standard deviation 2.2. Four of them, as the samples are skewed.
        assert 86 <= sum(covered) <= 99
        assert np.mean([estimate.standard_error for estimate in estimates]) < 0.2 * truth


def test_frobenius_is_the_root_of_a_mean_of_squares():
    operator = with_eigenvalues(_VALUES)
    norms = linalg.norms(operator, 1e-9, max_products=21, num_steps=30, num_probes=2)
    probes = [column for column in operator.columns if set(np.abs(column)) == {1.0}]
    squares = np.sum((np.array(probes) @ operator.matrix) ** 2, axis=1)
    assert len(squares) == 21 == norms.frobenius.num_products
    mean, error = squares.mean(), squares.std(ddof=1) / np.sqrt(21)
    assert norms.frobenius.value == pytest.approx(np.sqrt(mean))
    # The derivative of the root is 1 / (2 root).
    assert norms.frobenius.standard_error == pytest.approx(error / (2 * np.sqrt(mean)))


def test_quadrature_of_the_nuclear_norm_is_within_its_bound():
    """A v with equal shares of all eigenvectors, so that the quadrature's error stands alone."""
    values = np.linspace(-1, 1, 150)
    density = linalg.spectral_density(with_eigenvalues(values), num_steps=5, num_probes=500)
    mean = density.mean(np.abs)
    error = mean.value - np.abs(values).mean()
    assert 3 * mean.standard_error < abs(error) < 0.28 / 5


def test_nuclear_norm_of_one_sign_is_the_trace():
    values = np.linspace(0.1, 1, 100)
    norms = linalg.norms(with_eigenvalues(-values), num_steps=5)
    assert abs(norms.nuclear.value - values.sum()) < 4 * norms.nuclear.standard_error


def test_tolerance_budget_and_convergence():
    operator = with_eigenvalues(_VALUES)
    rough = linalg.norms(operator, 0.1, 140, 20, 2)
    assert rough.converged and rough.frobenius.standard_error <= 0.1 * rough.frobenius.value
    assert rough.spectral_residual <= 0.1 * rough.spectral and rough.spectral <= 2 * (1 + 1e-12)
    fine = linalg.norms(operator, 1e-6, 100, 20, 2)
    assert not fine.converged and not fine.frobenius.converged and fine.frobenius.num_products == 100
    assert rough.advice == "" and fine.advice == f"`frobenius`: {fine.frobenius.advice}"
    assert fine.frobenius.advice.startswith("The standard error is 0.048 of the value, above `tol`, 1e-06,")
    short = linalg.norms(operator, 0.1, 140, 1, 2)  # one step cannot know the spectral norm
    assert not short.converged and short.advice.startswith(
        "`spectral`: Residuals of values[0] are above `tol`,"
    )
    assert "Raise `num_steps`, or `tol` to " in short.advice


def test_products_and_progress_are_of_all_three():
    operator, calls = with_eigenvalues(_VALUES), []
    norms = linalg.norms(operator, 0.1, 140, 20, 3, progress=lambda *call: calls.append(call))
    assert norms.num_products == len(operator.columns) == len(calls)
    assert calls == [(count, 20 + 140 + 60) for count in range(1, norms.num_products + 1)]


def test_same_seed_same_bits_other_seed_other_bits():
    operator = with_eigenvalues(_VALUES)
    first, again, other = (linalg.norms(operator, 0.1, 40, 5, 2, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.spectral != other.spectral
    assert first.frobenius.value != other.frobenius.value and first.nuclear.value != other.nuclear.value


def test_zero():
    norms = linalg.norms(DenseOperator(np.zeros((20, 20))), max_products=19, num_steps=5)
    assert norms.spectral == norms.frobenius.value == norms.nuclear.value == 0 and norms.converged


def test_of_a_hessian():
    weights = tf.Variable(np.linspace(-1, 2, 12))
    operator = linalg.HessianOperator(lambda: tf.reduce_sum(weights**3), [weights])
    norms, values = linalg.norms(operator, tol=1e-8), np.abs(6 * weights.numpy())  # H = diag(6 w)
    assert norms.spectral == pytest.approx(12)
    assert norms.frobenius.value == pytest.approx(np.sum(values**2) ** 0.5)
    assert norms.nuclear.value == pytest.approx(values.sum())


def test_a_product_that_is_not_finite_is_named():
    broken = broken_at(2, np.nan, np.diag(_VALUES))
    with pytest.raises(linalg.NonFiniteError, match=r"NaN or Inf at step 2. Look for it in"):
        linalg.norms(broken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tol": 0}, r"^`tol` must be a finite number above 0. Received: 0$"),
        ({"max_products": "9"}, r"^`max_products` must be an integer of at least 2. Received: '9'$"),
        ({"num_steps": 0}, r"^`num_steps` must be an integer of at least 1. Received: 0$"),
        ({"num_probes": 0}, r"^`num_probes` must be an integer of at least 1. Received: 0$"),
        ({"block_size": -1}, r"^`block_size` must be an integer of at least 1. Received: -1$"),
    ],
)
def test_errors_come_before_any_product(arguments, message):
    operator = with_eigenvalues(_VALUES)
    with pytest.raises(ValueError, match=message):
        linalg.norms(operator, **arguments)
    assert operator.calls == []
