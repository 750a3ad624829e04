"""Permuted pixels: the three protocols, against their loops in numpy, and the draws that they take."""

import functools
from typing import Any

import numpy as np
import pytest

from tests.tasks.supervised_stream_test import built, taken
from tfplastic import networks, tasks

MLP = functools.partial(networks.mlp, hidden=(4,))


def made(count, seed=0, **settings):
    """The stream and its first batches, as rows of pixels and labels."""
    task = built(tasks.PermutedPixels, "digits", MLP, seed=seed, **settings)
    batches, _ = taken(task, count)
    rows = [batch.inputs.numpy().reshape(len(batch.targets), -1) for batch in batches]
    return task, rows, [batch.targets.numpy() for batch in batches]


def data(task):
    return task.images.numpy().reshape(len(task.images), -1), task.labels.numpy()


def kumar(task, num_tasks):
    """Each task: a permutation, an order, all whole batches."""
    images, labels = data(task)
    for number in range(num_tasks):
        permutation = tasks.pixel_order(64, 0, number).numpy()
        order = tasks.epoch_order(len(images), 0, number).numpy()
        start = 0
        while start + 8 <= len(images):
            chosen = order[start : start + 8]
            yield images[chosen][:, permutation], labels[chosen]
            start += 8


def test_one_epoch_of_each_permutation_as_of_kumar():
    task, rows, targets = made(15, num_examples=43, epochs_per_task=1, batch_size=8)
    assert task.boundary_period == 5
    for (images, labels), found, target in zip(kumar(task, 3), rows, targets, strict=True):
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(target, labels)
    assert -1.0 == task.images.numpy().min() < task.images.numpy().max() == 1.0


def test_images_drawn_again_and_a_first_task_as_it_is_as_in_the_released_code_of_kumar():
    settings: Any = dict(num_examples=43, epochs_per_task=1, batch_size=8, images="each_task")
    task, rows, targets = made(15, first_task="original", **settings)
    images, labels = data(task)
    assert len(images) == 1_500 and task.num_examples == 43
    for step, (found, target) in enumerate(zip(rows, targets, strict=True)):
        number, place = divmod(step, 5)
        permutation = tasks.pixel_order(64, 0, number).numpy() if number else np.arange(64)
        order = tasks.epoch_order(43, 0, number).numpy()[8 * place : 8 * place + 8]
        chosen = np.flatnonzero(tasks.chosen_examples(1_500, 43, 0, number).numpy())[order]
        np.testing.assert_array_equal(found, images[chosen][:, permutation])
        np.testing.assert_array_equal(target, labels[chosen])


def test_images_drawn_again_with_cumulative_permutations():
    settings: Any = dict(num_examples=16, epochs_per_task=1, batch_size=16, images="each_task")
    task, rows, _ = made(3, permutation="cumulative", **settings)
    order = np.arange(64)
    for number, found in enumerate(rows):
        order = order[tasks.pixel_order(64, 0, number).numpy()]
        chosen = np.flatnonzero(tasks.chosen_examples(1_500, 16, 0, number).numpy())
        chosen = chosen[tasks.epoch_order(16, 0, number).numpy()]
        np.testing.assert_array_equal(found, data(task)[0][chosen][:, order])


def upgd(task, steps, period, new_pass=False):
    """One image after another in random order, a permutation every `period`."""
    images, labels = data(task)
    order, epoch = [], 0
    for step in range(steps):
        if step % period == 0:
            permutation = tasks.pixel_order(64, 0, step // period).numpy()
            order = [] if new_pass else order
        if not order:
            order = tasks.epoch_order(len(images), 0, epoch).numpy().tolist()
            epoch += 1
        example = order.pop(0)
        yield images[example, permutation], labels[example]


@pytest.mark.parametrize("new_pass", [False, True])
def test_one_pass_over_many_permutations_as_of_elsayed_and_mahmood(new_pass):
    task, rows, targets = made(40, num_examples=30, steps_per_task=7, batch_size=1, new_pass=new_pass)
    assert task.boundary_period == 7
    expected = list(upgd(task, 40, 7, new_pass))
    np.testing.assert_array_equal(np.concatenate(rows), [image for image, _ in expected])
    np.testing.assert_array_equal(np.concatenate(targets), [label for _, label in expected])


def dohare(task, num_tasks, is_cumulative):
    """The released code overwrites the images with permuted ones; else a copy is permuted."""
    images, labels = data(task)
    for number in range(num_tasks):
        permutation = tasks.pixel_order(64, 0, number).numpy()
        now = images[:, permutation]
        if is_cumulative:
            images = now
        for example in tasks.epoch_order(len(images), 0, number).numpy():
            yield now[example], labels[example]


@pytest.mark.parametrize("permutation", ["fresh", "cumulative"])
def test_all_images_one_by_one_as_of_dohare(permutation):
    settings: Any = dict(num_examples=12, epochs_per_task=1, batch_size=1, pixel_range=(0.0, 1.0))
    task, rows, targets = made(36, permutation=permutation, **settings)
    expected = list(dohare(task, 3, permutation == "cumulative"))
    np.testing.assert_array_equal(np.concatenate(rows), [image for image, _ in expected])
    np.testing.assert_array_equal(np.concatenate(targets), [label for _, label in expected])
    assert task.images.numpy().min() == 0.0


def test_an_order_of_pixels_is_a_uniform_permutation_of_seed_and_task():
    orders = np.stack([tasks.pixel_order(5, seed, task) for seed in range(10) for task in range(60)])
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(5), [600, 1]))
    counts = np.stack([np.bincount(column, minlength=5) for column in orders.T])  # [places, pixels]
    assert np.sum((counts - 120) ** 2 / 120) < 46.5  # 16 degrees of freedom: once in 10,000
    assert len({row.tobytes() for row in orders}) > 110  # of the 120, of which 0.8 should be missing
    np.testing.assert_array_equal(tasks.pixel_order(5, 3, 4), tasks.pixel_order(5, 3, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epochs_per_task": 1, "permutation": "new"},
            "`permutation` must be one of 'fresh', 'cumulative'. Received: 'new'",
        ),
        (
            {"epochs_per_task": 1, "first_task": "fresh"},
            "`first_task` must be one of 'permuted', 'original'. Received: 'fresh'",
        ),
        (
            {"epochs_per_task": 1, "images": "always"},
            "`images` must be one of 'once', 'each_task'. Received: 'always'",
        ),
        (
            {"epochs_per_task": 1, "new_pass": 1},
            "`new_pass` must be one of True, False. Received: 1",
        ),
        (
            {"epochs_per_task": 1, "num_examples": 2_000, "images": "each_task"},
            "`num_examples` must be at most 1500, the training examples of 'digits'. Received: 2000",
        ),
        (
            {"epochs_per_task": 1, "drop_last": "all"},
            "`drop_last` must be one of 'partial', 'any'. Received: 'all'",
        ),
        (
            {},
            "`steps_per_task` or `epochs_per_task` must be given, and the other one be None. Received:"
            " steps_per_task=None and epochs_per_task=None",
        ),
        (
            {"epochs_per_task": 1, "num_examples": 2_000},
            "`num_examples` must be at most 1500, the training examples of 'digits'. Received: 2000",
        ),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError) as error:
        built(tasks.PermutedPixels, "digits", MLP, **settings)
    assert str(error.value) == message
