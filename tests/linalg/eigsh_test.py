from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import tensorflow as tf

from tests.linalg.dense_operator import DenseOperator
from tfplastic import linalg


def _symmetric(size, dtype="float64", seed=0):
    matrix = np.random.default_rng(seed).standard_normal((size, size))
    return DenseOperator((matrix + matrix.T) / 2, dtype)


def _wanted(matrix, k, which):
    values = np.linalg.eigvalsh(matrix.astype(np.float64))
    order = {"LA": -values, "SA": values, "LM": -np.abs(values)}[which]
    return values[np.argsort(order)][:k]


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("dtype", "tol", "error"), [("float64", 1e-10, 1e-9), ("float32", 1e-4, 1e-4)])
def test_equals_dense_eigenvalues(which, k, dtype, tol, error):
    operator = _symmetric(80, dtype)
    result = linalg.eigsh(operator, k, which, tol=tol, max_steps=80)
    assert result.converged and result.values.dtype == np.float64 and result.vectors.dtype == dtype
    np.testing.assert_allclose(result.values, _wanted(operator.matrix, k, which), rtol=error)
    residuals = operator.matrix @ result.vectors - result.vectors * result.values
    np.testing.assert_allclose(np.linalg.norm(residuals, axis=0), result.residuals, atol=5e-5)
    np.testing.assert_allclose(result.vectors.T @ result.vectors, np.eye(k), atol=1e-5)


def test_stops_at_the_tolerance():
    operator = _symmetric(80)
    rough, fine = (linalg.eigsh(operator, tol=tol, max_steps=80) for tol in (1e-2, 1e-8))
    assert rough.converged and fine.converged and rough.num_steps < fine.num_steps < 80
    assert 1e-8 < rough.residuals[0] / rough.values[0] <= 1e-2
    assert fine.residuals[0] / fine.values[0] <= 1e-8


def test_too_few_steps_are_told_and_give_a_lower_bound():
    operator = _symmetric(80)
    result = linalg.eigsh(operator, tol=1e-10, max_steps=5)
    assert not result.converged and result.num_steps == 5
    assert 0 < result.values[0] < _wanted(operator.matrix, 1, "LA")[0]


def test_residuals_are_not_below_rounding():
    """After three steps nothing is left but rounding of the outlier; the bulk's end is not resolved."""
    values = np.concatenate([[1e6], np.linspace(-1, 1, 199)])
    result = linalg.eigsh(DenseOperator(np.diag(values), "float32"), which="SA")
    vector = result.vectors[:, 0].astype(float)
    true_residual = np.linalg.norm(values * vector - result.values[0] * vector)
    assert true_residual <= result.residuals[0] and abs(result.values[0] + 1) <= result.residuals[0]


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_multiples_of_the_identity_take_one_step(value):
    result = linalg.eigsh(DenseOperator(value * np.eye(6)))
    assert result.converged and result.num_steps == 1 and result.residuals[0] <= 1e-13
    np.testing.assert_allclose(result.values, [value], rtol=1e-12)
    np.testing.assert_allclose(
        linalg.eigsh(DenseOperator(value * np.eye(6)), k=3).values, [value] * 3, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("dtype", "scales"), [("float32", (1e-36, 1e-19, 1e19, 1e34)), ("float64", (1e-150, 1e150))]
)
def test_sizes_whose_squares_are_beyond_the_dtype(dtype, scales):
    matrix = _symmetric(20).matrix
    wanted = _wanted(matrix, 3, "LA")
    for scale in scales:
        operator = DenseOperator(scale * matrix, dtype)
        result = linalg.eigsh(operator, 3)
        assert result.converged
        np.testing.assert_allclose(result.values / scale, wanted, rtol=1e-4)
        alpha = linalg.lanczos(DenseOperator(matrix, dtype), 5).alpha
        np.testing.assert_allclose(linalg.lanczos(operator, 5).alpha / scale, alpha, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-200, 1e160])
def test_sizes_whose_squares_are_beyond_float64(scale):
    operator = DenseOperator(scale * _symmetric(20).matrix, "float64")
    for solve in (linalg.eigsh, lambda operator: linalg.lanczos(operator, 5)):
        with pytest.raises(linalg.NonFiniteError, match="at step 1, whose squares float64 cannot hold"):
            solve(operator)


def test_size_one():
    result = linalg.eigsh(DenseOperator(np.array([[-2.0]])))
    assert result.values.tolist() == [-2.0] and np.abs(result.vectors).tolist() == [[1.0]]


def test_of_a_hessian_against_numpy():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((30, 4)), generator.standard_normal((30, 2))
    variables = [tf.Variable(generator.standard_normal(shape)) for shape in ((4, 5), (5,), (5, 2))]

    def loss_fn():
        hidden = tf.tanh(x @ variables[0] + variables[1])
        return tf.reduce_mean((hidden @ variables[2] - y) ** 2)

    operator = linalg.HessianOperator(loss_fn, variables)
    values = np.linalg.eigvalsh(operator.to_dense())
    np.testing.assert_allclose(linalg.eigsh(operator, 3, "LA", tol=1e-8).values, values[::-1][:3], rtol=1e-9)
    np.testing.assert_allclose(linalg.eigsh(operator, 2, "SA", tol=1e-8).values, values[:2], rtol=1e-9)


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
def test_equals_scipy_on_our_products(which):
    generator = np.random.default_rng(0)
    x = tf.constant(generator.standard_normal((30, 6)))
    variables = [tf.Variable(generator.standard_normal(shape)) for shape in ((6, 8), (8, 3))]
    network = lambda: tf.reduce_mean(tf.tanh(tf.tanh(x @ variables[0]) @ variables[1]) ** 2)  # noqa: E731
    operator = linalg.HessianOperator(network, variables)
    create: Any = scipy.sparse.linalg.LinearOperator
    linear = create(operator.shape, lambda vector: operator.matvec(vector).numpy(), dtype=operator.dtype)
    wanted = np.asarray(scipy.sparse.linalg.eigsh(linear, 4, which=which, return_eigenvectors=False))
    order = {"LA": -wanted, "SA": wanted, "LM": -np.abs(wanted)}[which]
    ours = linalg.eigsh(operator, 4, which, tol=1e-9, max_steps=72, return_eigenvectors=False)
    assert ours.converged and ours.vectors.shape == (72, 0)
    np.testing.assert_allclose(ours.values, wanted[np.argsort(order)], rtol=1e-8)


def test_same_seed_same_bits_other_seed_other_bits():
    operator = _symmetric(40)
    first, again, other = (linalg.eigsh(operator, seed=seed, max_steps=6) for seed in (0, 0, 1))
    assert first.values.tolist() == again.values.tolist() != other.values.tolist()
    np.testing.assert_array_equal(first.vectors, again.vectors)


def test_errors():
    operator = _symmetric(4)
    with pytest.raises(ValueError, match=r"^`which` must be one of 'LA', 'SA', 'LM'. Received: 'BE'$"):
        linalg.eigsh(operator, which="BE")
    with pytest.raises(ValueError, match=r"^`k` must be at most the operator's size, 4. Received: 5$"):
        linalg.eigsh(operator, k=5)
    with pytest.raises(ValueError, match=r"^`k` must be an integer of at least 1. Received: 0$"):
        linalg.eigsh(operator, k=0)
    with pytest.raises(ValueError, match=r"^`max_steps` must be an integer of at least 3. Received: 2$"):
        linalg.eigsh(operator, k=3, max_steps=2)
    with pytest.raises(ValueError, match=r"^`tol` must be a finite number above 0. Received: 0$"):
        linalg.eigsh(operator, tol=0)
    with pytest.raises(linalg.NonFiniteError, match=r"NaN or Inf at step 1. Look for it in"):
        linalg.eigsh(DenseOperator(np.full((3, 3), np.nan)))
