import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import linalg
from tfplastic._tf.variables import as_tf_variables


def test_flatten_is_row_major_and_unflatten_its_inverse():
    tensors = [tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), tf.constant(7.0), tf.constant([8.0, 9.0])]
    vector = linalg.flatten(tensors)
    assert vector.numpy().tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for part, tensor in zip(linalg.unflatten(vector, tensors), tensors, strict=True):
        np.testing.assert_array_equal(part, tensor)


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_variables_of_either_keras_are_taken(keras):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    variables = as_tf_variables(layer.trainable_variables)
    assert all(isinstance(variable, tf.Variable) for variable in variables)
    assert [variable.shape.as_list() for variable in variables] == [[3, 2], [2]]
    assert linalg.flatten(variables).shape == [8]


def test_errors():
    variable = tf.Variable([1.0])
    with pytest.raises(ValueError, match=r"^`tensors` must hold at least one tensor. Received: \[\]$"):
        linalg.flatten([])
    with pytest.raises(ValueError, match=r"^`vector` must be of shape \[1\]. Received: shape \[2\]$"):
        linalg.unflatten([1.0, 2.0], [variable])
    with pytest.raises(ValueError, match=r"^`vector` must be of shape \[1\]. Received: shape \[1, 1\]$"):
        linalg.unflatten([[1.0]], [variable])
    with pytest.raises(ValueError, match=r"^`variables` must hold at least one variable. Received: \[\]$"):
        as_tf_variables([])
    with pytest.raises(TypeError, match=r"^`variables` must hold variables only. Received: a ndarray$"):
        as_tf_variables([np.zeros(3)])
    with pytest.raises(ValueError, match=r"^`variables` must be distinct. Received: \["):
        as_tf_variables([variable, variable])
