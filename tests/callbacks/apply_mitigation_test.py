"""Mitigations in Keras' own `fit`: the same weights as by `PlasticModel`, refusals, the model afterwards."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import networks
from tfplastic._keras import keras
from tfplastic.callbacks import ApplyMitigation
from tfplastic.mitigations import Mitigation, ReDo, ResetLastLayer, ShrinkAndPerturb, WeightDecay
from tfplastic.training import PlasticModel

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(24, 3)).astype(np.float32)
Y = GENERATOR.normal(size=(24, 2)).astype(np.float32)


class ScaleByGradient(Mitigation):
    """Reads gradients, the step and the batch."""

    reads = ("gradients", "step", "batch")

    def __init__(self):
        self.period = 3

    def after_update(self, step, model, slots, key, context):
        scale = tf.cast(context.step, tf.float32) * tf.reduce_mean(context.batch[0])
        for variable, gradient in zip(model.trainable_variables, context.gradients, strict=True):
            variable.assign_sub(scale * gradient)


def network():
    return networks.mlp(2, (6,), input_shape=(3,), seed=1)


def trained(model, *callbacks, **arguments):
    """6 gradient steps."""
    model.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=list(callbacks), **arguments)
    return [each.numpy() for each in model.trainable_variables]


def compiled(**arguments):
    model = network()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", **{"jit_compile": False, **arguments})
    return model


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ShrinkAndPerturb(period=2), marks=pytest.mark.slow),
        pytest.param(lambda: ResetLastLayer(period=3), marks=pytest.mark.slow),
        lambda: ReDo(period=2, threshold=0.9),
        ScaleByGradient,
    ],
    ids=["ShrinkAndPerturb", "ResetLastLayer", "ReDo", "own"],
)
def test_the_weights_are_those_of_a_plastic_model(make):
    plastic = PlasticModel(network())
    plastic.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", mitigations=[make()])
    expected = trained(plastic)
    callback = ApplyMitigation(make())
    model = compiled()
    for one, other in zip(trained(model, callback), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert callback.step == 6
    plain = trained(compiled())
    assert max(np.abs(one - other).max() for one, other in zip(plain, expected, strict=True)) > 1e-3


def test_afterwards_the_model_trains_as_without_it():
    model, plain = compiled(), compiled()
    trained(model, ApplyMitigation(ShrinkAndPerturb(period=100)))
    trained(plain)
    assert "train_step" not in vars(model) and "apply_gradients" not in vars(model.optimizer)
    for one, other in zip(trained(model), trained(plain), strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_go_on_over_calls_of_fit_and_several_callbacks_draw_differently():
    model = compiled()
    callbacks = [ApplyMitigation(ShrinkAndPerturb(period=4)) for _ in range(2)]
    trained(model)  # whose program is traced before
    trained(model, *callbacks)
    trained(model, callbacks[0])
    assert [each.step for each in callbacks] == [12, 6]
    assert "train_step" not in vars(model)


@pytest.mark.parametrize(
    "arguments", [{"steps_per_execution": 3}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)]
)
def test_other_ways_to_run_the_steps(arguments):
    expected = trained(compiled(), ApplyMitigation(ReDo(period=2, threshold=0.9)))
    found = trained(compiled(**arguments), ApplyMitigation(ReDo(period=2, threshold=0.9)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        (WeightDecay(), "`mitigation` must act after updates alone .* WeightDecay, which adds a penalty"),
        (ShrinkAndPerturb(), "`mitigation` must have a `period`, .* Received: ShrinkAndPerturb with None"),
        (Mitigation(), "`mitigation` must act .* which does nothing after updates"),
    ],
)
def test_others_are_refused(mitigation, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        ApplyMitigation(mitigation)
    assert "\n" not in str(caught.value)
    assert "period" in message or re.search("PlasticModel, whose `compile`", str(caught.value))


def test_a_transform_older_weights_and_further_batches_are_refused():
    class Clips(Mitigation):
        period = 1

        def transform_gradients(self, gradients, variables):
            return gradients

    class Looks(Mitigation):
        period, history = 1, 2

        def after_update(self, step, model, slots, key, context):
            pass

    class Draws(Mitigation):
        period, reads = 1, ("further_batch",)

        def after_update(self, step, model, slots, key, context):
            pass

    for make, reason in ((Clips, "transforms"), (Looks, "reads older"), (Draws, "reads `further_batch`")):
        with pytest.raises(ValueError, match=f"{reason}.*PlasticModel"):
            ApplyMitigation(make())
    with pytest.raises(TypeError, match="`mitigation` must be a mitigation"):
        ApplyMitigation("ReDo")


def test_a_model_that_it_cannot_train_is_refused():
    plastic = PlasticModel(network())
    plastic.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`model` must be trained without .* a PlasticModel"):
        trained(plastic, ApplyMitigation(ReDo(period=1)))
