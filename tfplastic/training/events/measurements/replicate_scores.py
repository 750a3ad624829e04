"""Scores of each of the learners that train side by side in one run."""

from typing import TYPE_CHECKING, Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic.tasks import SupervisedStream
from tfplastic.training.events.event import Event

if TYPE_CHECKING:
    from tfplastic.training.session import Session


@gin.register(module="tfplastic.training")
class ReplicateScores(Event):
    """Writer of the mean score of each replicate of a stream over every `period` gradient steps.

    A stream of replicates, such as a `ReplicatedStream`, has a score of each learner.

    A file `arrays/online_error/<step>.npz` holds `mean`, `[replicates] float64`: the mean error over the
    `period` steps up to that one, each before its update. A run that is resumed continues bit for bit.

    Args:
        period: gradient steps of a bin; 40,000 in slowly changing regression (Dohare et al. 2024).

    Raises:
        ValueError: `period` is below 1; or, when a run begins, its task is not a stream of replicates.

    Example:
        >>> import tfplastic as tp
        >>> tp.training.ReplicateScores(period=40_000).describe()
        'every 40,000 gradient steps'
    """

    name = "replicate_scores"
    title = "errors of replicates"
    is_shown = False

    def __init__(self, period: int = 40_000):
        self._period = check_positive_integer("period", period)
        self._before = tf.Variable(
            np.zeros(0), trainable=False, shape=[None], dtype=tf.float64
        )  # sums up to the last bin

    def next_after(self, step: int) -> int:
        return (step // self._period + 1) * self._period

    def is_due(self, step: int) -> bool:
        return step > 0 and step % self._period == 0

    @property
    def state(self) -> dict[str, tf.Variable]:
        return {"before": self._before}

    def begin(self, session: "Session") -> None:
        if not (isinstance(session.task, SupervisedStream) and len(session.task.score_shape)):
            rule = "must be a stream of replicates, such as @SlowlyChangingRegression(), with ReplicateScores"
            raise ValueError(f"`task` {rule}. Received: {type(session.task).__name__}")

    def run(self, session: "Session") -> bool:
        task: Any = session.task
        state: Any = session.driver.moment().state
        total = state.total_score.numpy()  # [replicates]
        before = self._before.numpy()
        mean = (total - (before if len(before) else 0.0)) / self._period
        session.writer.arrays(session.step, f"online_{task.objective.score}", mean=mean)
        self._before.assign(total)
        return True

    def describe(self) -> str:
        return f"every {self._period:,} gradient steps"
