"""A Keras model as a network of TF-Agents."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tf_agents.networks import network
from tf_agents.trajectories import time_step as ts

from tfplastic._keras import keras
from tfplastic._losses.keras_loss import model_losses
from tfplastic.layers import NoisyDense
from tfplastic.layers.noisy_dense import noise_stream


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
        self.noise_stream = 1  # of calls that are not those for training
        self._is_noisy = False
        self._kept_losses: list[tf.Tensor] | None = None
        self._allowed: tuple[tf.Tensor, tf.Tensor] | None = None

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

    @property
    def noisy_layers(self) -> list[NoisyDense]:
        """The layers of the model with noise on their weights."""
        return [each for each in self.model._flatten_layers() if isinstance(each, NoisyDense)]

    @property
    def losses(self) -> list[tf.Tensor]:
        """No losses: `QAgent.loss` adds those of the model, which only some agents of TF-Agents do."""
        return []

    @contextlib.contextmanager
    def keeping_losses(self) -> Iterator[list[tf.Tensor]]:
        """While open, the first call puts the model's own losses (regularizers, `add_loss`) into a list."""
        kept: list[tf.Tensor] = []
        self._kept_losses = kept
        try:
            yield kept
        finally:
            self._kept_losses = None

    @contextlib.contextmanager
    def with_noise(self) -> Iterator[None]:
        """While open, calls that are not for training have noise as well, independent of that in training.

        Other layers, such as dropout, are as at inference.
        """
        self._is_noisy = bool(self.noisy_layers)
        try:
            yield
        finally:
            self._is_noisy = False

    @contextlib.contextmanager
    def allowing(self, actions: tf.Tensor, otherwise: tf.Tensor) -> Iterator[None]:
        """While open, other actions than the allowed ones have outputs that make them the worst.

        Args:
            actions: `[batch, actions] bool`, the allowed ones.
            otherwise: outputs of an action that is not allowed, `[]` or `[atoms]`.
        """
        self._allowed = actions, otherwise
        try:
            yield
        finally:
            self._allowed = None

    def call(
        self, observation: tf.Tensor, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[tf.Tensor, Any]:
        is_noisy = self._is_noisy and not training
        with noise_stream(self.noise_stream) if is_noisy else contextlib.nullcontext():
            outputs = self.model(observation, training=training)
        if self._kept_losses is not None:
            added = model_losses(self.model)
            self._kept_losses += [] if added is None else [added]
            self._kept_losses = None
        if self._allowed is not None:
            allowed, otherwise = self._allowed
            extra_axes = [1] * (outputs.shape.rank - 2)
            outputs = tf.where(tf.reshape(allowed, [-1, allowed.shape[1], *extra_axes]), outputs, otherwise)
        return outputs, network_state
