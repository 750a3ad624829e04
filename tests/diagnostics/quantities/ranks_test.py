"""Ranks by their definitions, from singular values by NumPy in float64 and loops over Python floats."""

import math
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import diagnostics
from tfplastic.diagnostics import Snapshot, ranks
from tfplastic.diagnostics.quantities.shared import spectra
from tfplastic.diagnostics.quantities.shared.spectra import Spectrum

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
FUNCTIONS = {
    "srank": ranks.srank,
    "approximate_rank": ranks.approximate_rank,
    "effective_rank": ranks.effective_rank,
    "feature_rank": lambda values: ranks.absolute_rank(values, 4),
    "stable_rank": ranks.stable_rank,
    "numerical_rank": lambda values: ranks.numerical_rank(values, 1e-3),
}


def least_count(values, delta):
    values = sorted(values, reverse=True)
    return next(
        k for k in range(1, len(values) + 1) if math.fsum(values[:k]) >= (1 - delta) * math.fsum(values)
    )


def entropy_exponential(values):
    shares = [value / math.fsum(values) for value in values if value > 0]
    return math.prod(share**-share for share in shares)


ORACLES = {
    "srank": lambda values: least_count(values, 0.01),
    "approximate_rank": lambda values: least_count([value**2 for value in values], 0.01),
    "effective_rank": entropy_exponential,
    "feature_rank": lambda values: sum(value / 2 > 0.01 for value in values),
    "stable_rank": lambda values: math.fsum(value**2 for value in values) / max(values) ** 2,
    "numerical_rank": lambda values: sum(value > 1e-3 * max(values) for value in values),
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # 90 and 9.5 are 99.5 % of the sum; 90^2 = 8100 is 98.9 % of the squares, 8190.5.
        ([90.0, 9.5, 0.5], {"srank": 2, "approximate_rank": 2, "numerical_rank": 3, "feature_rank": 3}),
        ([5.0, 5.0, 5.0, 5.0], dict.fromkeys(FUNCTIONS, 4)),
        ([7.0, 0.0, 0.0], dict.fromkeys(FUNCTIONS, 1)),
        ([0.0, 0.0], dict.fromkeys(FUNCTIONS, 0)),
        # 0.02 / sqrt(4) is 0.01, which is not above it. p = (1/2, 1/4, 1/4): 2^(1/2) * 4^(1/4) * 4^(1/4).
        ([0.02, 0.04, 0.02], {"feature_rank": 1, "effective_rank": 2**1.5, "stable_rank": 1.5}),
        ([1.0, 1e-3, 2e-3], {"numerical_rank": 2, "stable_rank": 1.000005}),
        ([1.0, math.nan], dict.fromkeys(FUNCTIONS, math.nan)),
        ([math.inf, 1.0], dict.fromkeys(FUNCTIONS, math.nan)),
    ],
)
def test_golden(values, expected):
    found = {name: FUNCTIONS[name](values) for name in expected}
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert all(type(each) is float for each in found.values())


@pytest.mark.parametrize("seed", range(20))
def test_against_loops(seed):
    generator = np.random.default_rng(seed)
    values = np.exp(generator.normal(0, 1 + seed / 4, 1 + seed))
    for name, function in FUNCTIONS.items():
        assert function(values) == pytest.approx(ORACLES[name](values.tolist()), rel=1e-12), name


def test_settings():
    values = [8.0, 1.0, 1.0]
    assert [ranks.srank(values, delta) for delta in (0, 0.1, 0.15, 0.2, 1)] == [3, 2, 2, 1, 1]
    assert [ranks.approximate_rank(values, delta) for delta in (0, 0.02, 0.04)] == [3, 2, 1]
    assert [ranks.absolute_rank(values, n, 1.0) for n in (1, 64)] == [1, 0]
    assert [ranks.numerical_rank(values, tolerance) for tolerance in (0, 0.125)] == [3, 1]
    tolerances = [
        ranks.rounding_tolerance((3, 8), np.dtype(each)) for each in ("float64", "float32", "float16")
    ]
    assert tolerances == [8 * 2**-52, 8 * 2**-23, 8 * 2**-23]


@pytest.mark.parametrize("values", [[], 1.0, [[1.0]]])
def test_values_must_be_a_vector(values):
    for function in FUNCTIONS.values():
        with pytest.raises(
            ValueError, match=r"^`singular_values` must be a vector of at least one entry. Rec"
        ):
            function(values)


def test_errors():
    any_value: Any = [1.0]
    of_snapshots = (diagnostics.feature_srank, diagnostics.feature_srank_sum, diagnostics.weight_srank)
    of_snapshots += (diagnostics.weight_srank_sum,)
    for function in (ranks.srank, ranks.approximate_rank, *of_snapshots):
        with pytest.raises(ValueError, match=r"^`delta` must be a number in \[0, 1\]. Received: 1.5$"):
            function(any_value, delta=1.5)
    with pytest.raises(ValueError, match=r"^`num_examples` must be an integer of at least 1. Received: 0$"):
        ranks.absolute_rank(np.ones(1), 0)
    for rank in (diagnostics.feature_rank, diagnostics.feature_rank_unscaled):
        with pytest.raises(
            ValueError, match=r"^`epsilon` must be a finite number of at least 0. Received: -1$"
        ):
            rank(any_value, epsilon=-1)
    for rank in (ranks.numerical_rank, diagnostics.feature_numerical_rank, diagnostics.weight_numerical_rank):
        with pytest.raises(ValueError, match=r"^`tolerance` must be a finite number of at least 0. Rece"):
            rank(any_value, tolerance=-1)


def rank_deficient(shape, rank, seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((shape[0], rank)) @ generator.standard_normal((rank, shape[1]))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (40, 40), (150, 60), (60, 150)])
def test_spectrum(shape, dtype, monkeypatch):
    monkeypatch.setattr(
        "tfplastic.diagnostics.quantities.shared.spectra._BLOCK", 1000
    )  # several blocks, the last one ragged
    for matrix in (
        np.random.default_rng(0).standard_normal(shape),
        rank_deficient(shape, 1),
        np.zeros(shape),
    ):
        matrix = np.maximum(matrix, 0).astype(dtype)
        values = Spectrum(matrix).values
        exact = np.linalg.svd(matrix.astype("float64"), compute_uv=False)
        assert values.shape == exact.shape and values.dtype == np.float64 and (np.diff(values) <= 0).all()
        np.testing.assert_allclose(values, exact, rtol=1e-6, atol=2e-7 * exact[0])


def test_spectrum_of_singular_values_of_all_sizes():
    """Below its blur the Gram matrix knows nothing; where such values count, they are exact."""
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.standard_normal((20, 20)))[0] for _ in range(2))
    exact = 10.0 ** np.arange(0, -20, -1)
    matrix = (1e8 * left * exact @ right).astype(np.float32)
    rounded = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    spectrum = Spectrum(matrix)
    np.testing.assert_allclose(spectrum.values[:6], rounded[:6], rtol=1e-4)
    assert (spectrum.values[8:] == 0).all() and rounded[8] > 0.1
    np.testing.assert_array_equal(spectrum.values_down_to(1e5), spectrum.values)
    np.testing.assert_allclose(spectrum.values_down_to(0.02), rounded, rtol=1e-6)
    np.testing.assert_allclose(Spectrum(matrix.astype(np.float64)).values, rounded, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_spectrum_of_what_is_not_finite(dtype, wrong):
    matrix = np.ones((5, 3), dtype)
    matrix[4, 0] = wrong
    for values in (Spectrum(matrix).values, Spectrum(matrix).values_down_to(0.0)):
        assert values.shape == (3,) and np.isnan(values).all()


def test_spectrum_is_made_once(monkeypatch):
    calls = []
    eigenvalues = spectra._eigenvalues
    monkeypatch.setattr(
        spectra, "_eigenvalues", lambda matrix: calls.append(matrix.shape) or eigenvalues(matrix)
    )
    snapshot = Snapshot(models.cnn(keras_2), np.ones((2, 6, 6, 2), "float32"))
    for quantity in QUANTITIES:
        quantity(snapshot)
    assert len(calls) == len(snapshot.activations) + 4  # conv1, conv2, dense, output
    snapshot.refresh()
    diagnostics.feature_srank(snapshot)
    assert len(calls) == 2 * len(snapshot.activations) + 4


FEATURES = {
    "srank": diagnostics.feature_srank,
    "approximate_rank": diagnostics.feature_approximate_rank,
    "effective_rank": diagnostics.feature_effective_rank,
    "stable_rank": diagnostics.feature_stable_rank,
}
WEIGHTS = {
    "srank": diagnostics.weight_srank,
    "approximate_rank": diagnostics.weight_approximate_rank,
    "effective_rank": diagnostics.weight_effective_rank,
    "stable_rank": diagnostics.weight_stable_rank,
}
QUANTITIES = [
    *FEATURES.values(),
    diagnostics.feature_rank,
    diagnostics.feature_rank_unscaled,
    diagnostics.feature_numerical_rank,
    diagnostics.feature_spectral_norm,
    *WEIGHTS.values(),
    diagnostics.weight_numerical_rank,
]


def singular_values(matrix):
    return np.linalg.svd(np.asarray(matrix).astype("float64"), compute_uv=False)


@BOTH
@pytest.mark.parametrize("batch", [1, 7])
def test_of_features(keras, batch):
    inputs = np.random.default_rng(0).standard_normal((batch, 6, 6, 2)).astype("float32")
    snapshot = Snapshot(models.cnn(keras), inputs, batch_size=3)  # the last block is ragged
    for layer, activations in snapshot.activations.items():
        values = singular_values(np.asarray(activations).reshape(batch, -1))
        for name, quantity in FEATURES.items():
            assert quantity(snapshot)[layer] == pytest.approx(ORACLES[name](values.tolist()), rel=1e-5), name
        expected = np.count_nonzero(values / np.sqrt(batch) > 0.5)
        assert diagnostics.feature_rank(snapshot, epsilon=0.5)[layer] == expected
        expected = np.count_nonzero(values > 0.5)
        assert diagnostics.feature_rank_unscaled(snapshot, epsilon=0.5)[layer] == expected
        expected = np.linalg.matrix_rank(np.asarray(activations).reshape(batch, -1))
        assert diagnostics.feature_numerical_rank(snapshot)[layer] == expected
        assert diagnostics.feature_numerical_rank(snapshot, tolerance=0.5)[layer] == sum(
            values > 0.5 * values[0]
        )
        assert diagnostics.feature_spectral_norm(snapshot)[layer] == pytest.approx(values[0])
        found = diagnostics.feature_singular_values(snapshot)[layer]
        np.testing.assert_allclose(found, values, atol=1e-6 * values[0])
    assert list(diagnostics.feature_srank(snapshot)) == list(snapshot.activations)
    for delta in (0.01, 0.3):
        total = sum(
            least_count(singular_values(np.asarray(each).reshape(batch, -1)).tolist(), delta)
            for each in snapshot.activations.values()
        )
        assert diagnostics.feature_srank_sum(snapshot, delta) == {"all": total}


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_edges_of_features(keras, dtype):
    """Constant inputs: the features are one row, five times; one that is all zeros has rank 0."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(3, "relu", name="hidden", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(hidden))
    snapshot = Snapshot(model, np.ones((5, 2), "float32"))
    for bias, expected in ([1.0, 2.0, 4.0], 1), ([-1.0, -1.0, -1.0], 0), ([1.0, np.inf, 1.0], np.nan):
        model.get_layer("hidden").set_weights([np.zeros((2, 3)), np.array(bias)])
        snapshot.refresh()
        for quantity in [*FEATURES.values(), diagnostics.feature_rank, diagnostics.feature_numerical_rank]:
            assert quantity(snapshot) == {"hidden": pytest.approx(expected, nan_ok=True)}, quantity.__name__


@BOTH
def test_a_bare_nonlinearity_is_nan(keras):
    snapshot = Snapshot(models.bare(keras), np.ones((5, 2), "float32"))
    for quantity in [*FEATURES.values(), diagnostics.feature_rank]:
        assert quantity(snapshot) == pytest.approx({"activated": 1.0, "bare": math.nan}, nan_ok=True)


@BOTH
def test_of_weights(keras):
    model = models.cnn(keras)
    snapshot = Snapshot(model, np.ones((1, 6, 6, 2), "float32"))
    layers = [layer for layer in model.layers if layer.name in ("conv1", "conv2", "dense", "output")]
    for layer in layers:
        kernel = np.asarray(layer.get_weights()[0]).reshape(-1, layer.get_weights()[0].shape[-1])
        values = singular_values(kernel)
        for name, quantity in WEIGHTS.items():
            found = quantity(snapshot)
            assert list(found) == [each.name for each in layers]  # and no gain of a norm, [4, 4, 3]
            assert found[layer.name] == pytest.approx(ORACLES[name](values.tolist()), rel=1e-6), name
        assert diagnostics.weight_numerical_rank(snapshot)[layer.name] == np.linalg.matrix_rank(kernel)
        np.testing.assert_allclose(
            diagnostics.weight_singular_values(snapshot)[layer.name], values, rtol=1e-6
        )
    kernels = [np.asarray(layer.get_weights()[0]) for layer in layers]
    of_each = [singular_values(each.reshape(-1, each.shape[-1])).tolist() for each in kernels]
    for delta in (0.01, 0.3):
        total = sum(least_count(each, delta) for each in of_each)
        assert diagnostics.weight_srank_sum(snapshot, delta) == {"all": total}
    model.set_weights([np.zeros_like(each) for each in model.get_weights()])
    snapshot.refresh()
    assert diagnostics.weight_srank_sum(snapshot) == {"all": 0.0}
    for quantity in [*WEIGHTS.values(), diagnostics.weight_numerical_rank]:
        assert quantity(snapshot) == {layer.name: 0.0 for layer in layers}
    layers[0].set_weights([np.full_like(each, np.nan) for each in layers[0].get_weights()])
    snapshot.refresh()
    assert math.isnan(diagnostics.weight_srank(snapshot)["conv1"])
    assert math.isnan(diagnostics.weight_srank_sum(snapshot)["all"])


@BOTH
def test_kernels_as_matrices(keras):
    """Attention, a depthwise and a separable convolution, an LSTM, an embedding."""
    images, tokens = keras.Input((6, 6, 3)), keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(7, 4, name="embedding")(tokens)
    attended = keras.layers.MultiHeadAttention(2, 3, name="attention")(embedded, embedded)
    hidden = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(images)
    hidden = keras.layers.SeparableConv2D(5, 3, depth_multiplier=2, name="separable")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    both = keras.layers.Concatenate()([hidden, keras.layers.LSTM(3, name="lstm")(attended)])
    model = keras.Model([images, tokens], keras.layers.Dense(1, name="output")(both))
    inputs = [np.ones((1, 6, 6, 3), "float32"), np.zeros((1, 5), "int32")]
    values = diagnostics.weight_singular_values(Snapshot(model, inputs))
    assert {name: len(each) for name, each in values.items()} == {
        "embedding": 4,
        "attention/query": 4,  # [4, 2 heads, 3] as [4, 6]
        "attention/key": 4,
        "attention/value": 4,
        "attention/attention_output": 4,  # [2 heads, 3, 4] as [6, 4]
        "depthwise": 6,  # [3, 3, 3, 2] as [9, 6]
        "separable/depthwise_kernel": 9,  # [3, 3, 6, 2] as [9, 12]
        "separable/pointwise_kernel": 5,
        "lstm/lstm_cell/kernel": 4,
        "lstm/lstm_cell/recurrent_kernel": 3,
        "output": 1,
    }
    kernels = {each.shape: each for each in model.get_layer("attention").get_weights()}
    np.testing.assert_allclose(
        values["attention/attention_output"], singular_values(kernels[2, 3, 4].reshape(6, 4)), rtol=1e-6
    )
    depthwise = model.get_layer("depthwise").get_weights()[0].reshape(9, 6)
    np.testing.assert_allclose(values["depthwise"], singular_values(depthwise), rtol=1e-6)
