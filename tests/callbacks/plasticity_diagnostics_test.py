"""The callback: its steps, its values, and training that is the same with and without it."""

import functools
import math
from typing import Any, cast

import keras as keras_3
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras_2
from absl import logging

import tfplastic as tp
from tests.diagnostics import models
from tfplastic._keras import keras as own_keras
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, dead_units, distance_from_init, gradient_norm, weight_norm
from tfplastic.training import PlasticModel

EITHER_KERAS = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(40, 3)).astype(np.float32)
Y = GENERATOR.normal(size=(40, 2)).astype(np.float32)
QUANTITIES = [dead_units, weight_norm]


def make(keras):
    """With Dropout and BatchNorm, which a forward pass in training mode would disturb."""
    keras.utils.set_random_seed(1)
    model = models.stateful(keras)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    return model


def train(model, *callbacks, epochs=2, **arguments):
    """5 gradient steps an epoch."""
    tf.random.set_seed(0)
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **arguments)


def state(model):
    slots: Any = model.optimizer.variables
    slots = slots() if callable(slots) else slots
    return [np.asarray(each) for each in [*model.variables, *slots]]


def steps(callback, quantity="weight_norm", layer="all"):
    rows = [row for row in callback.history if (row["quantity"], row["layer"]) == (quantity, layer)]
    return [row["step"] for row in rows]


@EITHER_KERAS
@pytest.mark.parametrize("budget", ["cheap", "medium"])
def test_training_goes_on_as_without_it(keras, budget, tmp_path):
    plain, watched = make(keras), make(keras)
    train(plain)
    callback = PlasticityDiagnostics(X[:9], Y[:9], every=3, log_dir=tmp_path, budget=budget)
    keras.utils.set_random_seed(1)
    train(watched, callback)
    assert steps(callback) == [0, 3, 6, 9]
    assert callback.left_out == {} and set(callback.left_out_layers) == {"norm", "output"}
    for one, other in zip(state(plain), state(watched), strict=True):
        np.testing.assert_array_equal(one, other)


@EITHER_KERAS
def test_values_are_those_of_the_weights_at_their_step(keras):
    model = make(keras)
    expected = []

    class Alongside(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            snapshot = Snapshot(model, X[:4], Y[:4], "mse")
            expected.append((weight_norm(snapshot)["all"], gradient_norm(snapshot)["dense"]))

    callback = PlasticityDiagnostics(X[:4], Y[:4], every=2, quantities=[weight_norm, gradient_norm])
    train(model, Alongside(), callback)
    table: Any = pd.DataFrame(callback.history).set_index(["quantity", "layer", "step"])["value"]
    for step in (2, 4, 6, 8, 10):
        assert table["weight_norm", "all", step] == expected[step - 1][0]
        assert table["gradient_norm", "dense", step] == pytest.approx(expected[step - 1][1], rel=1e-5)


@EITHER_KERAS
def test_change_is_from_the_first_begin_of_training_and_steps_go_on(keras):
    model = make(keras)
    start = np.concatenate([np.ravel(each) for each in model.trainable_variables]).astype(np.float64)
    callback = PlasticityDiagnostics(X, every=5, quantities=[distance_from_init])
    for _ in range(2):
        train(model, callback, epochs=1)
    assert callback.step == 10
    values = {row["step"]: row["value"] for row in callback.history if row["layer"] == "all"}
    assert list(values) == [0, 5, 10]
    assert values[0] == 0 < values[5] < values[10]
    end = np.concatenate([np.ravel(each) for each in model.trainable_variables])
    assert values[10] == pytest.approx(np.linalg.norm(end - start), rel=1e-5)


@EITHER_KERAS
def test_steps_that_keras_does_not_report_are_made_up_for(keras):
    keras.utils.set_random_seed(1)
    model = models.stateful(keras)
    model.compile("sgd", "mse", steps_per_execution=2, jit_compile=False)
    callback = PlasticityDiagnostics(X, every=3, quantities=QUANTITIES)
    model.fit(X, Y, batch_size=5, epochs=2, verbose=0, callbacks=[callback])  # 8 steps an epoch
    assert callback.step == 16
    assert steps(callback) == [0, 4, 6, 10, 12, 16]


def test_numbers_and_arrays_are_written_under_their_tags(tmp_path):
    callback = PlasticityDiagnostics(X, Y, every=4, log_dir=tmp_path, budget="medium")
    train(make(own_keras), callback)
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()[1:]]
    written = {(int(step), tag): float(value) for step, tag, value in rows}
    for row in callback.history:
        value = written[row["step"], f"diagnostics/{row['quantity']}/{row['layer']}"]
        assert value == row["value"] or math.isnan(value) and math.isnan(row["value"])
    assert len(written) == len(callback.history) > 100
    with np.load(tmp_path / "arrays/diagnostics/pre_activation_histogram/dense/8.npz") as arrays:
        assert arrays["counts"].sum() == 40 * 6
    assert any(path.name.startswith("events.out.tfevents") for path in tmp_path.iterdir())


def test_what_cannot_be_measured_is_left_out_and_said():
    callback = PlasticityDiagnostics(X, every=100, budget="medium")
    train(make(own_keras), callback, epochs=1)
    assert callback.left_out["gradient_norm"] == "needs `loss`"
    assert {row["quantity"] for row in callback.history}.isdisjoint(callback.left_out)
    assert steps(callback, "weight_norm") == [0]


def test_with_a_plastic_model():
    model = PlasticModel(tp.networks.mlp(2, (4,), input_shape=(3,)))
    model.compile("sgd", "mse", mitigations=[tp.mitigations.ShrinkAndPerturb(period=2)])
    callback = PlasticityDiagnostics(X, Y, every=5, quantities=[dead_units, gradient_norm])
    train(model, callback)
    assert steps(callback, "dead_units", "hidden1_relu") == [0, 5, 10]  # as below the network alone
    assert steps(callback, "gradient_norm", "output") == [0, 5, 10]


def test_errors():
    with pytest.raises(ValueError, match=r"^`every` must be an integer of at least 1\. Received: 0$"):
        PlasticityDiagnostics(X, every=0)
    with pytest.raises(ValueError, match=r"^`budget` must be one of 'cheap', 'medium', 'full'\. Received: "):
        PlasticityDiagnostics(X, budget="small")
    with pytest.raises(ValueError, match=r"^`budget` must be one of .*\. Received: 'small'$"):
        PlasticityDiagnostics(X, budget="small", quantities=QUANTITIES)
    callback = PlasticityDiagnostics(X, quantities=QUANTITIES)
    unbuilt = own_keras.Sequential([own_keras.layers.Dense(2)], name="unbuilt")
    unbuilt.compile("sgd", "mse")
    train(unbuilt, callback, epochs=1)  # builds it, as `fit` would do
    with pytest.raises(ValueError, match=r"^The callback must watch one model, "):
        train(make(own_keras), callback)
    callback = PlasticityDiagnostics(X, quantities=[gradient_norm])
    with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given "):
        train(make(own_keras), callback)


def test_with_a_legacy_optimizer_and_a_solver_that_does_not_converge(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    model: Any = models.mlp(keras_2)
    model.compile(keras_2.optimizers.legacy.Adam(0.01), "mse")
    short = functools.partial(tp.diagnostics.sharpness, max_steps=1)
    quantities = {"churn": tp.diagnostics.churn, "sharpness": short}
    callback = PlasticityDiagnostics(X[:8, :2], Y[:8, :1], every=1, quantities=quantities)
    model.fit(X[:16, :2], Y[:16, :1], batch_size=8, verbose=0, callbacks=[callback])
    values = [each["value"] for each in callback.history if each["quantity"] == "churn"]
    assert len(values) == 3 and all(value > 0 for value in values) and not callback.left_out
    assert len(lines) == 1 and "Largest eigenvalue of the Hessian: not converged for all." in lines[0]


@pytest.mark.parametrize("below", ["", "logs"])
def test_a_log_dir_that_is_a_file_is_refused_at_once(below, tmp_path):
    path, no_path = tmp_path / "taken", cast(Any, 3)
    path.write_text("")
    with pytest.raises(
        ValueError, match="^`log_dir` must be a directory. Received: '.*', where .*taken is a"
    ):
        PlasticityDiagnostics(X, log_dir=path / below)
    with pytest.raises(TypeError, match=r"^`log_dir` must be a directory. Received: 3$"):
        PlasticityDiagnostics(X, log_dir=no_path)


def test_the_metrics_of_another_fit_are_named_and_those_of_the_same_callback_continued(tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(logging, "warning", lambda text, *parts: told.append(text % parts))
    model = keras_2.Sequential([keras_2.layers.Dense(2, input_shape=(3,))])

    def begin(callback):
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_train_batch_end(0)
        callback.on_train_end()

    first = PlasticityDiagnostics(X[:4], every=1, log_dir=tmp_path, quantities=[weight_norm])
    begin(first)
    begin(first)  # a second fit of one callback
    assert told == []
    begin(PlasticityDiagnostics(X[:4], every=1, log_dir=tmp_path, quantities=[weight_norm]))
    assert told == [
        f"PlasticityDiagnostics: {tmp_path} holds steps 0 to 1 of another fit; give another log_dir."
    ]
