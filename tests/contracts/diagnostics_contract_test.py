"""The contract of every diagnostic, over a table of models: it only reads, with values as documented."""

import random
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2
from keras.src.random.seed_generator import global_seed_generator

from tests.diagnostics import models
from tfplastic import diagnostics

EXPORTED = [getattr(diagnostics, name) for name in sorted(diagnostics.__all__)]
QUANTITIES = [each for each in EXPORTED if hasattr(each, "cost")]
PARTS = {name: each for name, each in vars(diagnostics.Snapshot).items() if isinstance(each, property)}
FRACTIONS = (diagnostics.dead_units, diagnostics.dormant_units)
MODELS = {
    "mlp": (models.mlp, (2,)),
    "cnn": (models.cnn, (6, 6, 2)),
    "dropout_and_batch_norm": (models.stateful, (3,)),
}


def _trained(keras, build, shape):
    """A model with an optimizer that has slots, after a training step."""
    model = build(keras)
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    model.train_on_batch(_inputs(5, shape), tf.zeros((5, model.output_shape[-1])))
    return model


def _inputs(batch, shape):
    return tf.random.stateless_normal((batch, *shape), [0, 1])


def _state(model):
    """Every variable, slot and random state there is, as bytes."""
    slots: Any = model.optimizer.variables
    slots = slots() if callable(slots) else slots  # a method in Keras 2
    variables = [np.asarray(variable).tobytes() for variable in [*model.variables, *slots]]
    generators = [tf.random.get_global_generator().state, global_seed_generator().state]
    states = [np.asarray(state).tobytes() for state in generators]
    return variables, states, random.getstate(), str(np.random.get_state())


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
@pytest.mark.parametrize("name", MODELS)
def test_only_reads_and_gives_what_it_says(keras, name):
    build, shape = MODELS[name]
    model = _trained(keras, build, shape)
    inputs = _inputs(1 if name == "mlp" else 5, shape)
    reference = diagnostics.Reference.of(diagnostics.Snapshot(model, inputs))
    snapshot = diagnostics.Snapshot(
        model, inputs, loss=models.mean_square, optimizer=model.optimizer, reference=reference
    )
    # Products with the curvature of convolutions take long to compile, and are `linalg`'s to test.
    quantities = [each for each in QUANTITIES if name != "cnn" or each.cost != "full"]
    values = {each: _measured_without_a_trace(model, snapshot, each) for each in quantities}
    for quantity, value in values.items():
        assert value or quantity is diagnostics.effective_learning_rate  # of normalized layers only
        assert all(type(each) is float or isinstance(each, np.ndarray) for each in value.values())
        if quantity in FRACTIONS:
            assert list(value) == list(snapshot.activations)
            assert all(0 <= each <= 1 for each in value.values())
    snapshot.refresh()
    for quantity, value in values.items():
        np.testing.assert_equal(quantity(snapshot), value, quantity.__name__)


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
@pytest.mark.parametrize("name", MODELS)
def test_each_part_of_a_snapshot_only_reads(keras, name):
    build, shape = MODELS[name]
    model = _trained(keras, build, shape)
    functions = {layer.name: getattr(layer, "activation", None) for layer in model.layers}
    assert {"activations", "hessian", "unit_statistics", "unmeasured"} < set(PARTS)
    snapshot = diagnostics.Snapshot(model, _inputs(5, shape), loss=models.mean_square, batch_size=2)
    for part in PARTS.values():
        _measured_without_a_trace(model, snapshot, part.fget)
    _measured_without_a_trace(model, snapshot, lambda snapshot: snapshot.losses_of(snapshot.examples))
    vector = np.ones(snapshot.hessian.shape[0])
    _measured_without_a_trace(model, snapshot, lambda snapshot: snapshot.hessian.matvec(vector))
    assert {layer.name: getattr(layer, "activation", None) for layer in model.layers} == functions


def _measured_without_a_trace(model, snapshot, quantity):
    tf.random.set_seed(1)
    undisturbed = tf.random.normal([3]).numpy()
    tf.random.set_seed(1)
    before = _state(model)
    value = quantity(snapshot)
    assert _state(model) == before, quantity.__name__
    # TensorFlow's own seed has no reader, but what it gives next.
    np.testing.assert_array_equal(tf.random.normal([3]), undisturbed, quantity.__name__)
    assert not any("call" in vars(layer) for layer in model.layers)
    return value


def test_the_table_would_notice():
    """A training-mode call changes the state that `_state` reads, in both versions of Keras."""
    for keras in (keras_2, keras_3):
        model = _trained(keras, models.stateful, (3,))
        before = _state(model)
        model(_inputs(5, (3,)), training=True)
        assert _state(model)[0] != before[0]
        before = _state(model)
        np.random.random()
        random.random()
        after = _state(model)
        assert after[:2] == before[:2] and after[2] != before[2] and after[3] != before[3]
