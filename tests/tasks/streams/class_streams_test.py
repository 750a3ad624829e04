"""Streams of classes and of growing data: 5+1 classes, continual ImageNet's form, warm starts."""

import functools
import importlib
from typing import Any

import numpy as np
import pytest

from tests.tasks.supervised_stream_test import built, numbers_of, taken
from tfplastic import networks, seeds, tasks

MLP = functools.partial(networks.mlp, hidden=(4,))
DIGITS = tasks.load_dataset("digits")


def classes_of(task, number, counts):
    """In plain Python: the classes one after another, from the first again after the last."""
    order, start = tasks.class_order(10, 0, 0).numpy().tolist(), 0
    for turn in range(number):
        start += counts[turn % len(counts)]
    return [order[(start + place) % 10] for place in range(counts[number % len(counts)])]


def images_of(number, per_class):
    """The chosen images of a class."""
    places = np.flatnonzero(DIGITS.y_train == number)
    order = seeds.generator(seeds.derive(0, "class_split", number)).permutation(len(places))
    return tasks.scale_pixels(DIGITS.x_train[places[order[:per_class]]], -1.0, 1.0)


@pytest.mark.parametrize(("labels", "counts"), [("class", (5, 1)), ("place", (2,)), ("class", (1, 3, 2))])
def test_tasks_have_a_few_classes_each(labels, counts):
    settings = dict(classes_per_task=counts, examples_per_class=8, labels=labels)
    task = built(
        tasks.ClassSplit, "digits", MLP, epochs_per_task=1, steps_per_task=None, batch_size=4, **settings
    )
    assert task.model.output_shape[-1] == (10 if labels == "class" else max(counts))
    steps, batches, _ = 0, *taken(task, sum(2 * counts[number % len(counts)] for number in range(7)))
    for number in range(7):
        wanted = classes_of(task, number, counts)
        of_task = batches[steps : steps + 2 * len(wanted)]
        steps += len(of_task)
        images = np.concatenate([images_of(each, 8) for each in wanted])
        places = np.concatenate([numbers_of(batch, images) for batch in of_task])
        assert sorted(places) == list(range(len(images)))  # an epoch of the task's own
        found = np.concatenate([batch.targets for batch in of_task])
        expected = places // 8 if labels == "place" else np.asarray(wanted)[places // 8]
        np.testing.assert_array_equal(found, expected)


def test_hard_and_easy_tasks_have_the_same_number_of_steps():
    settings: Any = dict(classes_per_task=(5, 1), examples_per_class=8, steps_per_task=11, batch_size=4)
    task = built(tasks.ClassSplit, "digits", MLP, **settings)
    assert task.boundary_period == 11
    batches, states = taken(task, 22)
    assert {int(state.task) for state in states[11:]} == {1}
    assert len({int(target) for batch in batches[11:] for target in batch.targets}) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes_per_task": ()}, "`classes_per_task` must have a number. Received: ()"),
        (
            {"classes_per_task": (0,)},
            "`classes_per_task` must be an integer of at least 1. Received: 0",
        ),
        (
            {"classes_per_task": (11,)},
            "`classes_per_task` must be at most 10, the classes of 'digits'. Received: 11",
        ),
        (
            {"examples_per_class": 1_000},
            "`examples_per_class` must be at most 151, the training images of class 0 of 'digits'."
            " Received: 1000",
        ),
        ({"labels": "all"}, "`labels` must be one of 'class', 'place'. Received: 'all'"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError) as error:
        built(tasks.ClassSplit, "digits", MLP, **dict(examples_per_class=50) | settings)
    assert str(error.value) == message


def warm(**settings):
    return built(
        tasks.WarmStart, "digits", MLP, **dict(num_examples=40, epochs_per_task=2, batch_size=8) | settings
    )


def test_the_warm_arm_has_a_share_of_the_images_first_and_the_fresh_arm_all():
    for arm, share, first in (("warm", 0.5, 20), ("fresh", 0.5, 40), ("warm", 0.8, 32)):
        task = warm(arm=arm, share=share)
        length = 2 * (first // 8)
        batches, states = taken(task, length + 10)
        numbers = [numbers_of(batch, task.images) for batch in batches]
        assert max(map(max, numbers[:length])) == first - 1 or first == 20
        assert max(map(max, numbers[:length])) < first
        assert [int(state.task) for state in states] == [0] * length + [1] * 10
        assert sorted(sum(numbers[length : length + 5], [])) == list(range(40))  # a whole epoch of all
        for batch, places in zip(batches, numbers, strict=True):
            np.testing.assert_array_equal(batch.targets, task.labels.numpy()[places])


def test_the_test_accuracy_is_that_of_all_test_images(monkeypatch):
    monkeypatch.setattr(tasks.streams.warm_start, "_TEST_BATCH", 100)  # 297 = 100 + 100 + 97
    task = warm()
    found = task.evaluate(0, task.initial_state())["evaluation/test_accuracy"]
    images = tasks.scale_pixels(DIGITS.x_test, -1.0, 1.0)
    hits = task.model(images).numpy().argmax(-1) == DIGITS.y_test
    assert found == pytest.approx(hits.mean())


def test_a_share_of_less_than_a_batch_is_refused():
    with pytest.raises(
        ValueError, match="`share` must give the first task at least 8 images, a batch. Received: 0.1 of"
    ):
        warm(share=0.1)
    with pytest.raises(ValueError, match=r"`arm` must be one of 'warm', 'fresh'\. Received: 'cold'"):
        warm(arm="cold")


def test_data_are_read_once(monkeypatch):
    read = []

    def load_dataset(name):
        read.append(name)
        return DIGITS

    for module in (tasks.image_stream, importlib.import_module(tasks.WarmStart.__module__)):
        monkeypatch.setattr(module, "load_dataset", load_dataset, raising=False)
    warm()
    assert read == ["digits"]
