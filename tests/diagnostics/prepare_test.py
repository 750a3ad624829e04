"""Work that `measure` does for many quantities in one pass, and the sums that need none."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import diagnostics
from tfplastic._tf import read_only
from tfplastic.diagnostics import Snapshot, measure
from tfplastic.diagnostics.quantities.shared.blockwise_sums import magnitude_sum, square_sum, summed

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
QUANTITIES = [
    diagnostics.dormant_units,
    diagnostics.active_units,
    diagnostics.saturated_units,
    diagnostics.linearized_units,
    diagnostics.pre_activation_means,
    diagnostics.feature_effective_rank,
    diagnostics.gradient_norm,
]
INPUTS = np.random.default_rng(0).standard_normal((5, 6, 6, 2)).astype("float32")


@pytest.fixture
def made(monkeypatch):
    """The programs that run, each time they do."""
    runs = []
    call = read_only.ReadOnlyProgram.__call__
    monkeypatch.setattr(
        read_only.ReadOnlyProgram, "__call__", lambda self, *blocks: runs.append(self) or call(self, *blocks)
    )
    return runs


def _calls_model(model, training=False, extra=0.0):
    return lambda batch: tf.reduce_sum(
        model(batch + extra if extra else batch, training=training) ** 2, axis=1
    )


def _convolutions(program):
    return sum("Conv2D" in node.op and "Backprop" not in node.op for node in program.nodes())


@BOTH
@pytest.mark.parametrize("batch_size", [512, 2])
def test_one_pass_gives_what_each_quantity_gives_alone(keras, batch_size, made):
    model, inputs = models.cnn(keras), tf.constant(INPUTS)
    losses = _calls_model(model)
    snapshot = Snapshot(model, inputs, inputs, example_losses=losses, batch_size=batch_size)
    found = measure(snapshot, QUANTITIES)
    assert len(made) == (1 if batch_size == 512 else 3) and len(set(made)) == 1
    assert _convolutions(made[0]) == 2  # the loss's pass is the only one
    for quantity in QUANTITIES:
        alone = quantity(Snapshot(model, inputs, inputs, example_losses=losses, batch_size=batch_size))
        assert list(found[quantity.__name__]) == list(alone)
        for layer, value in alone.items():
            np.testing.assert_allclose(found[quantity.__name__][layer], value, rtol=1e-6, atol=1e-12)
    loss = Snapshot(model, inputs, inputs, example_losses=losses).loss
    np.testing.assert_allclose(snapshot.loss, loss, rtol=1e-6)
    count = len(made)
    snapshot.refresh()
    measure(snapshot, QUANTITIES)
    assert set(made[count:]) == {made[0]}  # without another trace


@BOTH
@pytest.mark.parametrize(
    ("arguments", "is_copy"), [({"extra": 1.0}, False), ({"training": None}, False), ({}, True)]
)
def test_a_loss_with_another_pass_keeps_its_own(keras, arguments, is_copy, made):
    """A pass over other inputs, in an unknown mode, or over inputs that only look the same."""
    model, inputs = models.cnn(keras), tf.constant(INPUTS)
    targets = tf.constant(INPUTS) if is_copy else inputs
    snapshot = Snapshot(model, inputs, targets, example_losses=_calls_model(model, **arguments))
    found = measure(snapshot, QUANTITIES)
    assert _convolutions(made[-1]) == 4
    for name in ("dormant_units", "feature_effective_rank"):
        alone = getattr(diagnostics, name)(Snapshot(model, inputs))
        assert found[name] == pytest.approx(alone, rel=1e-6)


@BOTH
def test_a_loss_of_outputs_shares_the_pass(keras, made):
    snapshot = Snapshot(models.cnn(keras), INPUTS, np.zeros((5, 2), "float32"), "mse")
    measure(snapshot, QUANTITIES)
    assert len(made) == 1 and _convolutions(made[0]) == 2


def test_arrays_that_nobody_reads_are_not_made():
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((3, 2)))
    measure(snapshot, [diagnostics.dead_units])
    (prepared,) = snapshot.statistics_with(["mean_abs"]).values()
    assert prepared.mean is None and prepared.by_channel().variance is None
    (whole,) = snapshot.statistics_with(["mean_abs", "mean"]).values()
    np.testing.assert_array_equal(whole.mean_abs, prepared.mean_abs)
    assert whole.mean is not None


@pytest.mark.parametrize("batch_size", [2, 512])
def test_variances_alone_may_be_prepared(batch_size):
    inputs = np.random.default_rng(0).standard_normal((5, 2)).astype("float32")
    snapshot = Snapshot(models.mlp(keras_2), inputs, batch_size=batch_size)
    snapshot.prepare(["variance"])
    (prepared,) = snapshot.statistics_with(["variance"]).values()
    assert prepared.mean_abs is None
    snapshot.refresh()
    (whole,) = snapshot.unit_statistics.values()
    np.testing.assert_allclose(prepared.variance, whole.variance, rtol=1e-12)
    np.testing.assert_allclose(prepared.by_channel().variance, whole.by_channel().variance, rtol=1e-12)


def test_errors_come_from_the_quantity():
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((3, 2)))
    with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given"):
        measure(snapshot, QUANTITIES)
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((3, 2)), loss=lambda targets, outputs: tf.zeros([7]))
    with pytest.raises(ValueError, match=r"^`loss` must return a loss for each example"):
        measure(snapshot, QUANTITIES)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_sums(dtype):
    values = tf.cast(np.random.default_rng(0).standard_normal((300, 700)), dtype)
    exact = tf.cast(values, tf.float64).numpy()
    for tensor in (values, tf.Variable(values)):
        assert summed(tensor, square_sum) == pytest.approx((exact**2).sum(), rel=1e-12)
        assert summed(tensor, magnitude_sum) == pytest.approx(np.abs(exact).sum(), rel=1e-12)
        np.testing.assert_array_equal(tf.cast(tensor, tf.float64), exact)  # untouched
    assert np.isnan(summed(tf.constant([1.0, np.nan]), square_sum))
    assert summed(tf.zeros([0]), square_sum) == 0.0
