"""THE loop: batches from the task, the gradient step, and what happens between steps at exactly its step."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from tfplastic import _renames
from tfplastic._durations import duration
from tfplastic.diagnostics import Snapshot
from tfplastic.diagnostics.measure import check_quantities
from tfplastic.diagnostics.objectives import Objective
from tfplastic.optimizers.any_keras import build_optimizer
from tfplastic.run_format import OPERATIVE_CONFIG_FILE
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.events.diagnostics import RunDiagnostics, task_snapshot
from tfplastic.training.events.probes import RunProbes
from tfplastic.training.events.profiler import Profiler
from tfplastic.training.execution.compilation import choose_compiler
from tfplastic.training.execution.graph_steps import GraphSteps
from tfplastic.training.execution.host_steps import HostSteps
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.run import summary
from tfplastic.training.run.checkpoints import Checkpoints
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.failures import Failures
from tfplastic.training.run.initial_weights import find_source, load_weights
from tfplastic.training.run.progress import Progress
from tfplastic.training.run.signals import StopRequest
from tfplastic.training.run.write_errors import writing
from tfplastic.training.run.writer import RunWriter
from tfplastic.training.step import GradientStep, NonFiniteLossError
from tfplastic.training.step_supply import supply_of
from tfplastic.training.train_config import TrainConfig
from tfplastic.writers import MetricsFileWriter, TensorBoardWriter


class Loop:
    """Trains one configuration in one run directory; stops and resumes without a trace in its results.

    Constructing it builds everything that is configured and starts no environment.

    Args:
        config: what to train.
        is_new: whether there is no checkpoint to resume from, so that `config.init_from` counts.

    Raises:
        ValueError: something that is configured cannot be built, or `config.init_from` does not fit.

    Attributes:
        step: gradient steps done.
        sums: of what each gradient step reports, by name, since the last row of metrics.
        steps: takes the gradient steps.
        profiler: of the run that is at work.
        compiler: of the gradient steps of a `GraphTask`, `'graph'` or `'xla'`.
    """

    def __init__(self, config: TrainConfig, is_new: bool = True):
        self.config = config
        self.task = config.task
        self.task.build(config.seed)
        self._is_new = is_new
        if config.init_from is not None and is_new:  # before mitigations and the twin look at the weights
            load_weights(find_source(config.init_from), self.task.model)
            self.task.weights_replaced()
        model, optimizer, mitigations = self.task.model, config.optimizer, config.mitigations
        build_optimizer(optimizer, model.trainable_variables)
        for mitigation in mitigations:
            mitigation.build(model, optimizer, config.seed)
        if config.twin is not None:
            config.twin.build(model)
        self._gradient_step = GradientStep(
            self.task,
            model,
            optimizer,
            mitigations,
            check_quantities("step_statistics", config.step_statistics, "activations"),
            supply_of(self.task, config.seed),
        )
        self._after_updates = AfterUpdates(
            mitigations,
            model,
            optimizer,
            config.seed,
            self.task.boundary_period,
            in_program=isinstance(self.task, GraphTask),
            twin=config.twin,
            gradient_step=self._gradient_step,
        )
        self.compiler = ""
        if isinstance(self.task, GraphTask):
            device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
            self.compiler = choose_compiler(config.compiler, self.task.kind, model, device)
        self._make_steps()
        self._probes = RunProbes(config.probe, config.probe_period, config.probe_on, config.share_first_probe)
        self._diagnostics = RunDiagnostics(
            config.diagnostics,
            config.diagnostics_period,
            config.diagnostics_periods,
            config.diagnostics_loss,
            config.twin,
            config.diagnostics_losses,
        )
        self.step = 0
        # What is still to be done at this step, in order; before the first step, what only looks.
        self._pending = [event for event in self._due() if event in ("diagnostics", "probe")]
        self.sums: dict[str, float] = {}
        self._count = 0

    def _make_steps(self) -> None:
        """`steps` takes gradient steps; `_source` is the task, of either kind, as the loop talks to it."""
        if isinstance(self.task, GraphTask):
            self._source = self.steps = GraphSteps(
                self.task, self._gradient_step, self._after_updates, self.config.seed, self.compiler
            )
        else:
            self._source, self.steps = self.task, HostSteps(self.task, self._gradient_step)
        self._after_updates.moment = self.steps.moment

    def describe(self) -> str:
        """The plan of the run as text. Its duration is found by trying; the loop is of no use after that."""
        config = self.config
        seconds = self.steps.seconds_per_step() * config.total_steps
        acting = " and acting" if isinstance(self.task, HostTask) else ""
        return summary.describe(
            self.task.model,
            [
                *self._source.describe(config.total_steps, config.checkpoint_period, config.keep_checkpoints),
                ("seed", f"{config.seed}"),
                *([] if config.init_from is None else [("first weights", config.init_from)]),
                *[("mitigation", type(mitigation).__name__) for mitigation in config.mitigations],
                *([] if config.twin is None else [("twin", type(config.twin).__name__)]),
                ("metrics", f"every {config.log_period:,} gradient steps"),
                ("diagnostics", self._diagnostics.describe()),
                ("probes", self._probes.describe()),
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
        with self.at_work(run_directory, profile_steps, device):
            with StopRequest() as stop:
                self.begin()
                fields = self.task.progress_fields
                with progress(self.config.total_steps, self.step, fields) as shown:
                    self.train(shown, stop, self.config.total_steps)
            return self.end(stop)

    # The parts of `run`, for several loops side by side (`ParallelLoops`).

    @contextlib.contextmanager
    def at_work(
        self, run_directory: RunDirectory, profile_steps: tuple[int, int] | None, device: str
    ) -> Iterator[None]:
        """While open, this loop is at work there; what is raised meanwhile is also in `status.json`."""
        self._directory = run_directory
        self._device = device
        self._has_begun = False
        self._profile_steps = profile_steps
        self.profiler = Profiler(profile_steps, run_directory.tensorboard)
        self._checkpoints = Checkpoints(
            run_directory.checkpoints,
            {**self._source.trackables(), "optimizer": self.config.optimizer, **self.kept_states()},
            self.config.keep_checkpoints,
        )
        self._writer = RunWriter(run_directory.path)
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(OSError, tf.errors.OpError):  # of this error, if it is one of writing
                self._writer.close()
            # A run that could not be resumed stands where it stood, by the directory's `close`.
            if self._has_begun or run_directory.is_new:
                with contextlib.suppress(OSError):
                    self._write_status("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        finally:
            self.profiler.close()
            self._source.close()

    def begin(self) -> None:
        """Begins afresh or goes on from the last checkpoint."""
        checkpoint = self._checkpoints.latest()
        if checkpoint is not None:
            self._keep_compiler(checkpoint.state.get("compiler", checkpoint.state.get("program", "")))
        networks = {name: each for name, each in self.task.trackables().items() if hasattr(each, "layers")}
        self._failures = Failures(
            self.steps,
            self._after_updates,
            Examination(self._gradient_step, networks),
            self._checkpoints,
            self._directory.path,
        )
        if checkpoint is None:
            if not self._is_new:
                raise ValueError("The checkpoint to resume from is gone. Run the same command again")
            with writing(self._directory.path):
                self._directory.cut_after(-1, 0)
            self._failures.note_beginning()
            self._source.start()
        else:
            self._checkpoints.restore(checkpoint)
            self._source.restore(checkpoint.directory, self._checkpoints.shared, checkpoint.shared_files)
            self.step = checkpoint.step
            self._pending = checkpoint.state["pending"]
            self.sums = {_renames.step_metric(name): sum for name, sum in checkpoint.state["sums"].items()}
            self._count = checkpoint.state["count"]
            with writing(self._directory.path):
                self._directory.cut_after(checkpoint.step, checkpoint.state["metrics_position"])
            logging.info("Resumed at gradient step %d.", self.step)
            if self._profile_steps is not None and self._profile_steps[1] <= self.step:
                logging.info("Nothing is traced: --profile_steps ends at step %d.", self._profile_steps[1])
        with writing(self._directory.path):
            self._metrics_file = MetricsFileWriter(self._directory.path)
            events = TensorBoardWriter(self._directory.tensorboard)
        self._writer = RunWriter(self._directory.path, [self._metrics_file, events])
        if checkpoint is None:
            config = (self._directory.path / OPERATIVE_CONFIG_FILE).read_text("utf-8")
            self._writer.text(0, "operative_config", f"```\n{config}\n```")
            self._diagnostics.lay_out(self._writer)
        for warning in self._diagnostics.warnings:
            logging.warning("%s", warning)
        self._has_begun = True
        self._write_status("running")
        self._clock = (time.monotonic(), self.step, self._source.progress().get("agent_steps", 0))

    def train(self, progress: Progress, stop: StopRequest, last: int) -> None:
        """Goes on to gradient step `last`, what is due at it included."""
        self._progress = progress
        for _ in self._source.warm_up():
            self._progress.update(self.step, note="warm-up", **self._source.progress())
            if stop.signal is not None:
                return
        self._work_off(stop)
        while self.step < last and stop.signal is None:
            with self.profiler.step(self.step):
                reached, sums = self._advance(last)
            self.arrive(reached, sums, stop)

    def arrive(self, step: int, sums: dict[str, float], stop: StopRequest) -> None:
        """Does what is due at gradient step `step`, to which gradient steps have led.

        Args:
            step: gradient steps done.
            sums: `sums` with what the new ones reported.
            stop: leaves an evaluation for the next time.
        """
        self._failures.check_gradient(step, self.sums, sums)
        self._count += step - self.step
        self.step, self.sums = step, sums
        with writing(self._directory.path):
            self.profiler.after(step)
        self._pending = self._due()
        self._progress.update(step, loss=sums["loss"] / self._count, **self._source.progress())
        self._work_off(stop)

    def end(self, stop: StopRequest) -> int:
        """Saves and says where the run stands; the exit code."""
        self._save()
        self._writer.close()
        if self.step == self.config.total_steps and not self._pending:
            self._write_status("finished")
            path = self._directory.path
            logging.info("Finished at gradient step %d. tensorboard --logdir=%s", self.step, path)
            return 0
        self._write_status("stopped")
        logging.info("Stopped at gradient step %d. The same command goes on from there.", self.step)
        return stop.exit_code

    def _advance(self, last: int) -> tuple[int, dict[str, float]]:
        """Takes one gradient step or more, at most to the next at which something is due."""
        try:
            return self.steps.advance(self.step, min(last, self.next_event()), self.sums)
        except NonFiniteLossError as error:
            raise self.explained(error) from None

    def explained(self, error: NonFiniteLossError) -> NonFiniteLossError:
        """The error with the layer and the quantity that first was not finite, and the next action."""
        return self._failures.explained(error)

    def next_event(self) -> int:
        """The first step after this one at which the loop has something to do."""
        config = self.config
        periods = [
            config.log_period,
            config.evaluation_period,
            config.checkpoint_period,
            *self._after_updates.periods,
        ]
        nexts = [(self.step // period + 1) * period for period in periods]
        nexts += self._diagnostics.due_after(self.step) + self._probes.due_after(self.step)
        return min([*nexts, config.total_steps, *self.profiler.edges_after(self.step)])

    def _due(self) -> list[str]:
        config, is_last = self.config, self.step == self.config.total_steps
        due = {
            "log": is_last or self.step % config.log_period == 0,
            "diagnostics": self._diagnostics.is_due(self.step),
            "probe": self._probes.is_due(self.step),
            "evaluation": is_last or self.step % config.evaluation_period == 0,
            "mitigations": any(self.step % period == 0 for period in self._after_updates.periods),
            "checkpoint": is_last or self.step % config.checkpoint_period == 0,
        }
        return [event for event, is_due in due.items() if is_due]

    def _work_off(self, stop: StopRequest) -> None:
        """Does what is pending, in order; an evaluation that is cut short stays pending."""
        act = {
            "log": self._log,
            "diagnostics": self._diagnose,
            "probe": self._run_probe,
            "mitigations": lambda: self._after_updates.act(self.step),
            "checkpoint": self._save,
        }
        while self._pending:
            event = self._pending[0]
            if event not in ("log", "mitigations"):
                self._progress.update(self.step, note=event, **self._source.progress())
            if event == "evaluation" and not self._evaluate(stop):
                return
            self._pending.pop(0)
            if event in act:
                act[event]()
            self._writer.flush()

    def _log(self) -> None:
        scalars = {f"train/{name}": total / self._count for name, total in self.sums.items()}
        self._writer.scalars(self.step, {**scalars, **self._source.metrics()})
        before, now = (
            self._clock,
            (time.monotonic(), self.step, self._source.progress().get("agent_steps", 0)),
        )
        seconds = now[0] - before[0]
        speeds = {"speed/gradient_steps_per_second": (now[1] - before[1]) / seconds}
        if "agent_steps" in self.task.progress_fields:
            speeds["speed/agent_steps_per_second"] = (now[2] - before[2]) / seconds
        self._writer.clock_scalars(self.step, speeds)
        self._clock = now
        self.sums, self._count = {}, 0
        self._write_status("running")

    def _diagnose(self) -> None:
        def make_snapshot(loss: Objective | None) -> Snapshot:
            batch, inputs = self._source.diagnostics_batch()
            return task_snapshot(self.task, batch, inputs, self.config.optimizer, loss)

        self._diagnostics.measure(self.step, make_snapshot, self._directory.path, self._writer)

    def _run_probe(self) -> None:
        found = self._probes.measure(
            self.step,
            self.task,
            self.config.optimizer,
            self._source.probe_inputs,
            self._directory.path,
            self.config.seed,
            self._writer,
        )
        text = ", ".join(f"{name} {found[name]:.4g}" for name in ("loss_of_plasticity", "final_loss"))
        logging.info("Probe at gradient step %d: %s", self.step, text)

    def _evaluate(self, stop: StopRequest) -> bool:
        scalars = self._source.evaluate(self.step, lambda: stop.signal is not None)
        if scalars is None:
            return False
        self._writer.scalars(self.step, scalars)
        shown = ", ".join(f"{tag.removeprefix('evaluation/')} {value:.4g}" for tag, value in scalars.items())
        logging.info("Evaluation at gradient step %d: %s", self.step, shown)
        return True

    def _save(self) -> None:
        self._writer.flush()
        with writing(self._directory.path):
            metrics_position = self._metrics_file.position()
        state = {
            "pending": self._pending,
            "sums": self.sums,
            "count": self._count,
            "metrics_position": metrics_position,
            "compiler": self.compiler,
        }
        self._failures.check_weights(self.step)
        self._checkpoints.save(self.step, state, self._source.save)
        self._failures.checkpoint_saved()
        self._write_status("running")

    def kept_states(self) -> dict[str, Any]:
        """Returns what mitigations and the twin keep, by names in checkpoints."""
        keeping = [*self.config.mitigations, *([] if self.config.twin is None else [self.config.twin])]
        # The twin has the number after the last mitigation, as when it was one itself.
        states = {f"mitigation{number}": each.state for number, each in enumerate(keeping)}
        states["weight_history"] = self._gradient_step.history.state
        return {name: state for name, state in states.items() if state}

    def _keep_compiler(self, compiler: str) -> None:
        """Continues with the compiler of a checkpoint, which `'auto'` may not be on this machine."""
        if compiler != self.compiler:
            logging.info("Continuing with the compiler that this run began with: %s.", compiler)
            self.compiler = compiler
            self._make_steps()

    def _write_status(self, state: str, **fields: Any) -> None:
        with writing(self._directory.path):
            self._directory.write_status(
                state, self.step, total_steps=self.config.total_steps, device=self._device, **fields
            )
