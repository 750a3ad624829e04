"""Weights of layers of one's own: their names, and the kernels among them."""

from typing import Any

import numpy as np
import pytest

from tests.mitigations.small_run import network
from tfplastic._keras import keras
from tfplastic.mitigations import (
    FIRE,
    HareAndTortoise,
    L2Init,
    ParsevalRegularization,
    ShrinkAndPerturb,
    WeightClipping,
)
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.networks import vit
from tfplastic.optimizers import sgd


class Linear(keras.layers.Layer):
    """A dense layer of one's own, with weights of any names."""

    def __init__(self, units, kernel=None, bias=None, **kwargs):
        super().__init__(**kwargs)
        self._units, self._names = units, (kernel, bias)

    def build(self, input_shape):
        kernel, bias = ({} if name is None else {"name": name} for name in self._names)
        self.first = self.add_weight(
            shape=(input_shape[-1], self._units), initializer="glorot_uniform", **kernel
        )
        self.second = self.add_weight(shape=(self._units,), initializer="zeros", **bias)
        super().build(input_shape)

    def call(self, inputs):
        return inputs @ self.first + self.second


def model(kernel=None, bias=None):
    layers = [Linear(3, kernel, bias, name="linear"), keras.layers.Dense(2, name="output")]
    return keras.Sequential([keras.Input((4,)), *layers])


def test_weights_without_names_are_told_apart():
    made = model()
    assert len({str(each) for each in trainable_weights(made)}) == 4
    hare, init = HareAndTortoise(2, 0.5), L2Init(1.0)
    hare.build(made, None, 0)
    init.build(made, None, 0)
    assert len(hare.state) == 4 == len(init.state)
    for each in made.trainable_variables:
        each.assign_add(np.full(each.shape, 2.0))
    np.testing.assert_allclose(init.penalty(made.trainable_variables), 4 * (12 + 3 + 6 + 2), rtol=1e-6)


@pytest.mark.parametrize(("kernel", "is_one"), [("w", True), ("kernel", True), ("scale", False)])
def test_kernels_may_have_any_name_but_those_of_others(kernel, is_one):
    made = model(kernel, "b")
    found = {str(each) for each in trainable_weights(made) if each.is_kernel}
    assert found == {*([f"linear/{kernel}"] if is_one else []), "output/kernel"}


def test_methods_act_on_kernels_of_any_name():
    made = model("w", "bias")
    made.layers[0].first.assign(np.full([4, 3], 9.0))
    parseval = ParsevalRegularization(1.0, scale_by_width=False)
    parseval.build(made, None, 0)
    expected = (9 * (4 * 81.0) ** 2) - 2 * 3 * 2.0 * (4 * 81.0) + 3 * 4.0  # of the matrix 324 J - 2 I
    np.testing.assert_allclose(parseval.penalty(made.trainable_variables), expected, rtol=1e-5)
    fire = FIRE(1, attention_only=False)
    fire.build(made, None, 0)
    assert [str(each.weight) for each in fire._kernels] == ["linear/w", "output/kernel"]
    clipping = WeightClipping(1.0)
    clipping.build(made, None, 0)
    nothing: Any = None
    clipping.after_update(nothing, made, nothing, nothing)
    np.testing.assert_allclose(made.layers[0].first, np.full([4, 3], 0.5))


def test_positions_are_no_kernels():
    network_with_positions = vit(3, input_shape=(6, 6, 1), model_dim=4, feed_forward_dim=6, num_heads=2)
    names = {str(each) for each in trainable_weights(network_with_positions) if each.is_kernel}
    assert names and not any("token" in name or name.endswith("embedding") for name in names)


def test_shrink_and_perturb_refuses_a_choice_without_weights():
    norms = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization()], name="norms")
    with pytest.raises(ValueError) as error:
        ShrinkAndPerturb(weights="kernels").build(norms, sgd(), 0)
    assert str(error.value) == (
        "`weights` must select trainable weights of 'norms', which has none of this kind."
        " Received: 'kernels'. Choose 'all', or leave the method out"
    )
    ShrinkAndPerturb(weights="kernels").build(network(), sgd(), 0)
