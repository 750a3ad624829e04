"""Work that `SupervisedStream` does for its subclasses: every kind of stream, against numpy."""

import functools
import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.tasks.example_streams import SlowlyChangingRegression, learners
from tests.training.graph_loop_test import run, values_of
from tfplastic import seeds
from tfplastic.tasks import (
    CLASSIFICATION,
    ImageStream,
    PermutedPixels,
    StreamBatch,
    SupervisedStream,
    TaskLoss,
    WarmStart,
)
from tfplastic.tasks.stream_parts import task_sizes
from tfplastic.training import Loop, TrainConfig
from tfplastic.training.run.progress import Progress

LEARNABLE = {"num_units": 100, "steps_per_task": 20}
MLP = functools.partial(tp.networks.mlp, hidden=(8,))


def built(kind, *arguments, seed=0, **settings):
    task = kind(*arguments, **settings)
    task.build(seed)
    return task


def permuted(**settings):
    return built(
        PermutedPixels, "digits", MLP, **dict(num_examples=40, epochs_per_task=1, batch_size=8) | settings
    )


def regression(**settings):
    given = dict(num_learners=3, num_units=7, steps_per_task=4, batch_size=2)
    return built(SlowlyChangingRegression, learners, **given | settings)


def growing(**settings):
    given = dict(num_examples=40, epochs_per_task=2, batch_size=8)
    return built(WarmStart, "digits", MLP, **given | settings)


def taken(task, count):
    """The batches of `count` steps and the states after them, where step s has the score s / 10."""
    step = tf.function(task.next, autograph=False)
    state, batches, states = task.initial_state(), [], []
    for number in range(count):
        batch, state = step(state, tf.constant(seeds.derive(0, "step", number)))
        output = TaskLoss(0.0, tf.fill([6], number / 10), {task.objective.score: tf.constant(number / 10)})
        state = task.after_step(state, tf.constant(number + 1), output)
        batches.append(batch)
        states.append(state)
    return batches, states


def numbers_of(batch, images):
    """Which of the images a batch has, by their bytes."""
    known = [image.tobytes() for image in np.asarray(images)]
    return [known.index(image.tobytes()) for image in batch.inputs.numpy()]


def test_each_task_has_all_pixels_in_an_order_of_its_own_and_the_true_labels():
    task = permuted()
    assert task.boundary_period == 5
    batches, states = taken(task, 15)
    images = task.images.numpy().reshape(40, -1)
    for number in range(3):
        order = states[5 * number].content.numpy()
        assert sorted(order) == list(range(64))
        found = np.concatenate(
            [batch.inputs.numpy().reshape(8, -1) for batch in batches[5 * number : 5 * number + 5]]
        )
        labels = np.concatenate([batch.targets for batch in batches[5 * number : 5 * number + 5]])
        epoch = tp.tasks.epoch_order(40, 0, number)  # one pass over all in each task
        np.testing.assert_array_equal(found, images[epoch][:, order])
        np.testing.assert_array_equal(labels, task.labels.numpy()[epoch])
    assert len({states[5 * number].content.numpy().tobytes() for number in range(3)}) == 3


def test_one_slow_bit_flips_in_each_task_and_the_others_are_drawn_for_each_example():
    task = regression()
    batches, states = taken(task, 24)
    before = states[0].content.numpy()
    for number in range(24):
        slow, inputs = states[number].content.numpy(), batches[number].inputs.numpy()  # [2, learners, 21]
        flips = (slow != before).sum(axis=1)
        np.testing.assert_array_equal(flips, [1 if number and number % 4 == 0 else 0] * 3)
        np.testing.assert_array_equal(inputs[..., :15], np.stack([slow, slow]))
        np.testing.assert_array_equal(inputs[..., -1], 1)
        before = slow
        for learner in range(3):  # in plain Python
            weights, outgoing = task._weights[learner], task._outgoing[learner]
            for row, target in zip(
                inputs[:, learner], batches[number].targets.numpy()[:, learner], strict=True
            ):
                expected = 0.0
                for unit in range(7):
                    threshold = 21 * 0.7 - sum(weight == -1 for weight in weights[:, unit])
                    expected += outgoing[unit] * (float(row @ weights[:, unit]) > threshold)
                assert target == expected
    fast = np.stack([batch.inputs.numpy()[..., 15:20] for batch in batches])  # [24, 2, 3, 5]
    assert 0.4 < fast.mean() < 0.6 and len(np.unique(fast.reshape(-1, 5), axis=0)) == 32
    assert (fast[:, :, 0] != fast[:, :, 1]).any()  # each learner has its own


def test_a_score_for_each_learner():
    task = regression(num_learners=3)
    _, states = taken(task, 6)
    np.testing.assert_allclose(states[-1].total_score, [1.5] * 3)  # 0 + .1 + .. + .5
    found = task.evaluate(6, states[-1])
    assert found["evaluation/average_online_error"] == pytest.approx(0.25)
    assert found["evaluation/online_error"] == pytest.approx(0.45)
    assert set(found) == {
        f"evaluation/{name}" for name in ("task", "error", "online_error", "average_online_error")
    }


def test_the_gradient_of_each_learner_is_that_of_its_loss_alone():
    task = regression()
    (batch,), _ = taken(task, 1)
    kernel = task.model.get_layer("hidden").kernel
    with tf.GradientTape() as tape:
        loss = task.loss(task.model, batch).loss
    together = tape.gradient(loss, kernel)[1]
    with tf.GradientTape() as tape:
        alone = tf.reduce_mean((task.model(batch.inputs)[:, 1] - batch.targets[:, 1]) ** 2)
    np.testing.assert_allclose(together, tape.gradient(alone, kernel)[1], rtol=1e-5)


def test_tasks_of_growing_data_have_epochs_of_the_images_that_are_there():
    task = growing()
    assert task.boundary_period is None
    batches, states = taken(task, 24)
    lengths = [4, 10, 10]  # two epochs of 20 // 8 = 2 batches, then of 5
    boundaries = [bool(task.boundary(state)) for state in states]
    assert [number + 1 for number, each in enumerate(boundaries) if each] == list(np.cumsum(lengths))
    numbers = [numbers_of(batch, task.images) for batch in batches]
    assert max(map(max, numbers[:4])) < 20 <= max(map(max, numbers[4:]))
    for epoch in (numbers[0:2], numbers[2:4], numbers[4:9], numbers[9:14], numbers[14:19], numbers[19:24]):
        flat = sum(epoch, [])
        assert len(set(flat)) == len(flat)
    assert sorted(sum(numbers[4:9], [])) == list(range(40))
    data = [task.data_batches(states[number]).count for number in (2, 3)]
    assert data == [2, 5]  # after the last step of the first task, the images of the second
    assert task.probe_inputs(states[0], 100, seeds.derive(0, "probe")).shape[0] == 20


def test_the_evaluation_of_growing_data_is_of_the_images_that_are_there():
    task = growing()
    _, states = taken(task, 5)
    hits = task.model(task.images).numpy().argmax(-1) == task.labels.numpy()
    assert task.evaluate(1, states[0])["evaluation/accuracy"] == pytest.approx(hits[:20].mean())
    assert task.evaluate(5, states[4])["evaluation/accuracy"] == pytest.approx(hits.mean())
    finals = [
        task.evaluate(step, states[step - 1])["evaluation/final_epoch_accuracy"] for step in (2, 3, 4, 5)
    ]
    np.testing.assert_allclose(finals, [np.nan, 0.2, 0.25, np.nan], rtol=1e-6)


def test_examples_with_replacement_are_of_the_task():
    task = growing(sampling="replacement", epochs_per_task=None, steps_per_task=30)
    batches, _ = taken(task, 32)
    numbers = [numbers_of(batch, task.images) for batch in batches]
    assert set(sum(numbers[:30], [])) == set(range(20)) and max(sum(numbers[30:], [])) >= 20
    assert task.boundary_period == 30


def test_an_earlier_task_can_be_evaluated_again():
    task = permuted()
    _, states = taken(task, 11)
    again = states[10]._replace(content=task.content(0))
    images = task.images.numpy().reshape(40, -1)[:, task.content(0).numpy()].reshape(40, 8, 8, 1)
    accuracy = (task.model(images).numpy().argmax(-1) == task.labels.numpy()).mean()
    assert task.mean_score(again) == pytest.approx(accuracy)


def test_many_examples_are_evaluated_in_parts(monkeypatch):
    monkeypatch.setattr(tp.tasks.supervised_stream, "_EVALUATION_BATCH", 16)
    task = permuted()  # 16 + 16 + 8
    state = task.initial_state()
    inputs, labels = task.examples(state, tf.range(40), seeds.derive(0, "key"))
    hits = task.model(inputs).numpy().argmax(-1) == labels.numpy()
    assert task.mean_score(state) == pytest.approx(hits.mean())


@pytest.mark.parametrize(
    ("make", "arguments", "compiler"),
    [
        (permuted, {}, "graph"),
        pytest.param(permuted, {}, "xla", marks=pytest.mark.slow),
        pytest.param(regression, LEARNABLE, "graph", marks=pytest.mark.slow),
        (regression, LEARNABLE, "xla"),
    ],
)
def test_it_trains_in_the_loop(make, arguments, compiler, tmp_path):
    task = make(**arguments)
    optimizer = tp.optimizers.sgd(0.01)
    settings: Any = dict(log_period=4, evaluation_period=4, checkpoint_period=100, seed=0, compiler=compiler)
    config = TrainConfig(task=task, optimizer=optimizer, total_steps=40, **settings)
    _, code = run(tmp_path, Loop(config))
    assert code == 0
    score, losses = task.objective.score, values_of(tmp_path, "train/loss")
    assert losses[-1] < losses[0]
    # The mean over all steps is that of the rows, each of four steps.
    means = values_of(tmp_path, f"train/{score}")
    averages = values_of(tmp_path, f"evaluation/average_online_{score}")
    assert averages[-1] == pytest.approx(np.mean(means), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "count"), [(tp.tasks.PermutedPixels, "mean"), (tp.tasks.SlowlyChangingRegression, "sum")]
)
def test_regularizers_of_the_network_are_in_the_loss_and_of_no_example(kind, count):
    def network(outputs, input_shape, seed):
        layers = tf.keras.layers.Flatten(), tf.keras.layers.Dense(outputs, kernel_regularizer="l2")
        return tf.keras.Sequential([tf.keras.Input(input_shape), *layers])

    arguments = ("digits", network) if count == "mean" else (network,)
    settings = {"num_examples": 20} if count == "mean" else {"replicates": 3}
    task = built(kind, *arguments, steps_per_task=5, batch_size=4, **settings)
    batch, _ = task.next(task.initial_state(), tf.constant([0, 1]))
    output = task.loss(task.model, batch, training=True)
    own = np.mean(output.per_example_loss) * (1 if count == "mean" else 3)
    penalty = 0.01 * np.sum(np.asarray(task.model.trainable_variables[0], np.float64) ** 2)
    assert float(output.loss) - own == pytest.approx(penalty, rel=1e-3)


class Constant(SupervisedStream):
    """Zeros, each of the class 0."""

    name = "constant"

    def load(self, seed):
        return 2, (1,)

    def examples(self, state, indices, key):
        return StreamBatch(tf.zeros([indices.shape[0], 1]), tf.zeros([indices.shape[0]], tf.int32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            "`steps_per_task` or `epochs_per_task` must be given, and the other one be None. Received:"
            " steps_per_task=None and epochs_per_task=None",
        ),
        ({"steps_per_task": 0}, "`steps_per_task` must be an integer of at least 1. Received: 0"),
        ({"epochs_per_task": 0}, "`epochs_per_task` must be an integer of at least 1. Received: 0"),
        (
            {"epochs_per_task": 2},
            "`epochs_per_task` must be None where examples have no end. Received: 2",
        ),
        (
            {"epochs_per_task": 2, "steps_per_task": 3, "num_examples": 40},
            "`steps_per_task` or `epochs_per_task` must be given, and the other one be None. Received:"
            " steps_per_task=3 and epochs_per_task=2",
        ),
        (
            {"steps_per_task": 3, "num_examples": 40, "sampling": "replacement", "drop_last": "any"},
            "`drop_last` must be 'partial' where `sampling` is 'replacement', which has no epochs."
            " Received: 'any'",
        ),
        (
            {"steps_per_task": 3, "num_examples": 40, "sampling": "replacement", "new_pass": True},
            "`new_pass` must be False where `sampling` is 'replacement', which has no epochs. Received: True",
        ),
        (
            {"steps_per_task": 3, "new_pass": True},
            "`new_pass` must be False where examples have no end. Received: True",
        ),
        (
            {"steps_per_task": 3, "num_examples": 4},
            "`batch_size` must be at most `num_examples`, 4. Received: 16",
        ),
        (
            {"steps_per_task": 3, "num_examples": 16, "drop_last": "any"},
            "`batch_size` must be below `num_examples`, 16, where `drop_last` is 'any'. Received: 16",
        ),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError) as error:
        Constant(tp.networks.mlp, **settings)
    assert str(error.value) == message


class Sized(ImageStream):
    """Images of which each task has a number of its own."""

    name = "sized"

    def __init__(self, sizes, lengths=lambda task: 1, **settings):
        given: Any = dict(num_examples=24, batch_size=4) | settings
        super().__init__("digits", MLP, **given)
        self._sizes, self._lengths = sizes, lengths

    def task_size(self, task):
        return self._sizes(task)

    def examples(self, state, indices, key):
        return StreamBatch(tf.gather(self.images, indices), tf.gather(self.labels, indices))


class OfLengths(Sized):
    def task_length(self, task):
        return self._lengths(task)


def listed(*counts):
    """Gives each task its count, and those after the last one that of the last one."""
    return lambda task: tf.gather(tf.constant(counts), tf.minimum(task, len(counts) - 1))


@pytest.mark.parametrize(
    ("sizes", "settings", "message"),
    [
        ((8, 3, 20), {}, "`batch_size`, 4, and at most `num_examples`, 24. Received: 3 of task 1. Lower "),
        ((3, 8), {}, "`batch_size`, 4, and at most `num_examples`, 24. Received: 3 of task 0. Lower "),
        ((8, 0), {}, "`batch_size`, 4, and at most `num_examples`, 24. Received: 0 of task 1. Lower "),
        ((8, 25), {}, "`batch_size`, 4, and at most `num_examples`, 24. Received: 25 of task 1. Lower "),
        ((8, 3), {"sampling": "replacement"}, ""),
        ((8, 0), {"sampling": "replacement"}, "1 and at most `num_examples`, 24. Received: 0 of task 1. "),
    ],
)
def test_sizes_of_tasks_that_cannot_be_are_refused(sizes, settings, message):
    task = Sized(listed(*sizes), epochs_per_task=1, **settings)
    if not message:
        return task.build(0)
    with pytest.raises(ValueError) as error:
        task.build(0)
    assert str(error.value).startswith(f"`task_size` must be at least {message}")


def test_lengths_of_tasks_that_cannot_be_are_refused():
    task = OfLengths(listed(24), listed(2, 0, 3), epochs_per_task=1)
    with pytest.raises(ValueError) as error:
        task.build(0)
    assert str(error.value) == (
        "`task_length` must be at least 1. Received: 0 of task 1. Give the task a gradient step"
    )


@pytest.mark.parametrize(
    ("sizes", "settings", "boundaries"),
    [
        ((8, 3, 20), {"epochs_per_task": 1}, [2, 3, 8]),
        ((3, 8, 20), {"epochs_per_task": 2}, [2, 6]),
        ((8, 3, 20), {"steps_per_task": 3}, [3, 6, 9]),
        ((8, 0, 30), {"epochs_per_task": 1}, [2, 3, 9]),
        ((8, 3, 20), {"epochs_per_task": 1, "sampling": "replacement"}, [2, 3, 8]),
    ],
)
def test_later_tasks_with_few_examples_have_a_step_of_their_own_examples(
    sizes, settings, boundaries, monkeypatch
):
    monkeypatch.setattr(task_sizes, "_CHECKED", 0)  # as if the tasks came later
    task = built(Sized, listed(*sizes), **settings)
    batches, states = taken(task, 9)
    found = [number + 1 for number, state in enumerate(states) if bool(task.boundary(state))]
    assert found == boundaries
    limits = [min(max(sizes[min(int(state.task), 2)], 1), 24) for state in states]
    numbers = [numbers_of(batch, task.images) for batch in batches]
    assert all(max(each) < limit for each, limit in zip(numbers, limits, strict=True))
    if settings.get("sampling") != "replacement":  # no example again before all others
        expected = [min(4, limit) for limit in limits]
        assert [len(set(each)) for each in numbers] == expected
    assert all(np.isfinite(task.evaluate(1, state)["evaluation/accuracy"]) for state in states)


def test_a_length_beyond_the_step_of_a_shortened_task_ends_it(monkeypatch):
    monkeypatch.setattr(task_sizes, "_CHECKED", 0)
    task = built(OfLengths, listed(24), listed(2, 0, -1, 3), epochs_per_task=1)
    _, states = taken(task, 8)
    assert [int(state.task) for state in states] == [0, 0, 1, 2, 3, 3, 3, 4]


@pytest.mark.parametrize("sizes", [(8, 24), (24, 8)])
def test_the_batch_of_diagnostics_is_of_the_first_task(sizes):
    task = built(Sized, listed(*sizes), epochs_per_task=1)
    batch, inputs = task.diagnostics_batch()
    np.testing.assert_array_equal(inputs, task.images[: sizes[0]])
    assert len(batch.targets) == sizes[0]


def test_batches_larger_than_the_data_are_drawn_with_replacement():
    task = permuted(num_examples=5, batch_size=16, sampling="replacement", epochs_per_task=2)
    assert task.boundary_period == 2  # an epoch has one step at least
    batches, states = taken(task, 5)
    assert [int(state.task) for state in states] == [0, 0, 1, 1, 2]
    assert all(batch.inputs.shape == (16, 8, 8, 1) for batch in batches)
    assert np.isfinite(task.evaluate(2, states[1])["evaluation/final_epoch_accuracy"])


def test_the_progress_line_has_the_score_of_the_objective_whatever_its_name():
    def top5(outputs, targets):
        return tf.cast(tf.math.in_top_k(targets, outputs, 5), tf.float32)

    class TopFive(PermutedPixels):
        objective = CLASSIFICATION._replace(score="top5", scores=top5)

    task = built(TopFive, "digits", MLP, num_examples=40, epochs_per_task=1, batch_size=8)
    _, states = taken(task, 3)
    stream = io.StringIO()
    with Progress(10, 0, task.progress_fields, stream, plain_interval_s=0) as shown:
        shown.update(3, loss=2.0, **task.progress(states[-1]))
    assert "top5 0.1, loss 2" in stream.getvalue().splitlines()[-1]  # 0 + .1 + .2
    errors = regression()
    _, states = taken(errors, 2)
    assert errors.progress(states[-1]) == {"error": pytest.approx(0.05)}


@pytest.mark.parametrize(
    ("make", "settings", "tasks"),
    [
        (growing, {}, "of different lengths, 2 epoch(s) each"),
        (growing, {"epochs_per_task": None, "steps_per_task": 3}, "34, 3 gradient steps each"),
        (
            functools.partial(built, OfLengths, listed(24), listed(2, 3)),
            {"epochs_per_task": 1},
            "of different lengths",
        ),
        (
            functools.partial(built, OfLengths, listed(24), listed(2, 3)),
            {"steps_per_task": 3},
            "of different lengths",
        ),
    ],
)
def test_the_plan_says_how_long_tasks_are(make, settings, tasks):
    assert dict(make(**settings).describe(100))["tasks"] == tasks


def test_a_pass_over_examples_without_end_is_refused():
    task = built(Constant, tp.networks.mlp, steps_per_task=3)
    with pytest.raises(ValueError, match="`Constant` gives no pass over data"):
        task.data_batches(task.initial_state())
