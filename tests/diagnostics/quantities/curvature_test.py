import functools
import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic import diagnostics, optimizers
from tfplastic._keras import is_legacy
from tfplastic.diagnostics import Snapshot, sharpness

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
KERAS = keras_2 if is_legacy() else keras_3
SCALARS = (
    diagnostics.sharpness,
    diagnostics.layer_sharpness,
    diagnostics.smallest_eigenvalue,
    diagnostics.hessian_condition_number,
    diagnostics.hessian_trace,
)


def _zero_targets_loss(targets, outputs):
    return tf.reduce_mean(outputs**2, axis=-1)


@BOTH
def test_linear_regression_in_closed_form(keras):
    """With z = (x, 1) the Hessian of the mean of (w.x + b - y)^2 / 2 is Z^T Z / n, whatever y is."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="only")])
    x = np.random.default_rng(0).standard_normal((20, 3)).astype("float32")
    z = np.concatenate([x, np.ones((20, 1))], axis=1)
    values = np.linalg.eigvalsh(z.T @ z / 20)
    snapshot = Snapshot(model, x, loss=lambda _, outputs: (outputs[:, 0] - 1) ** 2 / 2)
    expected = [values[-1], values[-1], values[0], values[-1] / values[0], values.sum()]
    for quantity, value in zip(SCALARS, expected, strict=True):
        assert quantity(snapshot)["all"] == pytest.approx(value, rel=1e-4)
    points = diagnostics.hessian_spectral_density(snapshot, num_points=5)["all"]
    assert points[0] == pytest.approx(values[0], rel=1e-4)
    assert points[-1] == pytest.approx(values[-1], rel=1e-4)
    assert set(np.round(points, 4)) <= set(np.round(values, 4)) and (np.diff(points) >= 0).all()


def test_against_the_dense_hessian_in_float64():
    keras = keras_3
    model, (inputs, targets) = models.mlp(keras, "tanh"), oracles.data((2,), 5)
    copy = oracles.double(keras, lambda keras: models.mlp(keras, "tanh"), model)
    dense = oracles.hessian(copy, inputs, targets)
    blocks = {"hidden": dense[:12, :12], "output": dense[12:, 12:], "all": dense}
    values = {name: np.linalg.eigvalsh(block) for name, block in blocks.items()}
    snapshot = Snapshot(model, inputs, targets, oracles.squares, batch_size=3)
    assert values["all"][0] < -0.01 < values["all"][-1]
    largest = {name: each[-1] for name, each in values.items()}
    assert sharpness(snapshot)["all"] == pytest.approx(largest["all"], rel=1e-3)
    assert sharpness(snapshot, max_steps=2)["all"] < largest["all"] * (1 - 1e-3)
    found = diagnostics.layer_sharpness(snapshot)
    largest["all"] = max(largest["hidden"], largest["output"])
    assert found == pytest.approx(largest, rel=1e-3)
    smallest = {name: each[0] for name, each in values.items()}
    found = diagnostics.smallest_eigenvalue(snapshot, by_layer=True)
    assert found == pytest.approx(smallest, rel=1e-2, abs=1e-5)
    condition = diagnostics.hessian_condition_number(snapshot)["all"]
    assert condition == pytest.approx(values["all"][-1] / values["all"][0], rel=1e-2) and condition < 0
    traces = {name: each.sum() for name, each in values.items()}
    assert diagnostics.hessian_trace(snapshot, by_layer=True) == pytest.approx(traces, rel=1e-4)
    points = diagnostics.hessian_spectral_density(snapshot, num_probes=20, num_points=1000)["all"]
    assert points[[0, -1]] == pytest.approx(values["all"][[0, -1]], rel=1e-2)
    assert points.mean() == pytest.approx(values["all"].mean(), rel=0.3)
    for epsilon, is_relative in ((0.2, True), (0.5, False)):
        least = epsilon * (abs(values["all"]).max() if is_relative else 1)
        expected = np.count_nonzero(abs(values["all"]) > least)
        assert 1 < expected < len(dense) - 2
        found = diagnostics.hessian_rank(snapshot, epsilon, is_relative, num_probes=20)["all"]
        assert found == pytest.approx(expected, abs=1.5)


def test_same_seed_same_bits_other_seed_other_bits():
    model, (inputs, targets) = models.cnn(keras_2), oracles.data((6, 6, 2), 2, 2)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    few = (
        functools.partial(sharpness, max_steps=3),
        functools.partial(diagnostics.hessian_rank, num_steps=3),
        functools.partial(diagnostics.hessian_trace, max_products=16),
        functools.partial(diagnostics.hessian_spectral_density, num_steps=3, num_points=9),
    )
    for quantity in few:
        values = []
        for seed in (0, 0, 1):
            snapshot.refresh()
            values.append(np.asarray(quantity(snapshot, seed=seed)["all"]))
        assert np.array_equal(values[0], values[1]) and not np.array_equal(values[0], values[2])


@BOTH
def test_edges(keras, monkeypatch):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    snapshot = Snapshot(model, inputs, loss=_zero_targets_loss)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    # f is the output bias b alone, and the loss b^2: lambda_1 is 2, all others are 0.
    assert sharpness(snapshot) == {"all": pytest.approx(2.0, rel=1e-6)}
    assert diagnostics.layer_sharpness(snapshot) == pytest.approx(
        {"hidden": 0, "output": 2, "all": 2}, abs=1e-6
    )
    largest = 1 / (10 * np.finfo(np.float32).eps)  # what rounding lets one know
    assert abs(diagnostics.hessian_condition_number(snapshot)["all"]) == pytest.approx(largest, rel=1e-3)
    flat = Snapshot(model, inputs, loss=lambda _, outputs: 0.0 * tf.reduce_sum(outputs, axis=-1))
    assert sharpness(flat) == {"all": 0.0} and diagnostics.hessian_trace(flat) == {"all": 0.0}
    assert diagnostics.hessian_rank(flat) == {"all": 0.0}
    assert math.isnan(diagnostics.hessian_condition_number(flat)["all"])
    assert not diagnostics.hessian_spectral_density(flat)["all"].any()
    with monkeypatch.context() as frozen:
        frozen.setattr(model, "trainable", False)
        assert math.isnan(
            diagnostics.layer_sharpness(Snapshot(model, inputs, loss=_zero_targets_loss))["all"]
        )
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    snapshot.refresh()
    assert all(math.isnan(quantity(snapshot)["all"]) for quantity in SCALARS)
    assert (
        np.isnan(diagnostics.hessian_spectral_density(snapshot, num_points=3)["all"]).tolist() == [True] * 3
    )


def _adams(keras):
    """Optimizers, and their divisors given v_hat and their correction sqrt(1 - beta_2^t)."""
    return {
        "keras": (keras.optimizers.Adam(0.01, epsilon=1e-2), lambda v, root: np.sqrt(v) + 1e-2 / root),
        "amsgrad": (keras.optimizers.Adam(0.01, epsilon=1e-2, amsgrad=True), None),
        "adamw": (keras.optimizers.AdamW(0.01, epsilon=1e-2), lambda v, root: np.sqrt(v) + 1e-2 / root),
        "scaled": (
            keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.01, epsilon=1e-2)),
            lambda v, root: np.sqrt(v) + 1e-2 / root,
        ),
    }


def _own():
    own = functools.partial(optimizers.adam, 0.01, epsilon=1e-2, epsilon_root=1e-3)
    return {
        "means": (
            own(bias_correction="means"),
            lambda v, root: np.sqrt(v + 1e-3) + 1e-2,
        ),
        "counts by entry": (
            own(bias_correction="means", per_entry_steps=True),
            lambda v, root: np.sqrt(v + 1e-3) + 1e-2,
        ),
        "step_size": (
            own(),
            lambda v, root: (np.sqrt(v * root**2 + 1e-3) + 1e-2) / root,
        ),
    }


CASES = [
    *((keras, name) for keras in (keras_2, keras_3) for name in _adams(keras)),
    *((KERAS, name) for name in _own()),
]


@pytest.mark.parametrize(("keras", "name"), CASES)
def test_preconditioned_sharpness(keras, name):
    optimizer, denominator = {**_adams(keras), **(_own() if keras is KERAS else {})}[name]
    model, (inputs, targets) = models.mlp(keras, "tanh"), oracles.data((2,), 5)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner.build(model.trainable_variables)
    mean_square, largest, beta = 0.0, 0.0, 0.999
    for step in range(1, 4):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(oracles.squares(targets, model(inputs, training=False)))
        gradients = tape.gradient(loss, model.trainable_variables)
        inner.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        flat = np.concatenate([np.ravel(each).astype("float64") for each in gradients])
        mean_square = beta * mean_square + (1 - beta) * flat**2
        largest = np.maximum(largest, mean_square)
        root = math.sqrt(1 - beta**step)
    divisor = (
        (np.sqrt(largest) + 1e-2) / root if denominator is None else denominator(mean_square / root**2, root)
    )
    copy = oracles.double(keras, lambda keras: models.mlp(keras, "tanh"), model)
    scales = 1 / np.sqrt(divisor)
    expected = np.linalg.eigvalsh(scales[:, None] * oracles.hessian(copy, inputs, targets) * scales)[-1]
    snapshot = Snapshot(model, inputs, targets, oracles.squares, optimizer=optimizer)
    assert diagnostics.preconditioned_sharpness(snapshot)["all"] == pytest.approx(expected, rel=1e-3)


@BOTH
def test_preconditioned_sharpness_is_nan_where_nothing_is_divided_by(keras):
    model, (inputs, targets) = models.mlp(keras), oracles.data((2,), 2)
    for optimizer in (keras.optimizers.Adam(), keras.optimizers.SGD(), keras.optimizers.Nadam()):
        snapshot = Snapshot(model, inputs, targets, oracles.squares, optimizer=optimizer)
        assert math.isnan(diagnostics.preconditioned_sharpness(snapshot)["all"])


def test_arguments():
    model, (inputs, targets) = models.mlp(keras_2), oracles.data((2,), 2)
    for quantity in (*SCALARS, diagnostics.hessian_spectral_density):
        with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
            quantity(Snapshot(model, inputs))
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    with pytest.raises(ValueError, match=r"^`optimizer` must be given for .+ Received: None$"):
        diagnostics.preconditioned_sharpness(snapshot)
    with pytest.raises(ValueError, match=r"^`num_points` must be an integer of at least 2\. Received: 1$"):
        diagnostics.hessian_spectral_density(snapshot, num_points=1)
