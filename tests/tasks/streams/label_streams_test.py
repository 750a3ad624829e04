"""Streams of labels: permuted classes, labels of which a part is drawn again, and gradual drift."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.supervised_stream_test import built, numbers_of, taken
from tfplastic import networks, tasks

MLP = functools.partial(networks.mlp, hidden=(4,))


def upgd(task, steps, period, new_pass):
    """One image after another in random order; a permutation of the classes every `period`."""
    images, classes = task.images.numpy(), task.labels.numpy()
    order, epoch = [], 0
    for step in range(steps):
        if step % period == 0:
            label_of = tasks.class_order(10, 0, step // period).numpy()
            order = [] if new_pass else order
        if not order:
            order = tasks.epoch_order(len(images), 0, epoch).numpy().tolist()
            epoch += 1
        example = order.pop(0)
        yield images[example], label_of[classes[example]]


@pytest.mark.parametrize("new_pass", [False, True])
def test_classes_are_permuted_as_of_elsayed_and_mahmood(new_pass):
    task = built(tasks.PermutedLabels, "digits", MLP, num_examples=30, steps_per_task=7, new_pass=new_pass)
    batches, _ = taken(task, 40)
    for batch, (image, label) in zip(batches, upgd(task, 40, 7, new_pass), strict=True):
        np.testing.assert_array_equal(batch.inputs[0], image)
        assert batch.targets.numpy().tolist() == [label]
    assert task.boundary_period == 7


def test_an_order_of_classes_is_a_uniform_permutation():
    orders = [tuple(tasks.class_order(3, seed, task).numpy()) for seed in range(10) for task in range(60)]
    counts = np.array([orders.count(each) for each in set(orders)])
    assert len(counts) == 6 and np.sum((counts - 100) ** 2 / 100) < 25.7  # 5 degrees: once in 10,000


@pytest.mark.parametrize(("fraction", "count"), [(0.3, 15), (0.01, 0), (0.03, 2), (1.0, 50), (0.0, 0)])
def test_a_share_of_the_labels_is_drawn_again(fraction, count):
    settings = dict(num_examples=50, steps_per_task=2, batch_size=8)
    task = built(tasks.PartialLabelReset, "digits", MLP, fraction, **settings)
    batches, states = taken(task, 7)
    labels = tasks.random_labels(50, 10, 0, 0).numpy()
    for number in range(4):
        if number:  # in numpy
            drawn = tasks.random_labels(50, 10, 0, number).numpy()
            chosen = np.flatnonzero(tasks.chosen_examples(50, count, 0, number).numpy())
            assert len(chosen) == count
            labels = labels.copy()
            labels[chosen] = drawn[chosen]
        batch, state = batches[2 * number], states[2 * number]
        np.testing.assert_array_equal(state.content, labels)
        np.testing.assert_array_equal(batch.targets, labels[numbers_of(batch, task.images)])


def test_chosen_examples_are_uniform_and_others_in_each_task():
    chosen = np.stack([tasks.chosen_examples(20, 5, 0, task).numpy() for task in range(400)])
    assert np.sum((chosen.sum(0) - 100) ** 2 / 100) < 52  # 19 degrees: once in 10,000
    assert (chosen[0] != chosen[1]).any()
    with pytest.raises(ValueError, match="`count` must be at most 20. Received: 21"):
        tasks.chosen_examples(20, 21, 0, 0)


def labels(**settings):
    given: Any = dict(num_examples=40, steps_per_task=10, batch_size=40)
    return tasks.RandomLabelTask("digits", MLP, **given | settings)


@pytest.mark.parametrize("drift", [1.0, 0.4])
def test_labels_give_way_to_those_of_the_next_task(drift):
    task = built(tasks.GradualDrift, labels(), drift)
    batches, states = taken(task, 20)
    for number, batch in enumerate(batches):
        old, new = (tasks.random_labels(40, 10, 0, number // 10 + more).numpy() for more in (0, 1))
        np.testing.assert_array_equal(states[number].content, [old, new])
        places = numbers_of(batch, task._stream.images)
        old, new = old[places], new[places]
        share = max(0.0, (number % 10 / 10 - (1 - drift)) / drift)
        differ, targets = old != new, batch.targets.numpy()
        assert np.isin(targets, [old, new]).all()
        assert abs((targets == new)[differ].mean() - share) < 0.3  # 36 draws: 3.6 standard deviations
        if share == 0:
            np.testing.assert_array_equal(targets, old)
    assert task.boundary_period == 10


@pytest.mark.parametrize("mixture", ["examples", "inputs"])
def test_pixels_of_examples_or_values_of_pixels_give_way(mixture):
    pixels = tasks.PermutedPixels("digits", MLP, num_examples=40, epochs_per_task=1, batch_size=8)
    task = built(tasks.GradualDrift, pixels, mixture=mixture)
    batches, _ = taken(task, 10)
    images = pixels.images.numpy().reshape(40, 64)
    for step, batch in enumerate(batches):
        first, share = step // 5, step % 5 / 5
        chosen = tasks.epoch_order(40, 0, first).numpy()[8 * (step % 5) :][:8]
        old, new = (images[chosen][:, tasks.pixel_order(64, 0, first + more).numpy()] for more in (0, 1))
        found = batch.inputs.numpy().reshape(8, 64)
        np.testing.assert_array_equal(batch.targets, pixels.labels.numpy()[chosen])
        if mixture == "inputs":
            np.testing.assert_allclose(found, (1 - share) * old + share * new, atol=1e-6)
        else:
            assert all(
                (row == a).all() or (row == b).all() for row, a, b in zip(found, old, new, strict=True)
            )


def test_the_end_of_a_task_is_evaluated_as_the_next_one():
    task = built(tasks.GradualDrift, labels(batch_size=8, num_examples=40))
    _, states = taken(task, 10)
    following = tasks.random_labels(40, 10, 0, 1).numpy()
    hits = task.model(task._stream.images).numpy().argmax(-1) == following
    assert task.evaluate(10, states[-1])["evaluation/accuracy"] == pytest.approx(hits.mean())


def test_losses_and_scores_of_replicates_are_those_of_their_stream():
    network = functools.partial(networks.replicated_mlp, hidden=(3,))
    stream = tasks.TwoInputRegression(network, replicates=4, steps_per_task=5, batch_size=6)
    task = built(tasks.GradualDrift, stream)
    batch, _ = task.next(task.initial_state(), tf.constant([0, 1]))
    output = task.loss(task.model, batch)
    errors = (task.model(batch.inputs).numpy() - batch.targets.numpy()) ** 2  # [batch, replicates]
    assert float(output.loss) == pytest.approx(errors.mean(0).sum(), rel=1e-5)
    np.testing.assert_allclose(task.step_score(output), errors.mean(0), rtol=1e-5)


def test_a_stream_that_begins_passes_does_so_while_it_drifts():
    pixels = tasks.PermutedPixels(
        "digits", MLP, num_examples=40, steps_per_task=3, batch_size=8, new_pass=True
    )
    _, states = taken(built(tasks.GradualDrift, pixels), 9)
    for number in range(3):
        np.testing.assert_array_equal(states[3 * number].order, tasks.epoch_order(40, 0, number))


def test_diagnostics_of_drift_are_on_the_labels_that_no_task_has():
    stream = labels()
    task = built(tasks.GradualDrift, stream)
    np.testing.assert_array_equal(task.diagnostics_batch()[0].labels, stream.diagnostics_batch()[0].labels)
    assert (task.diagnostics_batch()[0].labels.numpy() != task.initial_state().content[0].numpy()).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.GradualDrift(labels(), 1.5), "`drift` must be a number in (0, 1]. Received: 1.5"),
        (
            lambda: tasks.GradualDrift(tasks.WarmStart("digits", MLP, num_examples=1_000)),
            "`stream` must have tasks of one length and size, such as @PermutedPixels(). Received: WarmStart",
        ),
        (
            lambda: tasks.PartialLabelReset("digits", MLP, 2, num_examples=50),
            "`fraction` must be a number in [0, 1]. Received: 2",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
