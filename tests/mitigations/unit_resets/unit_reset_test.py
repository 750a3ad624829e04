"""The reset of single units: which entries it touches, in dense, convolutional and recurrent networks."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tfplastic._keras import keras
from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import UnitReset

LAYERS = keras.layers


def convolutional():
    return [
        LAYERS.InputLayer((4, 4, 1)),
        LAYERS.Conv2D(3, 3, activation="relu", name="hidden", bias_initializer="ones"),
        LAYERS.Flatten(),
        LAYERS.Dense(2, name="output"),
    ]


def dense():
    layer = LAYERS.Dense(3, activation="relu", name="hidden", bias_initializer="ones")
    return [LAYERS.InputLayer((5,)), layer, LAYERS.Dense(2, name="output")]


def recurrent():
    layer = LAYERS.SimpleRNN(3, name="hidden", bias_initializer="ones")
    return [LAYERS.InputLayer((4, 2)), layer, LAYERS.Dense(2, name="output")]


# Of each network: where in kernel, (recurrent kernel,) bias and the reader's kernel unit 1 has its entries.
COLUMN, BIAS, ROW = np.s_[..., 1], np.s_[1], np.s_[1]
WHERE = {
    convolutional: [COLUMN, BIAS, np.s_[1::3]],  # channel 1 of each of the four positions
    dense: [COLUMN, BIAS, ROW],
    recurrent: [COLUMN, COLUMN, BIAS, ROW],
}


@pytest.mark.parametrize("network", WHERE)
@pytest.mark.parametrize("is_compiled", [False, True])
def test_one_unit_is_new_and_nothing_else(network, is_compiled):
    model = keras.Sequential(network())
    optimizer = tp.optimizers.adam(0.01)
    optimizer.build(model.trainable_variables)
    slots = functools.partial(tp.optimizers.slots, optimizer)
    for variable in model.trainable_variables:
        for slot in slots(variable).values():
            slot.assign(tf.ones_like(slot))
    before = [each.numpy() for each in model.trainable_variables]
    reset = UnitReset(model, UnitMap(model))

    def act():
        reset.reset({"hidden": tf.constant([False, True, False])}, slots, tf.constant([1, 2]))

    (tf.function(act, autograph=False) if is_compiled else act)()
    *incoming, bias, outgoing, last = range(len(before))
    for number, (variable, old) in enumerate(zip(model.trainable_variables, before, strict=True)):
        touched = np.zeros(old.shape, bool)
        if number != last:
            touched[WHERE[network][number]] = True
        if network is recurrent and number == 1:
            touched[1] = True  # what unit 1 gives to its own layer
        new = variable.numpy()
        np.testing.assert_array_equal(new[~touched], old[~touched])
        for slot in slots(variable).values():
            np.testing.assert_array_equal(slot.numpy(), np.where(touched, 0, 1))
        if number in incoming:
            own = [0, 2] if number == 1 else np.s_[:]  # the recurrent weight from unit 1 to itself is 0
            assert (new[own, ..., 1] != old[own, ..., 1]).all() and (new[own, ..., 1] != 0).all()
        elif number in (bias, outgoing):
            assert not new[touched].any()


def test_layers_that_are_not_named_stay():
    model = keras.Sequential(dense())
    before = [each.numpy() for each in model.trainable_variables]
    UnitReset(model, UnitMap(model)).reset({}, lambda variable: {}, tf.constant([1, 2]))
    for variable, old in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


@pytest.mark.parametrize("norm", [LAYERS.BatchNormalization, LAYERS.LayerNormalization])
def test_normalizations_become_the_identity_for_new_units(norm):
    middle = [LAYERS.Dense(3, name="hidden"), norm(name="norm"), LAYERS.ReLU()]
    model = keras.Sequential([LAYERS.InputLayer((5,)), *middle, LAYERS.Dense(2, name="output")])
    optimizer = tp.optimizers.adam(0.01)
    optimizer.build(model.trainable_variables)
    for variable in model.get_layer("norm").variables:
        variable.assign([2.0, 3.0, 4.0])
    reset = UnitReset(model, UnitMap(model))
    which = {"hidden": tf.constant([False, True, False])}
    reset.reset(which, functools.partial(tp.optimizers.slots, optimizer), tf.constant([1, 2]))
    identity = {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}
    for variable in model.get_layer("norm").variables:
        name = variable.name.split("/")[-1].split(":")[0]
        np.testing.assert_array_equal(variable, [2, identity[name], 4])


def test_a_layer_that_is_frozen_is_refused():
    model = keras.Sequential(dense())
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match=r"^`units` must be of trained kernels. Received: '.*hidden/kernel'"):
        UnitReset(model, UnitMap(model))


def test_incoming_weights_of_another_distribution_and_small_outgoing_ones():
    model = keras.Sequential(dense())
    reset = UnitReset(model, UnitMap(model), keras.initializers.Constant(7.0), outgoing_scale=0.5)
    outgoing = model.layers[1].kernel.numpy()
    reset.reset({"hidden": tf.constant([False, True, False])}, lambda variable: {}, tf.constant([1, 2]))
    np.testing.assert_array_equal(model.layers[0].kernel.numpy()[:, 1], np.full(5, 7.0))
    changed = model.layers[1].kernel.numpy() != outgoing
    np.testing.assert_array_equal(changed, [[False] * 2, [True] * 2, [False] * 2])
    assert (np.abs(model.layers[1].kernel.numpy()[1]) < 0.5 * np.sqrt(6 / 5)).all()
