import numpy as np
import pytest
import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers import SharedBias


def test_adds_one_scalar_to_every_input():
    layer = SharedBias(keras.initializers.Constant(0.5))
    inputs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(inputs), inputs + np.float32(0.5))
    (bias,) = layer.trainable_variables
    assert tuple(bias.shape) == (1,)
    assert not layer.non_trainable_variables


def test_starts_at_zero_by_default():
    layer = SharedBias()
    layer.build((None, 6))
    assert layer.bias.numpy().tolist() == [0.0]


def test_the_gradient_of_the_bias_is_the_sum_over_all_outputs():
    layer, inputs = SharedBias(), tf.ones([2, 3])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) * [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert tape.gradient(loss, layer.trainable_variables)[0].numpy().tolist() == [21.0]


@pytest.mark.parametrize("seed", [3, 4])
def test_the_initializer_draws_the_bias(seed):
    initializer = keras.initializers.RandomUniform(-1.0, 1.0, seed=seed)
    layer = SharedBias(initializer)
    layer.build((None, 6))
    same, other = (keras.initializers.RandomUniform(-1.0, 1.0, seed=s)((1,)) for s in (seed, 5))
    assert float(layer.bias[0]) == float(same[0]) != float(other[0])


def test_an_unknown_initializer_is_refused():
    with pytest.raises(ValueError, match="ohnes"):
        SharedBias("ohnes")
