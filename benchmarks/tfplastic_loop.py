"""This library in train_loop.py: its compiled loop, `GraphSteps`, as a graph or by XLA.

The driver starts it; `loop_blocks.py` says how they talk.
"""

import functools
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf

import tfplastic as tp
from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    DISCOUNT,
    EPSILON,
    LEARNING_RATE,
    NUM_ENVS,
    REPLAY_CAPACITY,
    TARGET_UPDATE_PERIOD,
    WARM_UP_AGENT_STEPS,
    Problem,
    TakeSteps,
    data,
    serve,
)
from tfplastic.diagnostics import dead_units, dormant_units
from tfplastic.tasks import GraphTask
from tfplastic.training import GradientStep
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.execution.graph_steps import GraphSteps

_NEVER = 10**9


def _task(problem: Problem, network: functools.partial) -> GraphTask:
    num_examples = len(data()[0])
    if problem.is_mdp:
        return tp.rl.ClassificationMdpTask(
            "mnist",
            tp.tasks.true_label_mdp,
            functools.partial(tp.rl.double_dqn, discount=DISCOUNT),
            network,
            num_envs=NUM_ENVS,
            replay_capacity=REPLAY_CAPACITY,
            batch_size=problem.batch_size,
            warm_up_agent_steps=WARM_UP_AGENT_STEPS,
            target_update_period=TARGET_UPDATE_PERIOD,
        )
    return tp.tasks.RandomLabelTask(
        "mnist",
        network,
        num_examples=num_examples,
        steps_per_task=_NEVER,
        batch_size=problem.batch_size,
        sampling="replacement",
    )


def make(problem: Problem, program: str, statistics: bool = False, dtype: str | None = None) -> TakeSteps:
    """Gradient steps of a problem.

    Args:
        problem: the problem to train.
        program: `'graph'` or `'xla'`.
        statistics: whether each step reports dead and dormant fractions of every layer.
        dtype: Keras' policy of the network.
    """
    network = functools.partial(tp.networks.mlp, hidden=problem.hidden, dtype=dtype)
    if problem.filters:
        network = functools.partial(
            tp.networks.cnn,
            filters=problem.filters,
            kernel_sizes=[3] * len(problem.filters),
            strides=[2] * len(problem.filters),
            hidden=problem.hidden,
            dtype=dtype,
        )
    task = _task(problem, network)
    task.build(seed=0)
    optimizer = tp.optimizers.adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    chosen = {"dead": dead_units, "dormant": dormant_units} if statistics else {}
    gradient_step = GradientStep(task, task.model, optimizer, statistics=chosen)
    after_updates = AfterUpdates([], task.model, optimizer, 0, task.boundary_period, in_program=True)
    steps = GraphSteps(task, gradient_step, after_updates, seed=0, compiler=program)
    steps.start()
    step, sums = 0, {}

    def take_steps(count: int) -> None:
        nonlocal step, sums
        last = step + count
        while step < last:
            step, sums = steps.advance(step, last, sums)

    return take_steps


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(make, ("tensorflow", "tf-keras", "tf-agents", "numpy"))
