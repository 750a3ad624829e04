"""DASH: shrinkage of weights that point against the descent direction on the data to come."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_fraction, check_positive_integer
from tfplastic.mitigations._weights.changes import change, reset_slots
from tfplastic.mitigations._weights.matrices import axes_of_outputs
from tfplastic.mitigations._weights.trainable import Weight, check_which, chosen_weights
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period
from tfplastic.mitigations.step_context import StepContext


@gin.register(module="tfplastic.mitigations")
class DASH(Mitigation):
    """DASH, direction-aware shrinking: weight vectors shrink unless they point along the new data's descent.

    Features that still fit stay; those that the new data would undo are shrunk, but not lost.

    Rule: before new data, one pass over them: G <- (1 - share) G - share * gradient of the loss, batch by
        batch from zeros. Then each weight vector w is multiplied by clip(cos(w, G_w), floor, 1). A vector is
        the incoming weights of a unit of a dense layer, the window of a convolution's kernel for one input
        and one output channel, a row of embeddings, or a whole bias, gain or offset.
    Defaults: share 0.3 and floor 0.3 of the paper; at boundaries of the task.
    Source: Shin et al. 2024, "DASH: Warm-starting neural network training in stationary settings", and its
        code.
    Departures: the paper's data grow, and its pass is over old and new ones; here it is over those that
        training sees next: the inputs with the labels of the next task, or the replay memory. Layers act as
        at inference during the pass. The source does not name norms, embeddings and the optimizer's slots.
    Outputs: they change.
    Works with: all other mitigations, in the loop. `PlasticModel` needs `compile(..., data=(x, y))` and a
        `period`. A callback in Keras' own `fit` has no pass over data.

    Args:
        period: see `Mitigation`.
        share: share of a batch's gradient in the moving average, in [0, 1].
        floor: least factor of a weight vector, in [0, 1]; with 1 nothing happens.
        max_batches: largest number of batches in the pass; None for all.
        weights: `'all'` trainable weights; `'all_but_norms'`; or the `'kernels'` alone.
        reset_slots: whether the optimizer's slots of these weights become zero.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.DASH(period=1_000).reads
        ('data',)
    """

    reads = ("data",)

    def __init__(
        self,
        period: int | None = None,
        share: float = 0.3,
        floor: float = 0.3,
        max_batches: int | None = None,
        weights: str = "all",
        reset_slots: bool = False,
    ):
        self.period = check_period(period)
        self._share = check_fraction("share", share)
        self._floor = check_fraction("floor", floor)
        self._max_batches = (
            None if max_batches is None else check_positive_integer("max_batches", max_batches)
        )
        self._which = check_which(weights)
        self._reset_slots = check_boolean("reset_slots", reset_slots)
        self._weights: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights.

        Raises:
            ValueError: there are none of the kind.
        """
        self._weights = chosen_weights(model, self._which)
        places = {id(each): place for place, each in enumerate(model.trainable_variables)}
        self._places = [places[id(each.variable)] for each in self._weights]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: StepContext
    ) -> None:
        if self._floor == 1:
            return
        values = [tf.convert_to_tensor(each.variable) for each in self._weights]

        def average(directions: list[tf.Tensor], batch: Any) -> list[tf.Tensor]:
            gradients = context.gradients_on(batch)
            chosen = [gradients[place] for place in self._places]
            pairs = zip(directions, chosen, strict=True)
            return [(1 - self._share) * old - self._share * gradient for old, gradient in pairs]

        start = [tf.zeros_like(each) for each in values]
        directions = context.pass_over_data(average, start, self._max_batches)
        for weight, value, direction in zip(self._weights, values, directions, strict=True):
            cosine = _cosine(value, direction, _axes_of_vectors(weight))
            change(weight.variable, value * tf.clip_by_value(cosine, self._floor, 1.0), slots)
            if self._reset_slots:
                reset_slots(slots, weight.variable)


def _axes_of_vectors(weight: Weight) -> list[int]:
    """Returns the axes of a weight along which its vectors are."""
    rank = len(weight.variable.shape)
    if weight.role.endswith(("embedding", "embeddings")):
        return [rank - 1]
    if rank < 2 or not weight.is_kernel:
        return list(range(rank))
    if rank == 2 or hasattr(weight.layer, "equation"):
        outputs = axes_of_outputs(weight, rank)
        return [axis for axis in range(rank) if axis not in outputs]
    return list(range(rank - 2))


def _cosine(one: tf.Tensor, other: tf.Tensor, axes: list[int]) -> tf.Tensor:
    """Returns the cosine between vectors along some axes, which stay with length 1; 0 for zero vectors."""
    product, square, other_square = (
        tf.reduce_sum(each, axes, keepdims=True) for each in (one * other, tf.square(one), tf.square(other))
    )
    return tf.math.divide_no_nan(product, tf.sqrt(square) * tf.sqrt(other_square))
