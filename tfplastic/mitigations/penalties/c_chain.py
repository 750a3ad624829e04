"""C-CHAIN: continual churn approximated reduction."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import (
    check_fits_in_memory,
    check_integer,
    check_non_negative,
    check_positive_integer,
)
from tfplastic.mitigations.mitigation import Mitigation

EPSILON = 1e-8
"""Number that keeps the ratio of loss and churn finite, as in the released code."""


@gin.register(module="tfplastic.mitigations")
class CChain(Mitigation):
    """Penalty of the churn, by which the last update changed the outputs on other examples.

    Rule: lambda_t * mean (f_theta(x) - f_older(x))^2 over all outputs of a second, independent batch, with
        the weights of `updates` updates before. lambda_t is `first` in the first `warm_up` updates, and then
        share * mean|L| / (mean C + 1e-8), by the losses L and churns C (the means above) of the last `window`
        updates before this one. The penalty is 0 in the first `updates` updates, which have no older weights;
        their C do not count.
    Defaults: the released code for MinAtar, for all arguments.
    Source: Tang et al. 2025, "Mitigating plasticity loss in continual reinforcement learning by reducing
        churn"; the code bluecontra/C-CHAIN, crl_minatar/agents/double_dqn_c_chain.py.
    Departures: none for Double DQN. The code's `reg_his_idx=2` counts from a copy of the present network, so
        that its older network is one update old: `updates=1`. With a categorical head the outputs are the
        logits.

    Args:
        first: lambda in the first updates, at least 0.
        share: fraction of the loss that the penalty has later, at least 0. With both 0 nothing is added.
        warm_up: number of first updates, at least 2.
        window: number of updates in the means, at least 1. Each takes eight bytes.
        updates: number of updates that the older weights are behind, at least 1 and below `warm_up`. Keeps as
            many copies.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> chain = tp.mitigations.CChain(share=0.05)
        >>> chain.adds_penalty, chain.history
        (True, 1)
    """

    reads = ("further_batch", "loss", "step")
    turn = 100

    def __init__(
        self,
        first: float = 50.0,
        share: float = 0.01,
        warm_up: int = 10_000,
        window: int = 50_000,
        updates: int = 1,
    ):
        self._first = check_non_negative("first", first)
        self._share = check_non_negative("share", share)
        self._warm_up = check_integer("warm_up", warm_up, minimum=2)
        self._window = check_positive_integer("window", window)
        check_fits_in_memory("window", window, 8 * self._window)
        self.history = check_integer("updates", updates, minimum=1, maximum=self._warm_up - 1)
        self._kept: dict[str, tf.Variable] = {}

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Makes room for the losses and churns of the window."""
        if self._first or self._share:
            names = ("losses", "churns")
            self._kept = {name: tf.Variable(tf.zeros([self._window]), trainable=False) for name in names}

    def penalty(self, variables: Sequence[Any], context: Any) -> tf.Tensor:
        if not self._kept:
            return tf.zeros([])
        batch, losses, churns = context.further_batch, self._kept["losses"], self._kept["churns"]
        older = context.outputs_on(batch, context.older_weights(self.history))
        churn = tf.reduce_mean(tf.square(tf.cast(context.outputs_on(batch) - older, tf.float32)))  # []
        num_losses = tf.cast(context.step, tf.int32) - 1
        num_churns = num_losses - self.history
        adaptive = self._share * self._mean(losses, num_losses) / (self._mean(churns, num_churns) + EPSILON)
        factor = tf.where(num_losses < self._warm_up, self._first, adaptive)
        place, has_older = self._place(num_churns), num_churns >= 0
        losses.scatter_nd_update([[self._place(num_losses)]], [tf.abs(tf.stop_gradient(context.loss))])
        churns.scatter_nd_update([[place]], [tf.where(has_older, tf.stop_gradient(churn), churns[place])])
        return tf.where(has_older, factor * churn, 0.0)

    def _mean(self, values: tf.Variable, count: tf.Tensor) -> tf.Tensor:
        """Returns the mean of the last of `count` values; places without one are 0."""
        return tf.reduce_sum(values) / tf.cast(tf.clip_by_value(count, 1, self._window), tf.float32)

    def _place(self, number: tf.Tensor) -> tf.Tensor:
        return tf.math.floormod(number, self._window)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The losses and churns of the last updates."""
        return self._kept
