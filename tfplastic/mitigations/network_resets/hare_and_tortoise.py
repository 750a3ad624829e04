"""Hare and Tortoise: a slow average of the weights, to which training returns periodically."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_positive_integer
from tfplastic._keras import keras, tf_variable
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.network_resets._frozen_heads import frozen_heads_of, trained_head_of


@gin.register(module="tfplastic.mitigations")
class HareAndTortoise(Mitigation):
    """Hare and Tortoise: training (the hare) returns to a slow average of its weights (the tortoise).

    Rule: after each update tortoise <- decay * tortoise + (1 - decay) * hare, for all trained weights and the
        moving statistics of batch normalization; after steps `reset_period`, `2 * reset_period` and so on
        hare <- tortoise. The optimizer's slots stay those of the hare. The tortoise is evaluated.
    Defaults: decay 0.999. The period is 10 epochs in the paper's classification. Its period in reinforcement
        learning is not known, so there is no default.
    Source: Lee et al. 2024, "Slow and steady wins the race: Maintaining plasticity with Hare and Tortoise
        networks", and its code.
    Departures: copies share no memory; in the released code they do until the next update. At zero decay both
        are the same, bit for bit.
    Outputs: they change where the hare returns to the tortoise.
    Works with: all other mitigations, which act on the hare, but those that draw weights again: the average
        would keep the old network, and a return to it would undo the reset. After `PlasticityInjection` the
        average of the head starts again from the new head. Evaluations of the loop, `evaluate` and `predict`
        of a `PlasticModel` and its validation in `fit` are of the tortoise; diagnostics and probes are of the
        hare. A callback in Keras' own `fit` trains in the same way, but evaluates the hare.

    Args:
        reset_period: gradient steps between returns of the hare to the tortoise.
        decay: weight of the tortoise in the average, in [0, 1].

    Attributes:
        evaluation_weights: see `Mitigation`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> model = tp.networks.mlp(1, (), input_shape=(2,))
        >>> hare = tp.mitigations.HareAndTortoise(reset_period=100, decay=0.75)
        >>> hare.build(model, optimizer=None, seed=0)
        >>> _ = model.layers[-1].bias.assign([1.0])
        >>> hare.after_update(step=1, model=model, slots=None, key=None, context=None)
        >>> float(hare.state['tortoise/output/bias'][0])
        0.25
    """

    period = 1
    turn = 450  # after changes of weights
    excludes = (
        "HareAndTortoise",
        "ContinualBackprop",
        "GraMa",
        "PartialResets",
        "ReDo",
        "ResetLastLayer",
        "ResetNetwork",
        "SelfNormalizedResets",
    )

    def __init__(self, reset_period: int, decay: float = 0.999):
        self._reset_period = check_positive_integer("reset_period", reset_period)
        self._decay = check_fraction("decay", decay)
        self._pairs: dict[str, tuple[Any, tf.Variable]] = {}
        self._switch: _Switch | None = None

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Makes the tortoise, a copy of the weights.

        Raises:
            ValueError: the model has no weights.
        """
        hare = {str(each): each.variable for each in trainable_weights(model)} | _moving_statistics(model)
        self._pairs = {
            name: (each, tf.Variable(tf.identity(tf_variable(each)), trainable=False))
            for name, each in hare.items()
        }
        self._switch = None if frozen_heads_of(model) is None else _Switch(model)

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        decay_of_head = self._decay if self._switch is None else self._switch.decay(self._decay)
        for hare, tortoise in self._pairs.values():
            value = tf.convert_to_tensor(hare)
            is_of_head = self._switch is not None and id(hare) in self._switch.head
            decay = decay_of_head if is_of_head else self._decay
            # In this form a weight that has not moved keeps its bits.
            tortoise.assign(value + decay * (tortoise - value))

        def go_back() -> tf.Tensor:
            for hare, tortoise in self._pairs.values():
                change(hare, tf.convert_to_tensor(tortoise), slots)
            return tf.constant(True)

        tf.cond(tf.equal(step % self._reset_period, 0), go_back, lambda: tf.constant(True))

    @property
    def evaluation_weights(self) -> Sequence[tuple[Any, tf.Variable]]:
        return list(self._pairs.values())

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The tortoise's weights, {tortoise/name: variable}."""
        copies = {f"tortoise/{name}": tortoise for name, (_, tortoise) in self._pairs.items()}
        return copies if self._switch is None else {**copies, "is_on": self._switch.was_on}


class _Switch:
    """The change of a model's head by plasticity injection, as its frozen heads are switched on."""

    def __init__(self, model: Any):
        self._heads: Any = frozen_heads_of(model)
        self.head = {id(each) for each in trained_head_of(model)}
        self.was_on = tf.Variable(tf.convert_to_tensor(self._heads.is_on), trainable=False)

    def decay(self, decay: float) -> tf.Tensor:
        """Returns `decay`, or 0 where the head is a new one since the last call; traceable."""
        is_on = tf.convert_to_tensor(self._heads.is_on)
        found = tf.where(tf.equal(is_on, tf.convert_to_tensor(self.was_on)), decay, 0.0)
        self.was_on.assign(is_on)
        return found


def _moving_statistics(model: Any) -> dict[str, Any]:
    """Returns the moving means and variances of batch normalization by name."""
    return {
        f"{name}/{role}": getattr(layer, role)
        for name, layer in named_layers(model).items()
        if isinstance(layer, keras.layers.BatchNormalization)
        for role in ("moving_mean", "moving_variance")
    }
