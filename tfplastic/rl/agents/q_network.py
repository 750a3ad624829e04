"""A Keras model as a network of TF-Agents."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tf_agents.networks import network
from tf_agents.trajectories import time_step as ts

from tfplastic._keras import keras


class QNetwork(network.Network):
    """A Keras model as a TF-Agents network.

    Args:
        input_tensor_spec: spec of one observation.
        build_model: function that makes the model; called once for each copy of the network.
        num_atoms: size of the last axis of a categorical head, which C51 asks for.
        name: name of the network.
    """

    def __init__(
        self, input_tensor_spec: Any, build_model: Callable[[], keras.Model], num_atoms: int, name: str
    ):
        super().__init__(input_tensor_spec=input_tensor_spec, state_spec=(), name=name)
        self.model = build_model()
        self.num_atoms = num_atoms

    def create_variables(self, input_tensor_spec: Any = None, **kwargs: Any) -> tf.TensorSpec:
        """Builds the variables in the way of the parent, on an input of zeros.

        The parent draws a random input: from the global generator, and with an overflow for a bounded uint8
        under numpy 2.
        """
        if self._network_output_spec is None:
            (spec,) = tf.nest.flatten(self.input_tensor_spec)
            outputs, _ = self(
                tf.zeros([1, *spec.shape], spec.dtype), step_type=tf.fill([1], ts.StepType.FIRST), **kwargs
            )
            self._network_output_spec = tf.TensorSpec(outputs.shape[1:], outputs.dtype)
        return self._network_output_spec

    def call(
        self, observation: tf.Tensor, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[tf.Tensor, Any]:
        return self.model(observation, training=training), network_state
