from typing import Any, cast

import numpy as np
import pytest

from tests.linalg.dense_operator import DenseOperator, broken_at, with_eigenvalues
from tfplastic import linalg


def _tridiagonal(result):
    off_diagonal = result.beta[:-1]
    return np.diag(result.alpha) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_full_order_recovers_the_matrix(dtype, tolerance):
    operator = with_eigenvalues(np.linspace(-3, 5, 40) ** 3 / 10, dtype=dtype)
    result = linalg.lanczos(operator, num_steps=100)  # cut to 40
    assert result.alpha.dtype == result.beta.dtype == np.float64 and result.basis.dtype == dtype
    assert result.basis.shape == (40, 40) and len(operator.calls) == 40
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(40), atol=tolerance)
    scale = np.abs(operator.matrix).max()
    np.testing.assert_allclose(
        result.basis.T @ _tridiagonal(result) @ result.basis, operator.matrix, atol=10 * tolerance * scale
    )
    assert result.beta[-1] == 0


def test_partial_order_satisfies_the_recurrence():
    operator = with_eigenvalues(np.linspace(-3, 5, 40))
    result = linalg.lanczos(operator, num_steps=7)
    # A Q^T - Q^T T has one column that is not zero, the last, of norm beta_m and orthogonal to the basis.
    rest = operator.matrix @ result.basis.T - result.basis.T @ _tridiagonal(result)
    np.testing.assert_allclose(rest[:, :-1], 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rest[:, -1]), result.beta[-1], rtol=1e-12)
    np.testing.assert_allclose(result.basis @ rest[:, -1], 0, atol=1e-12)


def test_stays_orthogonal_long_after_ritz_values_converge():
    """The case that breaks plain Lanczos: a far outlier, float32, many steps."""
    values = np.concatenate([[1e4, 1e3], np.linspace(0, 1, 198)])
    result = linalg.lanczos(with_eigenvalues(values, dtype="float32"), num_steps=100)
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(100), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "values", [[2.0] * 6, [0.0] * 6, [5.0, 5.0, 1.0, 1.0, 1.0, 0.0], [7.0, 0, 0, 0, 0, 0]], ids=str
)
def test_breakdown_restarts_and_finds_multiple_eigenvalues(values, dtype):
    result = linalg.lanczos(with_eigenvalues(values, dtype=dtype), num_steps=6)
    assert (result.beta == 0).sum() > 1  # it did break down
    np.testing.assert_allclose(np.linalg.eigvalsh(_tridiagonal(result)), sorted(values), atol=1e-5)
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(6), atol=1e-5)


def _outliers(dtype):
    """Far outliers, whose Ritz values converge after a few steps, which breaks plain Lanczos."""
    return with_eigenvalues(np.concatenate([[1e3, 500.0, 200.0], np.linspace(-1, 2, 297)]), dtype=dtype)


def _quadrature(result):
    values, vectors = np.linalg.eigh(_tridiagonal(result))
    return values, vectors[0] ** 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_partial_reorthogonalization_gives_the_quadrature_of_a_full_one(dtype):
    operator, exact = _outliers(dtype), _outliers("float64")
    partial = linalg.lanczos(operator, 60, reorthogonalize="partial")
    full = linalg.lanczos(_FromStart(exact, partial.basis[0]), 60)
    rounding = np.finfo(dtype).eps
    gram = partial.basis.astype(float) @ partial.basis.T.astype(float) - np.eye(60)
    assert np.abs(gram).max() < 2 * np.sqrt(rounding)
    (nodes, weights), (wanted_nodes, wanted_weights) = _quadrature(partial), _quadrature(full)
    np.testing.assert_allclose(nodes, wanted_nodes, atol=1e-4 * wanted_nodes.max())
    np.testing.assert_allclose(weights, wanted_weights, atol=1e-5)  # of a sum of 1; kernels round differently


class _FromStart(DenseOperator):
    """The same matrix in a rotation that makes any seed's start vector the wanted one."""

    def __init__(self, operator, start):
        own = linalg.lanczos(operator, 1).basis[0]
        wanted = start.astype(float) / np.linalg.norm(start.astype(float))
        axis = (own - wanted) / np.linalg.norm(own - wanted) if np.any(own != wanted) else np.zeros_like(own)
        reflection = np.eye(len(own)) - 2 * np.outer(axis, axis)
        super().__init__(reflection @ operator.matrix @ reflection)


def test_without_reorthogonalization_converged_eigenvalues_come_back():
    operator = _outliers("float32")
    results = {how: linalg.lanczos(operator, 60, reorthogonalize=how) for how in ("full", "partial", "none")}
    copies = {how: (_quadrature(result)[0] > 900).sum() for how, result in results.items()}
    assert copies["full"] == copies["partial"] == 1 < copies["none"]
    assert results["none"].basis.shape == (0, 300)
    np.testing.assert_allclose(_quadrature(results["none"])[0].max(), 1e3, rtol=1e-5)


def test_true_and_false_are_full_and_none():
    operator = _outliers("float32")
    for flag, name in ((True, "full"), (False, "none")):
        first, second = (linalg.lanczos(operator, 9, reorthogonalize=how) for how in (flag, name))
        np.testing.assert_array_equal(first.alpha, second.alpha)
    assert linalg.lanczos(operator, 9, reorthogonalize=True).basis.shape == (9, 300)


def test_breakdown_without_a_basis_ends_the_process():
    result = linalg.lanczos(with_eigenvalues([5.0, 5.0, 1.0, 1.0]), 4, reorthogonalize="none")
    assert len(result.alpha) == 2 and result.beta[-1] == 0
    np.testing.assert_allclose(np.linalg.eigvalsh(_tridiagonal(result)), [1.0, 5.0], atol=1e-12)


def test_partial_goes_on_after_a_breakdown():
    values = [5.0, 5.0, 1.0, 1.0, 1.0, 0.0]
    result = linalg.lanczos(with_eigenvalues(values), 6, reorthogonalize="partial")
    np.testing.assert_allclose(np.linalg.eigvalsh(_tridiagonal(result)), sorted(values), atol=1e-7)


def test_partial_restarts_where_reorthogonalization_finds_the_breakdown():
    """Linear regression with eight outputs: every eigenvalue is there eight times, in float32."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((64, 12)) * np.geomspace(0.1, 10, 12)
    matrix = np.kron(x.T @ x / 256, np.eye(8))
    for seed in range(4):
        result = linalg.lanczos(DenseOperator(matrix, "float32"), 96, seed, reorthogonalize="partial")
        np.testing.assert_allclose(
            np.linalg.eigvalsh(_tridiagonal(result)), np.linalg.eigvalsh(matrix), atol=1e-3
        )


def test_progress_is_reported_after_each_product():
    calls = []
    linalg.lanczos(with_eigenvalues([1.0, 2.0, 3.0]), 7, progress=lambda *counts: calls.append(counts))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_same_seed_same_bits_other_seed_other_bits():
    operator = with_eigenvalues([1.0, 2.0, 3.0, 4.0])
    first, again, other = (linalg.lanczos(operator, 3, seed) for seed in (0, 0, 1))
    for name in ("alpha", "beta", "basis"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.any(getattr(first, name) == getattr(other, name))


def test_fresh_directions_depend_on_the_seed_too():
    identity = DenseOperator(np.eye(5))
    first, again, other = (linalg.lanczos(identity, 2, seed).basis[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_product_that_is_not_finite_names_the_step(value):
    received = r"^`operator` must give finite products. Received: NaN or Inf at step 3"
    message = received + r"\. Look for it in the weights and data$"
    with pytest.raises(linalg.NonFiniteError, match=message):
        linalg.lanczos(broken_at(3, value, np.diag([1.0, 2.0, 3.0, 4.0])), 4)


def test_errors():
    with pytest.raises(ValueError, match=r"^`num_steps` must be an integer of at least 1. Received: 0$"):
        linalg.lanczos(DenseOperator(np.eye(2)), 0)
    with pytest.raises(ValueError, match=r"^`operator` must be square. Received: shape \(2, 3\)$"):
        linalg.lanczos(DenseOperator(np.ones((2, 3))), 1)
    with pytest.raises(TypeError, match=r"^`seed` must be an integer. Received: 0.7$"):
        linalg.lanczos(DenseOperator(np.eye(2)), 1, seed=cast(Any, 0.7))
    rule = "`reorthogonalize` must be one of True, False, 'full', 'partial', 'none'"
    with pytest.raises(ValueError, match=f"^{rule}. Received: 'half'$"):
        linalg.lanczos(DenseOperator(np.eye(2)), 1, reorthogonalize="half")
