"""Reset of the whole network."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean
from tfplastic._keras import keras
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.mitigations._weights.changes import check_resets_step, reset_slots
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class ResetNetwork(Mitigation):
    """Redraw of all trained weights, with the optimizer's slots at zero: a full reset.

    Rule: every trainable weight gets a new draw of its layer's initializer; moving means of batch
        normalization become 0 and moving variances 1; the optimizer's slots become 0, and by default its
        count of steps. The task's data, such as a replay memory, stay.
    Defaults: at each target update or new task, as for other resets. The field has no common period; Nikishin
        et al. reset all of SAC every 200,000 gradient steps.
    Source: Nikishin et al. 2022, "The primacy bias in deep reinforcement learning".
    Departures: they reset target networks as well; here a target network keeps its weights until its next
        copy. Frozen layers stay.
    Outputs: they become those of a new network.

    Args:
        period: see `Mitigation`.
        reset_step: whether `optimizer.iterations` is set to zero too, so that the next update is the first
            one of a new optimizer. False with an optimizer that draws noise, such as `upgd`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ResetNetwork(period=200_000).period
        200000
    """

    turn = 400

    def __init__(self, period: int | None = None, reset_step: bool = True):
        self.period = check_period(period)
        self._reset_step = check_boolean("reset_step", reset_step)
        self._weights: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights and their initializers.

        Raises:
            ValueError: if the initializer of a weight is not known, or the optimizer draws noise by its
                count of steps, which would be reset.
        """
        check_resets_step(optimizer, self._reset_step)
        self._weights = trainable_weights(model)
        self._fresh = WeightReinitializer(self._weights)
        self._iterations = optimizer.iterations
        self._norms = [
            layer
            for layer in named_layers(model).values()
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for weight, value in zip(self._weights, self._fresh.draw(key), strict=True):
            weight.variable.assign(value)
            reset_slots(slots, weight.variable)
        for norm in self._norms:
            norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
            norm.moving_variance.assign(tf.ones_like(norm.moving_variance))
        if self._reset_step:
            self._iterations.assign(tf.zeros([], self._iterations.dtype))
