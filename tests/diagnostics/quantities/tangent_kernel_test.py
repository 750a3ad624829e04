import math

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import Snapshot, ntk, ntk_alignment, ntk_condition_number, ntk_rank
from tfplastic.diagnostics.quantities import tangent_kernel

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
SCALARS = (ntk_rank, ntk_condition_number, ntk_alignment)


def _linear(rows, units=1):
    """f = W x, whose kernel is x . x' times the unit matrix of the outputs."""
    inputs = np.asarray(rows, "float32")
    layer = keras_2.layers.Dense(units, use_bias=False)
    return Snapshot(keras_2.Sequential([keras_2.Input(inputs.shape[1:]), layer]), inputs)


def _best_fit(matrix):
    """The largest cosine of K and a I + u u^T: u along an eigenvector, a by least squares, all tried."""
    values, vectors = np.linalg.eigh(matrix)
    cosines = []
    for vector in vectors.T:
        basis = np.stack([np.eye(len(matrix)).ravel(), np.outer(vector, vector).ravel()], axis=1)
        weights = np.linalg.lstsq(basis, matrix.ravel(), rcond=None)[0]
        if weights[1] >= 0:
            fit = basis @ weights
            cosines.append(fit @ matrix.ravel() / np.linalg.norm(fit) / np.linalg.norm(matrix))
    return max(cosines)


def test_golden():
    snapshot = _linear([[1, 0], [0, 2], [1, 2]], units=2)
    expected = np.kron([[1, 0, 1], [0, 4, 4], [1, 4, 5]], np.eye(2))
    np.testing.assert_allclose(ntk(snapshot)["all"], expected, atol=1e-6)
    assert ntk_rank(snapshot)["all"] == 4
    # Eigenvalues of the 3 x 3 part: 0, 5 -+ sqrt(13), by its minors 10 and 12... each twice.
    values = np.linalg.eigvalsh(expected)
    assert ntk_condition_number(snapshot)["all"] == pytest.approx(
        1 / (6 * np.finfo(np.float32).eps), rel=1e-3
    )
    others = values[:-1].mean()
    cosine = math.sqrt((values[-1] ** 2 + 5 * others**2) / np.sum(values**2))
    assert ntk_alignment(snapshot)["all"] == pytest.approx(cosine, rel=1e-6)
    orthogonal = _linear([[1, 0], [0, 2]])  # eigenvalues 1 and 4
    assert ntk_condition_number(orthogonal)["all"] == pytest.approx(4)
    assert ntk_alignment(orthogonal)["all"] == pytest.approx(1)  # any matrix of two rows is of that form
    # I + u u^T with u = (1, 1, 1).
    collapsed = _linear(np.linalg.cholesky(np.eye(3) + np.ones((3, 3))))
    assert ntk_alignment(collapsed)["all"] == pytest.approx(1)
    assert ntk_condition_number(collapsed)["all"] == pytest.approx(4, rel=1e-5)


@BOTH
def test_against_float64(keras):
    model, (inputs, _) = models.cnn(keras), oracles.data((6, 6, 2), 4)
    snapshot = Snapshot(model, inputs, batch_size=3)
    rows = oracles.output_gradients(oracles.double(keras, models.cnn, model), inputs)["all"]
    expected = rows @ rows.T
    np.testing.assert_allclose(ntk(snapshot)["all"], expected, atol=1e-5 * np.abs(expected).max())
    values = np.linalg.eigvalsh(expected)
    assert ntk_rank(snapshot)["all"] == 8
    assert ntk_condition_number(snapshot)["all"] == pytest.approx(values[-1] / values[0], rel=1e-2)
    assert ntk_alignment(snapshot)["all"] == pytest.approx(_best_fit(expected), rel=1e-5)
    first = ntk(snapshot, num_examples=2)["all"]
    np.testing.assert_allclose(first, ntk(snapshot)["all"][:4, :4], rtol=1e-5)


def test_large_kernels_by_their_products(monkeypatch):
    model, (inputs, _) = models.cnn(keras_2), oracles.data((6, 6, 2), 4)
    exact = Snapshot(model, inputs)
    expected = [scalar(exact)["all"] for scalar in SCALARS]
    whole = ntk(exact)["all"]
    monkeypatch.setattr(tangent_kernel, "_MOST_ROWS", 5)
    large = Snapshot(model, inputs)
    np.testing.assert_allclose(ntk(large)["all"], whole[:5, :5], rtol=1e-5)
    # As many steps as rows: Lanczos has all eigenvalues, but each probe weighs them by chance.
    rank, condition, alignment = [scalar(large)["all"] for scalar in SCALARS]
    assert rank == pytest.approx(expected[0], rel=0.05)
    assert condition == pytest.approx(expected[1], rel=0.05)
    assert alignment == pytest.approx(expected[2], rel=0.2)
    assert ntk_alignment(Snapshot(model, inputs))["all"] == alignment != ntk_alignment(large, seed=1)["all"]


def test_edges():
    zero = _linear(np.zeros((2, 3)))
    assert ntk_rank(zero)["all"] == 0
    assert math.isnan(ntk_condition_number(zero)["all"]) and math.isnan(ntk_alignment(zero)["all"])
    one = _linear([[3, 4]])
    assert [scalar(one)["all"] for scalar in SCALARS] == pytest.approx([1, 1, 1])
    same = _linear(np.ones((3, 2)))
    assert ntk_rank(same)["all"] == pytest.approx(1) and ntk_alignment(same)["all"] == pytest.approx(1)
    bad = _linear([[1, math.nan], [1, 1]])
    assert all(math.isnan(scalar(bad)["all"]) for scalar in SCALARS)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype, monkeypatch):
    with oracles.policy(keras_3, dtype):
        model = models.mlp(keras_3)
    inputs, _ = oracles.data((2,), 3)
    rows = oracles.output_gradients(oracles.double(keras_3, models.mlp, model), inputs)["all"]
    expected = rows @ rows.T
    snapshot = Snapshot(model, inputs)
    np.testing.assert_allclose(ntk(snapshot)["all"], expected, atol=0.02 * np.abs(expected).max())
    largest = np.linalg.eigvalsh(ntk(snapshot)["all"])[-1]
    monkeypatch.setattr(tangent_kernel, "_MOST_ROWS", 2)
    large = Snapshot(model, inputs)
    assert math.isfinite(ntk_alignment(large)["all"])
    spectrum = tangent_kernel._spectrum(large, 3, 0)
    assert spectrum is not None and spectrum.nodes.max() == pytest.approx(largest, rel=0.05)


def test_arguments():
    snapshot = _linear([[1, 2]])
    for quantity in (ntk, *SCALARS):
        with pytest.raises(ValueError, match=r"^`num_examples` must be an integer .+ Received: 0$"):
            quantity(snapshot, num_examples=0)
