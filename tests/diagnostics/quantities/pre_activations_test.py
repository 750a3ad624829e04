import dataclasses
import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import (
    Reference,
    Snapshot,
    pre_activation_histogram,
    pre_activation_mean_shift,
    pre_activation_means,
    pre_activation_variance_shift,
    pre_activation_variances,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
SHIFTS = (pre_activation_mean_shift, pre_activation_variance_shift)


@BOTH
def test_by_hand(keras):
    """Pre-activations are a + b, -a - b, a / 100 and -1: 3, -3, .01, -1 and 5, -5, .03, -1."""
    model = models.mlp(keras)
    snapshot = Snapshot(model, tf.constant([[1.0, 2.0], [3.0, 2.0]]))
    expected = [3, -3, 0.01, -1, 5, -5, 0.03, -1]
    np.testing.assert_allclose(pre_activation_histogram(snapshot)["hidden"], expected, rtol=1e-6)
    np.testing.assert_allclose(pre_activation_means(snapshot)["hidden"], [4, -4, 0.02, -1], rtol=1e-6)
    np.testing.assert_allclose(pre_activation_variances(snapshot)["hidden"], [1, 1, 1e-4, 0], rtol=1e-6)
    assert pre_activation_means(snapshot)["hidden"].dtype == np.float64
    # 0, 0, 0, -1 and 4, -4, 0, -1: means 2, -2, 0, -1, variances 4, 4, 0, 0.
    moved = Snapshot(model, tf.constant([[0.0, 0.0], [0.0, 4.0]]), reference=Reference.of(snapshot))
    expected = (2 + 2 + 0.02) / 4 / math.sqrt((1 + 1 + 1e-4) / 4)
    assert pre_activation_mean_shift(moved) == {"hidden": pytest.approx(expected, rel=1e-6)}
    expected = (3 + 3 + 1e-4) / (1 + 1 + 1e-4)
    assert pre_activation_variance_shift(moved) == {"hidden": pytest.approx(expected, rel=1e-6)}
    still = Snapshot(model, snapshot.inputs, reference=Reference.of(snapshot))
    assert [shift(still) for shift in SHIFTS] == [{"hidden": 0.0}] * 2


@BOTH
@pytest.mark.parametrize("per_position", [False, True])
def test_against_numpy(keras, per_position):
    model = models.cnn(keras)
    generator = np.random.default_rng(0)
    before = Snapshot(model, generator.standard_normal((4, 6, 6, 2)).astype("float32"))
    reference = Reference.of(before)
    old = {layer: values.numpy().astype("float64") for layer, values in before.pre_activations.items()}
    model.set_weights([each + generator.standard_normal(each.shape) for each in model.get_weights()])
    after = Snapshot(
        model, generator.standard_normal((5, 6, 6, 2)).astype("float32"), reference=reference, batch_size=3
    )
    mean_shift, variance_shift = (shift(after, per_position) for shift in SHIFTS)
    for layer, values in after.pre_activations.items():
        axes = 0 if per_position else tuple(range(values.ndim - 1))
        new = values.numpy().astype("float64")
        means, variances = [(each.mean(axes).ravel(), each.var(axes).ravel()) for each in (old[layer], new)]
        means, variances = zip(means, variances, strict=True)
        found = pre_activation_means(after, per_position)[layer]
        np.testing.assert_allclose(found, means[1], rtol=1e-5, atol=1e-6)
        found = pre_activation_variances(after, per_position)[layer]
        np.testing.assert_allclose(found, variances[1], rtol=1e-5)
        expected = np.abs(means[1] - means[0]).mean() / np.sqrt(variances[0].mean())
        assert mean_shift[layer] == pytest.approx(expected, rel=1e-5)
        expected = np.abs(variances[1] - variances[0]).sum() / variances[0].sum()
        assert variance_shift[layer] == pytest.approx(expected, rel=1e-5)


@BOTH
def test_a_thinned_histogram_is_of_all_units(keras):
    """One unit is ten times another; in equal steps of the flat array only one of them might be met."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "tanh", name="hidden")])
    model.add(keras.layers.Dense(1))
    model.get_layer("hidden").set_weights([np.array([[1.0, 10.0]]), np.zeros(2)])
    snapshot = Snapshot(model, np.ones((1000, 1), "float32"))
    full = pre_activation_histogram(snapshot)["hidden"]
    thinned = pre_activation_histogram(snapshot, max_values=100)["hidden"]
    assert full.shape == (2000,) and thinned.shape == (100,) and full.dtype == thinned.dtype == np.float64
    assert 40 <= np.count_nonzero(thinned == 10) <= 60 and set(thinned) == {1, 10}
    np.testing.assert_array_equal(thinned, pre_activation_histogram(snapshot, max_values=100)["hidden"])


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_edges(keras, dtype):
    """Zero weights: pre-activations are the biases, on constant inputs and in a batch of one."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(3, "relu", name="hidden", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(hidden))
    hidden = model.get_layer("hidden")
    hidden.set_weights([np.zeros((2, 3)), np.array([1.0, -1.0, 60000.0])])
    for batch in (1, 5):
        snapshot = Snapshot(model, tf.ones((batch, 2)), batch_size=2)
        big = float(tf.cast(60000.0, snapshot.pre_activations["hidden"].dtype))
        assert pre_activation_histogram(snapshot)["hidden"].tolist() == [1.0, -1.0, big] * batch
        assert pre_activation_means(snapshot)["hidden"].tolist() == [1.0, -1.0, big]
        assert pre_activation_variances(snapshot)["hidden"].tolist() == [0.0, 0.0, 0.0]
        snapshot.reference = Reference.of(snapshot)
        assert [shift(snapshot) for shift in SHIFTS] == [{"hidden": 0.0}] * 2
        hidden.set_weights([np.zeros((2, 3)), np.array([1.0, 1.0, 60000.0])])
        snapshot.refresh()
        assert [shift(snapshot)["hidden"] for shift in SHIFTS] == [
            math.inf,
            0.0,
        ]  # no variance to compare with
        hidden.set_weights([np.zeros((2, 3)), np.array([1.0, 1.0, np.nan])])
        snapshot.refresh()
        assert np.isnan([shift(snapshot)["hidden"] for shift in SHIFTS]).all()
        hidden.set_weights([np.zeros((2, 3)), np.array([1.0, -1.0, 60000.0])])


@BOTH
def test_unknown_pre_activations_are_nan(keras):
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(3, name="lstm"), keras.layers.Dense(1)])
    snapshot = Snapshot(model, tf.ones((5, 4, 2)))
    assert pre_activation_histogram(snapshot) == {}
    snapshot.reference = Reference.of(snapshot)
    for shift in SHIFTS:
        assert shift(snapshot) == pytest.approx(
            dict.fromkeys(snapshot.unit_statistics, math.nan), nan_ok=True
        )
    snapshot = Snapshot(models.bare(keras), tf.ones((5, 2)))
    snapshot.reference = Reference.of(snapshot)
    for shift in SHIFTS:
        assert shift(snapshot) == pytest.approx({"activated": 0.0, "bare": math.nan}, nan_ok=True)


def test_errors():
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((1, 2)))
    for shift in SHIFTS:
        with pytest.raises(
            ValueError, match=r"^`reference` must be given for quantities of change. Received: N"
        ):
            shift(snapshot)
    with pytest.raises(ValueError, match=r"^`max_values` must be an integer of at least 1. Received: 0$"):
        pre_activation_histogram(snapshot, max_values=0)
    reference = Reference.of(snapshot)
    for statistics, received in (({}, "none"), (_with_units(reference, 3), r"\[3\]")):
        snapshot.reference = dataclasses.replace(reference, unit_statistics=statistics)
        rule = rf"^`reference` must be of the same model, with units .* \[4\] in 'hidden'. Rec.*: {received}$"
        for shift in SHIFTS:
            with pytest.raises(ValueError, match=rule):
                shift(snapshot)


def _with_units(reference, count):
    statistics = reference.unit_statistics["hidden"]
    return {"hidden": dataclasses.replace(statistics, pre_mean=statistics.pre_mean[:count])}
