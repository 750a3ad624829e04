import numpy as np
import pytest

from tfplastic import linalg


class Matrix:
    """A matrix as an operator, that counts its products."""

    def __init__(self, matrix, dtype="float64"):
        self.matrix = np.asarray(matrix, dtype)
        self.shape, self.dtype, self.num_products = self.matrix.shape, self.matrix.dtype, 0

    def matvec(self, vector):
        self.num_products += 1
        return self.matrix @ np.asarray(vector)


def _with_spectrum(values, dtype="float64"):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(values), len(values))))
    return Matrix(rotation @ np.diag(values) @ rotation.T, dtype)


def _tridiagonal(result):
    off_diagonal = result.beta[:-1]
    return np.diag(result.alpha) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_full_order_recovers_the_matrix(dtype, tolerance):
    operator = _with_spectrum(np.linspace(-3, 5, 40) ** 3 / 10, dtype)
    result = linalg.lanczos(operator, num_steps=100)  # cut to 40
    assert result.alpha.dtype == result.beta.dtype == np.float64 and result.basis.dtype == dtype
    assert result.basis.shape == (40, 40) and operator.num_products == 40
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(40), atol=tolerance)
    scale = np.abs(operator.matrix).max()
    np.testing.assert_allclose(
        result.basis.T @ _tridiagonal(result) @ result.basis, operator.matrix, atol=10 * tolerance * scale
    )
    assert result.beta[-1] == 0


def test_partial_order_satisfies_the_recurrence():
    operator = _with_spectrum(np.linspace(-3, 5, 40))
    result = linalg.lanczos(operator, num_steps=7)
    # A Q^T - Q^T T has one column that is not zero, the last, of norm beta_m and orthogonal to the basis.
    rest = operator.matrix @ result.basis.T - result.basis.T @ _tridiagonal(result)
    np.testing.assert_allclose(rest[:, :-1], 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rest[:, -1]), result.beta[-1], rtol=1e-12)
    np.testing.assert_allclose(result.basis @ rest[:, -1], 0, atol=1e-12)


def test_stays_orthogonal_long_after_ritz_values_converge():
    """The case that breaks plain Lanczos: a far outlier, float32, many steps."""
    values = np.concatenate([[1e4, 1e3], np.linspace(0, 1, 198)])
    result = linalg.lanczos(_with_spectrum(values, "float32"), num_steps=100)
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(100), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "values", [[2.0] * 6, [0.0] * 6, [5.0, 5.0, 1.0, 1.0, 1.0, 0.0], [7.0, 0, 0, 0, 0, 0]], ids=str
)
def test_breakdown_restarts_and_finds_multiple_eigenvalues(values, dtype):
    result = linalg.lanczos(_with_spectrum(values, dtype), num_steps=6)
    assert (result.beta == 0).sum() > 1  # it did break down
    np.testing.assert_allclose(np.linalg.eigvalsh(_tridiagonal(result)), sorted(values), atol=1e-5)
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(6), atol=1e-5)


def test_same_seed_same_bits_other_seed_other_bits():
    operator = _with_spectrum([1.0, 2.0, 3.0, 4.0])
    first, again, other = (linalg.lanczos(operator, 3, seed) for seed in (0, 0, 1))
    for name in ("alpha", "beta", "basis"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.any(getattr(first, name) == getattr(other, name))


def test_fresh_directions_depend_on_the_seed_too():
    identity = Matrix(np.eye(5))
    first, again, other = (linalg.lanczos(identity, 2, seed).basis[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_product_that_is_not_finite_names_the_step(value):
    class Broken(Matrix):
        def matvec(self, vector):
            product = super().matvec(vector)
            return np.where(np.arange(4) == 2, value, product) if self.num_products == 3 else product

    message = r"^`operator` must give finite products. Received: NaN or Inf at step 3$"
    with pytest.raises(linalg.NonFiniteError, match=message):
        linalg.lanczos(Broken(np.diag([1.0, 2.0, 3.0, 4.0])), 4)


def test_errors():
    with pytest.raises(ValueError, match=r"^`num_steps` must be an integer of at least 1. Received: 0$"):
        linalg.lanczos(Matrix(np.eye(2)), 0)
