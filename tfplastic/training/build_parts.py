"""The builder of a run: task, optimizer, mitigations, driver and events, in the order that they need."""

from collections.abc import Sequence

from absl import logging

from tfplastic.diagnostics.measure import check_quantities
from tfplastic.mitigations.build_all import build_all
from tfplastic.tasks import HostTask
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.compute import check_outputs, computing_in, slowness
from tfplastic.training.events.checkpoint import SavingCheckpoint
from tfplastic.training.events.evaluation import Evaluation
from tfplastic.training.events.event import Event
from tfplastic.training.events.logging import Logging
from tfplastic.training.events.measurements.diagnostics import RunDiagnostics
from tfplastic.training.events.measurements.probes import RunProbes
from tfplastic.training.events.mitigations import Mitigating
from tfplastic.training.execution.choose_driver import has_boundaries, make_driver, runs_in_program
from tfplastic.training.mitigated_network import extension
from tfplastic.training.run.initial_weights import find_source, load_weights
from tfplastic.training.run_parts import RunParts
from tfplastic.training.step import GradientStep
from tfplastic.training.step_parts.step_supply import supply_of
from tfplastic.training.train_config import TrainConfig


def build_parts(config: TrainConfig, is_new: bool) -> RunParts:
    """Builds everything that is configured; starts no environment and writes nothing.

    Args:
        config: configuration of the run.
        is_new: whether the run begins, so that `config.init_from` counts.

    Raises:
        ValueError: something that is configured cannot be built, or `config.init_from` does not fit.
    """
    task, optimizer, seed = config.task, config.optimizer, config.seed
    if isinstance(task, HostTask) and task.most_steps is not None and config.total_steps > task.most_steps:
        rule = f"must be at most {task.most_steps}, the gradient steps of all turns of the task's games"
        raise ValueError(f"`train.total_steps` {rule}. Received: {config.total_steps}")
    task.extend_network = extension(config.mitigations)
    if warning := slowness(config.compute):
        logging.warning(warning)
    with computing_in(config.compute):
        task.build(seed)
    check_outputs(task.model, config.compute)
    config.probe_plan.check_model(task.model)
    if config.init_from is not None and is_new:  # before mitigations and the twin look at the weights
        load_weights(find_source(config.init_from), task.model)
        task.weights_replaced()
    build_all(config.mitigations, task.model, optimizer, seed)
    if config.twin is not None:
        config.twin.build(task.model)
    statistics = check_quantities("step_statistics", config.step_statistics, "activations")
    gradient_step = GradientStep(
        task,
        task.model,
        optimizer,
        config.mitigations,
        statistics,
        supply_of(task, seed),
        config.sample_plasticity,
    )
    after_updates = AfterUpdates(
        config.mitigations,
        task.model,
        optimizer,
        seed,
        task.boundary_period,
        in_program=runs_in_program(task),
        twin=config.twin,
        gradient_step=gradient_step,
        has_uneven_boundaries=task.boundary_period is None and has_boundaries(task),
    )
    driver = make_driver(task, gradient_step, after_updates, seed, config.compiler)
    after_updates.moment, after_updates.at_boundary = driver.moment, driver.at_boundary
    return RunParts(config, gradient_step, after_updates, driver, _events(config, after_updates))


def _events(config: TrainConfig, after_updates: AfterUpdates) -> Sequence[Event]:
    last = config.total_steps
    events = [
        Logging(config.log_period, last),
        RunDiagnostics(config.diagnostics_plan, config.twin),
        RunProbes(config.probe_plan),
        Evaluation(config.evaluation_period, last),
        *(event for event in config.events if not event.follows_mitigations),
        Mitigating(after_updates),
        *(event for event in config.events if event.follows_mitigations),
        SavingCheckpoint(config.checkpoint_period, last, config.keep_checkpoints),
    ]
    names = [event.name for event in events]
    for event in config.events:
        if names.count(event.name) > 1:
            rule = f"must hold events with names of their own, other than {', '.join(sorted(set(names)))}"
            raise ValueError(f"`events` {rule}. Received: {event.name!r} once more")
    return events
