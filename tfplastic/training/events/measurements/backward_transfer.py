"""Transfer from later tasks of a stream back to earlier ones."""

from typing import TYPE_CHECKING, Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_integer
from tfplastic.tasks import StreamState, SupervisedStream
from tfplastic.training.events.event import Event

if TYPE_CHECKING:
    from tfplastic.training.session import Session


_MOST = 1_000_000  # tasks, whose scores fit into any checkpoint


@gin.register(module="tfplastic.training")
class BackwardTransfer(Event):
    """Change of the score on earlier tasks while later ones are learned, of a `SupervisedStream`.

    With A_{t,m} the score on all examples of task m at the end of task t, and K tasks:

    - `evaluation/one_step_backward_transfer`: the mean over m < t of A_{m+1,m} - A_{m,m}, at the end of each
      task t but the first;
    - `evaluation/backward_transfer`: the mean over m < K of A_{K,m} - A_{m,m}, at the end of the run, if that
      is the end of a task. It takes an evaluation of each task.

    Negative values are forgetting, of an accuracy. A run that is resumed continues bit for bit.

    Source: Kumar et al. 2023, "Maintaining plasticity in continual learning via regenerative regularization",
    Table 2; the first of them is of Lopez-Paz and Ranzato 2017, "Gradient episodic memory". The released code
    of Kumar et al. has the scores of 1,000 test images in place of the task's own examples.

    Args:
        num_tasks: most tasks of a run, whose A_{m,m} are kept.

    Raises:
        ValueError: `num_tasks` is below 1; or, when a run begins, below the number of its tasks, or the run's
            task is not a stream of tasks of one length.

    Example:
        >>> import tfplastic as tp
        >>> tp.training.BackwardTransfer(num_tasks=20).describe()
        'at the end of each task'
    """

    name = "backward_transfer"
    title = "backward transfer"

    def __init__(self, num_tasks: int = 1_000):
        self._most = check_integer("num_tasks", num_tasks, 1, _MOST)
        nothing = np.full(num_tasks, np.nan)
        self._own = tf.Variable(nothing, trainable=False)  # A_{m,m}
        self._next = tf.Variable(nothing, trainable=False)  # A_{m+1,m}
        self._contents: list[Any] = []  # of the tasks so far
        self._steps = 0  # of a task, known when the run begins

    def next_after(self, step: int) -> int:
        return (step // self._steps + 1) * self._steps

    def is_due(self, step: int) -> bool:
        return step > 0 and step % self._steps == 0

    @property
    def state(self) -> dict[str, tf.Variable]:
        return {"own": self._own, "next": self._next}

    def begin(self, session: "Session") -> None:
        task = session.task
        if not isinstance(task, SupervisedStream) or task.boundary_period is None:
            rule = "must be a stream of tasks of one length, such as @PermutedPixels(), with BackwardTransfer"
            raise ValueError(f"`task` {rule}. Received: {type(task).__name__}")
        self._steps = task.boundary_period
        if (count := session.config.total_steps // self._steps) > self._most:
            rule = f"must be at least the number of tasks of the run, {count}"
            raise ValueError(f"`num_tasks` {rule}. Received: {self._most}")

    def run(self, session: "Session") -> bool:
        task: Any = session.task
        state: StreamState = session.driver.moment().state
        number = int(state.task)
        while len(self._contents) <= number:
            previous = self._contents[-1] if self._contents else None
            self._contents.append(task.content(len(self._contents), previous))
        self._put(self._own, number, task.mean_score(state))
        if number == 0:
            return True
        self._put(self._next, number - 1, self._score(task, state, number - 1))
        own, following = self._own.numpy()[:number], self._next.numpy()[:number]
        found = {"evaluation/one_step_backward_transfer": float(np.mean(following - own))}
        if session.step == session.config.total_steps:
            last = [self._score(task, state, earlier) for earlier in range(number)]
            found["evaluation/backward_transfer"] = float(np.mean(np.asarray(last) - own))
        session.writer.scalars(session.step, found)
        return True

    def describe(self) -> str:
        return "at the end of each task"

    def _score(self, task: Any, state: StreamState, earlier: int) -> float:
        return task.mean_score(state._replace(task=tf.constant(earlier), content=self._contents[earlier]))

    def _put(self, scores: tf.Variable, place: int, value: float) -> None:
        scores.assign(tf.tensor_scatter_nd_update(scores, [[place]], [tf.constant(value, tf.float64)]))
