"""The biases of the layers that read a unit."""

from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import Units
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.layers import CReLU, DeepFourier
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations.mitigation import Slots

_PLAIN = ("Dense", "Conv1D", "Conv2D", "Conv3D")


class OutgoingBias:
    """The biases of plain dense and convolutional layers, by their kernels.

    Args:
        model: a Keras model, built.
    """

    def __init__(self, model: Any):
        layers = named_layers(model)
        self._doubled = {name for name, layer in layers.items() if isinstance(layer, (CReLU, DeepFourier))}
        self._bias_of = {
            id(layer.kernel): layer.bias
            for layer in layers.values()
            if type(layer).__name__ in _PLAIN and layer.use_bias and getattr(layer, "groups", 1) == 1
        }

    def add(self, units: Units, outputs: tf.Tensor, slots: Slots | None) -> None:
        """Adds to the biases of the units' readers the contribution of constant outputs; traceable.

        Nothing is added for units with two features, whose outputs are not one number.

        Args:
            units: units of one layer.
            outputs: `[units]`, output of each unit, at all positions.
            slots: slots of the optimizer, see `Mitigation.after_update`.
        """
        if self._doubled.intersection(units.activations):
            return
        for part in units.outgoing:
            bias = self._bias_of.get(id(part.variable))
            if bias is not None:
                kernel = tf.cast(tf.convert_to_tensor(part.variable), tf.float64)
                given = kernel * part.spread(outputs)  # [..., inputs, outputs]
                total = tf.reduce_sum(given, axis=list(range(len(given.shape) - 1)))  # [outputs]
                old = tf.convert_to_tensor(bias)
                change(bias, old + tf.cast(total, old.dtype), slots)
