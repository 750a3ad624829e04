"""Examples from whatever holds them: arrays, frames, nests, datasets, Keras' sequences, generators."""

import collections
import itertools

import keras as keras_3
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import diagnostics, linalg, networks
from tfplastic._data.examples import (
    MAX_EXAMPLES,
    all_examples,
    as_tensors,
    check_batch,
    examples,
    is_stream,
)
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, diagnose
from tfplastic.probing import Probe
from tfplastic.probing._measuring.inputs import as_inputs
from tfplastic.training import PlasticModel

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((10, 3)).astype("float32"), RNG.standard_normal((10, 2)).astype("float32")
W = np.arange(1.0, 11.0, dtype="float32")


def _sequence(keras, parts=(X, Y), endless=False):
    base = keras.utils.Sequence if keras is keras_2 else keras.utils.PyDataset

    class Batches(base):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            rows = slice(4 * (index % 3), 4 * (index % 3) + 4)
            return tuple(each[rows] for each in parts)

    class Endless(Batches):
        num_batches = None

    return Endless() if endless else Batches()


def _loader():
    class Loader:  # as PyTorch's
        def __iter__(self):
            return iter([[X[:4], Y[:4]], [X[4:], Y[4:]]])

    return Loader()


STREAMS = {
    "dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
    "endless dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(7),
    "sequence of keras 2": lambda: _sequence(keras_2),
    "PyDataset": lambda: _sequence(keras_3),
    "endless PyDataset": lambda: _sequence(keras_3, endless=True),
    "generator": lambda: ((X[row : row + 1], Y[row : row + 1]) for row in itertools.count()),
    "loader": _loader,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_the_first_examples_of_a_stream(kind):
    stream = STREAMS[kind]()
    assert is_stream(stream)
    found = examples("inputs", stream, max_examples=9)
    np.testing.assert_array_equal(found.inputs, X[:9])
    np.testing.assert_array_equal(found.targets, Y[:9])
    assert found.sample_weight is None
    assert found.note.startswith("`inputs` is a") and found.note.endswith(": its first 9 examples were taken")


def test_how_many_are_taken_where_nobody_says():
    dataset = tf.data.Dataset.from_tensor_slices(X).repeat().batch(100)
    assert examples("inputs", dataset).inputs.shape == (MAX_EXAMPLES, 3)
    assert examples("inputs", dataset.take(2)).inputs.shape == (200, 3)
    assert examples("inputs", dataset.take(2)).note == ""
    assert examples("inputs", np.ones((600, 1))).inputs.shape == (600, 1)
    cut = examples("inputs", X, Y, W, max_examples=4)
    assert [each.shape[0] for each in (cut.inputs, cut.targets, cut.sample_weight)] == [4, 4, 4]
    other = examples("inputs", X, Y[:7], max_examples=4)
    assert [each.shape[0] for each in (other.inputs, other.targets)] == [10, 7]  # for an error to tell


def test_a_note_only_where_a_stream_has_more():
    for name in ("dataset", "sequence of keras 2", "PyDataset", "loader"):
        assert examples("inputs", STREAMS[name](), max_examples=10).note == ""
        assert examples("inputs", STREAMS[name](), max_examples=8 if name != "loader" else 4).note
        assert examples("inputs", STREAMS[name](), max_examples=9).note
    one_by_one = iter([X[:1], X[1:2], X[2:3]])
    assert examples("inputs", one_by_one, max_examples=2).note
    np.testing.assert_array_equal(next(one_by_one), X[2:3])  # was not taken


def test_targets_and_weights_beside_a_stream_are_cut_with_it():
    stream = tf.data.Dataset.from_tensor_slices(X).batch(4)
    for inputs in (stream, stream.repeat(), iter([X[:4], X[4:8], X[8:]])):
        found = examples("inputs", inputs, Y, {"a": W}, max_examples=6)
        np.testing.assert_array_equal(found.inputs, X[:6])
        np.testing.assert_array_equal(found.targets, Y[:6])
        np.testing.assert_array_equal(found.sample_weight["a"], W[:6])
    model = _model(keras_2)
    cut = Snapshot(model, stream.repeat(), Y, "mse", max_examples=6, sample_weight=W)
    np.testing.assert_array_equal(cut.loss, Snapshot(model, X[:6], Y[:6], "mse", sample_weight=W[:6]).loss)
    for few, count in ((stream.repeat(), 6), (stream.take(1), 4)):  # too few targets, and too many
        with pytest.raises(ValueError, match=rf"^`targets` must have an entry for each of the {count} "):
            Snapshot(model, few, Y[:5], "mse", max_examples=6)


@BOTH
def test_elements_of_a_stream_are_taken_as_fit_takes_them(keras):
    Pair = collections.namedtuple("Pair", ["first", "second"])
    for element in (Pair(X, Y), (X, Y), [X, Y]):
        found = examples("inputs", iter([element]))
        np.testing.assert_array_equal(found.targets, Y)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(element)
        assert y is Y and x is X and weight is None
    np.testing.assert_array_equal(examples("inputs", iter([(X,)])).inputs, X)


def test_weights_nests_and_inputs_alone():
    dataset = tf.data.Dataset.from_tensor_slices(({"a": X, "b": X[:, 0]}, (Y, Y), W)).batch(4)
    found = examples("inputs", dataset)
    assert set(found.inputs) == {"a", "b"} and len(found.targets) == 2
    np.testing.assert_array_equal(found.sample_weight, W)
    alone = examples("inputs", tf.data.Dataset.from_tensor_slices(X).batch(4), Y)
    np.testing.assert_array_equal(alone.inputs, X)
    np.testing.assert_array_equal(alone.targets, Y)
    pair = examples("inputs", tf.data.Dataset.from_tensor_slices(((X, X),)).batch(4))
    assert len(pair.inputs) == 2 and pair.targets is None


def test_arrays_of_every_kind():
    frame = pd.DataFrame(X, columns=list("abc"))
    np.testing.assert_array_equal(as_tensors("inputs", frame), X)
    np.testing.assert_array_equal(as_tensors("inputs", {"a": frame["a"]})["a"], X[:, 0])
    assert as_tensors("inputs", [[1.0, 2.0], [3.0, 4.0]]).shape == (2, 2)
    assert as_tensors("inputs", [1, 2, 3]).dtype == tf.int32
    several = as_tensors("inputs", [X, frame])
    assert isinstance(several, list) and all(map(tf.is_tensor, several))
    assert as_tensors("inputs", np.array(["a", "b"])).dtype == tf.string
    assert not is_stream([X]) and not is_stream(frame) and not is_stream("text") and not is_stream(None)


ERRORS = {
    "`inputs` must give batches, with the examples along the first axis. Received: elements of shapes "
    "[3], []. `dataset.batch(32)` makes them.": lambda: examples(
        "inputs", tf.data.Dataset.from_tensor_slices((X, Y[:, 0]))
    ),
    "`inputs` must have elements of inputs, targets and sample weights. Received: elements of 4 parts": (
        lambda: examples("inputs", iter([(X, Y, W, W)]))
    ),
    "`inputs` must hold at least one example. Received: an empty generator": (
        lambda: examples("inputs", iter([]))
    ),
    "`inputs` must give batches of one form and one shape but for their length. Received: shapes [[2, 3]], "
    "[[2, 2]]. `padded_batch` and `map` make them so.": lambda: examples("inputs", iter([X[:2], X[:2, :2]])),
    "`targets` must be None where the elements of `inputs` have them. Received: float32 of shape [10, 2]": (
        lambda: diagnose(networks.mlp(2, (4,), input_shape=(3,)), STREAMS["dataset"](), Y)
    ),
    "`targets` must be arrays, one for each example. Received: a tf.data.Dataset. A stream that holds them "
    "too is given as the inputs.": lambda: examples("inputs", X, STREAMS["dataset"]()),
    "`inputs` must be dense arrays. Received: a RaggedTensor. `.to_tensor()` makes one.": (
        lambda: as_tensors("inputs", tf.ragged.constant([[1.0], [2.0, 3.0]]))
    ),
    "`inputs` must be an array of numbers. Received: object of shape [2]": (
        lambda: as_tensors("inputs", np.array([object(), 3.0]))
    ),
    "`inputs` must be a batch of at least one. Received: None": (
        lambda: diagnose(networks.mlp(2, (4,), input_shape=(3,)), None)
    ),
    "`max_examples` must be an integer of at least 1. Received: 0": lambda: examples(
        "inputs", X, max_examples=0
    ),
    "`inputs` must be arrays, or a dataset that ends. Received: a generator. `dataset.take(n)` ends after n "
    "batches, `next(iter(...))` is one batch.": lambda: all_examples("inputs", iter([X])),
    "`data` must be arrays, or a dataset that ends. Received: an endless Endless of Keras. `dataset.take(n)` "
    "ends after n batches, `next(iter(...))` is one batch.": (
        lambda: _operator(STREAMS["endless PyDataset"]())
    ),
    "`data` must be arrays, or a dataset that ends. Received: a generator. `dataset.take(n)` ends after n "
    "batches, `next(iter(...))` is one batch.": lambda: _operator(iter([(X, Y)])),
    "`inputs` must be arrays, or a dataset that ends. Received: a generator. `num_inputs` says how many to "
    "take of it.": (lambda: as_inputs(iter([X]), None, 0)),
    "`batch` must be one batch. Received: a tf.data.Dataset. `next(iter(batch))` takes one.": (
        lambda: check_batch("batch", STREAMS["dataset"]())
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_are_one_line_and_say_what_to_do(message):
    with pytest.raises(ValueError) as caught:
        ERRORS[message]()
    assert str(caught.value) == message


def _model(keras):
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(4, "tanh", name="hidden"),
        keras.layers.Dense(2, name="head"),
    ]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    return model


@BOTH
def test_diagnose_and_snapshot(keras):
    model = _model(keras)
    chosen = [diagnostics.gradient_norm, diagnostics.dead_units]
    expected = diagnose(model, X, Y, sample_weight=W, quantities=chosen)
    for data, weights in ((STREAMS["dataset"](), W), (_sequence(keras, (X, Y, W)), None)):
        found = diagnose(model, data, sample_weight=weights, quantities=chosen)
        assert found.to_dict() == expected.to_dict() and found.remarks == []
    generator = ((X[row : row + 5], Y[row : row + 5]) for row in itertools.cycle([0, 5]))
    report = diagnose(model, generator, quantities=[diagnostics.gradient_norm], max_examples=10)
    plain = diagnose(model, X, Y, quantities=[diagnostics.gradient_norm])
    assert report.to_dict() == plain.to_dict()
    assert report.remarks == ["`inputs` is a generator: its first 10 examples were taken"]
    assert report.remarks[0] in str(report)
    assert Snapshot(model, pd.DataFrame(X)).outputs.shape == (10, 2)


@BOTH
def test_the_callback(keras):
    model = _model(keras)
    watches = [
        PlasticityDiagnostics(STREAMS["endless dataset"](), max_examples=10),
        PlasticityDiagnostics(_sequence(keras)),
        PlasticityDiagnostics(X, Y),
    ]
    model.fit(X, Y, epochs=1, verbose=0, callbacks=watches)
    first = watches[2].history
    assert watches[0].history == watches[1].history == first and first
    with pytest.raises(
        ValueError, match=r"^`y_probe` must be None where the elements of `x_probe` have them"
    ):
        PlasticityDiagnostics(_sequence(keras), Y)


def _operator(data):
    weight = tf.Variable(tf.ones([3, 2]))
    return linalg.HessianOperator(
        lambda x, y: tf.reduce_mean((tf.matmul(x, weight) - y) ** 2), [weight], data
    )


@pytest.mark.parametrize("kind", ["dataset", "sequence of keras 2", "PyDataset", "loader"])
def test_operators(kind):
    expected = _operator((X, Y)).matvec(np.ones(6))
    np.testing.assert_allclose(_operator(STREAMS[kind]()).matvec(np.ones(6)), expected, rtol=1e-5)
    model = _model(keras_2)
    whole = linalg.HessianOperator.from_model(model, X, Y)
    vector = np.ones(whole.shape[0], "float32")
    found = linalg.HessianOperator.from_model(model, STREAMS[kind]())
    np.testing.assert_array_equal(found.matvec(vector), whole.matvec(vector))


@pytest.mark.parametrize("kind", STREAMS)
def test_probes(kind):
    is_finite = kind in ("dataset", "sequence of keras 2", "PyDataset", "loader")
    found = as_inputs(STREAMS[kind](), None if is_finite else 8, 0)
    np.testing.assert_array_equal(found, X if is_finite else X[:8])
    assert as_inputs(pd.DataFrame(X), None, 0).shape == (10, 3)


def test_a_probe_of_a_dataset_is_that_of_its_inputs():
    model = networks.mlp(1, (4,), input_shape=(3,))
    probe = Probe(num_targets=1, num_steps=2, baselines=0, compiler="graph", execution="one_after_another")
    optimizer = tf.keras.optimizers.SGD(0.1)
    one, other = (probe.measure(model, data, optimizer).curves for data in (X, STREAMS["dataset"]()))
    np.testing.assert_array_equal(one, other)


def test_one_batch_for_products_of_a_plastic_model():
    model = PlasticModel(networks.mlp(2, (), input_shape=(3,)))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"^`batch` must be one batch. Received: a tf.data.Dataset"):
        model.hessian_vector_product(STREAMS["dataset"](), np.ones(8))
