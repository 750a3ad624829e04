"""The rules that every task keeps, with batches from the compiled program or the host. A new one is a row."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts.tasks_table import LEARNERS, OF_GAMES, SLOW, SLOW_UNDER_XLA, STEPS, TABLE
from tfplastic import rl, seeds, tasks
from tfplastic.tasks import GraphTask, HostTask, TaskLoss


def parametrized(names: Sequence[str], slow: Sequence[str] = SLOW) -> pytest.MarkDecorator:
    marks = {name: [pytest.mark.slow] if name in slow else [] for name in names}
    rows = [pytest.param(name, TABLE[name], id=name, marks=marks[name]) for name in names]
    return pytest.mark.parametrize(("name", "row"), rows)


EVERY_ROW = parametrized([*TABLE])
EVERY_ROW_IN_PROGRAM = parametrized([name for name in TABLE if name not in OF_GAMES], SLOW_UNDER_XLA)
EVERY_ROW_WITH_AN_END = parametrized([name for name, row in TABLE.items() if row.has_end])


class GraphStream:
    """The batches of a `GraphTask`, as the training loop takes them.

    Attributes:
        task: built.
        state: state of the task.
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
        score = tf.cast(step, tf.float32) / 10
        losses = tf.fill([8 * LEARNERS], score)
        output = TaskLoss(score, losses, {"accuracy": score, "error": score})
        return batch, self.task.after_step(state, step, output)

    def boundary(self) -> bool:
        return bool(self.task.boundary(self.state))

    def measure(self) -> list[Any]:
        """Everything that looks at the task without taking part."""
        task, state, key = self.task, self.state, seeds.derive(1, "measure")
        return [
            task.evaluate(self._step, state),
            task.metrics(state),
            task.progress(state),
            task.diagnostics_batch(),
            task.probe_inputs(state, 5, key),
            task.describe(100),
            self.further_batches(),
        ]

    def further_batches(self) -> list[Any]:
        keys = (seeds.derive(seed, "further") for seed in (0, 1))
        return [self.task.further_batch(self.state, tf.constant(key)) for key in keys]

    def pass_over_data(self) -> list[Any]:
        data = self.task.data_batches(self.state)
        return [data.at(tf.constant(index)) for index in range(int(data.count))]

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
        return [
            task.evaluate(self._step, lambda: False),
            task.metrics(),
            task.progress(),
            task.diagnostics_batch(),
            task.probe_inputs(5, key),
            task.describe(100, 10, 2),
            task.example(),
            self.further_batches(),
        ]

    def further_batches(self) -> list[Any]:
        return [self.task.further_batch(self._step + more) for more in (0, 1)]

    def pass_over_data(self) -> list[Any]:
        return list(self.task.data_batches())

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
    public = [getattr(module, name) for module in (tasks, rl) for name in module.__all__]
    kinds = {each for each in public if inspect.isclass(each) and issubclass(each, GraphTask | HostTask)}
    found = {type(streamed(name).source.task) for name in TABLE if name not in SLOW}
    assert found >= {each for each in kinds if not inspect.isabstract(each)}


@EVERY_ROW
def test_another_seed_gives_other_batches(name, row, streamed):
    batches = streamed(name).batches
    other = stream(row.make(1))
    assert not any(same(other.next(), batch) for batch in batches[:3])
    other.close()


@EVERY_ROW
def test_same_seed_same_batches_also_where_everything_is_measured(name, row, streamed):
    source = stream(row.make(0))
    for step, batch in enumerate(streamed(name).batches):
        if step in (0, 4):  # at the start, and at a boundary
            before = source.snapshot()
            assert same(source.measure(), source.measure())
            if row.has_end:
                source.pass_over_data()
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
    examples = [*batches[1:], *source.further_batches()]
    if row.has_end:
        examples += source.pass_over_data()
    if isinstance(source, HostStream):
        examples.append(source.task.example())
    for example in examples:
        tf.nest.assert_same_structure(example, batches[0])
        for one, other in zip(tf.nest.flatten(example), tf.nest.flatten(batches[0]), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


@EVERY_ROW
def test_the_loss_is_that_of_float64(name, row, streamed):
    source, batches, _ = streamed(name)
    for batch in (*batches[::4], *source.further_batches(), source.task.diagnostics_batch()[0]):
        output = source.task.loss(source.task.model, tf.nest.map_structure(tf.constant, batch))
        expected = row.loss(source.task, batch)
        np.testing.assert_allclose(output.per_example_loss, expected, rtol=1e-4, atol=1e-6)
        scale = row.total * np.abs(expected).mean()  # of a mean in which signs may cancel
        np.testing.assert_allclose(output.loss, row.total * expected.mean(), rtol=0, atol=1e-5 * scale)


@EVERY_ROW
def test_the_boundary_flag_is_that_of_the_steps_where_mitigations_act(name, row, streamed):
    assert streamed(name).source.task.boundary_period == row.period
    assert streamed(name).flags == [step in row.boundaries for step in range(STEPS + 1)]


@EVERY_ROW_IN_PROGRAM
def test_batches_under_xla_are_those_of_eager_code(name, row, streamed):
    batches = streamed(name).batches
    compiled = GraphStream(row.make(0), is_compiled=True)
    for batch in batches[:5]:  # into the second task
        for one, other in zip(tf.nest.flatten(compiled.next()), tf.nest.flatten(batch), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)  # a normal is r cos(t)


@EVERY_ROW
def test_further_batches_are_others_by_their_seed(name, row, streamed):
    one, other = streamed(name).source.further_batches()
    assert not same(one, other)
    assert not any(same(one, batch) for batch in streamed(name).batches)


@EVERY_ROW_WITH_AN_END
def test_a_pass_over_the_data_has_each_example_at_most_once(name, row, streamed):
    batches = streamed(name).source.pass_over_data()
    columns = [np.concatenate(column) for column in zip(*map(tf.nest.flatten, batches), strict=True)]
    examples = [b"".join(column[index].tobytes() for column in columns) for index in range(len(columns[0]))]
    if name in OF_GAMES:
        assert len(examples) > 40  # of the warm-up; steps of a game may repeat
    elif name.endswith("mdp"):
        assert len(examples) == 64  # all that the replay holds; images come again
    else:
        assert len(set(examples)) == len(examples) == (24 if name.startswith("random") else 32)
