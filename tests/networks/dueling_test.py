"""Dueling heads: streams of values and advantages, and the mitigations that know the output layers."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.nature_dqn_test import convolve, disturb, weights
from tfplastic import diagnostics, mitigations
from tfplastic.diagnostics.reading.hidden_nonlinearities import recorded_call
from tfplastic.diagnostics.reading.output_layers import output_layers
from tfplastic.mitigations.penalties.infer import num_features
from tfplastic.networks import minatar_cnn, nature_dqn
from tfplastic.optimizers import sgd

SHAPE = (10, 10, 4)


@pytest.fixture(scope="module", name="network")
def built():
    return minatar_cnn(3, dueling=True, seed=0, width=0.1)


def oracle(model, observations):
    """The forward pass in float64, written from Wang et al. 2016, Eq. 9, action by action."""
    kernel, bias = weights(model, "conv1")
    x = np.maximum(convolve(observations.astype(np.float64), kernel, bias, 1), 0)
    x = x.reshape(len(x), -1)
    streams = []
    for stream in ("value", "advantage"):
        (hidden, hidden_bias), (kernel, bias) = weights(model, f"{stream}_dense"), weights(model, stream)
        streams.append(np.maximum(x @ hidden + hidden_bias, 0) @ kernel + bias)
    value, advantages = streams
    actions, *rest = model.output_shape[1:]
    value = value.reshape(len(x), *rest)
    advantages = advantages.reshape(len(x), actions, *rest)
    mean = sum(advantages[:, action] for action in range(actions)) / actions
    return np.stack([value + advantages[:, action] - mean for action in range(actions)], axis=1)


@pytest.mark.parametrize("num_outputs", [3, (3, 5)])
def test_equals_a_float64_forward_pass(num_outputs):
    model = minatar_cnn(num_outputs, dueling=True, seed=0, width=0.1)
    disturb(model)
    observations = np.random.default_rng(1).integers(0, 2, (5, *SHAPE), dtype=np.uint8)
    expected = oracle(model, observations)
    np.testing.assert_allclose(model(observations), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_streams_are_as_large_as_the_hidden_layer_of_one():
    # conv1 592; two streams of 1,024 x 128 + 128 = 131,200; value 129; advantages 128 x 6 + 6 = 774.
    assert minatar_cnn(6, dueling=True, seed=0).count_params() == 592 + 2 * 131_200 + 129 + 774
    large = nature_dqn((4, 51), (36, 36, 1), dueling=True, seed=0, norm="layer", width=0.1)
    assert large.output_shape == (None, 4, 51)
    assert [layer.name for layer in large.layers if layer.name.endswith("_norm")][-2:] == [
        "value_dense_norm",
        "advantage_dense_norm",
    ]


def test_both_streams_are_output_layers(network):
    kernels = [layer for layer in network.layers if hasattr(layer, "kernel")]
    assert [layer.name for layer in output_layers(network, kernels)] == ["value", "advantage"]
    single = minatar_cnn(3, seed=0, width=0.1)
    kernels = [layer for layer in single.layers if hasattr(layer, "kernel")]
    assert [layer.name for layer in output_layers(single, kernels)] == ["output"]


def test_units_are_those_of_both_streams(network):
    units = diagnostics.UnitMap(network)
    assert {name: each.num_units for name, each in units.items()} == {
        "conv1": 2,
        "value_dense": 13,
        "advantage_dense": 13,
    }
    assert [len(units[name].outgoing) for name in ("conv1", "value_dense", "advantage_dense")] == [2, 1, 1]
    assert set(units.excluded) == {"value", "advantage"}


@pytest.mark.parametrize(
    ("num_layers", "names"),
    [(1, {"value", "advantage"}), (2, {"advantage_dense", "value", "advantage"})],
)
def test_the_last_layer_is_both_heads(network, num_layers, names):
    mitigation = mitigations.ResetLastLayer(num_layers=num_layers)
    mitigation.build(network, sgd(), 0)
    assert {weight.layer.name for weight in mitigation._weights} == names


def test_features_are_the_inputs_of_both_heads(network):
    observations = tf.constant(np.random.default_rng(0).integers(0, 2, (4, *SHAPE), dtype=np.uint8))

    @tf.function
    def features():
        with recorded_call(network) as call:
            network(observations)
        return call.features

    streams = [network.get_layer(f"{each}_dense_relu").output for each in ("value", "advantage")]
    parts = tf.keras.Model(network.inputs, streams)(observations)
    found = features().numpy()
    expected = [np.concatenate(each, axis=-1) for each in (parts, parts[::-1])]
    assert found.shape == (4, 26) and any(np.allclose(found, each, atol=1e-6) for each in expected)
    assert num_features(network) == 26


def test_no_hidden_kernel_is_an_output_layers(network):
    parseval = mitigations.ParsevalRegularization(1e-3)
    parseval.build(network, sgd(), 0)
    assert [weight.layer.name for weight in parseval._kernels] == ["conv1", "value_dense", "advantage_dense"]
    projection = mitigations.NormalizeAndProject()
    projection.build(network, sgd(), 0)
    projected = {group[0].layer.name for group in projection._projected}
    assert projected == {"conv1", "value_dense", "advantage_dense"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dueling": "yes"}, "`dueling` must be one of True, False. Received: 'yes'"),
        (
            {"dueling": True, "shared_bias": True},
            "`shared_bias` must be False with `dueling`, whose value has a bias for all actions. "
            "Received: True",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minatar_cnn(3, seed=0, **arguments)
