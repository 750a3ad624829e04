"""Layers with a linear output: features by default or for the asking, and a reason where there is nothing."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import diagnostics, networks
from tfplastic.diagnostics import Snapshot, diagnose, ranks
from tfplastic.diagnostics.reading import linear_layers

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
OF_MODEL = "no units and features: its outputs are the model's; `layers` gives its features"
LINEAR = "no units: its output is linear"
RANKS = {"feature_srank": ranks.srank, "feature_effective_rank": ranks.effective_rank}
RNG = np.random.default_rng(0)


def _check(report, name, features):
    """The quantities of features against singular values in float64."""
    values = np.linalg.svd(np.asarray(features, "float64").reshape(len(features), -1), compute_uv=False)
    for quantity, oracle in RANKS.items():
        assert report.to_dict()[quantity][name] == pytest.approx(oracle(values), rel=1e-4), quantity
    assert report.to_dict()["feature_spectral_norm"][name] == pytest.approx(values[0], rel=1e-5)
    np.testing.assert_allclose(
        report.arrays["feature_singular_values"][name], values, atol=2e-6 * max(values[0], 1)
    )


@BOTH
def test_a_bottleneck(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", name="first"),
            layers.Dense(3, name="bottleneck"),
            layers.Dense(8, "relu", name="second"),
            layers.Dense(4, name="code"),  # the last hidden representation
            layers.Dropout(0.5),
            layers.Dense(2, name="head"),
        ]
    )
    x = RNG.standard_normal((20, 6)).astype("float32")
    report = diagnose(model, x, budget="cheap")
    dead = report.to_dict()["dead_units"]
    assert list(dead) == ["first", "second"] and "code" not in report.to_dict()["saturated_units"]
    assert list(report.to_dict()["feature_srank"]) == ["first", "second", "bottleneck", "code"]
    first, bottleneck, second, code = (
        model.get_layer(name) for name in ("first", "bottleneck", "second", "code")
    )
    hidden = bottleneck(first(x))
    _check(report, "bottleneck", hidden)
    _check(report, "code", code(second(hidden)))
    assert report.left_out["bottleneck"] == report.left_out["code"] == LINEAR
    assert report.left_out["head"] == OF_MODEL and "first" not in report.left_out
    assert "head" in str(diagnose(model, x, budget="cheap", layers=["head"]).to_text(100))
    assert report.summary().splitlines()[-1] == "Left out: 5 quantities, see `left_out`."
    assert "Left out: bottleneck, code: no units: its output is linear" in report.to_text(200)


@BOTH
def test_any_named_layer_for_the_asking(keras):
    model = models.cnn(keras)
    x = RNG.standard_normal((5, 6, 6, 2)).astype("float32")
    flatten = model.layers[-4].name
    names = ["conv1", "conv2_norm", "conv2_relu", flatten, "output"]
    report = diagnose(model, x, budget="cheap", layers=names)
    assert set(report.to_dict()["feature_srank"]) == set(names)
    assert set(report.to_dict()["dead_units"]) == {"conv2_relu"}
    for name in names:
        _check(report, name, keras.Model(model.input, model.get_layer(name).output)(x))
    assert set(report.left_out) & set(names) == {"conv1", "conv2_norm", "output"}  # no units
    assert report.left_out["output"] == "no units: its outputs are the model's"
    chosen = Snapshot(model, x, layers="Conv2D", batch_size=2).linear_outputs
    assert {name: each.shape.as_list() for name, each in chosen.items()} == {
        "conv1": [5, 4, 4, 3],
        "conv2": [5, 2, 2, 4],
    }


@BOTH
def test_attention_embedding_and_the_input_of_the_head(keras):
    layers = keras.layers
    tokens = keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(11, 8, name="embedding")(tokens)
    attended = layers.MultiHeadAttention(2, 4, name="attention")(embedded, embedded)
    x = layers.LayerNormalization(name="norm")(layers.Add()([embedded, attended]))
    y = layers.Dense(8, name="project")(layers.Dense(16, "gelu", name="wide")(x))
    x = layers.LayerNormalization(name="last")(layers.Add()([x, y]))
    pooled = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(tokens, layers.Dense(3, name="head")(pooled))
    inputs = RNG.integers(0, 11, (16, 5))
    report = diagnose(model, inputs, budget="cheap")
    parts = [f"attention/{part}" for part in ("query", "key", "value", "attention_output")]
    linear = ["embedding", *parts, "norm", "project", "last"]
    assert set(report.to_dict()["feature_srank"]) == {"wide", *linear, "head:input"}
    _check(report, "embedding", keras.Model(tokens, embedded)(inputs))
    _check(report, "attention/attention_output", keras.Model(tokens, attended)(inputs))
    _check(report, "head:input", keras.Model(tokens, pooled)(inputs))
    layers_left_out = {name: why for name, why in report.left_out.items() if not why.startswith("needs")}
    assert layers_left_out == {**dict.fromkeys(linear, LINEAR), "head": OF_MODEL}


@BOTH
def test_what_another_layer_alone_takes_and_what_is_large(keras, monkeypatch):
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(2, 3, name="linear")(x)
    x = layers.Conv2D(2, 3, strides=2, name="small")(x)
    model = keras.Model(inputs, layers.Dense(1, name="head")(layers.Flatten()(x)))
    monkeypatch.setattr(linear_layers, "MOST_ENTRIES", 31)
    snapshot = Snapshot(model, RNG.standard_normal((4, 8, 8, 1)).astype("float32"))
    assert list(snapshot.activations) == ["relu"] and list(snapshot.linear_outputs) == ["small"]
    demand = "; `layers` gives its features"
    assert snapshot.left_out() == {
        "conv": f"no units and features: its outputs go to 'norm' alone{demand}",
        "norm": f"no units and features: its outputs go to 'relu' alone{demand}",
        "linear": "no units: its output is linear; "
        f"no features: its outputs have 32 entries for an example, more than 31{demand}",
        "small": LINEAR,
        "head": OF_MODEL,
    }
    assert snapshot.left_out(units=False)["linear"].startswith("no features: its outputs have 32 entries")
    assert snapshot.left_out(features=False)["conv"] == "no units: its outputs go to 'norm' alone"


@BOTH
def test_recurrent_shared_bare_and_uncalled_layers(keras):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.shared = keras.layers.Dense(4, name="shared")
            self.bare = keras.layers.Dense(4, name="bare")
            self.steps = keras.layers.TimeDistributed(keras.layers.Dense(3, name="dense"), name="steps")
            self.lstm = keras.layers.LSTM(3, name="lstm")
            self.unused = keras.layers.Dense(2, name="unused")
            self.head = keras.layers.Dense(1, name="head")

        def build(self, shape):
            for layer, width in ((self.shared, 4), (self.bare, 4), (self.unused, 4), (self.head, 3)):
                layer.build((None, width))
            self.steps.build((None, 5, 4))
            self.lstm.build((None, 5, 3))
            self.built = True

        def call(self, inputs):
            x = self.shared(self.shared(inputs))
            return self.head(self.lstm(self.steps(tf.nn.relu(self.bare(x)))))

    model = Model()
    model.build((None, 5, 4))
    x = RNG.standard_normal((6, 5, 4)).astype("float32")
    snapshot = Snapshot(model, x)
    assert list(snapshot.activations) == ["bare", "lstm"]
    assert list(snapshot.linear_outputs) == ["shared", "shared:1", "steps/dense"]
    np.testing.assert_allclose(snapshot.linear_outputs["shared:1"], model.shared(model.shared(x)), atol=1e-5)
    report = diagnose(model, x, budget="cheap")
    _check(report, "steps/dense", snapshot.linear_outputs["steps/dense"])
    reasons = snapshot.left_out()
    assert reasons["unused"] == "no units and features: the model does not call it"
    assert set(reasons) == {"shared", "steps/dense", "unused", "head"}


@BOTH
def test_masked_positions_are_zeros(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True, name="embedding"),
            layers.Dense(3, name="linear"),
            layers.LSTM(2, name="lstm"),
            layers.Dense(1, name="head"),
        ]
    )
    tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 0], [6, 1, 2, 3]], "int32")
    report = diagnose(model, tokens, budget="cheap")
    embedded = np.asarray(model.layers[0](tokens)) * (tokens > 0)[..., None]
    linear = (embedded @ np.asarray(model.layers[1].kernel)) * (tokens > 0)[..., None]
    _check(report, "embedding", embedded)
    _check(report, "linear", linear)


@BOTH
def test_the_rank_of_the_whole_network_is_of_nonlinearities_alone(keras):
    model = models.cnn(keras)
    snapshot = Snapshot(
        model, RNG.standard_normal((5, 6, 6, 2)).astype("float32"), layers=["conv1", "conv1_relu"]
    )
    by_layer = diagnostics.feature_srank(snapshot)
    assert set(by_layer) == {"conv1", "conv1_relu"}
    assert diagnostics.feature_srank_sum(snapshot) == {"all": by_layer["conv1_relu"]}
    report = diagnose(model, snapshot.inputs, budget="cheap", layers=["conv1"])
    assert report.to_dict()["feature_srank_sum"] == {}
    for name in ("feature_srank_sum", "dead_units"):
        assert report.left_out[name] == "needs a hidden nonlinearity, and no layer that is looked at has one"
    assert list(report.to_dict()["feature_srank"]) == ["conv1"] and "feature_srank" not in report.left_out


@BOTH
def test_a_pass_for_gradients_gives_the_same(keras):
    model = models.cnn(keras)
    model.compile("sgd", "mse")
    x = RNG.standard_normal((7, 6, 6, 2)).astype("float32")
    for chosen in (None, ["conv1", "output"]):
        alone = Snapshot(model, x, layers=chosen)
        both = Snapshot(model, x, np.ones((7, 2), "float32"), layers=chosen, batch_size=3)
        both.prepare(["activations", "linear_outputs", "gradients"])
        assert set(both._values) >= {"gradients", "linear_outputs"}
        assert list(both.linear_outputs) == list(alone.linear_outputs)
        for name, values in alone.linear_outputs.items():
            np.testing.assert_allclose(both.linear_outputs[name], values, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18", "vit"])
def test_activations_keep_their_bits(name):
    """Though the pass gives more: TensorFlow may fuse operations whose results nobody asks for."""
    build = {
        "mlp": lambda: networks.mlp(3, (16, 16), input_shape=(6,)),
        "cnn": lambda: networks.cnn(3, input_shape=(8, 8, 2), filters=(4, 4), hidden=(8,), norm="layer"),
        "resnet18": lambda: networks.resnet18(3, width=1 / 16, input_shape=(8, 8, 2)),
        "vit": lambda: networks.vit(3, input_shape=(8, 8, 2), model_dim=8, num_heads=2),
    }[name]
    model = build()
    x = RNG.standard_normal((4, *model.input_shape[1:])).astype("float32")
    more, less = Snapshot(model, x), Snapshot(model, x)
    more.prepare(["activations", "pre_activations", "linear_outputs", "mean_abs"])
    less.prepare(["activations", "pre_activations", "mean_abs"])
    assert list(more.activations) == list(less.activations)
    for layer, values in less.activations.items():
        np.testing.assert_array_equal(more.activations[layer], values)
        np.testing.assert_array_equal(
            more.statistics_with(["mean_abs"])[layer].mean_abs,
            less.statistics_with(["mean_abs"])[layer].mean_abs,
        )
