"""The one line: the quantities of a budget, and those left out with a reason, in either Keras."""

import functools
import math
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import diagnostics
from tfplastic.diagnostics import Reference, Report, Snapshot, diagnose
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.reading.model_layers import named_layers

EITHER_KERAS = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
X = np.random.default_rng(0).normal(size=(7, 6, 6, 2)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)


def measured(report):
    return {*report.to_dict(), *report.arrays}


def report_on(keras, model, x, y, budget):
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    reference = Reference.of(Snapshot(model, x))
    before = [each.numpy() for each in model.variables]
    report = diagnose(model, x, y, "mse", budget, optimizer=optimizer, reference=reference)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    assert all(layer in named_layers(model) for layer in report.left_out)  # no quantity
    assert measured(report) == {each.__name__ for each in BUDGETS[budget]}
    return report


@EITHER_KERAS
def test_everything_of_the_full_budget_is_there(keras):
    x, y = np.array([[1.0, 2.0], [3.0, 0.0], [0.5, -1.0]], np.float32), np.ones([3, 1], np.float32)
    report = report_on(keras, models.mlp(keras), x, y, "full")
    assert "sharpness" in str(report)


@pytest.mark.parametrize(("keras", "budget"), [(keras_2, "cheap"), (keras_3, "medium")])
def test_everything_of_a_smaller_budget_is_there(keras, budget):
    model = models.cnn(keras)
    report = report_on(keras, model, X, Y, budget)
    snapshot = Snapshot(model, X)
    assert report.to_dict()["dead_units"] == diagnostics.dead_units(snapshot)
    assert report.to_dict()["weight_norm"] == diagnostics.weight_norm(snapshot)
    index = list(report.to_pandas().index)
    names = ["conv1", "conv1_relu", "conv2", "conv2_relu", "dense", "dense_tanh", "output", "all"]
    assert [name for name in index if name in names] == names
    lines = report.to_text(80).splitlines()
    assert max(map(len, lines)) <= 80
    titles = {line.split("  ")[0] for line in lines}
    assert {"units", "feature ranks", "weights", "weight ranks"} <= titles
    assert ("gradients" in titles) == (budget != "cheap")


@EITHER_KERAS
def test_what_lacks_an_argument_is_left_out_and_said(keras):
    report = diagnose(models.mlp(keras), np.ones([3, 2], np.float32), budget="full")
    for name, needs in {
        "gradient_norm": "`loss`",
        "distance_from_init": "`reference`",
        "churn": "`loss` and `optimizer`",
    }.items():
        assert report.left_out[name] == f"needs {needs}"
    missing = set(report.left_out) - {"output"}  # which has no hidden units
    assert measured(report) | missing == {each.__name__ for each in BUDGETS["full"]}
    assert not measured(report) & set(report.left_out)
    assert {"dead_units", "weight_norm", "ntk_rank"} <= measured(report)
    assert "Left out: " in str(report) and "needs `loss` and `optimizer`" in report.to_text(300)


def test_a_quantity_that_does_not_suit_the_model_is_left_out_with_what_it_says():
    """Half of the weights in float16: products with the Hessian are refused."""
    model = keras_2.Sequential(
        [
            keras_2.Input((2,)),
            keras_2.layers.Dense(3, "relu", name="hidden", dtype="float16"),
            keras_2.layers.Dense(1, name="output"),
        ]
    )
    report = diagnose(model, np.ones([3, 2], np.float32), np.ones([3, 1], np.float32), "mse", "full")
    assert report.left_out["sharpness"].startswith("`variables` must be all float32 or all float64.")
    assert {"dead_units", "weight_norm", "gradient_norm"} <= measured(report)


def test_a_model_that_measuring_would_change_is_refused():
    class Counting(keras_2.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras_2.layers.Dense(1)
            self.calls = tf.Variable(0.0, trainable=False)

        def call(self, inputs):
            self.calls.assign_add(1.0)
            return self.dense(inputs)

    model = Counting()
    model(np.ones([2, 2], np.float32))
    with pytest.raises(ValueError, match=r"^`model` must neither write variables"):
        diagnose(model, np.ones([2, 2], np.float32))
    assert float(model.calls) == 1


def test_quantities_of_ones_own():
    def twice(snapshot):
        return {"all": 2.0 * len(snapshot.inputs)}

    quantities = {
        "strict": functools.partial(diagnostics.dormant_units, tau=0),
        "lax": functools.partial(diagnostics.dormant_units, tau=0.1),
        "twice": twice,
    }
    inputs = np.array([[1.0, 2.0], [3.0, 0.0]], np.float32)
    report = diagnose(models.mlp(keras_2), inputs, quantities=quantities)
    assert report.to_dict() == {
        "strict": {"hidden": 0.5},
        "lax": {"hidden": 0.75},
        "twice": {"all": 4.0},
    }
    assert report.to_text(80).splitlines()[0].split() == ["units", "strict", "lax"]
    with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given "):
        diagnose(models.mlp(keras_2), inputs, quantities=[diagnostics.gradient_norm])


def test_arguments_reach_the_snapshot():
    model, inputs = models.cnn(keras_2), X
    whole = diagnose(model, inputs, budget="cheap").to_dict()
    blocks = diagnose(model, inputs, budget="cheap", batch_size=2).to_dict()
    for quantity, by_layer in whole.items():
        for layer, value in by_layer.items():
            assert blocks[quantity][layer] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), quantity
    chosen = diagnose(model, inputs, budget="cheap", layers=["conv2", "conv2_relu"])
    assert set(chosen.to_pandas().index) == {"conv2", "conv2_relu", "all"}


@EITHER_KERAS
def test_a_bare_function_is_nan_with_a_footnote(keras):
    class Bare(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(4, name="inner")

        def build(self, input_shape):
            self.dense.build(input_shape)
            super().build(input_shape)

        def call(self, inputs):
            return tf.function(tf.nn.relu)(self.dense(inputs))  # a bare function that is recorded has none

    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(5, activation="relu", name="known")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(Bare(name="bare")(hidden)))
    report = diagnose(model, np.ones([4, 3], np.float32), budget="cheap")
    (layer,) = report.reasons
    assert math.isnan(report.to_dict()["dead_units"][layer])
    assert not math.isnan(report.to_dict()["dead_units"]["known"])
    text = report.to_text(120)
    assert "NaN (1)" in text and f"(1) {layer}: " in text


@pytest.mark.parametrize("edge", ["batch_of_one", "all_dead", "zero_weights", "constant_inputs"])
def test_edge_cases_make_a_whole_report(edge):
    model = models.cnn(keras_2)
    inputs, targets = X, Y
    if edge == "batch_of_one":
        inputs, targets = X[:1], Y[:1]
    elif edge == "constant_inputs":
        inputs = np.ones_like(X)
    else:
        scale = 0.0 if edge == "zero_weights" else 1.0
        for variable in model.trainable_variables:
            variable.assign(scale * variable - (0.0 if scale == 0 else 100.0 * ("beta" in variable.name)))
    optimizer = keras_2.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    report = diagnose(model, inputs, targets, "mse", "medium", optimizer=optimizer)
    of_layers = {"conv1", "conv1_norm", "conv2", "conv2_norm", "dense", "output"}
    assert {report.left_out[name] for name in set(report.left_out) - of_layers} == {"needs `reference`"}
    assert of_layers <= set(report.left_out)
    assert isinstance(report, Report) and report.to_text(80)
    if edge == "all_dead":
        assert report.to_dict()["dead_units"]["conv1_relu"] == 1


def test_errors():
    model = models.mlp(keras_2)
    with pytest.raises(
        ValueError, match=r"^`budget` must be one of 'cheap', 'medium', 'full'\. Received: 'all'"
    ):
        diagnose(model, np.ones([3, 2], np.float32), budget="all")
    wrong: Any = ["dead_units"]
    with pytest.raises(TypeError, match=r"^`quantities` must hold functions of a snapshot\. "):
        diagnose(model, np.ones([3, 2], np.float32), quantities=wrong)


@EITHER_KERAS
def test_a_compiled_loss_of_one_output_of_two(keras):
    inputs = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "mse"})
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[1.0], [0.0]], np.float32)
    report = diagnose(model, x, {"a": y}, quantities=[diagnostics.gradient_norm])
    expected = diagnostics.gradient_norm(Snapshot(model, x, {"a": y}))
    assert report.to_dict()["gradient_norm"] == expected and expected["a"] > 0


def test_targets_of_too_few_outputs_are_an_error_of_the_compiled_loss():
    inputs = keras_3.Input((2,))
    model = keras_3.Model(inputs, [keras_3.layers.Dense(1)(inputs), keras_3.layers.Dense(1)(inputs)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="^`loss` must fit the model's outputs and `targets`"):
        diagnose(model, np.ones((2, 2)), [np.ones((2, 1))], quantities=[diagnostics.gradient_norm])


@EITHER_KERAS
def test_the_summary_says_what_is_wrong_with_the_loss(keras):
    model, x, labels = models.mlp(keras), np.ones([3, 2], np.float32), np.array([0, 1, 0])
    missing = diagnose(model, x, labels).summary()
    assert missing.endswith("see `left_out`. No quantities of the loss: `loss` is missing.")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    misfit = diagnose(model, x, np.zeros([3, 2]), loss).summary().splitlines()[-1]
    assert (
        "left_out`. No quantities of the loss: `loss` must fit the model's outputs and `targets`. R" in misfit
    )
    for targets in ((), (labels,)):  # nothing is wrong: no targets, or no quantity of the loss
        assert "No quantities" not in diagnose(model, x, *targets, budget="cheap").summary()
    assert "No quantities" not in diagnose(model, x).summary()


def test_the_name_of_a_file_is_not_a_batch():
    with pytest.raises(ValueError, match="^`inputs` must be arrays, not the name of a file. Received: the "):
        diagnose(models.mlp(keras_2), "data.csv")
    with pytest.raises(ValueError, match="^`inputs` must be an array of numbers. Received: texts of shape"):
        diagnose(models.mlp(keras_2), ["a.csv", "b.csv"])
