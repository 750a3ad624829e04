from typing import Any

import numpy as np
import pytest

from tests.mitigations.small_run import SmallRun, same_bits
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand
from tfplastic._keras import keras
from tfplastic.layers import NoisyDense
from tfplastic.mitigations import NormalizeAndProject, ParsevalRegularization
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.penalties.infer import num_features
from tfplastic.networks import minatar_cnn

NOTHING: Any = None  # the arguments of a hook that reads none


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_biases", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ten_steps(kind, zero_biases):
    def projected(weights, start):
        hidden = len(weights) - 2
        return [
            weight
            if place >= hidden
            else weight * np.linalg.norm(first) / np.linalg.norm(weight)
            if weight.ndim > 1
            else weight * (not zero_biases)
            for place, (weight, first) in enumerate(zip(weights, start, strict=True))
        ]

    assert_as_by_hand(kind, [NormalizeAndProject(zero_biases=zero_biases)], after=projected)


def test_a_bias_for_all_outputs_stays():
    model = minatar_cnn(3, seed=0, width=0.1, shared_bias=True, norm="layer")
    project = NormalizeAndProject(norms="keep")
    project.build(model, None, 0)
    for each in model.trainable_variables:
        each.assign(np.full(each.shape, 0.5))
    project.after_update(NOTHING, model, NOTHING, NOTHING)
    biases = {
        str(each): float(np.unique(each.variable)[0])
        for each in trainable_weights(model)
        if each.role == "bias"
    }
    assert biases == {name: 0.5 * (name == "output_bias/bias") for name in biases} and len(biases) > 0


def test_hidden_layers_before_frozen_ones_and_in_nested_heads_are_projected():
    def head(name, units):
        layers = [keras.layers.Dense(5, name=f"{name}_hidden"), keras.layers.Dense(units, name=f"{name}_out")]
        return keras.Sequential([keras.Input((6,)), *layers], name=name)

    inputs = keras.Input((4,))
    features = keras.layers.Dense(6, name="shared")(inputs)
    heads = head("actor", 3), head("critic", 1)
    model = keras.Model(inputs, [each(features) for each in heads])
    hidden = ["shared", "actor_hidden", "critic_hidden"]
    for frozen in ([], [heads[1]], [heads[1].layers[-1]]):
        for each in frozen:
            each.trainable = False
        trained = [name for name in hidden if not frozen or frozen[0] is not heads[1] or "critic" not in name]
        projection, parseval = NormalizeAndProject(), ParsevalRegularization()
        projection.build(model, None, 0)
        parseval.build(model, None, 0)
        assert [group[0].layer.name for group in projection._projected] == trained
        assert [each.layer.name for each in parseval._kernels] == trained
        assert num_features(model) == 10
        for each in frozen:
            each.trainable = True


def test_gain_and_offset_are_projected_together():
    training = SmallRun([NormalizeAndProject()]).train()
    after = training.weights()
    for layer, units in (("hidden1_norm", 6), ("hidden2_norm", 5)):
        gamma, beta = after[f"{layer}/gamma"], after[f"{layer}/beta"]
        np.testing.assert_allclose(
            (gamma**2).sum() + (beta**2).sum(), units, rtol=1e-6
        )  # gains of 1 at first
        assert np.abs(beta).max() > 0


def test_gain_and_offset_decay_to_their_start():
    project = NormalizeAndProject(norms="decay", decay_rate=0.25)
    training = SmallRun([project])
    for each in training.model.trainable_variables:
        each.assign_add(np.ones(each.shape))
    project.after_update(NOTHING, training.model, NOTHING, NOTHING)
    after = training.weights()
    np.testing.assert_allclose(after["hidden1_norm/gamma"], 1.75)  # 2 + (1 - 2) / 4
    np.testing.assert_allclose(after["hidden2_norm/beta"], 0.75)  # 1 + (0 - 1) / 4


def test_scales_of_noise_keep_their_size_relative_to_the_weights():
    layers = NoisyDense(6, seed=1), keras.layers.LayerNormalization(), keras.layers.ReLU()
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])
    project = NormalizeAndProject(norms="keep")
    project.build(model, None, 0)
    generator = np.random.default_rng(0)
    for each in model.trainable_variables:
        each.assign_add(0.3 * generator.normal(size=each.shape))
    hidden, norm = layers[:2]
    start = {each.name: each.numpy() for each in hidden.trainable_variables}
    inputs = generator.normal(size=(7, 4)).astype(np.float32)
    before = np.array(norm(hidden(inputs, training=True) - hidden.bias))
    project.after_update(NOTHING, model, NOTHING, NOTHING)
    after = {each.name: each.numpy() for each in hidden.trainable_variables}
    (kernel,) = [name for name in start if "kernel" in name and "scale" not in name]
    factor = np.linalg.norm(after[kernel]) / np.linalg.norm(start[kernel])
    assert abs(factor - 1) > 0.01
    for name in start:
        if "scale" in name:
            np.testing.assert_allclose(after[name], factor * start[name], rtol=1e-5)
    np.testing.assert_allclose(norm(hidden(inputs, training=True)), before, atol=1e-3)


def test_norms_and_biases_can_be_left_alone():
    training = SmallRun().train()
    project = NormalizeAndProject(norms="keep", zero_biases=False)
    project.build(training.model, None, 0)
    for each in training.model.trainable_variables:
        each.assign(2 * each)
    before = training.weights()
    project.after_update(NOTHING, training.model, NOTHING, NOTHING)
    after = training.weights()
    changed = {name for name in before if not same_bits([before[name]], [after[name]])}
    assert changed == {"hidden1/kernel", "hidden2/kernel"}


def test_weights_of_zero_stay_so():
    training = SmallRun()
    kernel = training.model.trainable_variables[0]
    project = NormalizeAndProject()
    project.build(training.model, None, 0)
    kernel.assign(np.zeros(kernel.shape))
    project.after_update(NOTHING, training.model, NOTHING, NOTHING)
    assert not kernel.numpy().any()


def test_a_network_of_one_layer():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)], name="single")
    with pytest.raises(ValueError) as error:
        NormalizeAndProject().build(model, None, 0)
    rule = "must have a layer with a kernel before its last one"
    action = "Add a hidden layer, or leave the method out"
    assert str(error.value) == f"`model` {rule}. Received: 'single'. {action}"


RULE = "must be a number in [0, 1] with norms='decay', and None otherwise"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norms": "decay"}, f"`decay_rate` {RULE}. Received: None"),
        ({"decay_rate": 0.1}, f"`decay_rate` {RULE}. Received: 0.1"),
        ({"norms": "decay", "decay_rate": 2}, "`decay_rate` must be a number in [0, 1]. Received: 2"),
        ({"norms": "drop"}, "`norms` must be one of 'project', 'decay', 'keep'. Received: 'drop'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        NormalizeAndProject(**arguments)
    assert str(error.value) == message
