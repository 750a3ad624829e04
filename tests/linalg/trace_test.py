import re

import numpy as np
import pytest
import tensorflow as tf

from tests.linalg.dense_operator import BlockOperator, DenseOperator, broken_at, with_eigenvalues
from tfplastic import linalg


class Shuffling(DenseOperator):
    def is_deterministic(self):
        return False


METHODS = ["hutch++", "hutchinson"]
_DECAYING = 1 / np.arange(1, 201.0)


def _hutch_plus_plus(matrix, sketch, probes):
    """Algorithm 1 of Meyer et al. 2021, from S and G as columns: the value and its standard error."""
    basis, _ = np.linalg.qr(matrix @ sketch)
    outside = probes - basis @ (basis.T @ probes)
    samples = np.einsum("ij,ij->j", outside, matrix @ outside)
    error = samples.std(ddof=1) / np.sqrt(samples.size)
    return np.trace(basis.T @ matrix @ basis) + samples.mean(), error


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
def test_hutch_plus_plus_grown_by_blocks_is_algorithm_1(kind):
    operator = with_eigenvalues(np.linspace(-1, 3, 60) ** 3, kind)
    result = linalg.trace(operator, tol=0, max_products=36, block_size=4)
    assert result.num_products == 36 and result.num_probes == 12 and not result.converged
    assert result.advice == (
        "12 probes were made with 36 products, and fewer than 16 do not determine the standard error. Raise"
        " `max_products`."
    )
    # Each round multiplies 4 columns of S, 4 of Q and 4 probes outside of the Q of that time.
    columns = np.array(operator.columns).reshape(3, 3, 4, 60)
    sketch, probes = columns[:, 0].reshape(12, 60).T, columns[:, 2].reshape(12, 60).T
    value, error = _hutch_plus_plus(operator.matrix, sketch, probes)
    np.testing.assert_allclose([result.value, result.standard_error], [value, error], rtol=1e-10)


def test_hutchinson_is_the_mean_of_quadratic_forms():
    operator = with_eigenvalues(_DECAYING)
    result = linalg.trace(operator, tol=0, max_products=21, method="hutchinson")
    probes = np.array(operator.columns)
    assert probes.shape == (21, 200) and set(np.unique(probes)) == {-1.0, 1.0}
    assert abs(probes.mean()) < 4 / np.sqrt(probes.size)
    samples = [z @ operator.matrix @ z for z in probes]
    np.testing.assert_allclose(result.value, np.mean(samples), rtol=1e-12)
    np.testing.assert_allclose(result.standard_error, np.std(samples, ddof=1) / np.sqrt(21), rtol=1e-12)
    assert result.num_probes == result.num_products == 21


# Binomial(200, 0.95) has mean 190 and standard deviation 3.1, Binomial(200, 0.5) 100 and 7.1: three of each.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [_DECAYING, _DECAYING**2, np.linspace(-1, 2, 200)], ids=["1", "2", "flat"])
def test_intervals_cover_the_truth_at_their_rate(method, values):
    operator = with_eigenvalues(values)
    results = [linalg.trace(operator, 0, 72, seed, method) for seed in range(200)]
    for level, least, most in ((0.95, 181, 199), (0.5, 79, 121)):
        ends = np.array([result.interval(level) for result in results])
        covered = np.sum((ends[:, 0] <= values.sum()) & (values.sum() <= ends[:, 1]))
        assert least <= covered <= most
    spread = np.std([result.value for result in results])
    np.testing.assert_allclose(np.mean([result.standard_error for result in results]), spread, rtol=0.15)


@pytest.mark.parametrize(("method", "tol"), [("hutch++", 0.02), ("hutchinson", 0.05)])
def test_intervals_cover_the_truth_where_sampling_stops_at_a_tolerance(method, tol):
    operator = with_eigenvalues(_DECAYING)
    results = [linalg.trace(operator, tol, 199, seed, method) for seed in range(200)]
    assert all(result.converged for result in results)
    covered = [low <= _DECAYING.sum() <= high for low, high in (result.interval() for result in results)]
    assert 181 <= sum(covered) <= 199


@pytest.mark.parametrize("method", METHODS)
def test_stops_at_the_tolerance(method):
    operator = with_eigenvalues(_DECAYING)
    rough, fine = (linalg.trace(operator, tol, 199, method=method) for tol in (0.1, 1e-6))
    assert rough.converged and rough.standard_error <= 0.1 * rough.value and 16 <= rough.num_probes < 64
    assert not fine.converged and fine.num_products == 199 and fine.standard_error > 1e-6 * fine.value
    assert rough.advice == "" and fine.advice.startswith("The standard error is ")
    assert " of the value, above `tol`, 1e-06, after 199 products. Raise `max_products`, or" in fine.advice
    enough = float(re.findall(r"`tol` to (\S+) or more", fine.advice)[0])
    assert fine.standard_error <= enough * fine.value < 1.2 * fine.standard_error


def test_hutch_plus_plus_beats_hutchinson_on_a_decaying_spectrum():
    operator = with_eigenvalues(_DECAYING**2)
    better, plain = (linalg.trace(operator, 0, 150, method=method) for method in METHODS)
    assert better.standard_error < plain.standard_error / 50
    assert abs(better.value - np.sum(_DECAYING**2)) < 4 * better.standard_error


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-5)])
def test_a_range_within_the_sketch_is_exact(kind, dtype, error):
    values = np.concatenate([[100.0, -40.0, 3.0], np.zeros(97)])  # less than a block
    result = linalg.trace(with_eigenvalues(values, kind, dtype), max_products=99)
    assert result.converged and result.num_products == 48
    np.testing.assert_allclose(result.value, 63.0, rtol=error)
    assert result.standard_error < 100 * error


def test_zero_rows_and_a_zero_matrix():
    matrix = np.zeros((100, 100))
    assert linalg.trace(DenseOperator(matrix), max_products=99).value == 0
    matrix[7, 7] = 2.0
    result = linalg.trace(DenseOperator(matrix), max_products=99)
    np.testing.assert_allclose([result.value, result.standard_error], [2.0, 0.0], atol=1e-12)
    assert result.converged


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
@pytest.mark.parametrize("method", METHODS)
def test_a_budget_that_covers_n_is_exact(kind, method):
    operator = with_eigenvalues(np.linspace(-1, 2, 11), kind)
    result = linalg.trace(operator, max_products=11, method=method)
    np.testing.assert_allclose(result.value, np.trace(operator.matrix), rtol=1e-12)
    assert (result.standard_error, result.num_probes, result.num_products) == (0.0, 0, 11)
    assert result.converged and result.interval() == (result.value, result.value)


def test_blocks_have_one_shape_and_the_budget_holds():
    for method in METHODS:
        operator = with_eigenvalues(_DECAYING, BlockOperator)
        for budget in (4, 5, 7, 50, 101):
            assert linalg.trace(operator, 0, budget, method=method, block_size=6).num_products == budget
        assert set(operator.calls) == {(200, 6)}


def test_blocks_change_the_value_by_rounding_only():
    one, eight = (
        linalg.trace(with_eigenvalues(_DECAYING, BlockOperator), 0, 120, 3, "hutchinson", block_size)
        for block_size in (1, 8)
    )
    np.testing.assert_allclose(one.value, eight.value, rtol=1e-12)
    np.testing.assert_allclose(one.standard_error, eight.standard_error, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bits_other_seed_other_bits(method):
    operator = with_eigenvalues(_DECAYING)
    first, again, other = (linalg.trace(operator, 0, 60, seed, method) for seed in (0, 0, 1))
    assert first == again
    assert first.value != other.value and first.standard_error != other.standard_error


@pytest.mark.parametrize("kind", [DenseOperator, BlockOperator])
def test_progress(kind):
    calls = []
    linalg.trace(
        with_eigenvalues(_DECAYING, kind), 0, 20, method="hutchinson",
        progress=lambda done, planned: calls.append((done, planned)),
    )  # fmt: skip
    counts = range(1, 21) if kind is DenseOperator else (8, 16, 20)
    assert calls == [(count, 20) for count in counts]


def test_of_a_hessian():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((30, 6))
    weights = tf.Variable(generator.standard_normal((6, 20)))
    operator = linalg.HessianOperator(lambda: tf.reduce_mean(tf.tanh(x @ weights) ** 2), [weights])
    truth = np.trace(np.asarray(operator.to_dense()))
    np.testing.assert_allclose(linalg.trace(operator).value, truth, rtol=1e-12)  # n = 120 is in the budget
    low, high = linalg.trace(operator, tol=0, max_products=60).interval(0.999)
    assert low < truth < high and high - low < abs(truth)


@pytest.mark.parametrize(
    ("column", "name"), [(2, "sketch vector 2"), (9, "basis vector 1"), (19, "probe 3")], ids=str
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_product_that_is_not_finite_names_the_vector(column, name, value):
    received = rf"^`operator` must give finite products. Received: NaN or Inf for {name}"
    message = received + r"\. Look for it in the weights and data$"
    with pytest.raises(linalg.NonFiniteError, match=message):
        linalg.trace(broken_at(column, value, np.diag(_DECAYING)), max_products=100)
    with pytest.raises(linalg.NonFiniteError, match=r"NaN or Inf for unit vector 11\. Look"):
        linalg.trace(broken_at(11, value, np.diag(_DECAYING)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "hutch"},
            r"^`method` must be one of 'hutch\+\+', 'hutchinson'. Received: 'hutch'. Did you mean ",
        ),
        ({"tol": -0.1}, r"^`tol` must be a finite number of at least 0. Received: -0.1$"),
        ({"max_products": 3}, r"^`max_products` must be an integer of at least 4. Received: 3$"),
        ({"max_products": 50.0}, r"^`max_products` must be an integer of at least 4. Received: 50.0$"),
        (
            {"max_products": 1, "method": "hutchinson"},
            r"^`max_products` must be an integer of at least 2. Received: 1$",
        ),
        ({"block_size": 0}, r"^`block_size` must be an integer of at least 1. Received: 0$"),
    ],
)
def test_errors_come_before_any_product(arguments, message):
    operator = with_eigenvalues(_DECAYING)
    with pytest.raises(ValueError, match=message):
        linalg.trace(operator, **arguments)
    assert operator.calls == []


def test_operators_must_be_square_and_deterministic():
    with pytest.raises(ValueError, match=r"^`operator` must be square. Received: shape \(2, 3\)$"):
        linalg.trace(DenseOperator(np.ones((2, 3))))
    shuffling = with_eigenvalues(_DECAYING, Shuffling)
    with pytest.raises(
        ValueError, match=r"^`operator` must be the same at each pass over its data. Received: "
    ):
        linalg.trace(shuffling)
    assert shuffling.calls == []
