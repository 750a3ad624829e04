"""The methods that reset units together: resumed runs, residual blocks with norms, and `fit`."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.graph_loop_test import make_loop, rows, run, weights
from tfplastic._keras import keras
from tfplastic.callbacks import ApplyMitigation
from tfplastic.mitigations import (
    ContinualBackprop,
    GraMa,
    PartialResets,
    ReDo,
    ResetNetwork,
    SelfNormalizedResets,
)
from tfplastic.optimizers import adam, slots
from tfplastic.training import PlasticModel

LAYERS = keras.layers


def all_methods():
    return [
        ContinualBackprop(0.05, maturity=2),
        GraMa(period=7, threshold=0.3),
        PartialResets(0.1, reset_period=5),
        ReDo(period=6, threshold=0.3),
        SelfNormalizedResets(max_threshold=20, min_threshold=8, num_tasks=1),
        ResetNetwork(period=25),
    ]


def loop_of_all():
    return make_loop(compiler="graph", mitigations=all_methods())


@pytest.mark.slow  # a fast row: every variable is in the state, of which the loop's own test resumes
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path):
    whole, _ = run(tmp_path / "whole", loop_of_all())
    _, code = run(tmp_path / "parts", loop_of_all(), interrupt_at=5)
    resumed, second_code = run(tmp_path / "parts", loop_of_all())
    assert (code, second_code) == (143, 0)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    for one, other in zip(resumed.config.mitigations, whole.config.mitigations, strict=True):
        for name, value in one.state.items():
            np.testing.assert_array_equal(value, other.state[name], err_msg=name)


def residual(norm):
    """A convolution, a residual block whose inner layer has units, and a dense layer on flat maps."""
    inputs = keras.Input((6, 6, 1))
    start = LAYERS.Conv2D(3, 3, padding="same", name="stem")(inputs)
    x = norm(name="inner_norm")(LAYERS.Conv2D(4, 3, padding="same", name="inner")(start))
    x = LAYERS.Conv2D(3, 3, padding="same", name="project")(LAYERS.ReLU(name="inner_relu")(x))
    x = LAYERS.ReLU(name="sum_relu")(LAYERS.Add(name="sum")([start, x]))
    x = LAYERS.ReLU(name="last_relu")(LAYERS.Conv2D(2, 3, name="last")(x))
    x = LAYERS.ReLU(name="dense_relu")(LAYERS.Dense(5, name="dense")(LAYERS.Flatten()(x)))
    return keras.Model(inputs, LAYERS.Dense(3, name="head")(x))


class Context:
    """A context of activations that are given: the first unit of each layer is silent."""

    def unit_statistic(self, units, name):
        return tf.constant([0.0] + [1.0] * (units.num_units - 1), tf.float64)


@pytest.mark.parametrize(("norm", "is_kept"), [("BatchNormalization", True), ("LayerNormalization", False)])
def test_a_silent_channel_in_a_residual_block_is_new_without_a_trace_unless_a_norm_couples(norm, is_kept):
    model = residual(getattr(LAYERS, norm))
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype(np.float32)
    inner_norm = model.get_layer("inner_norm")
    inner_norm.gamma.assign([0.0, 1.0, 2.0, 1.0])  # the first channel gives relu(-1) = 0
    inner_norm.beta.assign([-1.0, 0.5, 0.5, 0.5])
    for name in ("last", "dense"):
        bias = model.get_layer(name).bias
        bias.assign([-1e3] + [0.1] * (bias.shape[0] - 1))
    optimizer = adam()
    optimizer.build(model.trainable_variables)
    mitigation = ReDo(threshold=0.0)
    mitigation.build(model, optimizer, 0)
    assert list(mitigation._units) == ["inner", "last", "dense"]  # those of the sum are left out
    before, kernels = model(x).numpy(), [each.numpy() for each in model.trainable_variables]
    mitigation.after_update(
        tf.constant(1, tf.int64),
        model,
        lambda variable: slots(optimizer, variable),
        tf.constant([1, 2]),
        Context(),
    )
    names = [layer.name for layer in model.layers]
    assert (model.get_layer("stem").kernel.numpy() == kernels[0]).all() and "sum" in names
    assert not model.get_layer("project").kernel.numpy()[:, :, 0].any()
    assert not model.get_layer("dense").kernel.numpy()[::2].any()  # at all 16 positions
    np.testing.assert_array_equal(inner_norm.gamma, [1, 1, 2, 1])
    np.testing.assert_array_equal(inner_norm.beta, [0, 0.5, 0.5, 0.5])
    change = np.abs(model(x).numpy() - before).max()
    assert change < 1e-6 if is_kept else change > 1e-3


def test_in_fit():
    inputs = keras.Input((4,))
    x = LAYERS.ReLU(name="relu")(LAYERS.Dense(6, name="hidden")(inputs))
    network = keras.Model(inputs, LAYERS.Dense(1, name="head")(x))
    model = PlasticModel(network)
    resets = SelfNormalizedResets(max_threshold=16, min_threshold=8, estimate_period=2)
    methods = [resets, ReDo(period=2, threshold=1e3), ContinualBackprop(0.1, maturity=1), GraMa(period=3)]
    model.compile(adam(), "mse", mitigations=methods)
    network.get_layer("hidden").bias.assign(tf.fill([6], -1e3))  # silent: reset in the second step
    model.fit(np.ones((32, 4), np.float32), np.zeros((32, 1), np.float32), batch_size=8, verbose=0)
    assert not network.get_layer("head").kernel.numpy().any()  # of the fourth step: all are new
    assert set(resets.state["hidden/threshold"].numpy()) <= {8, 16}
    assert np.abs(network.get_layer("hidden").bias.numpy()).max() < 1


def test_new_thresholds_by_tasks_are_refused_in_fit():
    inputs = keras.Input((4,))
    x = LAYERS.ReLU(name="relu")(LAYERS.Dense(6, name="hidden")(inputs))
    model = PlasticModel(keras.Model(inputs, LAYERS.Dense(1, name="head")(x)))
    model.compile(adam(), "mse", mitigations=[SelfNormalizedResets()])
    with pytest.raises(ValueError, match="`at_boundary` cannot be read in `fit`, which knows no boundaries"):
        model.fit(np.ones((8, 4), np.float32), np.zeros((8, 1), np.float32), verbose=0)


def test_new_thresholds_by_steps_in_a_callback():
    network = keras.Sequential([keras.Input((4,)), LAYERS.Dense(6, "relu", name="hidden"), LAYERS.Dense(1)])
    network.layers[0].bias.assign(tf.fill([6], -1e3))  # silent: reset in the second step
    network.compile(adam(), "mse")
    resets = SelfNormalizedResets(max_threshold=16, min_threshold=8, estimate_period=2)
    x, y = np.ones((16, 4), np.float32), np.zeros((16, 1), np.float32)
    network.fit(x, y, batch_size=8, verbose=0, callbacks=[ApplyMitigation(resets)])
    np.testing.assert_array_equal(network.layers[0].bias, np.zeros(6))
    assert not network.layers[1].kernel.numpy().any()
