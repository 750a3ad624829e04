"""Programs of many objects of one class, which are not one that is traced repeatedly, and direct calls."""

import contextlib
import logging
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._tf.programs import ArrayProgram, DirectCall, own_program
from tfplastic.training.execution.host_steps import HostSteps


@pytest.fixture
def warned():
    """Messages of TensorFlow's logger."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    yield messages
    tf.get_logger().removeHandler(handler)


class Doubling:
    def __init__(self, make):
        self.program = make(self._double)

    def _double(self, number):
        return 2 * number


@pytest.mark.parametrize("make, warns", [(own_program, False), (tf.function, True)])
def test_traces_are_counted_for_each_object(make, warns, warned):
    kept = [Doubling(make) for _ in range(6)]
    assert [int(each.program(tf.constant(2))) for each in kept] == [4] * 6
    assert any("triggered tf.function retracing" in message for message in warned) is warns


def test_one_that_is_traced_again_and_again_is_told(warned):
    program = own_program(lambda number: number)
    for number in range(6):
        program(number)
    assert any("triggered tf.function retracing" in message for message in warned)


class Task:
    def example(self):
        return tf.zeros([2])

    def seconds_per_batch(self):
        return 0.0

    def tracing_step(self):
        return contextlib.nullcontext()


class Step:
    reads_step = False

    def __call__(self, batch):
        return tf.reduce_sum(batch)


def test_many_arms_are_timed_in_one_process(warned):
    drivers = [HostSteps(cast(Any, Task()), cast(Any, Step())) for _ in range(6)]
    assert all(driver.seconds_per_step() > 0 for driver in drivers)
    assert warned == []


def test_a_direct_call_gives_what_the_program_gives():
    weight = tf.Variable(2.0)

    def step(x, y):
        total = weight * x + y
        weight.assign_add(1.0)
        return {"b": total, "a": (total, tf.constant(3))}  # unsorted, with one tensor twice

    program = tf.function(step, autograph=False)
    concrete = program.get_concrete_function(*[tf.TensorSpec([2])] * 2)
    x, y = tf.constant([1.0, -1.0]), tf.constant([10.0, 20.0])
    assert concrete(x, y)["b"].numpy().tolist() == [12.0, 18.0]
    found = DirectCall(concrete)(x, y)  # weight is 3
    assert list(found) == ["b", "a"] and weight.numpy() == 4.0
    assert found["b"].numpy().tolist() == found["a"][0].numpy().tolist() == [13.0, 17.0]
    assert found["a"][1].numpy() == 3
    weight.assign(5.0)
    assert DirectCall(concrete)(x, y)["b"].numpy().tolist() == [15.0, 15.0]


def test_a_direct_call_raises_what_the_program_raises():
    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_all_finite(x, "not finite here")]):
            return tf.identity(x)

    concrete = tf.function(checked, autograph=False).get_concrete_function(tf.TensorSpec([]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite here"):
        DirectCall(concrete)(tf.constant(np.nan, tf.float32))


def test_programs_of_arrays_are_made_once_for_each_shape_and_dtype():
    traced = []

    def double(x):
        traced.append((x.shape.as_list(), x.dtype.name))
        return 2 * x

    program = ArrayProgram(double)
    for array in (np.ones(2), np.ones(3), np.ones(2), np.ones(2, np.uint8)):
        assert program(array).tolist() == (2 * array).tolist()
    assert traced == [([2], "float64"), ([3], "float64"), ([2], "uint8")]
