"""Checks of layers that give each unit two features."""

import numpy as np
import tensorflow as tf

from tfplastic import diagnostics, networks
from tfplastic._keras import keras


def feature_network(layer, pre_activations, quantities):
    """Returns the quantities of a layer with these inputs."""
    model = keras.Sequential([keras.Input(pre_activations.shape[1:]), layer, keras.layers.Dense(1)])
    snapshot = diagnostics.Snapshot(model, pre_activations.astype(np.float32))
    return {name: getattr(diagnostics, name)(snapshot) for name in quantities}


def check_units(activation):
    """Zeroed outgoing weights of a unit make the outputs independent of it, dense and through Flatten."""
    small = {"filters": (2,), "kernel_sizes": (2,), "strides": (1,), "hidden": (3,), "input_shape": (3, 3, 1)}
    inputs = np.random.default_rng(0).normal(size=(4, 3, 3, 1)).astype(np.float32)
    for norm in (None, "batch"):
        model = networks.cnn(2, activation=activation, norm=norm, norm_position="after", seed=0, **small)
        units = diagnostics.UnitMap(model)
        assert {name: each.num_units for name, each in units.items()} == {"conv1": 2, "hidden1": 3}
        rows = [len(each.outgoing[0].indices(1)) for each in units.values()]
        assert rows == [18, 2]  # two features at each of nine pixels, and two
        snapshot = diagnostics.Snapshot(model, inputs)
        for each in units.values():
            statistics = snapshot.unit_statistics[each.activations[0]].by_channel()
            assert statistics.mean_abs.shape == statistics.pre_mean.shape == (each.num_units,)
            if norm is None and activation == "crelu":
                np.testing.assert_allclose(statistics.mean, statistics.pre_mean, rtol=1e-5, atol=1e-7)
            assert each.bias is not None
            kernel, bias = each.outgoing[0].variable, each.bias.variable
            before = kernel.numpy(), bias.numpy()
            is_first = tf.constant(np.arange(each.num_units) == 0)
            kernel.assign(tf.where(each.outgoing[0].mask(is_first), 0.0, kernel))
            without = np.array(model(inputs))
            bias.assign(bias + np.eye(each.num_units, dtype=np.float32)[0])
            np.testing.assert_allclose(model(inputs), without, rtol=1e-5, atol=1e-6)
            kernel.assign(before[0])
            assert np.abs(np.array(model(inputs)) - without).max() > 1e-3
            bias.assign(before[1])
