import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import Snapshot, gram_matrices
from tfplastic.diagnostics.quantities.shared.example_gradients import GramMatrices

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def _sequence(keras, seed=0):
    """A dense layer at three positions: its gradient is no outer product. And an embedding."""
    inputs = keras.Input((3,))
    vectors = keras.layers.Embedding(5, 4, name="embedding")(inputs)
    hidden = keras.layers.Dense(6, activation="tanh", name="positions")(vectors)
    shared = keras.layers.Dense(6, activation="tanh", name="shared")
    hidden = shared(shared(keras.layers.Flatten()(hidden)[:, :6]))
    model = keras.Model(inputs, keras.layers.Dense(2, name="output")(hidden))
    return models._with_random_weights(model, seed)


MODELS = {
    "mlp_one_example": (models.mlp, (2,), 1, 1),
    "cnn": (models.cnn, (6, 6, 2), 2, 7),
    "dropout_and_batch_norm": (models.stateful, (3,), 2, 7),
}


def _expected(rows):
    return {layer: each @ each.T for layer, each in rows.items()}


def _assert_close(found, expected, rtol=1e-5):
    assert list(found) == list(expected)
    for layer, matrix in expected.items():
        assert found[layer].dtype == np.float64
        np.testing.assert_allclose(found[layer], matrix, atol=rtol * np.abs(matrix).max() + 1e-30)


@BOTH
@pytest.mark.parametrize("name", MODELS)
def test_are_the_products_of_gradients_taken_one_by_one(keras, name):
    build, shape, outputs, count = MODELS[name]
    model, (inputs, targets) = build(keras), oracles.data(shape, count, outputs)
    rows = oracles.example_gradients(oracles.double(keras, build, model), inputs, targets)
    snapshot = Snapshot(model, inputs, targets, oracles.squares, batch_size=3)
    _assert_close(gram_matrices(snapshot), _expected(rows), rtol=1e-4 if name == "cnn" else 1e-5)


@BOTH
def test_positions_embeddings_and_shared_layers(keras):
    model = _sequence(keras)
    inputs, targets = np.array([[0, 1, 1], [4, 4, 4], [2, 0, 3], [1, 1, 1]]), oracles.data((), 4, 2)[1]
    rows = oracles.example_gradients(model, inputs, targets)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    _assert_close(gram_matrices(snapshot), _expected(rows))


@pytest.mark.parametrize("columns", [1, 60])
def test_parts_of_any_size_give_the_same(columns):
    model, (inputs, targets) = models.cnn(keras_2), oracles.data((6, 6, 2), 4, 2)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    weights = snapshot.weights if columns > 1 else {"conv1": snapshot.weights["conv1"][1:]}

    def loss(example):
        return snapshot.losses_of(tf.nest.map_structure(lambda each: each[tf.newaxis], example))[0]

    matrices = GramMatrices("loss", loss, weights, snapshot.examples, max_bytes=4 * 4 * columns)
    found, whole = matrices(), GramMatrices("loss", loss, weights, snapshot.examples)()
    _assert_close(found, whole, rtol=1e-12)
    sizes = [sum(last - first for _, first, last in key) for key in matrices._programs if key != "factors"]
    # All but the dense layers' matrices, of which conv1 has 54 entries and conv2 108.
    assert max(sizes) == columns and len(sizes) > 2


def test_an_outer_product_is_kept_as_its_factors_only_where_it_is_one():
    model, (inputs, targets) = models.mlp(keras_2), oracles.data((2,), 4)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)

    def rows_made(loss):
        matrices = GramMatrices("loss", loss, {"hidden": snapshot.weights["hidden"][:1]}, snapshot.examples)
        matrices()
        return [key for key in matrices._programs if key != "factors"]

    def loss(example):
        return snapshot.losses_of(tf.nest.map_structure(lambda each: each[tf.newaxis], example))[0]

    def penalized(example):
        return loss(example) + tf.reduce_sum(snapshot.weights["hidden"][0] ** 2)

    assert rows_made(loss) == [] and rows_made(penalized) == [((0, 0, 8),)]


def test_first_examples_chosen_layers_and_refresh():
    model, (inputs, targets) = models.mlp(keras_3), oracles.data((2,), 5)
    whole = gram_matrices(Snapshot(model, inputs, targets, oracles.squares))
    snapshot = Snapshot(model, inputs, targets, oracles.squares, layers=["output"])
    part = gram_matrices(snapshot, num_examples=3)
    assert list(part) == ["output", "all"]
    np.testing.assert_array_equal(part["output"], part["all"])
    np.testing.assert_allclose(part["output"], whole["output"][:3, :3], rtol=1e-6)
    assert gram_matrices(snapshot, num_examples=3)["all"] is part["all"]
    model.set_weights([2 * weight for weight in model.get_weights()])
    snapshot.refresh()
    again = gram_matrices(snapshot, num_examples=3)
    rows = oracles.example_gradients(model, inputs[:3], targets[:3])
    np.testing.assert_allclose(again["all"], _expected(rows)["output"], rtol=1e-5)


def test_edges():
    model, (inputs, targets) = models.mlp(keras_2), oracles.data((2,), 3)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    zero = gram_matrices(Snapshot(model, inputs, 0 * targets, oracles.squares))
    assert not any(each.any() for each in zero.values())
    one_bad = gram_matrices(Snapshot(model, inputs, targets * [[1], [np.nan], [1]], oracles.squares))["all"]
    assert np.isnan(one_bad[1]).all() and np.isfinite(one_bad[::2, ::2]).all()
    # Gradients whose squares float32 cannot hold: 2 (x - y) is -2e-25.
    tiny = gram_matrices(Snapshot(model, inputs, np.full((3, 1), 1e-25, "float32"), oracles.squares))
    np.testing.assert_allclose(tiny["all"], np.full((3, 3), 4e-50), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "float64"])
def test_other_dtypes(dtype):
    keras = keras_2 if dtype == "mixed_float16" else keras_3
    with oracles.policy(keras, dtype):
        model = models.mlp(keras)
    inputs, targets = oracles.data((2,), 3)
    rows = oracles.example_gradients(oracles.double(keras, models.mlp, model), inputs, targets)
    found = gram_matrices(Snapshot(model, inputs, targets, oracles.squares))
    _assert_close(found, _expected(rows), rtol=1e-6 if dtype == "float64" else 0.05)


def test_losses_that_call_the_model_themselves():
    """A temporal difference: two calls of the model for each example, one without a gradient."""
    model, (inputs, targets) = models.mlp(keras_2), oracles.data((2,), 4)
    batch = {"now": inputs, "next": inputs[::-1].copy(), "reward": targets}

    def loss(batch):
        target = batch["reward"] + 0.9 * tf.stop_gradient(model(batch["next"], training=False))
        return oracles.squares(target, model(batch["now"], training=False))

    target = targets + 0.9 * model(batch["next"]).numpy()
    expected = _expected(oracles.example_gradients(model, inputs, target))
    _assert_close(gram_matrices(Snapshot(model, inputs, batch, example_losses=loss)), expected)


@BOTH
def test_arguments(keras):
    model, (inputs, targets) = models.mlp(keras), oracles.data((2,), 3)
    with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
        gram_matrices(Snapshot(model, inputs))
    rule = r"^`num_examples` must be an integer of at least 1\. Received: 0$"
    with pytest.raises(ValueError, match=rule):
        gram_matrices(Snapshot(model, inputs, targets, oracles.squares), num_examples=0)
