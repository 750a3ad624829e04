"""Results of the public functions print as one line, however large they are."""

import numpy as np
import tensorflow as tf

from tfplastic import diagnostics, linalg
from tfplastic._keras import keras
from tfplastic._text.short_repr import short


def operator(size):
    x = tf.Variable(tf.ones([size]))
    scale = np.arange(1, size + 1, dtype=np.float32)
    return linalg.HessianOperator(lambda: tf.reduce_sum(scale * x**2) / 2, [x])


def test_eigenvalues_convergence_products_and_size():
    found = linalg.eigsh(operator(3), k=2)
    assert repr(found) == (
        "Eigen(values=[3, 2], vectors=float32 [3, 2], residuals=[{}, {}], num_steps=3, converged=True, "
        "num_complete=2)"
    ).format(*map(short, found.residuals))


def test_long_results_are_cut_and_advice_is_shown():
    found = linalg.eigsh(operator(400), k=8, max_steps=9, return_eigenvectors=False)
    text = repr(found)
    assert not found.converged and f", converged=False, advice={found.advice!r}" in text
    assert ", ... 8 in all]" in text and "\n" not in text and len(text) < 600


def test_every_other_result_of_curvature():
    matrix = operator(20)
    results = [
        linalg.trace(matrix),
        linalg.norms(matrix),
        linalg.diagonal(matrix),
        linalg.lanczos(matrix, 12),
        linalg.spectral_density(matrix, num_steps=10, num_probes=2),
    ]
    for result in results:
        text = repr(result)
        assert text.startswith(f"{type(result).__name__}(") and "\n" not in text and len(text) < 400, text
    assert "basis=float32 [12, 20]" in repr(results[3])
    assert repr(results[4]) == "SpectralDensity(nodes=float64 [2, 10], weights=float64 [2, 10], size=20)"


def test_operators():
    matrix = operator(3)
    assert repr(matrix) == "<HessianOperator of shape (3, 3), float32, 1 variable>"
    w = tf.Variable([1.0, 2.0])
    kernel = linalg.NTKOperator(lambda x: tf.linalg.matvec(x, w), [w], [[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    assert repr(kernel) == "<NTKOperator of shape (3, 3), float32, 1 variable>"


def test_diagnostics():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "relu", name="h"), keras.layers.Dense(1, name="o")]
    )
    snapshot = diagnostics.Snapshot(model, np.ones((4, 3), np.float32))
    statistics = repr(snapshot.unit_statistics["h"])
    assert statistics.startswith("UnitStatistics(activation='relu', count=4, mean_abs=[")
    assert "... 8 in all]" in statistics and "\n" not in statistics
    assert repr(diagnostics.Reference.of(snapshot)) == (
        "Reference(weights={'h': ..., 'o': ...}, unit_statistics={'h': ...}, outputs=[float32 [4, 1]])"
    )
    assert repr(diagnostics.UnitMap(model)) == "<UnitMap {'h': 8 units}, excluded: ['o']>"


def test_values():
    assert short(np.float32(0.1)) == "0.1" and short(1 / 3) == "0.33333" and short(np.int64(3)) == "3"
    assert short(np.arange(7)) == "[0, 1, 2, 3, 4, 5, ... 7 in all]"
    assert short(()) == "[]" and short(None) == "None" and short(True) == "True"
