"""Alarms: when they are raised, and the three actions."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tfplastic import diagnostics, networks
from tfplastic._keras import keras
from tfplastic.callbacks import PlasticityAlarm, Threshold
from tfplastic.mitigations import Mitigation, ReDo, WeightDecay

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = np.zeros((24, 2), np.float32)
ALARM: Any = PlasticityAlarm
THRESHOLD: Any = Threshold
DEAD = Threshold(diagnostics.dead_units, above=0.2)


class Kill(keras.callbacks.Callback):
    """Kills units of the first layer after some batches, and revives them after others."""

    def __init__(self, kill=(), revive=()):
        super().__init__()
        self.kill, self.revive = kill, revive

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.get_layer("hidden1")
        if batch + 1 in (*self.kill, *self.revive):
            layer.bias.assign(np.full(4, -99.0 if batch + 1 in self.kill else 9.0, np.float32))


class Gradients(Mitigation):
    """Keeps the gradients that it reads in the weights."""

    reads = ("gradients", "outputs")

    def after_update(self, step, model, slots, key, context):
        for variable, gradient in zip(model.trainable_variables, context.gradients, strict=True):
            variable.assign(gradient + 0.0 * tf.reduce_sum(context.outputs))


def trained(*callbacks, epochs=1):
    """Six gradient steps an epoch, of a network whose units are alive at first."""
    model = networks.mlp(2, (4,), input_shape=(3,), seed=1)
    model.get_layer("hidden1").bias.assign(np.full(4, 9.0, np.float32))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks))
    return model


def test_one_alarm_for_each_crossing(caplog):
    logging.set_verbosity(logging.WARNING)
    alarm = PlasticityAlarm(X, every=1, rule=DEAD)
    repeated = PlasticityAlarm(X, every=1, rule=DEAD, repeat=True)
    trained(Kill(kill=(2, 5), revive=(4,)), alarm, repeated)
    assert [row["step"] for row in alarm.alarms] == [2, 5]
    assert [row["step"] for row in repeated.alarms] == [2, 3, 5, 6]
    assert alarm.alarms[0] == {"step": 2, "quantity": "dead_units", "layer": "hidden1_relu", "value": 1.0}
    assert "step 2, dead_units of hidden1_relu is 1, above 0.2." in caplog.text


def test_training_stops():
    alarm = PlasticityAlarm(X, every=2, rule=DEAD, action="stop")
    trained(Kill(kill=(3,)), alarm, epochs=2)
    assert alarm.step == 4 and len(alarm.alarms) == 1


def test_a_mitigation_acts_on_the_probe_batch():
    alarm = PlasticityAlarm(X, every=2, rule=DEAD, action=ReDo(threshold=0.0))
    model = trained(Kill(kill=(4,)), alarm)
    assert [row["step"] for row in alarm.alarms] == [4]
    assert alarm.history[-1]["value"] == 0.0  # at step 6
    np.testing.assert_allclose(model.get_layer("hidden1").bias, np.zeros(4), atol=1e-3)


def test_gradients_are_those_of_the_loss_on_the_probe_batch():
    below = Threshold(diagnostics.gradient_norm, above=0.0, layer="output")
    alarm = PlasticityAlarm(X[:5], Y[:5], every=100, rule=below, action=Gradients())
    reference = networks.mlp(2, (4,), input_shape=(3,), seed=1)
    reference.get_layer("hidden1").bias.assign(np.full(4, 9.0, np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((reference(X[:5]) - Y[:5]) ** 2)
    expected = tape.gradient(loss, reference.trainable_variables)
    model = trained(alarm)
    assert [row["step"] for row in alarm.alarms] == [0]
    for one, other in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_bounds_layers_and_values_that_are_not_numbers():
    values = {"a": 0.1, "b": 0.3, "c": float("nan"), "d": np.ones(3)}
    assert Threshold(diagnostics.dead_units, above=0.2).crossed(values) == {"b": 0.3}
    assert Threshold(diagnostics.dead_units, below=0.2).crossed(values) == {"a": 0.1}
    assert Threshold(diagnostics.dead_units, above=0.0, layer="a").crossed(values) == {"a": 0.1}
    assert Threshold(diagnostics.dead_units, above=0.3).crossed(values) == {}


def test_a_partial_of_a_quantity():
    strict = functools.partial(diagnostics.dormant_units, tau=1e9)
    alarm = PlasticityAlarm(X, every=100, rule=Threshold(strict, above=0.9))
    trained(alarm)
    assert [row["quantity"] for row in alarm.alarms] == ["dormant_units"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ALARM(X, rule=0.2), TypeError, "`rule` must be a threshold"),
        (lambda: ALARM(X, rule=DEAD, budget="dear"), ValueError, "`budget` must be one of 'cheap'"),
        (lambda: ALARM(X, rule=DEAD, action="halt"), TypeError, "`action` must be 'warn', 'stop'"),
        (
            lambda: ALARM(X, rule=DEAD, action=WeightDecay()),
            ValueError,
            "`action` must act after updates alone",
        ),
        (lambda: ALARM(X, rule=DEAD, action=Gradients()), ValueError, "`y_probe` must be given"),
        (lambda: THRESHOLD(diagnostics.dead_units), ValueError, "`above` or `below` must be given"),
        (lambda: THRESHOLD(diagnostics.dead_units, 1, 2), ValueError, "`above` or `below` must be given"),
        (lambda: THRESHOLD(diagnostics.dead_units, above=np.nan), ValueError, "`above` must be"),
        (lambda: THRESHOLD("dead_units", above=1), TypeError, "`quantity` must "),
        (lambda: THRESHOLD(diagnostics.dead_units, 1, layer=3), TypeError, "`layer` must be the name"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=f"^{message}.*Received: ") as caught:
        make()
    assert "\n" not in str(caught.value)
