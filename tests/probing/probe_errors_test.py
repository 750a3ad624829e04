"""One line says why a network cannot be probed."""

import keras as keras_3
import numpy as np
import pytest

from tests.probing import models
from tests.probing.probe_test import probe
from tfplastic import networks, optimizers, probing
from tfplastic.mitigations import InFeR
from tfplastic.mitigations.build_all import build_all


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(num_steps=0), "`num_steps` must be an integer of at least 1. Received: 0"),
        (
            dict(quick_steps=8),
            "`quick_steps` must be at most `num_steps`, 7, and needs `baselines`. Received: 8",
        ),
        (
            dict(quick_steps=5),
            "`quick_steps` must be at most `num_steps`, 7, and needs `baselines`. Received: 5",
        ),
        (dict(baselines=-1), "`baselines` must be an integer of at least 0. Received: -1"),
        (
            dict(execution="x"),
            "`execution` must be one of 'auto', 'one_after_another', 'side_by_side'. Received: 'x'",
        ),
        (
            dict(optimizer="adam"),
            "`optimizer` must be a Keras optimizer, or None for that of the task. Received: 'adam'",
        ),
        (
            dict(optimizer=keras_3.optimizers.Adam(0.1), optimizer_state="copied"),
            "`optimizer_state` must be 'fresh' where the probe has an `optimizer` of its own. Received:"
            " 'copied'",
        ),
        (dict(optimizer_state="x"), "`optimizer_state` must be one of 'fresh', 'copied'. Received: 'x'"),
        (dict(losses_over="x"), "`losses_over` must be one of 'inputs', 'batches'. Received: 'x'"),
        (dict(head=1), "`head` must be of type Head, such as Regression(). Received: 1"),
        (
            dict(targets=np.full([2, 30, 2], np.inf)),
            "`targets` must be finite. Received: some that are not",
        ),
        (
            dict(targets=np.zeros(3)),
            "`targets` must be numbers of shape [targets, n, ...]. Received: float64 of shape [3]",
        ),
    ],
)
def test_errors_of_settings(settings, message):
    with pytest.raises(ValueError) as caught:
        probe(**settings)
    assert str(caught.value) == message


def frozen():
    model = keras_3.Sequential([keras_3.Input((3,)), keras_3.layers.Dense(2)], name="net")
    model.trainable = False
    return model


def measured(model=None, x=None, optimizer="sgd", **settings):
    optimizer = keras_3.optimizers.SGD(0.1) if optimizer == "sgd" else optimizer
    x = models.inputs() if x is None else x
    return probe(**settings).measure(model or models.mlp(keras_3), x, optimizer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            dict(seed=None),
            "`seed` must be an integer outside a training run. Received: None",
        ),
        (
            dict(optimizer=None),
            "`optimizer` must be a Keras optimizer, or the model be compiled with one. Received: None",
        ),
        (
            dict(model=keras_3.Sequential([keras_3.layers.Dense(2)], name="net")),
            "`model` must be built and have weights. Received: <Sequential name=net, built=False>",
        ),
        (
            dict(optimizer_state="copied", optimizer=keras_3.optimizers.Adam(0.1)),
            "`optimizer` must be built for the model alone, with 10 variables, for its state to be copied."
            " Received: Adam with 2 variables. Give one that trains the model alone, or set"
            " optimizer_state='fresh'",
        ),
        (
            dict(targets=np.zeros([2, 30])),
            "`targets` must be floats of shape [targets, 30, 2] for a regression. Received: float32 of shape"
            " [2, 30]",
        ),
        (
            dict(targets=np.zeros([2, 29, 2])),
            "`targets` must be of shape [targets, 30, ...], with one entry for each input. Received: shape"
            " [2, 29, 2]",
        ),
        (
            dict(head=probing.Classification()),
            "`targets` must be labels of shape [targets, n] for a classification. Received: float32 of shape"
            " [2, 30, 2]",
        ),
        (
            dict(head=probing.Classification(), targets=np.full([1, 30], 2)),
            "`targets` must be labels below 2, the outputs. Received: labels from 2 to 2",
        ),
        (
            dict(x=models.inputs(size=2)),
            "`inputs` must fit `model`. Received: shape [1, 2]: Input 0 with name 'None' of layer"
            " 'hidden' is incompatible with the layer: expected axis -1 of input shape to have value 3, but"
            " received input with shape (1, 2)",
        ),
        (
            dict(optimizer=keras_3.optimizers.SGD),
            "`optimizer` must be a Keras optimizer, or the model be compiled with one. Received: <class"
            " 'keras.src.optimizers.sgd.SGD'>",
        ),
        (
            dict(model=frozen()),
            "`model` must have weights that are trained. Received: <Sequential name=net, built=True>",
        ),
        (
            dict(head=probing.Regression(outputs=[2])),
            "`outputs` must be places below 2. Received: [2]",
        ),
        (
            dict(head=probing.TwoHot()),
            "`model` must have outputs of shape [batch, outputs, 51] for this head. Received: shape [30, 2]",
        ),
    ],
)
def test_errors_of_measurements(settings, message):
    with pytest.raises(ValueError) as caught:
        measured(**settings)
    assert str(caught.value) == message


def test_the_state_of_an_optimizer_that_trains_heads_of_a_mitigation_too_is_not_copied():
    model, adam = networks.mlp(2, (4,), input_shape=(3,)), optimizers.adam(0.01)
    build_all([InFeR(num_heads=2)], model, adam, 0)
    with pytest.raises(ValueError, match="Received: Adam with 13 variables. Give one that trains the model"):
        measured(model, optimizer=adam, optimizer_state="copied")
    assert np.isfinite(measured(model, optimizer=adam, num_targets=1, baselines=0).final_losses).all()
