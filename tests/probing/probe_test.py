"""Whole probes against plain training by Keras, and their promises besides numbers."""

import functools

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.probing import models
from tfplastic import optimizers, probing, seeds
from tfplastic._keras import keras
from tfplastic.networks import CategoricalHead
from tfplastic.probing._measuring.extrapolation import extrapolated

KERASES = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
EXECUTIONS = pytest.mark.parametrize("execution", ["side_by_side", "one_after_another"])


def given(count=2, shape=(30, 2), seed=1):
    return np.random.default_rng(seed).normal(size=[count, *shape]).astype(np.float32)


def probe(**settings):
    defaults = dict(num_targets=2, num_steps=7, batch_size=5, baselines=0, compiler="graph")
    return probing.Probe(**{**defaults, **settings})


def batches(number, steps=7, batch_size=5, count=30, seed=0):
    """The inputs of each step on target `number`."""
    generator = seeds.generator(seeds.derive(seed, "batches", number))
    return generator.integers(count, size=(steps, batch_size), dtype=np.int32)


OPTIMIZERS = {
    "sgd": lambda keras: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda keras: keras.optimizers.Adam(0.01),
    "adamw_global_norm": lambda keras: keras.optimizers.AdamW(0.01, global_clipnorm=0.5),
    "adam_norm": lambda keras: keras.optimizers.Adam(0.01, clipnorm=0.5),
    "rmsprop": lambda keras: keras.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "schedule": lambda keras: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
}


@KERASES
@pytest.mark.parametrize(
    ("execution", "name"),
    [
        *(("side_by_side", name) for name in ("sgd", "adam", "adamw_global_norm", "rmsprop")),
        *(("one_after_another", name) for name in ("adam_norm", "schedule")),
    ],
)
def test_curves_are_those_of_a_plain_training_loop(keras, execution, name):
    model, x, y = models.mlp(keras), models.inputs(), given()
    weights, optimizer = model.get_weights(), OPTIMIZERS[name](keras)
    result = probe(targets=y, execution=execution).measure(model, x, optimizer)
    for number in range(2):
        plain = models.mlp(keras)
        plain.set_weights(weights)
        plain.compile(OPTIMIZERS[name](keras), "mse", run_eagerly=True)
        curve = [plain.train_on_batch(x[i], y[number][i]) for i in batches(number)]
        np.testing.assert_allclose(result.curves[number], curve, rtol=2e-5)
        final = np.mean((np.asarray(plain(x), np.float64) - y[number]) ** 2)
        np.testing.assert_allclose(result.final_losses[number], final, rtol=2e-5)
    initial = np.mean((np.asarray(model(x), np.float64) - y) ** 2, axis=(1, 2))
    np.testing.assert_allclose(result.initial_losses, initial, rtol=1e-6)
    np.testing.assert_allclose(result.target_variances, y.astype(np.float64).var(axis=1).mean(axis=1))


@pytest.mark.parametrize("state", ["fresh", "copied"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_2.optimizers.legacy.Adam(0.01, amsgrad=True),
        lambda: keras_2.optimizers.legacy.RMSprop(0.01, centered=True, momentum=0.5),
        lambda: keras_2.optimizers.legacy.SGD(0.05, momentum=0.9),
    ],
    ids=["adam", "rmsprop", "sgd"],
)
def test_legacy_optimizers_train_as_in_keras(make, state):
    model, x, y = models.mlp(keras_2), models.inputs(), given()
    model.compile(make(), "mse")
    model.fit(x, y[1], verbose=0)
    weights = model.get_weights()
    result = probe(targets=y, optimizer_state=state).measure(model, x)
    for number in range(2):
        plain = models.mlp(keras_2)
        plain.compile(make(), "mse", run_eagerly=True)
        if state == "copied":
            plain.optimizer._create_all_weights(plain.trainable_variables)
            plain.optimizer.set_weights(model.optimizer.get_weights())
        plain.set_weights(weights)
        curve = [plain.train_on_batch(x[i], y[number][i]) for i in batches(number)]
        np.testing.assert_allclose(result.curves[number], curve, rtol=2e-5)
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(optimizers.adam, 0.01, epsilon_root=1e-3, max_gradient_norm=0.5),
        functools.partial(optimizers.adam, 0.01),
        functools.partial(optimizers.sgd, 0.01, momentum=0.9),
        functools.partial(optimizers.centered_rmsprop, 0.01),
    ],
    ids=["adam_root", "adam", "sgd", "rmsprop"],
)
def test_the_librarys_own_optimizers_go_side_by_side(optimizer):
    model, x, y = models.mlp(keras), models.inputs(), given(1)
    result = probe(targets=y).measure(model, x, optimizer())
    assert result.how == "targets side by side, graph"
    plain = models.mlp(keras)
    plain.compile(optimizer(), "mse", run_eagerly=True)
    curve = [plain.train_on_batch(x[i], y[0][i]) for i in batches(0)]
    np.testing.assert_allclose(result.curves[0], curve, rtol=2e-5)


@KERASES
def test_an_optimizer_that_cannot_be_batched_goes_one_after_another(keras):
    class Noisy(keras.optimizers.SGD):
        """Adds noise that is drawn from TensorFlow's random state."""

        def apply_gradients(self, grads_and_vars, **kwargs):
            noisy = [
                (gradient + 1e-9 * tf.random.normal(gradient.shape), each)
                for gradient, each in grads_and_vars
            ]
            return super().apply_gradients(noisy, **kwargs)

    model, x, y = models.mlp(keras), models.inputs(), given()
    result = probe(targets=y).measure(model, x, Noisy(0.05))
    assert result.how == (
        "targets one after another, graph, because there is the operation 'RandomStandardNormal'"
    )
    expected = probe(targets=y).measure(model, x, keras.optimizers.SGD(0.05))
    assert expected.how == "targets side by side, graph"
    np.testing.assert_allclose(result.curves, expected.curves, rtol=1e-4)
    with pytest.raises(ValueError) as caught:
        probe(targets=y, execution="side_by_side").measure(model, x, Noisy(0.05))
    assert str(caught.value) == (
        "`execution` must be 'one_after_another' or 'auto' where a step cannot be batched. Received:"
        " 'side_by_side', with the operation 'RandomStandardNormal'"
    )


@KERASES
@EXECUTIONS
def test_batch_norm_moves_and_regularizers_count(keras, execution):
    def build():
        layers = [
            keras.Input((3,)),
            keras.layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.1)),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dense(2),
        ]
        return models.with_weights(keras.Sequential(layers))

    x, y = models.inputs(), given(1)
    result = probe(targets=y, execution=execution).measure(build(), x, keras.optimizers.SGD(0.05))
    plain, optimizer = build(), keras.optimizers.SGD(0.05)
    for i, error in zip(batches(0), result.curves[0], strict=True):
        with tf.GradientTape() as tape:
            outputs = plain(x[i], training=True)
            expected = tf.reduce_mean((outputs - y[0][i]) ** 2)
            loss = expected + sum(plain.losses)
        gradients = tape.gradient(loss, plain.trainable_variables)
        optimizer.apply_gradients(zip(gradients, plain.trainable_variables, strict=True))
        np.testing.assert_allclose(error, expected, rtol=1e-5)
    np.testing.assert_allclose(result.final_losses[0], np.mean((plain(x) - y[0]) ** 2), rtol=1e-5)


@KERASES
def test_dropout_draws_anew_each_step(keras):
    layers = [keras.Input((3,)), keras.layers.Dropout(0.5, seed=0), keras.layers.Dense(1, use_bias=False)]
    model = models.with_weights(keras.Sequential(layers))
    x, y = np.ones([30, 3], np.float32), np.zeros([1, 30, 1], np.float32)
    curves = [
        probe(targets=y, execution=execution, batch_size=1)
        .measure(model, x, keras.optimizers.SGD(1e-12))
        .curves
        for execution in ("side_by_side", "one_after_another")
    ]
    assert len(set(curves[0][0].tolist())) > 3  # of the 8 that masks of three inputs give
    np.testing.assert_allclose(*curves, rtol=1e-6)


@KERASES
def test_an_optimizer_of_the_probe_takes_the_place_of_the_tasks(keras):
    model, x, adam, sgd = (
        models.mlp(keras),
        models.inputs(),
        *(OPTIMIZERS[name](keras) for name in ("adam", "sgd")),
    )
    expected = probe(baselines=2).measure(model, x, adam).arrays()
    for found in (
        probe(baselines=2, optimizer=adam).measure(model, x, sgd).arrays(),
        probe(baselines=2, optimizer=adam).measure(model, x).arrays(),  # which is compiled with none
    ):
        assert {name: values.tolist() for name, values in found.items()} == {
            name: values.tolist() for name, values in expected.items()
        }
    assert not np.array_equal(
        probe(baselines=2).measure(model, x, sgd).arrays()["curves"], expected["curves"]
    )


@KERASES
@pytest.mark.parametrize("build", [models.mlp, models.stateful])
def test_nothing_is_disturbed_and_the_seed_decides(keras, build):
    model, optimizer, x = build(keras), keras.optimizers.Adam(0.01), models.inputs()
    model.compile(optimizer, "mse")
    model.train_on_batch(x, np.zeros([30, 2], np.float32))
    tf.random.set_seed(1)
    undisturbed = tf.random.normal([3]).numpy()
    tf.random.set_seed(1)
    before = models.state(model, optimizer)
    results = [
        probe(seed=seed, baselines=1, optimizer_state=which, execution=execution).measure(model, x, optimizer)
        for seed, which, execution in (
            *((0, "fresh", "auto"), (0, "fresh", "auto"), (1, "fresh", "auto")),
            (0, "copied", "one_after_another"),
        )
    ]
    assert models.state(model, optimizer) == before
    np.testing.assert_array_equal(tf.random.normal([3]), undisturbed)
    one, same, other, _ = [result.arrays() for result in results]
    for name, values in one.items():
        np.testing.assert_array_equal(same[name], values)
        assert not np.array_equal(other[name], values), name


@pytest.mark.parametrize(
    ("keras", "execution"),
    [(keras_2, "side_by_side"), (keras_3, "side_by_side"), (keras_3, "one_after_another")],
)
def test_the_state_of_the_optimizer_is_fresh_or_copied(keras, execution):
    x, y = models.inputs(), given(1)

    def trained():
        model = models.mlp(keras)
        model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
        for _ in range(3):
            model.train_on_batch(x, y[0])
        return model

    curves = {
        which: probe(targets=y, optimizer_state=which, execution=execution).measure(trained(), x).curves[0]
        for which in ("fresh", "copied")
    }
    went_on = trained()
    expected = [went_on.train_on_batch(x[i], y[0][i]) for i in batches(0)]
    np.testing.assert_allclose(curves["copied"], expected, rtol=2e-5)
    begun_again = trained()
    begun_again.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    expected = [begun_again.train_on_batch(x[i], y[0][i]) for i in batches(0)]
    np.testing.assert_allclose(curves["fresh"], expected, rtol=2e-5)
    assert np.any(curves["fresh"] != curves["copied"])


@KERASES
def test_sine_targets_of_fresh_networks_and_the_mean_prediction(keras):
    """With a scale that float32 can follow; weights that `make_model` gives are known."""

    def make(seed):
        return models.with_weights(models.mlp(keras), seed)

    made = []

    def make_model(seed):
        made.append(seed)
        return make(seed)

    model, x = models.mlp(keras), models.inputs()
    targets = probing.SineTargets(scale=2.0)
    settings = dict(targets=targets, make_model=make_model, baselines=1, num_steps=1)
    result = probe(**settings).measure(model, x, keras.optimizers.SGD(0.1))
    found = [seeds.derive_integer(0, "fresh", "target", k) for k in range(2)]
    assert set(found) <= set(made)
    own = np.asarray(model(x), np.float64)
    for number, seed in enumerate(found):
        sine = np.sin(2.0 * np.asarray(make(seed)(x), np.float64))
        expected = np.mean((own - own.mean() - sine) ** 2)
        np.testing.assert_allclose(result.initial_losses[number], expected, rtol=1e-4)
        np.testing.assert_allclose(result.target_variances[number], sine.var(axis=0).mean(), rtol=1e-4)
    fresh = np.asarray(make(seeds.derive_integer(0, "fresh", "baseline", 0))(x), np.float64)
    sine = np.sin(2.0 * np.asarray(make(found[0])(x), np.float64))
    expected = np.mean((fresh - fresh.mean() - sine) ** 2)
    np.testing.assert_allclose(result.fresh.initial_losses[0, 0], expected, rtol=1e-4)


@KERASES
def test_two_hot_heads_report_squared_errors_of_the_expected_value(keras):
    layers = [keras.Input((3,)), keras.layers.Dense(10), keras.layers.Reshape((2, 5))]
    model = models.with_weights(keras.Sequential(layers))
    head = probing.TwoHot(head=CategoricalHead(-2.0, 2.0, num_bins=5))
    x, y = models.inputs(), np.clip(given(1), -1.9, 1.9)
    result = probe(targets=y, head=head).measure(model, x, keras.optimizers.SGD(0.5))
    plain, support = models.with_weights(keras.Sequential(layers)), np.linspace(-2, 2, 5)
    plain = models.with_weights(keras.models.clone_model(plain))
    optimizer = keras.optimizers.SGD(0.5)
    for i, error in zip(batches(0), result.curves[0], strict=True):
        with tf.GradientTape() as tape:
            logits = plain(x[i], training=True)
            values = tf.reduce_sum(tf.nn.softmax(logits) * support.astype(np.float32), axis=-1)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(hand_made_two_hot(y[0][i]), logits))
        np.testing.assert_allclose(error, np.mean((values - y[0][i]) ** 2), rtol=1e-4)
        gradients = tape.gradient(loss, plain.trainable_variables)
        optimizer.apply_gradients(zip(gradients, plain.trainable_variables, strict=True))
    assert result.warnings[0].startswith("no verdict")


def hand_made_two_hot(values):
    """On the support -2, -1, 0, 1, 2."""
    encoded = np.zeros([*values.shape, 5], np.float32)
    for place in np.ndindex(values.shape):
        lower = int(np.floor(values[place])) + 2
        fraction = values[place] - np.floor(values[place])
        encoded[place][lower : lower + 2] = 1 - fraction, fraction
    return encoded


@KERASES
def test_classification_of_random_labels(keras):
    model, x = models.mlp(keras, outputs=3), models.inputs()
    settings = dict(targets=probing.RandomLabels(), head=probing.Classification(), num_targets=1)
    result = probe(**settings).measure(model, x, keras.optimizers.SGD(0.5))
    labels = seeds.generator(seeds.derive(0, "labels", 0)).integers(3, size=30, dtype=np.int32)
    plain = models.mlp(keras, outputs=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    curve = [plain.train_on_batch(x[i], labels[i]) for i in batches(0)]
    np.testing.assert_allclose(result.curves[0], curve, rtol=1e-5)
    frequencies = np.bincount(labels) / 30
    np.testing.assert_allclose(result.target_variances, -np.sum(frequencies * np.log(frequencies)))


@KERASES
def test_chosen_outputs_and_losses_over_batches(keras):
    model, x, y = models.mlp(keras), models.inputs(), given(1, (30, 1))
    head = probing.Regression(outputs=[1])
    result = probe(targets=y, head=head, losses_over="batches").measure(model, x, keras.optimizers.SGD(0.1))
    first = batches(0)[0]
    expected = np.mean((np.asarray(model(x[first]))[:, 1:] - y[0][first]) ** 2)
    np.testing.assert_allclose(result.initial_loss, expected, rtol=1e-5)
    assert result.final_loss == result.curves[0, -1]


@pytest.mark.parametrize(("keras", "execution"), [(keras_2, "side_by_side"), (keras_3, "one_after_another")])
def test_xla_is_the_graph_up_to_rounding(keras, execution):
    results = [
        probe(execution=execution, compiler=program, num_steps=20).measure(
            models.mlp(keras), models.inputs(), keras.optimizers.Adam(0.01)
        )
        for program in ("graph", "xla")
    ]
    assert [result.how.rpartition(", ")[2] for result in results] == ["graph", "XLA"]
    np.testing.assert_allclose(results[1].curves, results[0].curves, rtol=1e-4)


def test_steps_are_the_same_however_many_there_are():
    """Also across the calls of the compiled program, of 100 steps each."""
    for execution in ("side_by_side", "one_after_another"):
        curves = [
            probe(num_steps=steps, execution=execution)
            .measure(models.mlp(keras_3), models.inputs(), keras_3.optimizers.Adam(0.01))
            .curves
            for steps in (101, 250)
        ]
        np.testing.assert_array_equal(curves[0], curves[1][:, :101])
        assert np.all(curves[1] > 0)


def test_fresh_networks_are_trained_once():
    made = []

    def make_model(seed):
        made.append(seed)
        return models.with_weights(models.mlp(keras_3), seed)

    def measured(model, x):
        return one.measure(model, x, keras_3.optimizers.Adam(0.01))  # Keras gives each another name

    one, x = probe(make_model=make_model, baselines=2), models.inputs()
    first = measured(models.mlp(keras_3), x)
    count = len(made)
    second = measured(models.with_weights(models.mlp(keras_3), 9), x)
    assert len(made) == count and second.fresh is first.fresh
    assert np.all(second.curves[:, 0] != first.curves[:, 0])
    another = measured(models.mlp(keras_3), x + 1)  # other data
    assert len(made) > count and np.any(another.fresh.curves != first.fresh.curves)


@KERASES
def test_names_that_keras_makes_up_are_nothing(keras):
    def functional():
        inputs = keras.Input((3,))
        hidden = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])(inputs)
        hidden = keras.layers.Add()([keras.layers.Dense(4)(hidden), keras.layers.Dropout(0.1)(hidden)])
        return models.with_weights(keras.Model(inputs, keras.layers.Dense(1)(hidden)))

    one, others = probe(baselines=2), probe(baselines=2)
    x = models.inputs()
    results = [
        one.measure(functional(), x, keras.optimizers.SGD(0.1)),
        one.measure(functional(), x, keras.optimizers.SGD(0.1)),
        others.measure(functional(), x, keras.optimizers.SGD(0.1)),
    ]
    assert results[1].fresh is results[0].fresh
    for result in results[1:]:
        np.testing.assert_array_equal(result.curves, results[0].curves)
        np.testing.assert_array_equal(result.fresh.curves, results[0].fresh.curves)


def test_quick_probes_train_fewer_steps_and_extrapolate():
    x, adam = models.inputs(), keras_3.optimizers.Adam(0.01)
    one = probe(num_steps=60, baselines=3)
    full = one.measure(models.mlp(keras_3), x, adam)
    quick = probe(num_steps=60, baselines=3, quick_steps=20).measure(models.mlp(keras_3), x, adam)
    np.testing.assert_array_equal(quick.curves, full.curves[:, :20])
    np.testing.assert_array_equal(quick.fresh.curves, full.fresh.curves)
    reference = full.fresh.curves.mean(axis=(0, 1))
    np.testing.assert_array_equal(quick.final_losses, extrapolated(quick.curves, reference))
    expected = [extrapolated(curves[:, :20], reference) for curves in full.fresh.curves]
    np.testing.assert_array_equal(quick.fresh.final_losses, expected)
    assert quick.how == "targets side by side, graph; final losses extrapolated to 60 steps"
    assert quick.fresh_curve_area > full.fresh_curve_area


def test_losses_are_scaled_for_optimizers_that_want_it():
    """Keras 3 divides gradients by the scale, which is a power of two here."""
    curves = [
        probe(execution="one_after_another")
        .measure(models.mlp(keras_3), models.inputs(), keras_3.optimizers.SGD(0.1, loss_scale_factor=factor))
        .curves
        for factor in (None, 1024.0)
    ]
    np.testing.assert_array_equal(curves[0], curves[1])


def test_calls_share_fresh_networks():
    model, x = models.mlp(keras_3), models.inputs(11)
    settings = dict(num_targets=1, num_steps=3, baselines=2, optimizer=keras_3.optimizers.SGD(0.1))
    results = [probing.measure_plasticity(model, x, **settings) for _ in range(2)]
    assert results[0].fresh is results[1].fresh
