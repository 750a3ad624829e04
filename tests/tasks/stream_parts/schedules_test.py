import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfplastic.tasks import epoch_order, random_labels, shuffled_labels

TRUE_LABELS = np.repeat(np.arange(10, dtype=np.int32), [5, 15, 30, 10, 20, 40, 50, 10, 10, 10])  # [200]

# Each of the three, as a function of the seed and of the number of the task or epoch, over 200 examples.
SCHEDULES = {
    "random_labels": lambda seed, number: random_labels(200, 10, seed, number),
    "shuffled_labels": lambda seed, number: shuffled_labels(TRUE_LABELS, seed, number),
    "epoch_order": lambda seed, number: epoch_order(200, seed, number),
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


@every_schedule
def test_the_same_seed_gives_the_same_bits(schedule):
    np.testing.assert_array_equal(schedule(3, 7), schedule(3, 7))


@every_schedule
def test_another_seed_gives_other_bits(schedule):
    assert (schedule(3, 7) != schedule(4, 7)).numpy().any()


@every_schedule
def test_another_task_or_epoch_gives_other_bits(schedule):
    draws = {schedule(0, number).numpy().tobytes() for number in range(50)}
    assert len(draws) == 50


@every_schedule
def test_shape_and_type(schedule):
    assert (schedule(0, 0).dtype, schedule(0, 0).shape) == (tf.int32, (200,))


@every_schedule
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_programs_give_the_same_bits_for_every_task_from_one_trace(schedule, jit_compile):
    compiled = tf.function(lambda number: schedule(5, number), jit_compile=jit_compile)
    for number in (0, 1, 49):
        expected = schedule(5, number)
        np.testing.assert_array_equal(compiled(tf.constant(number)), expected)
        np.testing.assert_array_equal(
            compiled(tf.constant(number)), schedule(5, tf.constant(number, tf.int64))
        )
    assert compiled.experimental_get_tracing_count() == 1


def p_value(counts):
    return stats.chisquare(counts).pvalue


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_random_labels_are_uniform(num_classes):
    labels = random_labels(50_000, num_classes, seed=0, task=1).numpy()
    counts = np.bincount(labels)
    assert len(counts) == num_classes
    assert p_value(counts) > 0.01


def test_the_labels_of_successive_tasks_are_independent():
    first, second = (random_labels(50_000, 10, seed=0, task=task).numpy() for task in (4, 5))
    assert p_value(np.bincount(10 * first + second, minlength=100)) > 0.01


def test_an_example_is_labeled_uniformly_over_the_tasks():
    tasks = tf.function(lambda: tf.map_fn(lambda task: random_labels(3, 10, 0, task), tf.range(5_000)))()
    for labels in tasks.numpy().T:
        assert p_value(np.bincount(labels, minlength=10)) > 0.01


def test_the_tests_of_uniformity_can_fail():
    labels = random_labels(50_000, 10, seed=0, task=1).numpy()
    labels[:500] = 0  # One percent of all.
    assert p_value(np.bincount(labels)) < 1e-6


def test_shuffled_labels_keep_the_classes_counts():
    shuffled = shuffled_labels(TRUE_LABELS, seed=0, task=3)
    np.testing.assert_array_equal(np.bincount(shuffled), np.bincount(TRUE_LABELS))
    assert (shuffled.numpy() != TRUE_LABELS).any()
    assert shuffled_labels(TRUE_LABELS.astype(np.uint8), 0, 3).dtype == tf.uint8


def test_an_order_holds_each_example_once():
    for count in (1, 2, 1000):
        np.testing.assert_array_equal(np.sort(epoch_order(count, seed=0, epoch=9)), np.arange(count))


@pytest.mark.parametrize("kind", ["epoch_order", "shuffled_labels"])
def test_every_order_of_four_comes_equally_often(kind):
    """All 24 orders of four examples: more than that each place sees each example equally often."""

    def order(number):
        if kind == "epoch_order":
            return epoch_order(4, 0, number)
        return shuffled_labels(tf.range(4), 0, number)

    orders = tf.function(lambda: tf.map_fn(order, tf.range(2_400)))().numpy()  # [2400, 4]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert p_value(counts) > 0.01


def test_labels_and_orders_of_a_seed_are_unrelated():
    np.testing.assert_array_equal(np.sort(shuffled_labels(tf.range(200), 0, 2)), np.arange(200))
    assert (shuffled_labels(tf.range(200), 0, 2).numpy() != epoch_order(200, 0, 2).numpy()).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: random_labels(0, 10, 0, 0),
            "`num_examples` must be an integer of at least 1. Received: 0",
        ),
        (lambda: random_labels(5, 0, 0, 0), "`num_classes` must be an integer of at least 1. Received: 0"),
        (lambda: random_labels(5, 10, 0, -1), "`task` must be an integer of at least 0. Received: -1"),
        (lambda: random_labels(5, 10, 0, 0.5), "`task` must be an integer of at least 0. Received: 0.5"),
        (lambda: shuffled_labels([0, 1], 0, -1), "`task` must be an integer of at least 0. Received: -1"),
        (
            lambda: shuffled_labels([[0, 1]], 0, 0),
            "`labels` must be of shape [examples], at least one. Received: (1, 2)",
        ),
        (
            lambda: shuffled_labels([], 0, 0),
            "`labels` must be of shape [examples], at least one. Received: (0,)",
        ),
        (lambda: epoch_order(0, 0, 0), "`num_examples` must be an integer of at least 1. Received: 0"),
        (lambda: epoch_order(5, 0, -1), "`epoch` must be an integer of at least 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
