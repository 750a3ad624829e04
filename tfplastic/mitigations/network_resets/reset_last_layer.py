"""Reset of the last layer."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_integer
from tfplastic.diagnostics.reading.output_layers import output_layers
from tfplastic.mitigations._weights.changes import reset_slots
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class ResetLastLayer(Mitigation):
    """Mitigation that redraws the weights of the last layer and zeroes their optimizer slots.

    Rule: every trainable weight of the last `num_layers` layers gets a new draw of its layer's initializer,
        and optimizer slots of zero. A layer counts if it has a kernel; layers without one that follow it,
        such as a bias for all outputs or a normalization, are reset with it. The order is that of
        `model.trainable_variables`. Output layers side by side, such as both of a dueling head, count as one;
        parallel hidden layers, such as those of its two streams, count as one each.
    Defaults: one layer, at each target update, as in Lyle et al. 2023.
    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 6.2; Nikishin et al.
        2022, "The primacy bias in deep reinforcement learning".
    Departures: Nikishin et al. reset target networks as well; here a target network keeps its weights until
        its next copy. The optimizer's count of steps, shared by all weights, continues, so that Adam does
        not correct the bias of the new slots: by constant gradients, the k-th update of the new weights is
        (1 - beta_1^k) / sqrt(1 - beta_2^k) times as large as a new optimizer's, at most 6.6 times (in the
        12th) with the usual betas of 0.9 and 0.999. `ResetOptimizerState` resets the count as well.
    Outputs: they become those of a new head on the features that were learned.

    Args:
        period: see `Mitigation`. None, at each target update, in the paper.
        num_layers: number of last layers with a kernel to reset; with 0 nothing happens. 1 in the paper;
            Nikishin et al. 2022, "The primacy bias in deep RL", reset 3 of 7 on pixels.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ResetLastLayer(period=1_000).period
        1000
    """

    turn = 400

    def __init__(self, period: int | None = None, num_layers: int = 1):
        self.period = check_period(period)
        self._num_layers = check_integer("num_layers", num_layers)
        self._weights: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the last layers.

        Raises:
            ValueError: if the model has fewer layers with a kernel, or an initializer of theirs is not known.
        """
        self._weights = _last_layers(model, self._num_layers)
        self._fresh = WeightReinitializer(self._weights)

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for weight, value in zip(self._weights, self._fresh.draw(key), strict=True):
            weight.variable.assign(value)
            reset_slots(slots, weight.variable)


def _last_layers(model: Any, count: int) -> list[Weight]:
    weights = trainable_weights(model)
    with_kernel = {id(weight.layer) for weight in weights if weight.is_kernel}
    outputs = {id(each) for each in output_layers(model, [each.layer for each in weights if each.is_kernel])}
    most = len(with_kernel) - len(outputs) + bool(outputs)
    if count > most:
        rule = f"must be at most {most}, the number of layers of `model` with a kernel"
        raise ValueError(f"`num_layers` {rule}. Received: {count}")
    order = list(dict.fromkeys(id(weight.layer) for weight in weights if id(weight.layer) in with_kernel))
    hidden = [layer for layer in order if layer not in outputs]
    last = {*outputs, *hidden[len(hidden) - count + 1 :]} if count else set()
    found, owner = [], None
    for weight in weights:
        owner = id(weight.layer) if id(weight.layer) in with_kernel else owner
        if owner in last:
            found.append(weight)
    return found
