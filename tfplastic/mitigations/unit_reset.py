"""Reset of single units: fresh incoming weights, no outgoing ones."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import Slice, UnitMap
from tfplastic.mitigations._weights import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Slots


class UnitReset:
    """Reset of units of a model: fresh incoming weights, bias 0, outgoing weights 0, and their slots 0.

    Incoming weights, recurrent ones too, come from the initializers of the model's layers. A weight between
    two units that are both reset becomes 0, so that the network's outputs do not depend on new units.
    Parameters of normalizations stay. This is the reset of ReDo (Sokar et al. 2023), continual backprop
    (Dohare et al. 2024) and self-normalized resets (Farias and Jozefiak 2024).

    Args:
        model: whose units they are, built.
        units: the map of its units.

    Raises:
        ValueError: the initializer of a kernel is not known.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(1, (2,), input_shape=(3,))
        >>> optimizer = tp.optimizers.adam()
        >>> optimizer.build(model.trainable_variables)
        >>> reset = tp.mitigations.UnitReset(model, tp.diagnostics.UnitMap(model))
        >>> slots = lambda variable: tp.optimizers.slots(optimizer, variable)
        >>> reset.reset({'hidden1': tf.constant([True, False])}, slots, tp.seeds.derive(0, 'reset'))
        >>> (model.get_layer('output').kernel.numpy() == 0).tolist()
        [[True], [False]]
    """

    def __init__(self, model: Any, units: UnitMap):
        self._units = units
        self._incoming = [
            (layer, part)
            for layer, each in units.items()
            for part in (each.incoming, each.recurrent)
            if part is not None
        ]
        weights = {id(weight.variable): weight for weight in trainable_weights(model)}
        self._fresh = WeightReinitializer([weights[id(part.variable)] for _, part in self._incoming])

    def reset(self, chosen: Mapping[str, tf.Tensor], slots: Slots, key: tf.Tensor) -> None:
        """Resets units; traceable.

        Args:
            chosen: {layer: `[units] bool`}; layers that are missing stay.
            slots: slots of the optimizer, see `Mitigation.after_update`.
            key: `[2] int32`, seed of the fresh weights.
        """
        fresh = self._fresh.draw(key)
        for (layer, part), value in zip(self._incoming, fresh, strict=True):
            if layer in chosen:
                _put(part, chosen[layer], value, slots)
        for layer, which in chosen.items():
            units = self._units[layer]
            for part in (*units.outgoing, *([] if units.bias is None else [units.bias])):
                _put(part, which, tf.zeros_like(tf.convert_to_tensor(part.variable)), slots)


def _put(part: Slice, chosen: tf.Tensor, value: tf.Tensor, slots: Slots) -> None:
    """Assigns the chosen units' entries of a variable, and zeros in its slots there."""
    mask = part.mask(chosen)
    for variable, new in [(part.variable, value), *((slot, 0.0) for slot in slots(part.variable).values())]:
        old = tf.convert_to_tensor(variable)
        variable.assign(tf.where(mask, tf.cast(new, old.dtype), old))
