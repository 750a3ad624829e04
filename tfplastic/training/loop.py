"""THE loop: batches from the task, the gradient step, and what happens between steps at exactly its step."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import gin
import tensorflow as tf
from absl import logging

from tfplastic._checks import check_integer, check_one_of, check_positive_integer
from tfplastic._keras import keras
from tfplastic.diagnostics import Snapshot, diagnose
from tfplastic.diagnostics.diagnose import check_quantities
from tfplastic.mitigations import Mitigation
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training import plan
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.checkpoints import Checkpoints
from tfplastic.training.graph_steps import GraphSteps
from tfplastic.training.host_steps import HostSteps
from tfplastic.training.profiler import Profiler
from tfplastic.training.programs import AUTO, PROGRAMS, choose_program
from tfplastic.training.progress import Progress, duration
from tfplastic.training.run_directory import RunDirectory
from tfplastic.training.signals import StopRequest
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepStatistic
from tfplastic.writers import ManyWriters, MetricsFileWriter, TensorBoardWriter


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
        mitigations: what changes loss, gradients, weights or optimizer slots, in this order. Those that act
            after updates do so after whatever is measured at the same step.
        step_statistics: of the activations of each hidden nonlinearity on the batch of every gradient step,
            such as `diagnostics.dead_fraction`; logged as means, as the loss is.
        program: what the steps of a `GraphTask` are compiled to: `'graph'`, `'xla'`, or `'auto'` for the
            faster of them by the rules of `training/programs.py`. A run that is resumed keeps its program.
    """

    task: HostTask | GraphTask
    optimizer: keras.optimizers.Optimizer
    total_steps: int
    seed: int = 0
    log_period: int = 1_000
    diagnostics: Sequence[Callable[[Snapshot], dict[str, float]]] = ()
    diagnostics_period: int = 10_000
    evaluation_period: int = 62_500
    checkpoint_period: int = 25_000
    keep_checkpoints: int = 2
    mitigations: Sequence[Mitigation] = ()
    step_statistics: Sequence[StepStatistic] = ()
    program: str = AUTO

    def __post_init__(self) -> None:
        if not isinstance(self.task, HostTask | GraphTask):
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
        check_quantities("step_statistics", self.step_statistics)
        check_one_of("program", self.program, (AUTO, *PROGRAMS))
        for mitigation in self.mitigations:
            if not isinstance(mitigation, Mitigation):
                rule = "must hold mitigations, such as @ShrinkAndPerturb()"
                raise ValueError(f"`mitigations` {rule}. Received: {mitigation!r}")


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
        model, optimizer, mitigations = self.task.model, config.optimizer, config.mitigations
        optimizer.build(model.trainable_variables)
        for mitigation in mitigations:
            mitigation.build(model, optimizer, config.seed)
        self._gradient_step = GradientStep(
            self.task,
            model,
            optimizer,
            mitigations,
            check_quantities("step_statistics", config.step_statistics),
        )
        self._after_updates = AfterUpdates(
            mitigations,
            model,
            optimizer,
            config.seed,
            self.task.boundary_period,
            in_program=isinstance(self.task, GraphTask),
        )
        self._program = ""
        if isinstance(self.task, GraphTask):
            device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
            self._program = choose_program(config.program, self.task.kind, model, device)
        self._make_steps()
        self._snapshot: Snapshot | None = None
        self._step = 0
        self._pending = ["diagnostics"]  # what is still to be done at this step, in order
        self._sums: dict[str, float] = {}  # of what each gradient step reports, since the last row of metrics
        self._count = 0

    def _make_steps(self) -> None:
        """`_steps` takes gradient steps; `_source` is the task, of either kind, as the loop talks to it."""
        if isinstance(self.task, GraphTask):
            self._source = self._steps = GraphSteps(
                self.task, self._gradient_step, self._after_updates, self.config.seed, self._program
            )
        else:
            self._source, self._steps = self.task, HostSteps(self.task, self._gradient_step)

    def describe(self) -> str:
        """The plan of the run as text. Its duration is found by trying; the loop is of no use after that."""
        config = self.config
        seconds = self._steps.seconds_per_step() * config.total_steps
        acting = " and acting" if isinstance(self.task, HostTask) else ""
        return plan.describe(
            self.task.model,
            [
                *self._source.describe(config.total_steps, config.checkpoint_period, config.keep_checkpoints),
                ("seed", f"{config.seed}"),
                *[("mitigation", type(mitigation).__name__) for mitigation in config.mitigations],
                ("metrics", f"every {config.log_period:,} gradient steps"),
                ("diagnostics", f"every {config.diagnostics_period:,}, {len(config.diagnostics)} quantities"),
                ("evaluations", f"every {config.evaluation_period:,} and at the end"),
                (
                    "checkpoints",
                    f"every {config.checkpoint_period:,}, the last {config.keep_checkpoints} kept",
                ),
                ("duration", f"about {duration(seconds)} of gradient steps{acting} alone"),
            ],
        )

    def run(
        self,
        run_directory: RunDirectory,
        profile_steps: tuple[int, int] | None = None,
        device: str = "",
        progress: Callable[[int, int, Sequence[str]], Progress] = Progress,
    ) -> int:
        """Trains from the last checkpoint, if there is one, to the last step, a signal or an error.

        Args:
            run_directory: where everything is written.
            profile_steps: gradient steps (A, B); what happens after step A up to step B is traced for
                TensorBoard.
            device: the device's name, for `status.json`.
            progress: makes the progress line from the total, the first step and the fields of the task.

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
            {**self._source.trackables(), "optimizer": self.config.optimizer, **self._mitigation_states()},
            self.config.keep_checkpoints,
        )
        try:
            with StopRequest() as stop:
                self._begin(profile_steps)
                fields = self.task.progress_fields
                with progress(self.config.total_steps, self._step, fields) as self._progress:
                    self._train(stop)
            return self._end(stop)
        except BaseException as error:
            self._write_status("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        finally:
            self._profiler.close()
            self._source.close()

    def _begin(self, profile_steps: tuple[int, int] | None) -> None:
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            self._directory.cut_after(-1, 0)
            self._source.start()
        else:
            self._keep_program(checkpoint.state.get("program", ""))
            self._checkpoints.restore(checkpoint)
            self._source.restore(checkpoint.directory, self._checkpoints.shared, checkpoint.shared_files)
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
        self._clock = (time.monotonic(), self._step, self._source.progress().get("agent_steps", 0))

    def _train(self, stop: StopRequest) -> None:
        for _ in self._source.warm_up():
            self._progress.update(self._step, note="warm-up", **self._source.progress())
            if stop.signal is not None:
                return
        self._work_off(stop)
        while self._step < self.config.total_steps and stop.signal is None:
            with self._profiler.step(self._step):
                self._advance()
            self._profiler.after(self._step)
            self._pending = self._due()
            self._progress.update(
                self._step, loss=self._sums["loss"] / self._count, **self._source.progress()
            )
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

    def _advance(self) -> None:
        """Takes one gradient step or more, at most to the next at which something is due."""
        before = self._step
        try:
            self._step, self._sums = self._steps.advance(self._step, self._next_event(), self._sums)
        except NonFiniteLossError as error:
            layer = _first_non_finite_layer(self.task.model)
            raise NonFiniteLossError(f"{error}; the first layer with a weight that is not: {layer}") from None
        self._count += self._step - before

    def _next_event(self) -> int:
        """The first step after this one at which the loop has something to do."""
        config = self.config
        periods = [
            config.log_period,
            config.diagnostics_period,
            config.evaluation_period,
            config.checkpoint_period,
            *self._after_updates.periods,
        ]
        nexts = [(self._step // period + 1) * period for period in periods]
        return min([*nexts, config.total_steps, *self._profiler.edges_after(self._step)])

    def _due(self) -> list[str]:
        config, is_last = self.config, self._step == self.config.total_steps
        due = {
            "log": is_last or self._step % config.log_period == 0,
            "diagnostics": self._step % config.diagnostics_period == 0,
            "evaluation": is_last or self._step % config.evaluation_period == 0,
            "mitigations": any(self._step % period == 0 for period in self._after_updates.periods),
            "checkpoint": is_last or self._step % config.checkpoint_period == 0,
        }
        return [event for event, is_due in due.items() if is_due]

    def _work_off(self, stop: StopRequest) -> None:
        """Does what is pending, in order; an evaluation that is cut short stays pending."""
        act = {
            "log": self._log,
            "diagnostics": self._diagnose,
            "mitigations": lambda: self._after_updates.act(self._step),
            "checkpoint": self._save,
        }
        while self._pending:
            event = self._pending[0]
            if event not in ("log", "mitigations"):
                self._progress.update(self._step, note=event, **self._source.progress())
            if event == "evaluation" and not self._evaluate(stop):
                return
            self._pending.pop(0)
            if event in act:
                act[event]()
            self._writer.flush()

    def _log(self) -> None:
        scalars = {f"train/{name}": total / self._count for name, total in self._sums.items()}
        self._writer.scalars(self._step, {**scalars, **self._source.metrics()})
        before, now = (
            self._clock,
            (time.monotonic(), self._step, self._source.progress().get("agent_steps", 0)),
        )
        seconds = now[0] - before[0]
        speeds = {"speed/gradient_steps_per_second": (now[1] - before[1]) / seconds}
        if "agent_steps" in self.task.progress_fields:
            speeds["speed/agent_steps_per_second"] = (now[2] - before[2]) / seconds
        self._writer.clock_scalars(self._step, speeds)
        self._clock = now
        self._sums, self._count = {}, 0
        self._write_status("running")

    def _diagnose(self) -> None:
        if not self.config.diagnostics:
            return
        if self._snapshot is None:
            batch, inputs = self._source.diagnostics_batch()
            self._snapshot = Snapshot(
                self.task.model, inputs, lambda: self.task.loss(self.task.model, batch)[0]
            )
        self._snapshot.refresh()
        for quantity, by_layer in diagnose(self._snapshot, self.config.diagnostics).items():
            scalars = {f"diagnostics/{quantity}/{layer}": value for layer, value in by_layer.items()}
            self._writer.scalars(self._step, scalars)

    def _evaluate(self, stop: StopRequest) -> bool:
        scalars = self._source.evaluate(self._step, lambda: stop.signal is not None)
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
            "program": self._program,
        }
        self._checkpoints.save(self._step, state, self._source.save)
        self._write_status("running")

    def _mitigation_states(self) -> dict[str, Any]:
        states = {f"mitigation{number}": each.state for number, each in enumerate(self.config.mitigations)}
        return {name: state for name, state in states.items() if state}

    def _keep_program(self, program: str) -> None:
        """Goes on with the program of a checkpoint, which `'auto'` may not be on this machine."""
        if program != self._program:
            logging.info("Going on with the program that this run began with: %s.", program)
            self._program = program
            self._make_steps()

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
