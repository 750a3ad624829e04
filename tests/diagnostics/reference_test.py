import dataclasses

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Reference, Snapshot, UnitStatistics

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def assert_same(left, right):
    assert list(left.weights) == list(right.weights)
    for layer, weights in left.weights.items():
        for one, other in zip(weights, right.weights[layer], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert list(left.unit_statistics) == list(right.unit_statistics)
    for layer, statistics in left.unit_statistics.items():
        for field in dataclasses.fields(UnitStatistics):
            one, other = (getattr(each, field.name) for each in (statistics, right.unit_statistics[layer]))
            assert type(one) is type(other)
            np.testing.assert_array_equal(one, other, field.name)
    for one, other in zip(left.outputs, right.outputs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@BOTH
def test_holds_copies(keras, tmp_path):
    model, inputs = models.cnn(keras), tf.random.stateless_normal((4, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs)
    reference = Reference.of(snapshot)
    expected = [[each.numpy() for each in weights] for weights in snapshot.weights.values()]
    outputs = model(inputs).numpy()
    model.set_weights([np.zeros_like(each) for each in model.get_weights()])
    snapshot.refresh()
    assert not snapshot.outputs.numpy().any()
    for weights, values in zip(reference.weights.values(), expected, strict=True):
        for weight, value in zip(weights, values, strict=True):
            np.testing.assert_array_equal(weight, value)
    np.testing.assert_allclose(reference.outputs[0], outputs, rtol=1e-5, atol=1e-5)
    path = tmp_path / "reference"  # kept as it is, without a suffix
    reference.save(path)
    assert_same(reference, Reference.load(path))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "mixed_bfloat16"])
def test_dtypes(dtype, tmp_path):
    inputs = keras_2.Input((2,))
    hidden = keras_2.layers.Dense(3, "relu", dtype=dtype, name="a/layer.of/3")(inputs)
    head = keras_2.layers.Dense(1, dtype=dtype)
    model = keras_2.Model(inputs, [head(hidden), hidden])
    snapshot = Snapshot(model, tf.ones((5, 2)))
    reference = Reference.of(snapshot)
    assert [each.shape for each in reference.outputs] == [(5, 1), (5, 3)]
    for layer, weights in snapshot.weights.items():
        for weight, value in zip(weights, reference.weights[layer], strict=True):
            kept = "float32" if "bfloat16" in weight.dtype.name else weight.dtype.name
            assert value.dtype == kept
            np.testing.assert_array_equal(value, tf.cast(weight, kept))  # exact
    reference.save(str(tmp_path / "reference.npz"))
    assert_same(reference, Reference.load(str(tmp_path / "reference.npz")))


@BOTH
def test_of_chosen_layers(keras, tmp_path):
    model, inputs = models.cnn(keras), tf.ones((2, 6, 6, 2))
    reference = Reference.of(Snapshot(model, inputs, layers=["conv2", "conv2_relu"]))
    assert list(reference.weights) == ["conv2"] and list(reference.unit_statistics) == ["conv2_relu"]
    model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="relu"), keras.layers.Softmax()])
    reference = Reference.of(Snapshot(model, tf.ones((1, 2))))
    reference.save(tmp_path / "reference")
    assert Reference.load(tmp_path / "reference").weights == {}  # nothing to train


def test_errors(tmp_path):
    path = tmp_path / "reference"
    for write in (
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"PK\3\4 no archive"),
        lambda: path.write_text("text"),
        lambda: np.savez(path.open("wb"), x=np.ones(3)),
        lambda: np.savez(path.open("wb"), allow_pickle=False, **{"unit_statistics/mean/hidden": np.ones(3)}),
        lambda: np.save(path.open("wb"), np.ones(3)),
    ):
        write()
        with pytest.raises(ValueError) as error:
            Reference.load(path)
        rule = "`path` must be a file that `Reference.save` has written"
        assert str(error.value) == f"{rule}. Received: {str(path)!r}"
    with pytest.raises(FileNotFoundError):
        Reference.load(tmp_path / "absent")
    snapshot = Snapshot(models.mlp(keras_2), tf.ones((1, 2)))
    reference = Reference.of(snapshot)
    rule = "`reference` must be of the same model, with weights of shape [[4, 1], [1]] in 'hidden'"
    with pytest.raises(ValueError) as error:
        reference.weights_like("hidden", snapshot.weights["output"])
    assert str(error.value) == f"{rule}. Received: [[2, 4], [4]]"
    with pytest.raises(ValueError) as error:
        reference.weights_like("other", snapshot.weights["output"])
    assert str(error.value) == f"{rule.replace('hidden', 'other')}. Received: none"
