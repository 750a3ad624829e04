"""Reset of single units: fresh incoming weights, no outgoing ones."""

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_non_negative
from tfplastic._tf.random import fold_in
from tfplastic._tf.variables import names
from tfplastic.diagnostics import Slice, Units
from tfplastic.mitigations._weights.changes import slot_start
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Slots

_IDENTITY = {"scale": 1.0, "offset": 0.0, "mean": 0.0, "variance": 1.0}


class UnitReset:
    """Reset of units of a model: fresh incoming weights, bias 0, outgoing weights 0, and their slots 0.

    Incoming weights, recurrent ones too, come from the initializers of the model's layers. A weight between
    two units that are both reset becomes 0, so that the network's outputs do not depend on new units.
    Normalizations between a unit and its readers become the identity there: scale 1, offset 0, and of batch
    normalization mean 0 and variance 1. This is the reset of ReDo (Sokar et al. 2023), continual backprop
    (Dohare et al. 2024) and self-normalized resets (Farias and Jozefiak 2024).

    Slots are the moments, and the counts of steps of `optimizers.adam(per_entry_steps=True)`. Other forms of
    Adam keep one count for all weights, which stays: their bias correction treats new units like old ones.

    A normalization that couples units, such as layer normalization (`Units.coupled`), still sees new units
    among the others, so that the network's outputs change. Without one they stay, if `outgoing_scale` is 0
    and the outputs of the reset units were 0.

    Args:
        model: model of the units, built.
        units: the map of its units, such as a `diagnostics.UnitMap`.
        initializer: a Keras initializer of all incoming weights, in place of their layers' own.
        outgoing_scale: at least 0; outgoing weights become this multiple of fresh ones.

    Raises:
        ValueError: the initializer of a kernel is not known, or the kernel is not trained.

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

    def __init__(
        self,
        model: Any,
        units: Mapping[str, Units],
        initializer: Any = None,
        outgoing_scale: float = 0.0,
    ):
        self._units = dict(units)
        self._scale = check_non_negative("outgoing_scale", outgoing_scale)
        self._incoming = list(_parts_of(self._units, "incoming", "recurrent"))
        self._outgoing = [(layer, part) for layer, each in self._units.items() for part in each.outgoing]
        self._weights = {id(weight.variable): weight for weight in trainable_weights(model)}
        self._fresh = WeightReinitializer(self._own(self._incoming), initializer)
        self._fresh_outgoing = WeightReinitializer(self._own(self._outgoing * bool(self._scale)))

    def reset(self, chosen: Mapping[str, tf.Tensor], slots: Slots, key: tf.Tensor) -> None:
        """Resets units; traceable. Where none is chosen nothing is drawn.

        Args:
            chosen: {layer: `[units] bool`}; layers that are missing stay.
            slots: slots of the optimizer, see `Mitigation.after_update`.
            key: `[2] int32`, seed of the fresh weights.
        """
        if not chosen:
            return
        is_any = tf.reduce_any(tf.concat(list(chosen.values()), axis=0))

        def reset() -> tf.Tensor:
            self._reset(chosen, slots, key)
            return tf.constant(True)

        tf.cond(is_any, reset, lambda: tf.constant(False))

    def _reset(self, chosen: Mapping[str, tf.Tensor], slots: Slots, key: tf.Tensor) -> None:
        for (layer, part), value in zip(self._incoming, self._fresh.draw(key), strict=True):
            if layer in chosen:
                _put(part, chosen[layer], value, slots)
        fresh = self._fresh_outgoing.draw(fold_in(key, -1)) if self._scale else [0.0] * len(self._outgoing)
        for (layer, part), value in zip(self._outgoing, fresh, strict=True):
            if layer in chosen:
                _put(part, chosen[layer], self._scale * value, slots)
        for layer, part in _parts_of(self._units, "bias"):
            if layer in chosen:
                _put(part, chosen[layer], 0.0, slots)
        for layer, which in chosen.items():
            self._reset_norms(layer, which, slots)

    def _reset_norms(self, layer: str, which: tf.Tensor, slots: Slots) -> None:
        for norm in self._units[layer].norms:
            for role, part in norm.parameters.items():
                is_trained = id(part.variable) in self._weights
                _put(part, which, _IDENTITY[role], slots if is_trained else lambda variable: {})

    def _own(self, parts: list[tuple[str, Slice]]) -> list[Any]:
        frozen = names([part.variable for _, part in parts if id(part.variable) not in self._weights])
        if frozen:
            received = f"{frozen[0]!r}, which is frozen. Unfreeze it, or leave its units out"
            raise ValueError(f"`units` must be of trained kernels. Received: {received}")
        return [self._weights[id(part.variable)] for _, part in parts]


def _parts_of(units: Mapping[str, Units], *kinds: str) -> Iterator[tuple[str, Slice]]:
    for layer, each in units.items():
        for part in (getattr(each, kind) for kind in kinds):
            if part is not None:
                yield layer, part


def _put(part: Slice, chosen: tf.Tensor, value: Any, slots: Slots) -> None:
    """Assigns the chosen units' entries of a variable, and in its slots there those that they start with."""
    mask = part.mask(chosen)
    _assign_where(mask, part.variable, value)
    for name, slot in slots(part.variable).items():
        _assign_where(mask, slot, slot_start(name, slot, part.variable))


def _assign_where(mask: tf.Tensor, variable: Any, new: Any) -> None:
    old = tf.convert_to_tensor(variable)
    variable.assign(tf.where(mask, tf.cast(new, old.dtype), old))
