"""Curvature behind all layers and losses of both Keras: right against central differences, or refused."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics.oracles import policy
from tests.linalg import layer_table, loss_table
from tfplastic import diagnostics, linalg
from tfplastic.diagnostics.diagnose import measure_available

BOTH = (keras_2, keras_3)
EITHER_KERAS = pytest.mark.parametrize("keras", BOTH, ids=["keras_2", "keras_3"])
LAYERS = [(keras, name) for keras in BOTH for name in layer_table.rows_of(keras)]
LOSSES = [(keras, name) for keras in BOTH for name in loss_table.loss_names(keras)]
FAST_LAYERS = [
    (keras_2, "UpSampling2D bicubic"),
    (keras_2, "BatchNormalization"),
    (keras_2, "Conv2DTranspose"),
    (keras_3, "UpSampling2D bilinear"),
    (keras_3, "UpSampling2D nearest"),
    (keras_3, "MaxPooling2D"),
    (keras_3, "GRUCell"),
    (keras_3, "MultiHeadAttention"),
    (keras_3, "LayerNormalization"),
    (keras_3, "Embedding"),
]
FAST_LOSSES = [(keras_2, "Huber"), (keras_3, "SparseCategoricalCrossentropy")]


def _ids(cases):
    return [f"{keras.__name__}-{name}" for keras, name in cases]


def _network(keras, row):
    """The layer of `row` between dense ones; its inputs and targets."""
    generator = np.random.default_rng(0)
    layers = keras.layers
    keras.utils.set_random_seed(0)
    with policy(keras, row.dtype):
        inputs = keras.Input(row.shape, dtype="int32" if row.is_first else row.dtype)
        hidden = inputs if row.is_first else layers.Dense(row.shape[-1], "tanh", name="before")(inputs)
        hidden = layers.Flatten()(row.apply(layers, hidden))
        model = keras.Model(inputs, layers.Dense(1, "tanh", dtype=row.dtype, name="after")(hidden))
    for weight in model.trainable_variables:
        value = 0.7 * generator.standard_normal(weight.shape)
        is_scale = "gamma" in weight.name or "scale" in weight.name
        weight.assign((0.5 + np.abs(value) if is_scale else value).astype(row.dtype))
    shape = (3, *row.shape)
    x = generator.integers(0, 5, shape) if row.is_first else generator.standard_normal(shape)
    x = x if row.is_first else x.astype(row.dtype)
    return model, x, generator.standard_normal((3, 1)).astype(row.dtype)


def _hessian_by_differences(loss, variables, step):
    """The Hessian, `[n, n]`, from gradients in one program."""

    @tf.function(autograph=False)
    def gradient():
        with tf.GradientTape() as tape:
            value = loss()
        parts = tape.gradient(value, variables, unconnected_gradients="zero")
        return linalg.flatten([tf.convert_to_tensor(part) for part in parts])

    def at(values):
        for variable, value in zip(variables, linalg.unflatten(values, variables), strict=True):
            variable.assign(value)
        return gradient().numpy()

    point = linalg.flatten(variables)
    offsets = step * np.eye(len(point))
    rows = [(at(point + offset) - at(point - offset)) / (2 * step) for offset in offsets]
    at(point)
    return np.stack(rows)


def _check(model, x, y, loss, oracle, is_single=False):
    """The Hessian, and the sharpness of its first layer, or the reason why there are none."""
    snapshot = diagnostics.Snapshot(model, x, y, loss)
    first, *_ = snapshot.weights
    of_first = diagnostics.Snapshot(model, x, y, loss, layers=[first])
    values, left_out = measure_available(of_first, {"layer_sharpness": diagnostics.layer_sharpness})
    if left_out:
        reason = left_out["layer_sharpness"]
        assert "differentiable in TensorFlow. Received: the operation" in reason and "\n" not in reason
        return
    variables = [variable for layer in snapshot.weights.values() for variable in layer]
    step, tolerance = (1e-2, 1e-2) if is_single else (1e-5, 1e-5)
    wanted = _hessian_by_differences(oracle, variables, step)
    scale = np.abs(wanted).max()
    assert scale > 1e-3
    np.testing.assert_allclose(snapshot.hessian.to_dense(), wanted, atol=tolerance * scale)
    size = sum(int(np.prod(each.shape)) for each in snapshot.weights[first])
    block = wanted[:size, :size]
    largest = np.linalg.eigvalsh((block + block.T) / 2)[-1]
    sharpness = values["layer_sharpness"][first]
    np.testing.assert_allclose(sharpness, largest, rtol=1e-2, atol=2 * tolerance * scale)


def _check_layer(keras, name):
    row = layer_table.ROWS[name]
    model, x, y = _network(keras, row)
    _check(
        model,
        x,
        y,
        "mse",
        lambda: tf.reduce_mean((tf.convert_to_tensor(model(x, training=False)) - y) ** 2),
        row.dtype == "float32",
    )


@pytest.mark.slow
def test_a_spectrogram_of_mels_is_that_of_eager_tapes():
    """Differences in float32 are coarse for its logarithms of powers (1e-2); tapes of tapes are not."""
    model, x, y = _network(keras_3, layer_table.ROWS["MelSpectrogram"])
    snapshot = diagnostics.Snapshot(model, x, y, "mse")
    variables = [variable for layer in snapshot.weights.values() for variable in layer]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            loss = tf.reduce_mean((tf.convert_to_tensor(model(x, training=False)) - y) ** 2)
        entries = tf.unstack(linalg.flatten(inner.gradient(loss, variables)))
    rows = [outer.gradient(each, variables, unconnected_gradients="zero") for each in entries]
    wanted = np.stack([linalg.flatten(row) for row in rows])
    assert np.abs(wanted).max() > 1e-2
    np.testing.assert_allclose(snapshot.hessian.to_dense(), wanted, atol=1e-4 * np.abs(wanted).max())


def _check_loss(keras, name):
    row = loss_table.ROWS[name]
    keras.utils.set_random_seed(0)
    keras.backend.set_floatx("float64")  # in which Keras' losses compute
    try:
        with policy(keras, "float64"):
            inputs = keras.Input((2,), dtype="float64")
            hidden = keras.layers.Dense(3, "tanh", name="before")(inputs)
            outputs = keras.layers.Dense(3, name="after")(hidden)
            shape = (4, 3) if name == "CTC" else (3,)
            model = keras.Model(inputs, keras.layers.Lambda(row.activation, output_shape=shape)(outputs))
        loss = getattr(keras.losses, name)()
        x = np.random.default_rng(1).standard_normal((4, 2))
        _check(model, x, row.targets, loss, lambda: loss(row.targets, model(x, training=False)))
    finally:
        keras.backend.set_floatx("float32")


REASONS = (
    "needs `",
    "needs a hidden nonlinearity",
    "Received: the operation",
    "no units",
    "must be some that `loss_fn` depends on",  # behind a layer without a gradient
)


def _as_floats(x):
    return tf.cast(x, tf.float32)


def _check_full(keras, names):
    """All quantities of a network in which the layers stand side by side: measured, or left out in a line."""
    rows = [layer_table.ROWS[name] for name in names]
    shape, is_first = rows[0].shape, rows[0].is_first
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input(shape, dtype="int32" if is_first else "float32")
    hidden = inputs if is_first else layers.Dense(shape[-1], "tanh", name="before")(inputs)
    starts = [hidden if is_first else layers.Rescaling(1.0)(hidden) for _ in rows]
    branches = [layers.Flatten()(row.apply(layers, each)) for row, each in zip(rows, starts, strict=True)]
    # Keras 2 joins no whole numbers with others.
    branches = [each if "float" in str(each.dtype) else layers.Lambda(_as_floats)(each) for each in branches]
    joined = layers.Concatenate()([*branches, layers.Flatten()(layers.Dense(1)(branches[0]))])
    model = keras.Model(inputs, layers.Dense(1, name="after")(joined))
    generator = np.random.default_rng(0)
    x = generator.integers(0, 5, (3, *shape)) if is_first else generator.standard_normal((3, *shape))
    y = generator.standard_normal((3, 1)).astype("float32")
    looked_at = ["after"] if is_first else ["before"]
    report = diagnostics.diagnose(
        model, x if is_first else x.astype("float32"), y, "mse", "full", layers=looked_at
    )
    values = report.to_dict()
    assert {"gradient_norm", "weight_norm", "dead_units"} <= set(values)
    for reason in report.left_out.values():
        assert "\n" not in reason and any(known in reason for known in REASONS), reason


def _groups(keras):
    """The names of layers without loops by the shape of their inputs."""
    groups = {}
    for name, row in layer_table.rows_of(keras).items():
        if not layer_table.has_loop(name):
            groups.setdefault((row.shape, row.is_first), []).append(name)
    return [(keras, names) for names in groups.values()]


GROUPS = [*_groups(keras_2), *_groups(keras_3), (keras_2, ["SimpleRNN"]), (keras_3, ["SimpleRNN"])]


@pytest.mark.slow
@pytest.mark.parametrize(("keras", "names"), GROUPS, ids=_ids((each, names[0]) for each, names in GROUPS))
def test_a_full_diagnosis_is_made_of_every_layer(keras, names):
    _check_full(keras, names)


@EITHER_KERAS
def test_units_of_a_loop_are_measured_in_the_pass_of_its_gradient(keras):
    """To which the gradient gives more inputs, in which it keeps its needs."""
    model, x, y = _network(keras, layer_table.ROWS["SimpleRNN"])
    quantities = [diagnostics.dead_units, diagnostics.gradient_norm]
    values = diagnostics.measure(diagnostics.Snapshot(model, x, y, "mse"), quantities)
    assert values["dead_units"]["before"] == 0 and values["gradient_norm"]["all"] > 0


@EITHER_KERAS
def test_the_tables_have_every_layer_and_loss(keras):
    rows = {name.partition(" ")[0] for name in layer_table.ROWS} | set(layer_table.LEFT_OUT)
    assert set(layer_table.layer_names(keras)) <= rows
    assert set(loss_table.loss_names(keras)) <= set(loss_table.ROWS)


@pytest.mark.parametrize(("keras", "name"), FAST_LAYERS, ids=_ids(FAST_LAYERS))
def test_a_layer_is_right_or_refused(keras, name):
    _check_layer(keras, name)


@pytest.mark.parametrize(("keras", "name"), FAST_LOSSES, ids=_ids(FAST_LOSSES))
def test_a_loss_is_right_or_refused(keras, name):
    _check_loss(keras, name)


@pytest.mark.slow
@pytest.mark.parametrize(("keras", "name"), LAYERS, ids=_ids(LAYERS))
def test_every_layer_is_right_or_refused(keras, name):
    _check_layer(keras, name)


@pytest.mark.slow
@pytest.mark.parametrize(("keras", "name"), LOSSES, ids=_ids(LOSSES))
def test_every_loss_is_right_or_refused(keras, name):
    _check_loss(keras, name)
