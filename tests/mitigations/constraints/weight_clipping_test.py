from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.small_run import SmallRun, same_bits
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand
from tfplastic._keras import keras
from tfplastic.layers import NoisyDense, Rational
from tfplastic.mitigations import WeightClipping
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.constraints.weight_clipping import _bounds


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    def clipped(weights, start):
        fans = [np.prod(weights[place - place % 2].shape[:-1]) for place in range(len(weights))]
        bounds = [0.7 / np.sqrt(fan) for fan in fans]
        return [np.clip(weight, -bound, bound) for weight, bound in zip(weights, bounds, strict=True)]

    assert_as_by_hand(kind, [WeightClipping(0.7)], after=clipped)


@pytest.mark.parametrize(
    ("layers", "shape", "fans"),
    [
        ([keras.layers.Conv1D(4, 3)], (8, 2), {"kernel": 6, "bias": 6}),
        ([keras.layers.Conv2D(4, 3, groups=2)], (8, 8, 2), {"kernel": 9, "bias": 9}),
        (
            [keras.layers.DepthwiseConv2D(3, depth_multiplier=2)],
            (8, 8, 2),
            {"kernel": 9, "bias": 9},
        ),
        ([keras.layers.Conv2DTranspose(5, 3)], (8, 8, 2), {"kernel": 18, "bias": 18}),
        ([keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3))], (8, 7), {"kernel": 7}),
        (
            [keras.layers.LayerNormalization(), keras.layers.Dense(4), keras.layers.LayerNormalization()],
            (9,),
            {"kernel": 9, "bias": 9, "gamma": 9, "beta": 9},
        ),
    ],
    ids=lambda each: type(each[0]).__name__ if isinstance(each, list) else "",
)
def test_the_bound_is_of_the_fan_in(layers, shape, fans):
    model = keras.Sequential([keras.Input(shape), *layers])
    weights = trainable_weights(model)
    names = {str(each): each.role.removeprefix("depthwise_") for each in weights}  # Keras 2 has it
    found = _bounds(weights)
    assert {names[name] for name in found} == fans.keys()
    for name, bound in found.items():
        np.testing.assert_allclose(bound, fans[names[name]] ** -0.5)
    assert len(weights) - len(found) == 2 * (len(layers) == 3)  # those of the norm of the inputs


def test_coefficients_of_nonlinearities_are_left_alone():
    layers = keras.layers.Dense(4), Rational(), keras.layers.Dense(4), keras.layers.PReLU()
    model = keras.Sequential([keras.Input((9,)), *layers, NoisyDense(2, name="noisy")])
    for each in model.trainable_variables:
        each.assign(np.full(each.shape, 5.0))
    clipping = WeightClipping(1.0)
    clipping.build(model, None, 0)
    nothing: Any = None
    clipping.after_update(tf.constant(1), model, nothing, nothing)
    stayed = {each.role for each in trainable_weights(model) if (np.asarray(each.variable) == 5).all()}
    assert stayed == {"numerator", "denominator", "alpha"}
    np.testing.assert_allclose(model.layers[0].kernel, np.full([9, 4], 1 / 3))
    np.testing.assert_allclose(model.layers[-1].kernel_scale, np.full([4, 2], 1 / 2))


def test_norms_can_be_left_out():
    training = SmallRun().train()
    before = training.weights()
    training.act(WeightClipping(0.01, weights="all_but_norms"))
    changed = {name for name, each in training.weights().items() if not same_bits([each], [before[name]])}
    assert changed == {name for name in before if "norm" not in name}


def test_a_model_without_kernels():
    model = keras.Sequential([keras.Input((3,)), keras.layers.LayerNormalization()], name="norms")
    with pytest.raises(ValueError) as error:
        WeightClipping().build(model, None, 0)
    assert str(error.value) == (
        "`model` must have kernels to clip. Received: 'norms'."
        " Choose other `weights`, or leave the method out"
    )


def test_a_weight_that_is_not_a_number_stays_so():
    training = SmallRun()
    training.model.trainable_variables[0].assign(tf.fill([4, 6], np.nan))
    training.act(WeightClipping())
    assert np.isnan(training.model.trainable_variables[0].numpy()).all()


@pytest.mark.parametrize("kappa", [0, -1.0, float("inf")])
def test_arguments_out_of_range(kappa):
    with pytest.raises(ValueError) as error:
        WeightClipping(kappa)
    assert str(error.value) == f"`kappa` must be a finite number above 0. Received: {kappa}"
