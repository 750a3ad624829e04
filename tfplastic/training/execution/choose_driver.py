"""The choice of a driver by the kind of a task; `step_supply.supply_of` chooses the supply by it."""

import tensorflow as tf

from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.execution.compilation import choose_compiler
from tfplastic.training.execution.driver import Driver
from tfplastic.training.execution.graph_steps import GraphSteps
from tfplastic.training.execution.host_steps import HostSteps
from tfplastic.training.step import GradientStep


def runs_in_program(task: GraphTask | HostTask) -> bool:
    """Returns whether the steps of a task, and the work after each, are one compiled program."""
    return isinstance(task, GraphTask)


def has_boundaries(task: GraphTask | HostTask) -> bool:
    """Returns whether a task says where its boundaries are, by a function of its own."""
    return type(task).boundary not in (GraphTask.boundary, HostTask.boundary)


def make_driver(
    task: GraphTask | HostTask,
    gradient_step: GradientStep,
    after_updates: AfterUpdates,
    seed: int,
    compiler: str,
) -> Driver:
    """Returns the driver of a task, which has been built.

    Args:
        task: task to train on.
        gradient_step: the task's.
        after_updates: mitigations that act between steps.
        seed: root seed of the run.
        compiler: `'graph'`, `'xla'` or `'auto'`, for a task whose steps are a compiled program.
    """
    if isinstance(task, HostTask):
        return HostSteps(task, gradient_step)
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    chosen = choose_compiler(compiler, task.kind, task.model, device, gradient_step.prefers_graph)
    return GraphSteps(task, gradient_step, after_updates, seed, chosen)
