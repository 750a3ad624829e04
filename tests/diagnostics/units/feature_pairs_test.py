import numpy as np
import pytest
import tensorflow as tf

from tfplastic import diagnostics, networks
from tfplastic.diagnostics.reading.hidden_nonlinearities import recorded_call
from tfplastic.diagnostics.units.feature_pairs import values_of_units
from tfplastic.mitigations import Mitigation, StepContext

X = np.random.default_rng(0).normal(size=(5, 3, 4))
OF_UNITS = {"crelu": X, "deep_fourier": np.ones_like(X)}
FEATURES = {
    "crelu": np.concatenate([np.maximum(X, 0), np.maximum(-X, 0)], -1),
    "deep_fourier": np.concatenate([np.sin(X), np.cos(X)], -1),
}


class Reads(Mitigation):
    reads = ("activations",)


@pytest.mark.parametrize("activation", FEATURES)
def test_a_unit_has_one_value(activation):
    values = values_of_units(tf.constant(FEATURES[activation]), activation)
    np.testing.assert_allclose(values, OF_UNITS[activation], rtol=1e-14)


def test_activations_without_pairs_stay():
    assert values_of_units(X, "relu") is X


@pytest.mark.parametrize("activation", FEATURES)
def test_steps_and_mitigations_see_units(activation):
    model = networks.mlp(1, (4,), input_shape=(3,), activation=activation)
    inputs = tf.constant(X[:, :, 0], tf.float32)
    units = diagnostics.UnitMap(model)["hidden1"]

    @tf.function(autograph=False)
    def step():
        with recorded_call(model) as call:
            model(inputs, training=True)
        context = StepContext(Reads(), {"activations": lambda: call.activations(True)}, model, lambda: None)
        means = context.unit_statistic(units, "mean_abs")
        return list(call.activations(of_units=True).values())[0], list(call.activations().values())[0], means

    of_units, features, means = step()
    pre = np.array(inputs) @ model.get_layer("hidden1").kernel.numpy()
    assert features.shape == (5, 8)
    np.testing.assert_allclose(
        of_units, pre if activation == "crelu" else np.ones([5, 4]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(means, np.abs(of_units).mean(0), rtol=1e-6)
