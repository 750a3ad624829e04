"""THE loop: gradient steps, and between them the events that are due, at exactly their step."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from tfplastic._text.durations import duration
from tfplastic.mitigations import Mitigation
from tfplastic.tasks import HostTask
from tfplastic.training.build_parts import build_parts
from tfplastic.training.compute import FLOAT32
from tfplastic.training.events.event import Event
from tfplastic.training.run import summary
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.progress import Progress
from tfplastic.training.run.signals import StopRequest
from tfplastic.training.session import Session
from tfplastic.training.train_config import TrainConfig


class Loop:
    """Training of one configuration in one run directory; stopping and resuming do not change its results.

    Constructing it builds everything that is configured and starts no environment.

    Args:
        config: configuration of the run.
        is_new: whether there is no checkpoint to resume from, so that `config.init_from` counts.

    Raises:
        ValueError: something that is configured cannot be built, or `config.init_from` does not fit.

    Attributes:
        config: the given configuration.
        task: task to train on, built.
        driver: driver that takes the gradient steps.
        events: events between gradient steps, in this order.
        parts: all that the configuration describes, built.
    """

    def __init__(self, config: TrainConfig, is_new: bool = True):
        self.parts = build_parts(config, is_new)
        self.config, self.task = config, config.task
        self.driver, self.events = self.parts.driver, self.parts.events
        self._is_new = is_new

    def run(
        self,
        run_directory: RunDirectory,
        profile_steps: tuple[int, int] | None = None,
        device: str = "",
        progress: Callable[[int, int, Sequence[str]], Progress] = Progress,
    ) -> int:
        """Trains from the last checkpoint, if there is one, to the last step, a signal or an error.

        Args:
            run_directory: directory of all output.
            profile_steps: gradient steps (A, B); the steps after step A up to step B are traced for
                TensorBoard.
            device: the device's name, for `status.json`.
            progress: function that makes the progress line from the total, the first step and the fields of
                the task.

        Returns:
            The exit code: 0 when the run is finished or was interrupted (SIGINT), 143 when terminated
            (SIGTERM).

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite. Whatever is raised is also in
                `status.json`.
        """
        if run_directory.state == "finished":
            logging.info(
                "Run already finished: %s. Raise train.total_steps to continue it.", run_directory.path
            )
            return 0
        stop, last = StopRequest(), self.config.total_steps
        with Session(self.parts, run_directory, stop, profile_steps, device) as session:
            with stop:
                session.begin(self._is_new)
                with progress(last, session.step, self.task.progress_fields) as shown:
                    if self._warm_up(session, shown):
                        self._run_events(session, shown)
                        while session.step < last and stop.signal is None:
                            with session.profiler.step(session.step), session.failures.explaining():
                                step, sums = self.driver.advance(
                                    session.step, session.next_stop(), session.sums
                                )
                            session.arrive(step, sums)
                            loss = sums["loss"] / session.count
                            shown.update(step, loss=loss, **self.driver.progress())
                            self._run_events(session, shown)
                return session.end()

    def _warm_up(self, session: Session, shown: Progress) -> bool:
        """Does the work before the first gradient step; returns False if a signal came meanwhile."""
        for _ in self.driver.warm_up():
            shown.update(session.step, note="warm-up", **self.driver.progress())
            if session.stop.signal is not None:
                return False
        return True

    def _run_events(self, session: Session, shown: Progress) -> None:
        """Runs the pending events, in order; one that is cut short stays pending, with those after it.

        Raises:
            TypeError: an event does not return whether it is done.
            ValueError: an event says that it was cut short, without a signal.
        """
        by_name = {event.name: event for event in self.events}
        while session.pending:
            event = by_name[session.pending[0]]
            if event.is_shown:
                shown.update(session.step, note=event.name, **self.driver.progress())
            waiting = session.pending
            session.pending = waiting[1:]  # what a checkpoint of now still has to do
            if not _is_done(event, event.run(session), session.stop):
                session.pending = waiting
                return
            self.driver.note_event()
            session.writer.flush()

    def describe(self) -> str:
        """Returns the plan of the run as text; its duration is found by trying, which uses up the loop."""
        config, driver = self.config, self.driver
        seconds = driver.seconds_per_step() * config.total_steps
        return summary.describe(
            self.task.model,
            [
                *driver.describe(config.total_steps, config.checkpoint_period, config.keep_checkpoints),
                ("seed", f"{config.seed}"),
                *([] if config.compute == FLOAT32 else [("networks", f"computing in {config.compute}")]),
                *([] if config.init_from is None else [("first weights", config.init_from)]),
                *[("mitigation", each) for each in self._mitigations()],
                *([] if config.twin is None else [("twin", type(config.twin).__name__)]),
                *[(event.title, event.describe()) for event in self.events if event.title],
                ("duration", f"about {duration(seconds)} of {driver.timed} alone"),
            ],
        )

    def _mitigations(self) -> Iterator[str]:
        """Yields the name of each mitigation and when it acts, in their order."""
        times = self.parts.after_updates.times
        for number, mitigation in enumerate(self.config.mitigations):
            when = ["in the loss"] if mitigation.adds_penalty else []
            when += ["on the gradients"] if mitigation.transforms_gradients else []
            when += [times[number], *self._agent_steps(mitigation)] if number in times else []
            yield ", ".join([type(mitigation).__name__, *when])

    def _agent_steps(self, mitigation: Mitigation) -> Iterator[str]:
        """Yields the period of a mitigation in agent steps, where the task has a fixed number of them."""
        period = mitigation.period or self.task.boundary_period
        if isinstance(self.task, HostTask) and period is not None:
            agent_steps = self.task.agent_steps_of(period)
            if agent_steps is not None:
                yield f"{agent_steps:,.7g} agent steps"


def _is_done(event: Event, returned: Any, stop: StopRequest) -> bool:
    """Returns the result of an event's `run`, checked: what follows an event that is not done is left out."""
    name = f"`{type(event).__name__}.run`"
    if not isinstance(returned, bool):
        raise TypeError(f"{name} must return True when it is done. Received: {returned!r}")
    if not returned and stop.signal is None:
        rule = "must return False only after a signal has cut it short"
        raise ValueError(f"{name} {rule}. Received: no signal")
    return returned
