"""`PlasticModel` on ragged and sparse inputs: weights of a step against NumPy, and the cause of a NaN."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._keras import is_legacy, keras
from tfplastic.tasks import TaskLoss
from tfplastic.training import NonFiniteLossError, PlasticModel
from tfplastic.training.execution.noted_batch import NotedBatch

ROWS = [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0], [0.5]]
DENSE = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0], [4, 0, 0]], np.float32)


class RowSum(keras.layers.Layer):
    """The sum of each row, `[batch, 1]`, with a weight."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, inputs):
        return self.scale * tf.reduce_sum(inputs, axis=1)[:, tf.newaxis]


def ragged():
    model = keras.Sequential([keras.Input((None,), ragged=True), RowSum(name="sum")])
    return model, tf.ragged.constant(ROWS), np.array([[sum(row)] for row in ROWS])


def sparse():
    inputs = keras.Input((3,), sparse=True)
    dense = keras.layers.Dense(1, kernel_initializer="ones", use_bias=False, name="sum")
    return keras.Model(inputs, dense(inputs)), tf.sparse.from_dense(DENSE), DENSE.astype(np.float64)


@pytest.mark.parametrize("kind", [ragged, sparse])
def test_a_step_on_inputs_that_are_not_dense(kind):
    if kind is ragged and not is_legacy():
        pytest.skip("Keras 3 has another form of ragged inputs")
    network, inputs, as_array = kind()
    model = PlasticModel(network)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    data = tf.data.Dataset.from_tensors((inputs, np.zeros([4, 1], np.float32)))
    history = model.fit(data, verbose=0).history
    weights = np.ones([as_array.shape[1], 1])
    outputs = as_array @ weights
    assert history["loss"][0] == pytest.approx(np.mean(outputs**2), rel=1e-5)
    expected = weights - 0.01 * 2 * as_array.T @ outputs / 4
    np.testing.assert_allclose(np.ravel(model.get_weights()[0]), np.ravel(expected), rtol=1e-5)
    with pytest.raises(NonFiniteLossError, match="at gradient step 2; the first was the batch"):
        model.fit(data.map(lambda x, y: (x * np.float32("nan"), y)), verbose=0)


def test_the_noted_batch_has_the_form_of_the_given_one():
    class Loss:
        def loss(self, model, batch, training=False):
            return TaskLoss(tf.constant(np.nan), tf.zeros([2]), {})

    noted = NotedBatch(Loss())
    given = {"x": tf.ragged.constant([[1, 2], [3]]), "y": (None, tf.constant([1.0])), "z": tf.sparse.eye(2)}
    tf.function(lambda: noted.loss(None, given).loss)()
    assert noted.batch["x"].to_list() == [[1, 2], [3]]
    assert noted.batch["y"][0] is None and noted.batch["y"][1].tolist() == [1.0]
    np.testing.assert_array_equal(tf.sparse.to_dense(noted.batch["z"]), np.eye(2))
