"""The rules that every task keeps, with batches from the compiled program or the host. A new one is a row."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.rl.atari_task_test import make as atari
from tests.rl.mdp_task_test import built as built_mdp
from tfplastic import networks, rl, seeds, tasks
from tfplastic.tasks import GraphTask, HostTask, TaskLoss

STEPS = 9
PERIOD = 4  # gradient steps of a task, or between copies to the target network


def random_labels(seed: int, **arguments: Any) -> GraphTask:
    network = functools.partial(networks.mlp, hidden=(8,))
    task = tasks.RandomLabelTask(
        "digits", network, num_examples=30, batch_size=8, steps_per_task=PERIOD, **arguments
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


def cross_entropy(task: Any, batch: Any) -> np.ndarray:
    """The loss of each example in float64."""
    logits = task.model(batch.images).numpy().astype(np.float64)  # [batch, classes]
    labels = np.asarray(batch.labels)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(labels)), labels]


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
    """

    make: Callable[[int], Any]
    loss: Callable[[Any, Any], np.ndarray]


TABLE = {
    "random_labels": Row(random_labels, cross_entropy),
    "random_labels_replacement": Row(functools.partial(random_labels, sampling="replacement"), cross_entropy),
    "true_label_mdp": Row(functools.partial(mdp, kind=tasks.true_label_mdp), squared_td_error),
    "random_label_mdp": Row(
        functools.partial(mdp, kind=tasks.random_label_mdp, agent=rl.dqn),
        functools.partial(squared_td_error, double_q=False),
    ),
    "sparse_reward_mdp": Row(functools.partial(mdp, kind=tasks.sparse_reward_mdp), squared_td_error),
    "atari": Row(game, squared_td_error),
}
EVERY_ROW = pytest.mark.parametrize(("name", "row"), TABLE.items(), ids=TABLE)
IN_PROGRAM = {name: row for name, row in TABLE.items() if name != "atari"}
EVERY_ROW_IN_PROGRAM = pytest.mark.parametrize(("name", "row"), IN_PROGRAM.items(), ids=IN_PROGRAM)


class GraphStream:
    """The batches of a `GraphTask`, as the training loop takes them.

    Attributes:
        task: built.
        state: of the task.
    """

    def __init__(self, task: GraphTask, is_compiled: bool = False):
        self.task = task
        self.state = task.initial_state()
        self._step = 0
        compiled = tf.function(self._take, autograph=False, jit_compile=True)
        self._program = compiled if is_compiled else self._take

    def next(self) -> Any:
        self._step += 1
        key = tf.constant(seeds.derive(0, "step", self._step))
        batch, self.state = self._program(self.state, tf.constant(self._step, tf.int64), key)
        return batch

    def _take(self, state: Any, step: tf.Tensor, key: tf.Tensor) -> Any:
        batch, state = self.task.next(state, key)
        output = TaskLoss(tf.zeros([]), tf.zeros([1]), {"accuracy": tf.cast(step, tf.float32) / 10})
        return batch, self.task.after_step(state, step, output)

    def boundary(self) -> bool:
        return bool(self.task.boundary(self.state))

    def measure(self) -> list[Any]:
        """Everything that looks at the task without taking part."""
        task, state, key = self.task, self.state, seeds.derive(1, "measure")
        data = task.data_batches(state)
        return [
            task.evaluate(self._step, state),
            task.metrics(state),
            task.progress(state),
            task.diagnostics_batch(),
            task.probe_inputs(state, 5, key),
            task.further_batch(state, tf.constant(key)),
            data.at(data.count - 1),
            task.describe(100),
        ]

    def continued(self, folder: Path, other: GraphTask) -> "GraphStream":
        """The stream of another task object that continues from a checkpoint of this one."""
        np.savez(folder / "state.npz", *(each.numpy() for each in tf.nest.flatten(self.state)))
        again = GraphStream(other)
        with np.load(folder / "state.npz") as arrays:
            again.state = tf.nest.pack_sequence_as(again.state, [arrays[name] for name in arrays.files])
        again._step = self._step
        return again

    def snapshot(self) -> list[np.ndarray]:
        return [each.numpy() for each in tf.nest.flatten(self.state)] + weights(self.task)

    def close(self) -> None:
        """Nothing is held."""


class HostStream:
    """The batches of a `HostTask`, likewise."""

    def __init__(self, task: HostTask, is_fresh: bool = True):
        self.task = task
        self._step = 0
        if is_fresh:
            task.start()
            for _ in task.warm_up():
                pass

    def next(self) -> Any:
        if self._step:
            self.task.after_step(self._step)
        self._step += 1
        return self.task.next()

    def boundary(self) -> bool:
        return self.task.boundary(self._step)

    def measure(self) -> list[Any]:
        task, key = self.task, seeds.derive(1, "measure")
        data = task.data_batches()
        return [
            task.evaluate(self._step, lambda: False),
            task.metrics(),
            task.progress(),
            task.diagnostics_batch(),
            task.probe_inputs(5, key),
            task.further_batch(self._step),
            data[len(data) - 1],
            task.describe(100, 10, 2),
            task.example(),
        ]

    def continued(self, folder: Path, other: HostTask) -> "HostStream":
        shared = folder / "shared"
        shared.mkdir()
        other.restore(folder, shared, self.task.save(folder, shared))
        again = HostStream(other, is_fresh=False)
        again._step = self._step
        return again

    def snapshot(self) -> list[np.ndarray]:
        return weights(self.task)

    def close(self) -> None:
        self.task.close()


def weights(task: Any) -> list[np.ndarray]:
    return [value for name in sorted(task.trackables()) for value in task.trackables()[name].get_weights()]


def stream(task: Any) -> Any:
    return GraphStream(task) if isinstance(task, GraphTask) else HostStream(task)


def same(one: Any, other: Any) -> bool:
    pairs = zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") for a, b in pairs)


class Streamed(NamedTuple):
    """A stream, its first batches, and the flags of boundaries before the first and after each."""

    source: Any
    batches: list[Any]
    flags: list[bool]


@pytest.fixture(scope="module")
def streamed():
    """By name of a row: its stream, made once."""
    made = {}

    def get(name):
        if name not in made:
            source = stream(TABLE[name].make(0))
            made[name] = Streamed(source, [], [source.boundary()])
            for _ in range(STEPS):
                made[name].batches.append(source.next())
                made[name].flags.append(source.boundary())
        return made[name]

    yield get
    for each in made.values():
        each.source.close()


def test_the_table_has_every_public_task(streamed):
    public = {getattr(module, name) for module in (tasks, rl) for name in module.__all__}
    kinds = {each for each in public if inspect.isclass(each) and issubclass(each, GraphTask | HostTask)}
    found = {type(streamed(name).source.task) for name in TABLE}
    assert found == {each for each in kinds if not inspect.isabstract(each)}


@EVERY_ROW
def test_another_seed_gives_other_batches(name, row, streamed):
    batches = streamed(name).batches
    other = stream(row.make(1))
    assert not any(same(other.next(), batch) for batch in batches[:3])
    other.close()


@EVERY_ROW
def test_same_seed_same_batches_also_where_all_is_measured_at_each_step(name, row, streamed):
    batches = streamed(name).batches
    source = stream(row.make(0))
    for batch in batches:
        before = source.snapshot()
        assert same(source.measure(), source.measure())
        assert same(source.snapshot(), before)
        assert same(source.next(), batch)
    source.close()


@EVERY_ROW
def test_it_continues_from_a_checkpoint_bit_for_bit(name, row, streamed, tmp_path):
    source, batches, _ = streamed(name)
    before = stream(row.make(0))
    for _ in range(5):
        before.next()
    after = before.continued(tmp_path, row.make(0))
    before.close()
    assert all(same(after.next(), batch) for batch in batches[5:])
    assert same(after.measure(), source.measure())
    after.close()


@EVERY_ROW
def test_every_batch_has_the_structure_shapes_and_dtypes_of_the_first(name, row, streamed):
    source, batches, _ = streamed(name)
    examples = [*batches[1:], *source.measure()[5:7]]
    if isinstance(source, HostStream):
        examples.append(source.task.example())
    for example in examples:
        tf.nest.assert_same_structure(example, batches[0])
        for one, other in zip(tf.nest.flatten(example), tf.nest.flatten(batches[0]), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


@EVERY_ROW
def test_the_loss_is_that_of_float64(name, row, streamed):
    source, batches, _ = streamed(name)
    of_a_pass = source.measure()[6]
    for batch in (*batches[::4], source.task.diagnostics_batch()[0], of_a_pass):
        output = source.task.loss(source.task.model, tf.nest.map_structure(tf.constant, batch))
        expected = row.loss(source.task, batch)
        np.testing.assert_allclose(output.per_example_loss, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(output.loss, expected.mean(), rtol=1e-5)


@EVERY_ROW
def test_the_boundary_flag_is_that_of_the_steps_where_mitigations_act(name, row, streamed):
    assert streamed(name).source.task.boundary_period == PERIOD
    assert streamed(name).flags == [step > 0 and step % PERIOD == 0 for step in range(STEPS + 1)]


@EVERY_ROW_IN_PROGRAM
def test_batches_under_xla_are_those_of_eager_code(name, row, streamed):
    batches = streamed(name).batches
    compiled = GraphStream(row.make(0), is_compiled=True)
    for batch in batches[:5]:  # into the second task
        for one, other in zip(tf.nest.flatten(compiled.next()), tf.nest.flatten(batch), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


@EVERY_ROW
def test_further_batches_are_others_by_their_seed(name, row, streamed):
    source = streamed(name).source
    if isinstance(source, GraphStream):
        one, other = (
            source.task.further_batch(source.state, seeds.derive(seed, "further")) for seed in (0, 1)
        )
    else:
        one, other = (source.task.further_batch(step) for step in (STEPS, STEPS + 1))
    assert not same(one, other)
    assert not any(same(one, batch) for batch in streamed(name).batches)


@EVERY_ROW
def test_a_pass_over_the_data_has_each_example_at_most_once(name, row, streamed):
    source = streamed(name).source
    if isinstance(source, GraphStream):
        data = source.task.data_batches(source.state)
        batches = [data.at(tf.constant(index)) for index in range(int(data.count))]
    else:
        batches = source.task.data_batches()
    assert len(batches) > 1
    whole = [
        b"".join(np.asarray(each)[row].tobytes() for each in tf.nest.flatten(batch))
        for batch in batches
        for row in range(len(tf.nest.flatten(batch)[0]))
    ]
    if name.startswith("random_labels"):
        assert len(set(whole)) == len(whole) == 24  # whole batches of 8 of 30 images
    elif name.endswith("mdp"):
        assert len(whole) == 64  # all that the replay holds
