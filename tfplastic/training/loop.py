"""THE loop: batches from the task, the gradient step, and what happens between steps at exactly its step."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf
from absl import logging

from tfplastic._call_options import sums_in_order
from tfplastic._checks import check_integer, check_positive_integer
from tfplastic._keras import keras
from tfplastic.diagnostics import Snapshot, diagnose
from tfplastic.diagnostics.diagnose import check_quantities
from tfplastic.tasks import HostTask
from tfplastic.training import plan
from tfplastic.training.checkpoints import Checkpoints
from tfplastic.training.profiler import Profiler
from tfplastic.training.progress import Progress, duration
from tfplastic.training.run_directory import RunDirectory
from tfplastic.training.signals import StopRequest
from tfplastic.training.step import GradientStep
from tfplastic.writers import ManyWriters, MetricsFileWriter, TensorBoardWriter

_TIMED_STEPS = 10  # of the estimate of a run's duration


@gin.configurable("train", module="tfplastic.training")
@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """What to train and when to look. All steps and periods are gradient steps.

    Attributes:
        task: what to train on.
        optimizer: a Keras optimizer.
        total_steps: length of the run.
        seed: root seed, from which every other seed is derived.
        log_period: between rows of training metrics; the last step is included.
        diagnostics: functions of a `diagnostics.Snapshot`, each a dict of layer name to value.
        diagnostics_period: between their evaluations; step 0 is included.
        evaluation_period: between evaluations; the last step is included.
        checkpoint_period: between checkpoints; the last step is included.
        keep_checkpoints: how many checkpoints to keep.
    """

    task: HostTask
    optimizer: keras.optimizers.Optimizer
    total_steps: int
    seed: int = 0
    log_period: int = 1_000
    diagnostics: Sequence[Callable[[Snapshot], dict[str, float]]] = ()
    diagnostics_period: int = 10_000
    evaluation_period: int = 62_500
    checkpoint_period: int = 25_000
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.task, HostTask):
            raise ValueError(f"`task` must be a task, such as @AtariTask(). Received: {self.task!r}")
        if not hasattr(self.optimizer, "apply_gradients") or isinstance(self.optimizer, type):
            rule = "must be an optimizer, such as @centered_rmsprop()"
            raise ValueError(f"`optimizer` {rule}. Received: {self.optimizer!r}")
        check_quantities("diagnostics", self.diagnostics)
        check_integer("seed", self.seed)
        for name in (
            "total_steps",
            "log_period",
            "diagnostics_period",
            "evaluation_period",
            "checkpoint_period",
        ):
            check_positive_integer(name, getattr(self, name))
        check_positive_integer("keep_checkpoints", self.keep_checkpoints)


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite."""


class Loop:
    """Trains one configuration in one run directory; stops and resumes without a trace in its results.

    Constructing it builds everything that is configured and starts no environment.

    Args:
        config: what to train.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.task = config.task
        self.task.build(config.seed)
        self._compiled_step = tf.function(
            GradientStep(self.task, self.task.model, config.optimizer), autograph=False
        )
        self._snapshot: Snapshot | None = None
        self._step = 0
        self._pending = ["diagnostics"]  # what is still to be done at this step, in order
        self._sums: dict[str, float] = {}  # of what each gradient step reports, since the last row of metrics
        self._count = 0

    def describe(self) -> str:
        """The plan of the run as text. Its duration is found by trying; the loop is of no use after that."""
        config = self.config
        batch = self.task.example()
        self._compiled_step(batch)
        begun = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            self._compiled_step(batch)
        seconds = (time.perf_counter() - begun) / _TIMED_STEPS + self.task.seconds_per_batch()
        return plan.describe(
            self.task.model,
            [
                *self.task.describe(config.total_steps, config.checkpoint_period, config.keep_checkpoints),
                ("seed", f"{config.seed}"),
                ("metrics", f"every {config.log_period:,} gradient steps"),
                ("diagnostics", f"every {config.diagnostics_period:,}, {len(config.diagnostics)} quantities"),
                ("evaluations", f"every {config.evaluation_period:,} and at the end"),
                (
                    "checkpoints",
                    f"every {config.checkpoint_period:,}, the last {config.keep_checkpoints} kept",
                ),
                (
                    "duration",
                    f"about {duration(seconds * config.total_steps)} of gradient steps and acting alone",
                ),
            ],
        )

    def run(
        self,
        run_directory: RunDirectory,
        profile_steps: tuple[int, int] | None = None,
        device: str = "",
        progress: Callable[[int, int], Progress] = Progress,
    ) -> int:
        """Trains from the last checkpoint, if there is one, to the last step, a signal or an error.

        Args:
            run_directory: where everything is written.
            profile_steps: gradient steps (A, B); what happens after step A up to step B is traced for
                TensorBoard.
            device: the device's name, for `status.json`.
            progress: makes the progress line from the total and the first step.

        Returns:
            The exit code: 0 when the run is finished or was interrupted (SIGINT), 143 when terminated
            (SIGTERM).

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite. Whatever is raised is also in
                `status.json`.
        """
        if run_directory.state == "finished":
            logging.info("This run is finished: %s. A larger train.total_steps goes on.", run_directory.path)
            return 0
        self._directory = run_directory
        self._device = device
        self._profiler = Profiler(profile_steps, run_directory.tensorboard)
        self._checkpoints = Checkpoints(
            run_directory.checkpoints,
            {**self.task.trackables(), "optimizer": self.config.optimizer},
            self.config.keep_checkpoints,
        )
        try:
            with StopRequest() as stop:
                self._begin(profile_steps)
                with progress(self.config.total_steps, self._step) as self._progress:
                    self._train(stop)
            return self._end(stop)
        except BaseException as error:
            self._write_status("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        finally:
            self._profiler.close()
            self.task.close()

    def _begin(self, profile_steps: tuple[int, int] | None) -> None:
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            self._directory.cut_after(-1, 0)
            self.task.start()
        else:
            self._checkpoints.restore(checkpoint)
            self.task.restore(checkpoint.directory, self._checkpoints.shared, checkpoint.shared_files)
            self._step = checkpoint.step
            self._pending = checkpoint.state["pending"]
            self._sums = checkpoint.state["sums"]
            self._count = checkpoint.state["count"]
            self._directory.cut_after(checkpoint.step, checkpoint.state["metrics_position"])
            logging.info("Resumed at gradient step %d.", self._step)
            if profile_steps is not None and profile_steps[1] <= self._step:
                logging.info("Nothing is traced: --profile_steps ends at step %d.", profile_steps[1])
        self._metrics_file = MetricsFileWriter(self._directory.path)
        self._writer = ManyWriters([self._metrics_file, TensorBoardWriter(self._directory.tensorboard)])
        if checkpoint is None:
            config = (self._directory.path / "operative_config.gin").read_text()
            self._writer.text(0, "operative_config", f"```\n{config}\n```")
        self._write_status("running")
        self._clock = (time.monotonic(), self._step, self.task.progress().get("agent_steps", 0))

    def _train(self, stop: StopRequest) -> None:
        for _ in self.task.warm_up():
            self._progress.update(self._step, note="warm-up", **self.task.progress())
            if stop.signal is not None:
                return
        self._work_off(stop)
        while self._step < self.config.total_steps and stop.signal is None:
            with self._profiler.step(self._step):
                self._take_step()
            self._step += 1
            self._profiler.after(self._step)
            self.task.after_step(self._step)
            self._pending = self._due()
            self._progress.update(self._step, loss=self._sums["loss"] / self._count, **self.task.progress())
            self._work_off(stop)

    def _end(self, stop: StopRequest) -> int:
        self._save()
        self._writer.close()
        if self._step == self.config.total_steps and not self._pending:
            self._write_status("finished")
            path = self._directory.path
            logging.info("Finished at gradient step %d. tensorboard --logdir=%s", self._step, path)
            return 0
        self._write_status("stopped")
        logging.info("Stopped at gradient step %d. The same command goes on from there.", self._step)
        return stop.exit_code

    def _take_step(self) -> None:
        batch = self.task.next()
        try:
            with sums_in_order():  # a step of large batches would not repeat itself bit for bit
                output = self._compiled_step(batch)
        except tf.errors.InvalidArgumentError as error:
            if GradientStep.NOT_FINITE not in str(error):
                raise
            raise NonFiniteLossError(
                f"The loss is not finite at gradient step {self._step + 1}; "
                f"the first layer with a weight that is not: {_first_non_finite_layer(self.task.model)}"
            ) from None
        for name, value in {"loss": output.loss, **output.metrics}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1

    def _due(self) -> list[str]:
        config, is_last = self.config, self._step == self.config.total_steps
        due = {
            "log": is_last or self._step % config.log_period == 0,
            "diagnostics": self._step % config.diagnostics_period == 0,
            "evaluation": is_last or self._step % config.evaluation_period == 0,
            "checkpoint": is_last or self._step % config.checkpoint_period == 0,
        }
        return [event for event, is_due in due.items() if is_due]

    def _work_off(self, stop: StopRequest) -> None:
        """Does what is pending, in order; an evaluation that is cut short stays pending."""
        act = {"log": self._log, "diagnostics": self._diagnose, "checkpoint": self._save}
        while self._pending:
            event = self._pending[0]
            if event != "log":
                self._progress.update(self._step, note=event, **self.task.progress())
            if event == "evaluation" and not self._evaluate(stop):
                return
            self._pending.pop(0)
            if event in act:
                act[event]()
            self._writer.flush()

    def _log(self) -> None:
        scalars = {f"train/{name}": total / self._count for name, total in self._sums.items()}
        self._writer.scalars(self._step, {**scalars, **self.task.metrics()})
        before, now = self._clock, (time.monotonic(), self._step, self.task.progress().get("agent_steps", 0))
        seconds = now[0] - before[0]
        self._writer.clock_scalars(
            self._step,
            {
                "speed/gradient_steps_per_second": (now[1] - before[1]) / seconds,
                "speed/agent_steps_per_second": (now[2] - before[2]) / seconds,
            },
        )
        self._clock = now
        self._sums, self._count = {}, 0
        self._write_status("running")

    def _diagnose(self) -> None:
        if not self.config.diagnostics:
            return
        if self._snapshot is None:
            batch, inputs = self.task.diagnostics_batch()
            self._snapshot = Snapshot(
                self.task.model, inputs, lambda: self.task.loss(self.task.model, batch)[0]
            )
        self._snapshot.refresh()
        for quantity, by_layer in diagnose(self._snapshot, self.config.diagnostics).items():
            scalars = {f"diagnostics/{quantity}/{layer}": value for layer, value in by_layer.items()}
            self._writer.scalars(self._step, scalars)

    def _evaluate(self, stop: StopRequest) -> bool:
        scalars = self.task.evaluate(self._step, lambda: stop.signal is not None)
        if scalars is None:
            return False
        self._writer.scalars(self._step, scalars)
        shown = ", ".join(f"{tag.removeprefix('evaluation/')} {value:.4g}" for tag, value in scalars.items())
        logging.info("Evaluation at gradient step %d: %s", self._step, shown)
        return True

    def _save(self) -> None:
        self._writer.flush()
        state = {
            "pending": self._pending,
            "sums": self._sums,
            "count": self._count,
            "metrics_position": self._metrics_file.position(),
        }
        self._checkpoints.save(self._step, state, self.task.save)
        self._write_status("running")

    def _write_status(self, state: str, **fields: Any) -> None:
        self._directory.write_status(
            state, self._step, total_steps=self.config.total_steps, device=self._device, **fields
        )


def _first_non_finite_layer(model: keras.Model) -> str:
    for layer in model.layers:
        for variable in layer.variables:
            if not math.isfinite(float(tf.reduce_sum(tf.abs(tf.cast(variable, tf.float64))))):
                return layer.name
    return "none, the weights are finite"
