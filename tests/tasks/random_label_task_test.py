"""Random-label memorization: the order and labels of its examples, and its metrics."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import networks, seeds, tasks
from tfplastic.tasks import RandomLabelTask, TaskLoss

MLP = functools.partial(networks.mlp, hidden=(8,))


def make(seed=0, **arguments):
    task = RandomLabelTask(
        "digits", MLP, **{**dict(num_examples=50, steps_per_task=7, batch_size=8), **arguments}
    )
    task.build(seed)
    return task


def stream(task, count, state=None):
    """The batches of `count` steps and the states after them."""
    state = state or task.initial_state()
    step = tf.function(task.next, autograph=False)
    batches, states = [], []
    for number in range(count):
        batch, state = step(state, tf.constant(seeds.derive(0, "step", number)))
        state = task.after_step(
            state, tf.constant(number + 1), TaskLoss(0.0, [0.0], {"accuracy": number / 100})
        )
        batches.append(batch)
        states.append(state)
    return batches, states


def indices_of(task, images):
    """Which of the task's images these are; the images of the digits used here all differ."""
    everything = task.images.numpy().reshape(50, -1)
    distances = np.abs(everything[None] - images.numpy().reshape(len(images), 1, -1)).sum(-1)
    assert (distances.min(axis=1) == 0).all()
    return distances.argmin(axis=1)


def test_each_epoch_has_every_image_at_most_once_in_an_order_of_its_own():
    task = make(steps_per_task=100)
    batches, _ = stream(task, 18)  # three epochs of 6 batches; 2 images of each order are given up
    epochs = np.reshape([indices_of(task, batch.images) for batch in batches], [3, 48])
    assert all(len(set(epoch)) == 48 for epoch in epochs)
    for number, epoch in enumerate(epochs):
        np.testing.assert_array_equal(epoch, tasks.epoch_order(50, 0, number)[:48])


def test_labels_are_those_of_the_task_and_change_as_it_begins():
    task = make()
    batches, states = stream(task, 21)
    for number, (batch, state) in enumerate(zip(batches, states, strict=True)):
        labels = tasks.random_labels(50, 10, 0, number // 7).numpy()
        np.testing.assert_array_equal(batch.labels, labels[indices_of(task, batch.images)])
        np.testing.assert_array_equal(state.content, labels)
        assert (int(state.task), int(state.step)) == (number // 7, number % 7 + 1)


def kumar(task, num_tasks, steps_per_task):
    """The loop of the released code of Kumar et al., with the draws of this library."""
    images, labels = task.images.numpy(), task.labels.numpy()
    epoch = -1
    for number in range(num_tasks):
        of_task = tasks.shuffled_labels(labels, 0, number).numpy()
        index = len(images)  # each task begins a new pass
        for _ in range(steps_per_task):
            if index + 8 >= len(images):
                index, epoch = 0, epoch + 1
                order = tasks.epoch_order(len(images), 0, epoch).numpy()
            chosen = order[index : index + 8]
            index += 8
            yield images[chosen], of_task[chosen]


@pytest.mark.parametrize(("num_examples", "steps"), [(48, 5), (47, 5), (49, 6)])
def test_shuffled_labels_in_epochs_that_give_up_any_last_batch(num_examples, steps):
    arguments: Any = dict(labels="shuffled", drop_last="any", steps_per_task=None, epochs_per_task=2)
    task = make(num_examples=num_examples, **arguments)
    assert task.boundary_period == 2 * steps
    batches, states = stream(task, 4 * steps)
    for batch, (images, labels) in zip(batches, kumar(task, 2, 2 * steps), strict=True):
        np.testing.assert_array_equal(batch.images, images)
        np.testing.assert_array_equal(batch.labels, labels)
    final = task.evaluate(2 * steps, states[2 * steps - 1])["evaluation/final_epoch_accuracy"]
    assert final == pytest.approx(np.mean(np.arange(steps, 2 * steps) / 100))
    labels = task.diagnostics_batch()[0].labels.numpy()
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(task.labels))


def test_tasks_that_end_within_a_pass_begin_a_new_one_as_in_the_released_code():
    task = make(num_examples=48, labels="shuffled", drop_last="any", new_pass=True, steps_per_task=7)
    batches, _ = stream(task, 21)
    for batch, (images, labels) in zip(batches, kumar(task, 3, 7), strict=True):
        np.testing.assert_array_equal(batch.images, images)
        np.testing.assert_array_equal(batch.labels, labels)


def test_draws_with_replacement_are_uniform():
    task = make(sampling="replacement", batch_size=50)
    batches, _ = stream(task, 40)
    counts = np.bincount(np.concatenate([indices_of(task, batch.images) for batch in batches]), minlength=50)
    chi_square = np.sum((counts - 40) ** 2 / 40)
    assert chi_square < 94.6  # 49 degrees of freedom: exceeded once in 10,000
    assert len(set(indices_of(task, batches[0].images))) < 50


def test_seeds():
    first, same, other = (stream(make(seed), 3)[0] for seed in (0, 0, 1))
    for batch, equal, different in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(batch.images, equal.images)
        np.testing.assert_array_equal(batch.labels, equal.labels)
        assert (batch.images.numpy() != different.images.numpy()).any()


def test_xla_gives_the_same_batches_as_the_graph():
    task = make()
    compiled = tf.function(task.next, autograph=False, jit_compile=True)
    state = task.initial_state()
    batches, _ = stream(task, 9)
    for number, batch in enumerate(batches):
        found, state = compiled(state, tf.constant(seeds.derive(0, "step", number)))
        np.testing.assert_array_equal(found.images, batch.images)
        np.testing.assert_array_equal(found.labels, batch.labels)


def test_loss_is_the_mean_cross_entropy():
    task = make()
    (batch, *_), _ = stream(task, 1)
    output = task.loss(task.model, batch, training=True)
    logits = task.model(batch.images).numpy().astype(np.float64)
    labels = batch.labels.numpy()
    expected = np.log(np.exp(logits).sum(-1)) - logits[np.arange(8), labels]
    np.testing.assert_allclose(output.per_example_loss, expected, rtol=1e-5)
    np.testing.assert_allclose(output.loss, expected.mean(), rtol=1e-5)
    assert float(output.metrics["accuracy"]) == np.mean(logits.argmax(-1) == labels)


def test_evaluation():
    task = make()
    _, states = stream(task, 17)
    for done in (5, 7, 17):
        found = task.evaluate(done, states[done - 1])
        number = (done - 1) // 7
        labels = tasks.random_labels(50, 10, 0, number).numpy()
        accuracy = np.mean(task.model(task.images).numpy().argmax(-1) == labels)
        assert found == {
            "evaluation/task": number,
            "evaluation/accuracy": accuracy,
            "evaluation/online_accuracy": pytest.approx(np.mean(np.arange(7 * number, done) / 100), rel=1e-6),
            "evaluation/average_online_accuracy": pytest.approx(np.mean(np.arange(done) / 100), rel=1e-6),
            # An epoch is 50 // 8 = 6 of the task's 7 steps.
            "evaluation/final_epoch_accuracy": pytest.approx(
                np.mean(np.arange(7 * number + 1, done) / 100), rel=1e-6
            ),
        }
        assert task.progress(states[done - 1]) == {"accuracy": found["evaluation/online_accuracy"]}


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"batch_size": 25}, 5),  # the last 2 of 7
        ({"batch_size": 25, "sampling": "replacement"}, 5),
        ({"batch_size": 50}, 6),
        ({"batch_size": 2}, 0),  # an epoch is longer than the task
    ],
)
def test_accuracy_of_the_final_epoch_is_that_of_the_last_steps_of_a_task(arguments, first):
    task = make(**arguments)
    _, states = stream(task, 14)
    for done in range(1, 15):
        found = task.evaluate(done, states[done - 1])["evaluation/final_epoch_accuracy"]
        start = 7 * ((done - 1) // 7) + first
        expected = np.mean(np.arange(start, done) / 100) if done > start else np.nan
        assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_diagnostics_batch_stays_the_same_and_has_labels_of_no_task():
    task = make()
    (batch, inputs), (again, _) = task.diagnostics_batch(), task.diagnostics_batch()
    np.testing.assert_array_equal(batch.labels, again.labels)
    np.testing.assert_array_equal(inputs, task.images)
    assert (batch.labels.numpy() != tasks.random_labels(50, 10, 0, 0).numpy()).any()


def test_probe_inputs_are_different_training_images():
    task = make()
    state, key = task.initial_state(), seeds.derive(0, "probe")
    inputs = task.probe_inputs(state, 20, key)
    images = [image.tobytes() for image in task.images.numpy()]
    chosen = [images.index(image.tobytes()) for image in inputs]
    assert len(set(chosen)) == 20
    np.testing.assert_array_equal(inputs, task.probe_inputs(state, 20, key))
    assert (inputs != task.probe_inputs(state, 20, seeds.derive(1, "probe"))).any()
    np.testing.assert_array_equal(task.probe_inputs(state, 500, key), task.images)  # all there are


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_examples": 0}, "`num_examples` must be an integer of at least 1. Received: 0"),
        ({"steps_per_task": 0}, "`steps_per_task` must be an integer of at least 1. Received: 0"),
        ({"batch_size": 51}, "`batch_size` must be at most `num_examples`, 50. Received: 51"),
        ({"sampling": "all"}, "`sampling` must be one of 'epochs', 'replacement'. Received: 'all'"),
        ({"pixel_range": 5}, "`pixel_range` must be two ascending numbers. Received: 5"),
        ({"pixel_range": (1.0, 0.0)}, "`pixel_range` must be two ascending numbers. Received: (1.0, 0.0)"),
        ({"pixel_range": (0, "1")}, "`pixel_range` must be two ascending numbers. Received: (0, '1')"),
        (
            {"pixel_range": (0.0, float("inf"))},
            "`pixel_range` must be two ascending numbers. Received: (0.0, inf)",
        ),
        (
            {"dataset": "mnst"},
            "`dataset` must be one of 'mnist', 'fashion_mnist', 'cifar10', 'cifar100', 'emnist',"
            " 'imagenet32', 'digits'. Received: 'mnst'. Did you mean 'mnist' or 'emnist'?",
        ),
        ({"network": 3}, "`network` must be a function, such as @mlp. Received: 3"),
        (
            {"num_examples": 2_000},
            "`num_examples` must be at most 1500, the training examples of 'digits'. Received: 2000",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError) as error:
        task = RandomLabelTask(**{"dataset": "digits", "network": MLP, "num_examples": 50, **arguments})
        task.build(0)
    assert str(error.value) == message


def test_the_state_has_the_tensors_of_earlier_checkpoints_in_their_order():
    flat = tf.nest.flatten(make().initial_state())
    assert [(each.dtype.name, each.shape.as_list()) for each in flat] == [
        ("int32", []),  # step
        ("int32", []),  # task
        ("int32", [50]),  # labels
        ("int32", [50]),  # order
        ("int32", []),  # position
        ("int32", []),  # epoch
        ("float64", []),  # accuracies: of the task
        ("float64", []),  # of all steps
        ("int64", []),  # steps
        ("float64", []),  # of the final epoch
    ]
