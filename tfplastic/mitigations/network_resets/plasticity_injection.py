"""Plasticity injection: a fresh trainable head whose outputs start as a difference of zero."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_one_of, check_positive_integer
from tfplastic.mitigations._weights.changes import reset_slots
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.network_resets._frozen_heads import (
    frozen_heads_of,
    trained_head_of,
    with_frozen_heads,
)

_UNITS = ("steps", "boundaries")


@gin.register(module="tfplastic.mitigations")
class PlasticityInjection(Mitigation):
    """Plasticity injection: a fresh head is trained from some time on, with unchanged outputs at that time.

    Rule: at the time the head h of the network is frozen; a new one is drawn, and a frozen copy of it made.
        From then on the network is h_old(z) + h_new(z) - h_copy(z), z being the encoder's outputs; at the
        time it is h_old(z) exactly. The encoder trains on. The optimizer's slots of the head become zero.
        Target networks are changed likewise.
    Defaults: the head is all that follows the encoder, as in the paper: the layers after the last
        convolution, attention or recurrent layer; in networks without one the last layer.
    Source: Nikishin et al. 2023, "Deep reinforcement learning with plasticity injection".
    Departures: the variables of the trained head become those of the new one, and the frozen heads are there
        from the start, so that nothing is added to a running program, its optimizer and its checkpoints. All
        three heads are computed in each step. With a linear head alone the sum is a linear head again, and
        only the optimizer starts again: name an earlier layer as `head`.
    Outputs: they stay exactly as they are.
    Works with: the loop, whose tasks extend their networks; `PlasticModel`, whose `compile` does; a callback
        in Keras' own `fit` if the model is the result of `extend_network`. Other mitigations act on the
        trained head. Not with `ResetLastLayer` and `ResetNetwork`, which would leave the frozen heads.
        Methods that reset units leave those whose values the head reads. With dropout or batch normalization
        in the head the outputs stay as they were in inference alone.

    Args:
        after: gradient steps or boundaries of the task after which it is done, once in the life of a network.
        unit: `'steps'` or `'boundaries'`, the unit of `after`.
        head: name of the first layer of the head; None for the default.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> injection = tp.mitigations.PlasticityInjection(after=1, head='hidden1')
        >>> model = injection.extend_network(tp.networks.mlp(1, (8,), input_shape=(3,)))
        >>> injection.build(model, tp.optimizers.sgd(0.1), seed=0)
        >>> [each.name for each in model.layers][-1], len(model.trainable_variables)
        ('frozen_heads', 4)
    """

    turn = 400
    excludes = ("ResetLastLayer", "ResetNetwork")

    def __init__(self, after: int, unit: str = "steps", head: str | None = None):
        self._after = check_positive_integer("after", after)
        self._unit = check_one_of("unit", unit, _UNITS)
        self.period = self._after if unit == "steps" else None
        self._first = _check_name("head", head)
        self._extended: list[Any] = []
        self._is_built = False
        self._kept: dict[str, tf.Variable] = {}
        self._weights: list[Weight] = []
        self._heads: list[_Heads] = []

    def extend_network(self, model: Any) -> Any:
        """Returns the network with frozen heads, which are switched on at the injection."""
        extended = with_frozen_heads(model, self._first)
        if self._is_built:  # for another run
            self._extended, self._is_built = [], False
        self._extended.append(extended)
        return extended

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights of the head.

        Raises:
            ValueError: the network has no frozen heads, or the initializer of a weight is not known.
        """
        if frozen_heads_of(model) is None:
            rule = "must have frozen heads for plasticity injection"
            action = "Train the network that its `extend_network(model)` returns"
            raise ValueError(f"`model` {rule}. Received: {model.name!r}. {action}")
        others = {id(each): each for each in self._extended if each is not model}  # such as target networks
        self._heads = [_Heads(each) for each in (model, *others.values())]
        own = {id(each) for each in self._heads[0].trained}
        self._weights = [each for each in trainable_weights(model) if id(each.variable) in own]
        self._fresh = WeightReinitializer(self._weights)
        self._kept = {"boundaries": tf.Variable(0, trainable=False)} if self._unit == "boundaries" else {}
        self._is_built = True

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        is_due = tf.greater_equal(step, self._after)
        if self._kept:
            self._kept["boundaries"].assign_add(1)
            is_due = tf.equal(tf.convert_to_tensor(self._kept["boundaries"]), self._after)

        def inject() -> tf.Tensor:
            fresh = {
                id(weight.variable): value
                for weight, value in zip(self._weights, self._fresh.draw(key), strict=True)
            }
            values = [fresh.get(id(each)) for each in self._heads[0].trained]
            for heads in self._heads:
                heads.inject(values)
            for weight in self._weights:
                reset_slots(slots, weight.variable)
            return tf.constant(True)

        is_off = tf.equal(tf.convert_to_tensor(self._heads[0].layer.is_on), 0)
        tf.cond(is_due & is_off, inject, lambda: tf.constant(True))

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The number of boundaries so far, where they are counted."""
        return self._kept


class _Heads:
    """The three heads of an extended network.

    Attributes:
        layer: layer with the frozen ones.
        trained: variables of the trained one.
    """

    def __init__(self, model: Any):
        self.layer: Any = frozen_heads_of(model)
        self.trained = trained_head_of(model)

    def inject(self, fresh: Sequence[tf.Tensor | None]) -> None:
        """Freezes the trained head and starts a new one; None for a variable that is not drawn."""
        frozen = self.layer.old.variables, self.layer.new.variables
        for trained, old, new, value in zip(self.trained, *frozen, fresh, strict=True):
            current = tf.identity(tf.convert_to_tensor(trained))
            old.assign(current)
            new.assign(current if value is None else value)
            if value is not None:
                trained.assign(value)
        self.layer.is_on.assign(1.0)


def _check_name(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{name}` must be the name of a layer or None. Received: {value!r}")
    return value
