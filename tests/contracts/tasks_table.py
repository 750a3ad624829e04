"""Every task with its boundaries and the float64 loss of its examples: rows of `tasks_contract_test.py`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.rl.mdp_task_test import built as built_mdp
from tests.rl.minatar_task_test import make as minatar
from tests.rl.small_atari import make as atari
from tfplastic import networks, rl, tasks
from tfplastic.tasks import GraphTask, HostTask

STEPS = 9
LEARNERS = 3
PERIOD = 4  # gradient steps of a task, or between copies to the target network


def random_labels(seed: int, **arguments: Any) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    task = tasks.RandomLabelTask(
        "digits", network, num_examples=30, batch_size=8, steps_per_task=PERIOD, **arguments
    )
    task.build(seed)
    return task


def stream_of_images(seed: int, kind: Callable[..., Any], **arguments: Any) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    task = kind("digits", network, num_examples=32, batch_size=8, **arguments)
    task.build(seed)
    return task


def class_split(seed: int) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    sizes: Any = dict(classes_per_task=(2, 1), examples_per_class=16, batch_size=8, steps_per_task=PERIOD)
    task = tasks.ClassSplit("digits", network, **sizes)
    task.build(seed)
    return task


def gradual_drift(seed: int) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    labels = tasks.RandomLabelTask("digits", network, num_examples=32, batch_size=8, steps_per_task=PERIOD)
    task = tasks.GradualDrift(labels)
    task.build(seed)
    return task


def replicated(seed: int, kind: Callable[..., Any], **arguments: Any) -> GraphTask:
    task = kind(
        networks.replicated_mlp, replicates=LEARNERS, batch_size=8, steps_per_task=PERIOD, **arguments
    )
    task.build(seed)
    return task


def mdp(seed: int, kind: Callable[..., Any], agent: Callable[..., Any] = rl.double_dqn) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    return built_mdp(seed, kind, agent, network, target_update_period=PERIOD, evaluation_size=20)


def game(seed: int) -> HostTask:
    task = atari(target_update_period=PERIOD)
    task.build(seed)
    return task


def small_game(seed: int) -> HostTask:
    task = minatar(target_update_period=PERIOD, num_envs=2, replay_ratio=0.5)
    task.build(seed)
    return task


def games_in_turn(seed: int) -> HostTask:
    sequence = rl.GameSequence(["breakout", "freeway"], agent_steps=2 * PERIOD, cycles=9)
    task = minatar(sequence, target_update_period=PERIOD, num_envs=2, replay_ratio=0.5)
    task.build(seed)
    return task


def on_policy(seed: int) -> HostTask:
    task = rl.PpoTask(
        "breakout",
        functools.partial(networks.minatar_cnn, width=0.25),
        rl.MinAtarProtocol(max_steps_per_episode=33),
        num_envs=2,
        num_steps=24,
        num_epochs=1,
        batch_size=8,
        evaluation=rl.Evaluation(num_episodes=2, num_envs=2),
        diagnostics_batch_size=6,
    )
    task.build(seed)
    return task


def clipped_objective(task: Any, batch: Any) -> np.ndarray:
    """The loss of each example of PPO in float64."""
    outputs = task.model(np.asarray(batch.observation)).numpy().astype(np.float64)  # [batch, actions + 1]
    policy = np.exp(outputs[:, :-1]) / np.exp(outputs[:, :-1]).sum(-1, keepdims=True)
    chosen = policy[np.arange(len(policy)), np.asarray(batch.action)]
    ratio = chosen / np.exp(np.asarray(batch.log_probability, np.float64))
    advantage = np.asarray(batch.advantage, np.float64)
    objective = np.minimum(ratio * advantage, ratio.clip(0.9, 1.1) * advantage)
    error = outputs[:, -1] - np.asarray(batch.value_target)
    entropy = -(policy * np.log(policy)).sum(-1)
    return np.asarray(batch.weight) * (-objective + error**2 - 0.01 * entropy)


def cross_entropy(task: Any, batch: Any) -> np.ndarray:
    """The loss of each example in float64."""
    inputs, labels = (np.asarray(each) for each in batch)
    logits = task.model(inputs).numpy().astype(np.float64)  # [batch, classes]
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(labels)), labels]


def squared_error(task: Any, batch: Any) -> np.ndarray:
    """The loss of each example of each learner in float64."""
    outputs = task.model(batch.inputs).numpy().astype(np.float64)  # [batch, learners]
    return ((outputs - np.asarray(batch.targets)) ** 2).ravel()


def squared_td_error(task: Any, batch: Any, double_q: bool = True) -> np.ndarray:
    """The loss of each example of (Double) DQN in float64; its errors are below the bound of the gradient."""
    here, there = np.asarray(batch.observation[:, 0]), np.asarray(batch.observation[:, 1])
    target = task.trackables()["target_model"]
    values = task.model(here).numpy().astype(np.float64)  # [batch, actions]
    next_values = target(there).numpy().astype(np.float64)
    best = (task.model(there).numpy() if double_q else next_values).argmax(-1)
    every = np.arange(len(best))
    reward, discount = np.asarray(batch.reward)[:, 0], np.asarray(batch.discount)[:, 0]
    returns = reward + 0.99 * discount.astype(np.float64) * next_values[every, best]
    is_inside = np.asarray(batch.step_type)[:, 0] != 2  # what follows an episode's last step is no transition
    error = np.abs(returns - values[every, np.asarray(batch.action)[:, 0]])
    bound = task.batch_size / 32
    return is_inside * np.where(error < bound, error**2 / 2, bound * (error - bound / 2))


class Row(NamedTuple):
    """A task of the table.

    Attributes:
        make: a task of a seed, built.
        loss: the loss of each example of a batch in float64.
        total: by which factor the loss of the batch is more than their mean.
        boundaries: steps, of the first `STEPS`, that a boundary follows.
        period: steps between boundaries; None if they are at uneven distances.
        has_end: whether there is a pass over the examples.
    """

    make: Callable[[int], Any]
    loss: Callable[[Any, Any], np.ndarray]
    total: int = 1
    boundaries: Sequence[int] = (PERIOD, 2 * PERIOD)
    period: int | None = PERIOD
    has_end: bool = True


TABLE = {
    "random_labels": Row(random_labels, cross_entropy),
    "random_labels_replacement": Row(functools.partial(random_labels, sampling="replacement"), cross_entropy),
    "permuted_pixels": Row(
        functools.partial(stream_of_images, kind=tasks.PermutedPixels, epochs_per_task=1),
        cross_entropy,
    ),
    "permuted_labels": Row(
        functools.partial(stream_of_images, kind=tasks.PermutedLabels, steps_per_task=PERIOD), cross_entropy
    ),
    "partial_label_reset": Row(
        functools.partial(
            stream_of_images, kind=tasks.PartialLabelReset, fraction=0.5, steps_per_task=PERIOD
        ),
        cross_entropy,
    ),
    "class_split": Row(class_split, cross_entropy),
    "warm_start": Row(
        functools.partial(stream_of_images, kind=tasks.WarmStart, epochs_per_task=1),
        cross_entropy,
        boundaries=(2, 6),
        period=None,
    ),
    "gradual_drift": Row(gradual_drift, cross_entropy),
    "slowly_changing_regression": Row(
        functools.partial(replicated, kind=tasks.SlowlyChangingRegression, num_units=9),
        squared_error,
        total=LEARNERS,
        has_end=False,
    ),
    "two_input_regression": Row(
        functools.partial(replicated, kind=tasks.TwoInputRegression),
        squared_error,
        total=LEARNERS,
        has_end=False,
    ),
    "offset_regression": Row(
        functools.partial(stream_of_images, kind=tasks.OffsetRegression, steps_per_task=PERIOD), squared_error
    ),
    "iterated_random_network_regression": Row(
        functools.partial(
            stream_of_images, kind=tasks.RandomNetworkRegression, hidden=(5,), steps_per_task=PERIOD
        ),
        squared_error,
    ),
    "true_label_mdp": Row(functools.partial(mdp, kind=tasks.true_label_mdp), squared_td_error),
    "random_label_mdp": Row(
        functools.partial(mdp, kind=tasks.random_label_mdp, agent=rl.dqn),
        functools.partial(squared_td_error, double_q=False),
    ),
    "sparse_reward_mdp": Row(functools.partial(mdp, kind=tasks.sparse_reward_mdp), squared_td_error),
    "atari": Row(game, squared_td_error),
    "minatar": Row(small_game, functools.partial(squared_td_error, double_q=False)),
    "games_in_turn": Row(games_in_turn, functools.partial(squared_td_error, double_q=False)),
    "ppo": Row(on_policy, clipped_objective, boundaries=(), period=None),
}
OF_GAMES = ("atari", "minatar", "games_in_turn", "ppo")
# What another row shows too; of programs under XLA, the most expensive part, the fast suite has three.
SLOW = ("random_label_mdp", "sparse_reward_mdp", "games_in_turn")
SLOW_UNDER_XLA = (
    *(*SLOW, "random_labels_replacement", "permuted_pixels", "slowly_changing_regression"),
    *("permuted_labels", "partial_label_reset", "class_split", "gradual_drift"),
    *("two_input_regression", "offset_regression"),
)
