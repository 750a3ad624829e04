"""Unit statistics, features and outputs where Keras masks positions, against numpy on the others."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import diagnostics
from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics import Reference, Snapshot

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
TOKENS = np.array([[1, 2, 0, 0], [3, 4, 5, 0], [1, 0, 0, 0], [2, 6, 0, 0], [0, 3, 1, 0]])
KEPT = TOKENS != 0  # the last position counts in no example
VALUES = np.where(KEPT[..., None], np.random.default_rng(0).normal(size=(5, 4, 2)), 0).astype(np.float32)


def _recurrent(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Embedding(7, 3, mask_zero=True),
            layers.LSTM(4, return_sequences=True, name="lstm"),
            layers.Dense(5, "relu", name="hidden"),
            layers.Dense(1),
        ]
    )


def _time_distributed(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4, 2)),
            layers.Masking(),
            layers.GRU(3, return_sequences=True, name="gru"),
            layers.TimeDistributed(layers.Dense(5, "relu"), name="each"),
            layers.Dense(1),
        ]
    )


def _both_ways(keras):
    layers = keras.layers
    lstm = layers.LSTM(4, return_sequences=True, name="lstm")
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Embedding(7, 3, mask_zero=True),
            layers.Bidirectional(lstm, name="both"),
            layers.Dense(1),
        ]
    )


def _attention(keras):
    """A residual sum, at which Keras loses the mask."""
    layers = keras.layers
    inputs = keras.Input((None,))
    words = layers.Embedding(7, 4, mask_zero=True)(inputs)
    hidden = layers.LayerNormalization()(words + layers.MultiHeadAttention(2, 3)(words, words))
    hidden = layers.Dense(6, "relu", name="hidden")(hidden)
    return keras.Model(inputs, layers.Dense(2)(hidden))


def _subclassed(keras):
    """Bare functions in `call`, and a layer that passes no mask on."""
    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.supports_masking = True
            self.attention = layers.MultiHeadAttention(2, 3)
            self.wide, self.narrow = layers.Dense(6, name="wide"), layers.Dense(4, name="narrow")

        def call(self, inputs):
            hidden = inputs + self.attention(inputs, inputs)
            return hidden + self.narrow(tf.nn.relu(self.wide(hidden)))

    inputs = keras.Input((4,))
    hidden = Block()(layers.Embedding(7, 4, mask_zero=True)(inputs))
    return keras.Model(inputs, layers.Dense(1)(layers.Dense(3, "tanh", name="hidden")(hidden)))


def _explicit(keras):
    class Explicit(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = keras.layers.LSTM(3, return_sequences=True, name="lstm")
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(self.lstm(inputs, mask=tf.reduce_any(inputs != 0, axis=-1)))

    model = Explicit()
    model(VALUES)
    return model


CASES = {
    "recurrent": (_recurrent, TOKENS, {"lstm": KEPT, "hidden": KEPT}),
    "both ways": (
        _both_ways,
        TOKENS,
        {"both/forward_lstm": KEPT, "both/backward_lstm": KEPT[:, ::-1]},
    ),
    "attention": (_attention, TOKENS, {"hidden": KEPT}),
    "subclassed": (_subclassed, TOKENS, {"block/wide": KEPT, "hidden": KEPT}),
    "explicit": (_explicit, VALUES, {"lstm": KEPT}),
}


def _made(keras, make):
    keras.utils.set_random_seed(0)
    return make(keras)


def _check_statistics(snapshot, name, kept):
    values = np.asarray(snapshot.activations[name], np.float64)
    units = snapshot.unit_statistics[name]
    of_all, counted = units.by_channel(), values[kept]  # [values, units]
    assert of_all.count == kept.sum() and np.array_equal(units.count, kept.sum(0))
    expected = {
        "mean_abs": np.abs(counted).mean(0),
        "mean": counted.mean(0),
        "variance": counted.var(0),
        "zero_fraction": (counted == 0).mean(0),
    }
    for field, value in expected.items():
        np.testing.assert_allclose(getattr(of_all, field), value, rtol=1e-6, atol=1e-9, err_msg=name)
    for position in range(kept.shape[1]):
        here = values[kept[:, position], position]
        found = units.mean_abs[position]
        if len(here):
            np.testing.assert_allclose(found, np.abs(here).mean(0), rtol=1e-6)
        else:
            assert np.isnan(found).all()


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_statistics_are_those_of_the_positions_that_count(keras, case):
    make, inputs, masks = CASES[case]
    model = _made(keras, make)
    snapshot = Snapshot(model, inputs, batch_size=512 if case == "attention" else 2)  # blocks of 2, 2, 1
    assert list(snapshot.activations) == list(masks)
    for name, kept in masks.items():
        assert np.array_equal(snapshot.masks[name], kept)
        _check_statistics(snapshot, name, kept)


@BOTH
def test_quantities(keras):
    """Each layer's value, from the float64 activations where the tokens are not zero."""
    model = _made(keras, _recurrent)
    snapshot = Snapshot(model, TOKENS)
    values = np.asarray(snapshot.activations["hidden"], np.float64)
    counted = values[KEPT]
    means = np.abs(counted).mean(0)
    assert diagnostics.dead_units(snapshot)["hidden"] == np.mean(means == 0)
    assert diagnostics.dormant_units(snapshot, 0.9)["hidden"] == np.mean(means <= 0.9 * means.mean())
    np.testing.assert_allclose(diagnostics.active_units(snapshot)["hidden"], np.mean(counted != 0))
    units = np.abs(np.stack([values[KEPT[:, place], place].mean(0) for place in range(3)]))
    np.testing.assert_allclose(
        diagnostics.dead_units(snapshot, per_position=True)["hidden"], np.mean(units == 0)
    )
    singular = np.linalg.svd(np.where(KEPT[..., None], values, 0).reshape(5, -1), compute_uv=False)
    np.testing.assert_allclose(
        diagnostics.feature_singular_values(snapshot)["hidden"], singular, rtol=1e-5, atol=1e-6
    )
    given = np.asarray(snapshot.pre_activations["hidden"], np.float64)[KEPT]
    histogram = diagnostics.pre_activation_histogram(snapshot)["hidden"]
    assert np.array_equal(histogram, given.ravel())
    np.testing.assert_allclose(
        diagnostics.pre_activation_variances(snapshot)["hidden"], given.var(0), rtol=1e-5
    )
    report = diagnostics.diagnose(model, TOKENS, budget="cheap")
    assert report.to_dict()["active_units"] == diagnostics.active_units(snapshot)


@BOTH
def test_padding_does_not_matter(keras):
    """One more position that is masked changes no quantity of units."""
    model = _made(keras, _attention)
    short, padded = Snapshot(model, TOKENS[:, :3]), Snapshot(model, TOKENS)
    for quantity in (diagnostics.active_units, diagnostics.dormant_units):
        np.testing.assert_allclose(quantity(short)["hidden"], quantity(padded)["hidden"], rtol=1e-6)


@BOTH
def test_a_layer_for_each_time_step(keras):
    model = _made(keras, _time_distributed)
    snapshot = Snapshot(model, VALUES)
    _check_statistics(snapshot, "gru", KEPT)
    names = [name for name in snapshot.activations if name.startswith("each/")]
    kept = [KEPT.ravel()] if keras is keras_2 else list(KEPT.T)  # Keras 3 calls the layer at each step
    assert len(names) == len(kept)
    for name, mask in zip(names, kept, strict=True):
        assert np.array_equal(snapshot.masks[name], mask)
        values = np.asarray(snapshot.activations[name], np.float64)[mask]
        found = snapshot.unit_statistics[name].mean
        np.testing.assert_allclose(found, values.mean(0) if mask.any() else [np.nan] * 5, rtol=1e-6)


@BOTH
def test_shift_and_churn(keras):
    model = _made(keras, _recurrent)
    first = Snapshot(model, TOKENS)
    reference, before = Reference.of(first), np.asarray(first.pre_activations["hidden"], np.float64)[KEPT]
    model.set_weights([1.5 * each for each in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
    targets = np.ones((5, 4, 1), np.float32)
    snapshot = Snapshot(model, TOKENS, targets, reference=reference, optimizer=model.optimizer)
    after = np.asarray(snapshot.pre_activations["hidden"], np.float64)[KEPT]
    moved = np.abs(after.mean(0) - before.mean(0)).mean()
    expected = moved / np.sqrt(before.var(0).mean())
    shift = diagnostics.pre_activation_mean_shift
    np.testing.assert_allclose(shift(snapshot)["hidden"], expected, rtol=1e-5)
    assert np.isfinite(shift(snapshot, per_position=True)["hidden"])
    outputs = np.asarray(snapshot.outputs)
    churn = diagnostics.churn(snapshot)["all"]
    model.train_on_batch(TOKENS[:2], targets[:2])
    change = np.abs(np.asarray(model(TOKENS)) - outputs)[2:]
    np.testing.assert_allclose(churn, change[KEPT[2:]].mean(), rtol=1e-4)


@pytest.mark.slow
@BOTH
def test_the_kernel_is_that_of_the_outputs_that_count(keras):
    model = _made(keras, _recurrent)
    found = diagnostics.ntk(Snapshot(model, TOKENS))["all"]
    watched = as_tf_variables(model.trainable_variables)
    with tf.GradientTape(persistent=True) as tape:
        outputs = tf.unstack(tf.boolean_mask(model(TOKENS)[..., 0], KEPT))
    of_each = [[tf.convert_to_tensor(of) for of in tape.gradient(each, watched)] for each in outputs]
    rows = np.array([np.concatenate([np.ravel(of) for of in each]) for each in of_each], np.float64)
    np.testing.assert_allclose(found, rows @ rows.T, rtol=1e-4, atol=1e-6)


@BOTH
@pytest.mark.filterwarnings("ignore:Layer 'flatten'")
def test_where_positions_are_mixed_all_count(keras):
    layers = keras.layers
    stack = [
        keras.Input((4,)),
        layers.Embedding(7, 4, mask_zero=True),
        layers.Flatten(),
        layers.Dense(4, "relu", name="hidden"),
        layers.Dense(1),
    ]
    snapshot = Snapshot(keras.Sequential(stack), TOKENS)
    assert snapshot.masks == {} and snapshot.unit_statistics["hidden"].count == 5


@BOTH
def test_recorded_activations_are_those_that_count(keras):
    model = _made(keras, _recurrent)

    @tf.function(autograph=False)
    def fractions(tokens):
        with diagnostics.recorded_activations(model) as hidden:
            model(tokens)
        return {name: diagnostics.dead_units(each) for name, each in hidden.items()}

    found = fractions(tf.constant(TOKENS))
    expected = diagnostics.dead_units(Snapshot(model, TOKENS))
    assert {name: float(value) for name, value in found.items()} == expected


WEIGHTS = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)  # also as many as positions
PRODUCTS = {
    "x w": (lambda x: tf.einsum("btf,fg->btg", x, WEIGHTS), True),
    "w x, the other operand": (lambda x: tf.einsum("fg,btf->btg", WEIGHTS, x), True),
    "heads joined": (
        lambda x: tf.einsum("bthd,hdg->btg", tf.reshape(x, [-1, 4, 2, 2]), tf.reshape(WEIGHTS, [2, 2, 4])),
        True,
    ),
    "weights of each position": (lambda x: tf.einsum("btf,tf->btf", x, WEIGHTS), True),
    "any axes before": (lambda x: tf.einsum("...f,fg->...g", x, WEIGHTS), True),
    "mixed": (lambda x: tf.einsum("ts,btf->bsf", WEIGHTS, x), False),
    "mixed, the other operand": (lambda x: tf.einsum("btf,ts->bsf", x, WEIGHTS), False),
    "positions and features mixed": (
        lambda x: tf.einsum("btf,tfsg->bsg", x, np.ones((4, 4, 4, 4), np.float32)),
        False,
    ),
    "swapped": (lambda x: tf.einsum("btf,fg->bgt", x, WEIGHTS), False),
    "product": (lambda x: x @ WEIGHTS, True),
    "product of batches": (lambda x: tf.matmul(x, WEIGHTS[None]), True),
    "product from the left": (lambda x: tf.matmul(WEIGHTS[None], x), False),
    "turned": (lambda x: tf.matmul(x, WEIGHTS[None], transpose_a=True), False),
    "turned weight": (lambda x: tf.matmul(x, WEIGHTS[None], transpose_b=True), True),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_a_product_with_a_weight_keeps_the_mask_of_what_it_does_not_mix(case):
    product, is_kept = PRODUCTS[case]

    class Product(keras_2.layers.Layer):
        def call(self, inputs):
            return product(inputs)

    layers = [
        keras_2.Input((4,)),
        keras_2.layers.Embedding(7, 4, mask_zero=True),
        Product(),
        keras_2.layers.Dense(3, "relu", name="hidden"),
        keras_2.layers.Dense(1),
    ]
    snapshot = Snapshot(keras_2.Sequential(layers), TOKENS)
    assert list(snapshot.activations) == ["hidden"]
    assert {name: mask.numpy().tolist() for name, mask in snapshot.masks.items()} == (
        {"hidden": KEPT.tolist()} if is_kept else {}
    )
