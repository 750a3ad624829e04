"""Diagnostics of a stream's network on the task that comes next."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_positive_integer
from tfplastic._keras import keras
from tfplastic.diagnostics import Snapshot
from tfplastic.diagnostics.declaration.quantity import QuantityFn, needs_of
from tfplastic.diagnostics.measure import check_quantities
from tfplastic.tasks import StreamState, SupervisedStream
from tfplastic.tasks.stream_parts.task_sizes import bounded
from tfplastic.training.events.event import Event
from tfplastic.training.events.measurements.example_losses import example_losses
from tfplastic.training.events.measurements.measured_network import MeasuredNetwork

if TYPE_CHECKING:
    from tfplastic.training.session import Session

PREFIX = "next_task"
"""First part of the tags."""


class _OnNumbers(keras.Model):
    """A stream's network as a function of the numbers of examples."""

    is_named_as_its_network = True  # layers go by the names that they have in the network

    def __init__(self, network: keras.Model, inputs_of: Callable[[tf.Tensor], tf.Tensor]):
        super().__init__()
        self.network = network
        self._inputs_of = inputs_of

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.network(self._inputs_of(inputs), training=training)


@gin.register(module="tfplastic.training")
class NextTaskDiagnostics(Event):
    """Diagnostics of the network at the start of tasks, on examples of the task that starts.

    `train.diagnostics` sees the same batch throughout a run. This event measures at the start of task 0 and
    of every further one that is a multiple of `task_period`: after the last step of the task before and all
    mitigations that act there, on the first examples of the new task, and with the task's loss. It only
    reads. Tags are `next_task/<quantity>/<layer>`; the step of a row is that of the last gradient step before
    the task, which at the end of a run may never start.

    Args:
        quantities: functions of a `diagnostics.Snapshot`, in a list; none that compares with step 0.
        task_period: tasks between measurements.
        num_examples: most examples, the first ones of the task; of a smaller task than the largest one, its
            first ones again.

    Raises:
        TypeError: `quantities` are not functions with names.
        ValueError: a number is not a positive integer, or a quantity needs a reference; or, when a run
            begins, the run's task is not a stream of tasks of one length.

    Example:
        >>> import tfplastic as tp
        >>> event = tp.training.NextTaskDiagnostics([tp.diagnostics.dead_units], task_period=2)
        >>> event.describe()
        'dead_units at the start of every 2 tasks'
    """

    name = "next_task"
    title = "next task"
    follows_mitigations = True

    def __init__(self, quantities: Sequence[QuantityFn], task_period: int = 1, num_examples: int = 512):
        self._quantities = check_quantities("quantities", quantities)
        for name, each in self._quantities.items():
            if "reference" in needs_of(each):
                rule = "must hold quantities of the network as it is, none that compares with step 0"
                raise ValueError(f"`quantities` {rule}. Received: {name}")
        self._task_period = check_positive_integer("task_period", task_period)
        self._num_examples = check_positive_integer("num_examples", num_examples)
        self._measured = MeasuredNetwork(self._quantities, (), PREFIX, whose=" on the next task")
        self._state: Any = None  # of the stream at the start of the task, as variables
        self._steps = 1  # between measurements, known when the run begins

    def next_after(self, step: int) -> int:
        return (step // self._steps + 1) * self._steps

    def is_due(self, step: int) -> bool:
        return step % self._steps == 0

    def begin(self, session: "Session") -> None:
        task = session.task
        if not isinstance(task, SupervisedStream) or task.boundary_period is None:
            rule = "must be a stream of tasks of one length, such as @PermutedPixels(), with"
            raise ValueError(f"`task` {rule} NextTaskDiagnostics. Received: {type(task).__name__}")
        self._steps = task.boundary_period * self._task_period

    def run(self, session: "Session") -> bool:
        task: Any = session.task
        state = task.begin_task_if_due(session.driver.moment().state)
        if self._state is None:
            self._state = tf.nest.map_structure(lambda each: tf.Variable(each, trainable=False), state)
            self._measured.snapshot = self._snapshot(task, session.config.optimizer)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._state, state)
        self._measured.measure(session.step, self._quantities, session.writer)
        return True

    def describe(self) -> str:
        often = "each task" if self._task_period == 1 else f"every {self._task_period} tasks"
        return f"{', '.join(self._quantities)} at the start of {often}"

    def _snapshot(self, task: SupervisedStream, optimizer: Any) -> Snapshot:
        """Returns a snapshot whose examples are numbers, so that its programs serve every task."""
        key = tf.constant(seeds.derive(task.seed, "diagnostics"))

        def batch_of(numbers: tf.Tensor) -> Any:
            present: StreamState = tf.nest.map_structure(tf.convert_to_tensor, self._state)
            if task.num_examples is not None:
                numbers %= bounded(task.task_size(present.task), task.num_examples)
            return task.examples(present, numbers, key)

        def losses(numbers: tf.Tensor) -> tf.Tensor:
            return example_losses(task, batch_of(numbers))

        numbers = tf.range(min(self._num_examples, task.num_examples or self._num_examples))
        model = _OnNumbers(task.model, lambda numbers: batch_of(numbers)[0])
        model(numbers)  # builds it
        return Snapshot(model, numbers, numbers, example_losses=losses, optimizer=optimizer)
