"""The settings of prioritized replay."""

import dataclasses

import gin
import numpy as np

from tfplastic._checks import check_fraction, check_integer, check_non_negative


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class Prioritization:
    """Draws from the replay in proportion to the last errors of the transitions.

    Rule: transition i is drawn with probability P_i = p_i^exponent / sum_j p_j^exponent, where p_i is its
        priority: `offset` plus |TD error| at its last draw, or plus the loss of an agent that learns a
        distribution; a new one has the largest priority so far. Its loss is weighted by (N P_i)^-beta,
        divided by the largest weight of the batch, for N transitions.
    Defaults: exponent 0.6 and beta from 0.4 to 1 at the end of training for proportional prioritization,
        Schaul et al. 2016, table 3; 200M frames are 12,500,000 gradient steps. The offset, "a small positive
        constant", is 1e-6 as in OpenAI Baselines. Rainbow has an exponent of 0.5.
    Source: Schaul et al. 2016, "Prioritized experience replay"; Hessel et al. 2018, "Rainbow", by the loss.
    Departures: weights are divided by the largest of the batch, as in Dopamine and DQN Zoo; the text divides
        by the largest of all. Priorities are not clipped. The loss of C51 and Rainbow is the cross-entropy,
        as in DQN Zoo; Rainbow's text has the KL divergence, which is less by the entropy of the target.

    Attributes:
        exponent: exponent of the priorities, in [0, 1]; with 0 all transitions are alike.
        importance_begin: beta at gradient step 0, before the first, in [0, 1].
        importance_end: beta from gradient step `importance_steps` on, in [0, 1].
        importance_steps: gradient steps over which beta changes linearly; 0 for `importance_end` throughout.
        offset: number added to every priority, at least 0.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from tfplastic.rl import Prioritization
        >>> prioritization = Prioritization(importance_steps=100)
        >>> [round(prioritization.importance(step), 3) for step in (0, 50, 500)]
        [0.4, 0.7, 1.0]
    """

    exponent: float = 0.6
    importance_begin: float = 0.4
    importance_end: float = 1.0
    importance_steps: int = 12_500_000
    offset: float = 1e-6

    def __post_init__(self) -> None:
        check_fraction("exponent", self.exponent)
        check_fraction("importance_begin", self.importance_begin)
        check_fraction("importance_end", self.importance_end)
        check_integer("importance_steps", self.importance_steps)
        check_non_negative("offset", self.offset)

    def importance(self, step: int) -> float:
        """Returns beta at gradient step `step`."""
        if step >= self.importance_steps:
            return self.importance_end
        change = self.importance_end - self.importance_begin
        return self.importance_begin + change * step / self.importance_steps

    def in_words(self, total_steps: int) -> str:
        """Returns the settings in words, and beta at the end of a run if it is not `importance_end` yet.

        Args:
            total_steps: gradient steps of the run.

        Example:
            >>> from tfplastic.rl import Prioritization
            >>> Prioritization(importance_steps=100).in_words(50)
            'by priority^0.6, importance 0.4 to 1 over 100 gradient steps (0.7 at the end of the run)'
        """
        course = f"{self.importance_begin:g} to {self.importance_end:g}"
        at_end = self.importance(total_steps)
        short = "" if at_end == self.importance_end else f" ({at_end:.2g} at the end of the run)"
        steps = f"over {self.importance_steps:,} gradient steps"
        return f"by priority^{self.exponent:g}, importance {course} {steps}{short}"

    def weights(self, priorities: np.ndarray) -> np.ndarray:
        """Returns p^exponent of priorities, offset included, `[k] float64`."""
        return (np.asarray(priorities, np.float64) + self.offset) ** self.exponent
