"""A model of Keras 3 on JAX or PyTorch is refused in one line wherever a model or its variables are taken."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import callbacks, diagnostics, linalg, optimizers, probing
from tfplastic._keras import check_backend, is_legacy, keras
from tfplastic.training import PlasticModel

X, Y = np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)
ENTRIES = {
    "diagnose": lambda model: diagnostics.diagnose(model, X, Y, "mse"),
    "Snapshot": lambda model: diagnostics.Snapshot(model, X),
    "UnitMap": lambda model: diagnostics.UnitMap(model),
    "HessianOperator": lambda model: linalg.HessianOperator(tf.zeros, model.trainable_variables),
    "NTKOperator": lambda model: linalg.NTKOperator(model, model.trainable_variables, X),
    "EmpiricalFisherOperator": lambda model: linalg.EmpiricalFisherOperator(
        model, model.trainable_variables, X
    ),
    "measure_plasticity": lambda model: probing.measure_plasticity(model, X),
    "PlasticityDiagnostics": lambda model: watched(model),
}


def watched(model):
    watch = callbacks.PlasticityDiagnostics(X)
    watch.set_model(model)
    watch.on_train_begin()


def small_model(keras_module):
    layers = [keras_module.layers.Dense(2, "relu"), keras_module.layers.Dense(1)]
    return keras_module.Sequential([keras_module.Input((3,)), *layers])


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_another_backend_is_refused_in_one_line(entry, backend, monkeypatch):
    model = small_model(keras_3)
    monkeypatch.setattr(keras_3.config, "backend", lambda: backend)
    with pytest.raises(ValueError) as caught:
        ENTRIES[entry](model)
    argument = "variables" if entry.endswith("Operator") else "model"
    assert str(caught.value) == (
        f"`{argument}` must compute with TensorFlow. Received: Keras on {backend}. "
        "Set KERAS_BACKEND=tensorflow before Keras is imported."
    )


def test_what_is_made_of_keras_classes_is_refused_too(monkeypatch):
    network = small_model(keras)
    monkeypatch.setattr(keras_3.config, "backend", lambda: "jax")
    if is_legacy():  # Keras 2 knows no other backend
        PlasticModel(network)
        assert optimizers.adam() is not None
        return
    for make in (lambda: PlasticModel(network), optimizers.adam, optimizers.sgd, optimizers.centered_rmsprop):
        with pytest.raises(ValueError, match="must compute with TensorFlow. Received: Keras on jax"):
            make()


def test_models_of_keras_2_do_not_depend_on_the_backend_of_keras_3(monkeypatch):
    model = small_model(keras_2)
    monkeypatch.setattr(keras_3.config, "backend", lambda: "jax")
    assert diagnostics.Snapshot(model, X).num_examples == 4
    check_backend("model", model)
    check_backend("model", tf.Variable(1.0))
