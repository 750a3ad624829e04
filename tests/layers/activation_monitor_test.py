"""Additions of `ActivationMonitor` to the layers' contract: its statistics, and when they change."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers import ActivationMonitor

MOMENTUM = 0.75


def batches(count, shape=(6, 4, 5, 3), seed=0):
    """Activations of a ReLU: about half of the values are exactly zero, and all of the first unit's."""
    arrays = np.maximum(np.random.default_rng(seed).normal(size=(count, *shape)), 0).astype(np.float32)
    arrays[..., 0] = 0
    return arrays


def statistics(batch):
    """Statistics of one batch, by loops over units, in float64."""
    units = [np.asarray(batch, np.float64)[..., unit].ravel() for unit in range(batch.shape[-1])]
    return {
        "mean_abs": [np.abs(h).mean() for h in units],
        "zero_fraction": [np.mean([value == 0 for value in h]) for h in units],
        "mean": [h.mean() for h in units],
        "variance": [h.var() for h in units],
    }


def weighted(of_batches):
    """The mean over batches, the last one's weight 1, that of the one before MOMENTUM, and so on."""
    weights = MOMENTUM ** np.arange(len(of_batches))[::-1]
    return {
        name: np.average([each[name] for each in of_batches], axis=0, weights=weights)
        for name in of_batches[0]
    }


def state(model):
    return [variable.numpy() for variable in model.variables]


@pytest.mark.parametrize("shape", [(6, 3), (1, 3), (6, 4, 5, 3)])
@pytest.mark.parametrize("compiled", [False, True])
def test_result_is_the_weighted_mean_over_batches(shape, compiled):
    monitor = ActivationMonitor(MOMENTUM)
    monitor.build((None, *shape[1:]))
    call = tf.function(monitor) if compiled else monitor
    data = batches(7, shape) - 0.25 * (np.arange(3) == 2)  # negative values of the last unit, too
    for number, batch in enumerate(data.astype(np.float32), start=1):
        np.testing.assert_array_equal(call(tf.constant(batch), training=True), batch)
        expected = weighted([statistics(each) for each in data[:number].astype(np.float32)])
        for name, values in monitor.result().items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)
    assert float(monitor.result()["zero_fraction"][0]) == 1  # exactly: it is how one sees a dead unit


@pytest.mark.parametrize("jit_compile", [False, True])
def test_reports_from_inside_a_compiled_program(jit_compile):
    monitor = ActivationMonitor(0.0)
    monitor.build((None, 3))

    @tf.function(jit_compile=jit_compile)
    def train(inputs):
        monitor(inputs, training=True)
        return monitor.result()["mean"]

    for batch in batches(3, (6, 3)):
        np.testing.assert_allclose(train(tf.constant(batch)), batch.mean(0), rtol=1e-6)
    assert train.experimental_get_tracing_count() == 1


def test_nothing_is_known_before_the_first_batch_nor_learned_outside_of_training():
    monitor = ActivationMonitor()
    monitor(batches(1)[0])
    for values in monitor.result().values():
        assert np.isnan(values).all()
    monitor(batches(1)[0], training=True)
    before = state(monitor)
    monitor(10 + batches(1)[0])
    monitor(10 + batches(1)[0], training=False)
    for old, new in zip(before, state(monitor), strict=True):
        np.testing.assert_array_equal(old, new)


def test_converges_forgets_and_converges():
    monitor = ActivationMonitor(0.5)
    for value in (1.0, 5.0, 2.0):
        for _ in range(30):
            monitor(tf.fill([4, 2], value), training=True)
        np.testing.assert_allclose(monitor.result()["mean_abs"], value, rtol=1e-6)


def test_drift_is_in_the_mean_and_not_in_the_variance():
    monitor = ActivationMonitor(0.5)
    for value in range(10):
        monitor(tf.fill([4, 2], float(value)), training=True)
    np.testing.assert_array_equal(monitor.result()["variance"], 0.0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_statistics_of_16_bits_are_kept_in_float32(policy):
    monitor = ActivationMonitor(MOMENTUM, dtype=policy)
    # In 16 bits the mean of squares would overflow (float16) or have 3 digits (bfloat16).
    data = np.stack([300 * batch for batch in batches(5, (64, 3))])
    data = [tf.cast(batch, monitor.compute_dtype) for batch in data]
    for batch in data:
        monitor(batch, training=True)
    expected = weighted([statistics(tf.cast(batch, tf.float32).numpy()) for batch in data])
    for name, values in monitor.result().items():
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, err_msg=name)


def test_a_unit_that_is_not_finite_is_nan_and_the_others_go_on():
    monitor = ActivationMonitor()
    monitor(tf.constant([[np.nan, 1.0], [0.0, 0.0]]), training=True)
    result = {name: values.numpy() for name, values in monitor.result().items()}
    assert np.isnan(result["mean_abs"][0]) and result["mean_abs"][1] == 0.5
    np.testing.assert_array_equal(result["zero_fraction"], [0.5, 0.5])


def network(monitored):
    monitors = [[ActivationMonitor(name=f"monitor{number}")] if monitored else [] for number in (1, 2)]
    weights = keras.initializers.GlorotUniform(seed=1)
    layers = [
        keras.layers.InputLayer((5,)),
        keras.layers.Dense(16, "relu", kernel_initializer=weights, name="hidden1"),
        *monitors[0],
        keras.layers.Dense(8, "tanh", kernel_initializer=weights, name="hidden2"),
        *monitors[1],
        keras.layers.Dense(2, kernel_initializer=weights, name="output"),
    ]
    return keras.Sequential(layers)


def test_fit_is_the_same_and_the_statistics_are_saved_with_the_model(tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    y = x[:, :2] * x[:, 2:4]
    trained = []
    for monitored in (False, True):
        model = network(monitored)
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
        model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
        trained.append(model)
    plain, model = trained
    for one, other in zip(plain.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    monitor = model.get_layer("monitor1")
    hidden = model.get_layer("hidden1")(x)
    np.testing.assert_allclose(monitor.result()["mean"], tf.reduce_mean(hidden, 0), atol=0.2)
    assert float(monitor.total_weight) == pytest.approx(1 - 0.99**12)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("monitor1")
    for name, values in monitor.result().items():
        np.testing.assert_array_equal(loaded.result()[name], values)


@pytest.mark.parametrize("momentum", [1.0, -0.1, True, "0.9"])
def test_wrong_momentum_is_refused(momentum):
    with pytest.raises(ValueError) as error:
        ActivationMonitor(momentum)
    assert str(error.value) == f"`momentum` must be a number in [0, 1). Received: {momentum!r}"


def test_inputs_without_units_are_refused():
    with pytest.raises(ValueError, match=r"must be of shape \[batch, ..., units\]"):
        ActivationMonitor().build((None,))


def test_masked_positions_do_not_count():
    monitor = ActivationMonitor(momentum=0.0)
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Masking(), monitor])
    values = np.array([[[1, 0], [0, 0], [3, -4]], [[0, 0], [5, 2], [0, 0]]], np.float32)
    model(values, training=True)
    counted = np.array([[1, 0], [3, -4], [5, 2]], np.float64)
    expected = {
        "mean_abs": np.abs(counted).mean(0),
        "zero_fraction": (counted == 0).mean(0),
        "mean": counted.mean(0),
        "variance": counted.var(0),
    }
    for _ in range(2):
        for name, value in monitor.result().items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)
        model(np.zeros_like(values), training=True)  # of which nothing counts
