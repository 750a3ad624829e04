"""Probes of models whose outputs are masked, against Keras' own training, which masks as well."""

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.probing.probe_test import batches, given, probe
from tfplastic import probing

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
INPUTS = np.random.default_rng(0).normal(size=(30, 4, 2)).astype(np.float32)
INPUTS[:10, 2:] = INPUTS[10:20, :1] = INPUTS[0] = INPUTS[:, 3:] = 0
KEPT = (INPUTS != 0).any(-1)  # nothing of the first example, nor of the last position


def _model(keras):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    dense = layers.Dense(3, "tanh", kernel_regularizer=keras.regularizers.L2(0.1))
    return keras.Sequential([keras.Input((4, 2)), layers.Masking(), dense, layers.Dense(2)])


@BOTH
def test_curves_are_those_of_keras_own_training(keras):
    model, targets = _model(keras), given(shape=(30, 4, 2))
    result = probe(targets=targets).measure(model, INPUTS, keras.optimizers.SGD(0.05))
    assert result.how == "targets one after another, graph, because outputs are masked"
    for number in range(2):
        plain, curve = _model(keras), []
        plain.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
        for places in batches(number):
            counts = KEPT[places]
            errors = (np.asarray(plain(INPUTS[places])) - targets[number][places])[counts] ** 2
            curve.append(errors.mean(dtype=np.float64))
            plain.train_on_batch(INPUTS[places], targets[number][places])
        np.testing.assert_allclose(result.curves[number], curve, rtol=1e-4)
        errors = (np.asarray(plain(INPUTS), np.float64) - targets[number])[KEPT] ** 2
        np.testing.assert_allclose(result.final_losses[number], errors.mean(), rtol=1e-4)
    before = (np.asarray(model(INPUTS), np.float64) - targets)[:, KEPT] ** 2
    np.testing.assert_allclose(result.initial_losses, before.mean(axis=(1, 2)), rtol=1e-5)
    at_positions = [targets[:, KEPT[:, place], place] for place in range(3)]  # [targets, examples, outputs]
    variance = sum(each.shape[1] * each.astype(np.float64).var(1).mean(1) for each in at_positions)
    np.testing.assert_allclose(result.target_variances, variance / KEPT.sum(), rtol=1e-6)


def test_offset_and_padding():
    """A longer padding changes neither targets' variance nor losses."""

    def measured(inputs):
        layers = keras_2.layers
        stack = [keras_2.Input((None, 2)), layers.Masking(), layers.Dense(3, "tanh"), layers.Dense(1)]
        keras_2.utils.set_random_seed(0)
        model = keras_2.Sequential(stack)
        settings = probe(targets=probing.SineTargets(scale=2.0), baselines=1)
        return settings.measure(model, inputs, keras_2.optimizers.SGD(0.05))

    short, long = measured(INPUTS[:, :3]), measured(INPUTS)
    for one, other in ((short, long), (short.fresh, long.fresh)):
        np.testing.assert_allclose(one.final_losses, other.final_losses, rtol=1e-5)
    np.testing.assert_allclose(short.target_variances, long.target_variances, rtol=1e-5)


def test_what_cannot_be_masked_is_refused():
    model = _model(keras_2)
    rule = "for a model whose outputs are masked"
    for settings, message in (
        ({"head": probing.Regression(outputs=[0])}, f"`outputs` must be None {rule}"),
        ({"standardize": True}, f"`standardize` must be False {rule}"),
        ({"execution": "side_by_side"}, f"`execution` must be 'one_after_another' or 'auto' {rule}"),
        ({"compiler": "xla"}, f"`compiler` must be 'graph' or 'auto' {rule}"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            probe(**settings).measure(model, INPUTS, keras_2.optimizers.SGD(0.05))
