"""TF-Agents' own networks on our environment's spec."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.networks import (
    actor_distribution_network,
    q_network,
    value_network,
)
from tf_agents.specs import tensor_spec

from tests.rl.agents import q_agents_test
from tfplastic.rl import _tf_agents

SPEC = tf.TensorSpec([12, 12, 2], tf.uint8, "observation")
bounded: Any = tensor_spec.BoundedTensorSpec  # without types
ACTION = bounded([], tf.int32, 0, 3, "action")


def encoding():
    cast = tf.keras.layers.Lambda(lambda frames: tf.cast(frames, tf.float32) / 255)
    return dict(preprocessing_layers=cast, conv_layer_params=((2, 3, 2),), fc_layer_params=(4,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: q_network.QNetwork(SPEC, ACTION, **encoding()),
        lambda: actor_distribution_network.ActorDistributionNetwork(SPEC, ACTION, **encoding()),
        lambda: value_network.ValueNetwork(SPEC, **encoding()),
    ],
    ids=["q", "actor", "value"],
)
def test_their_networks_are_built_on_our_observations(make):
    network = make()
    network.create_variables()
    assert network.variables


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(tf.uint8, 0, 255), (tf.int8, -128, 127), (tf.uint16, 3, 9)]
)
def test_small_integers_are_drawn_over_their_whole_range(dtype, low, high):
    spec = bounded([20_000], dtype, low, high)
    drawn = tensor_spec.sample_bounded_spec(spec, seed=1).numpy()
    assert drawn.dtype == dtype.as_numpy_dtype
    assert (drawn.min(), drawn.max()) == (low, high)
    assert np.abs(drawn.astype(float).mean() - (low + high) / 2) < 0.02 * (high - low)


def test_mending_twice_changes_nothing():
    before = tensor_spec.sample_bounded_spec
    _tf_agents.mend()
    assert tensor_spec.sample_bounded_spec is before


@pytest.mark.parametrize("name", ["dqn", "c51"])
def test_the_agents_own_train_names_what_to_use_instead(name):
    agent = q_agents_test.make(name)
    with pytest.raises(ValueError, match="no optimizer. Use `training.Loop`.*`QAgent.loss"):
        agent.agent.train(q_agents_test.trajectories(1))
