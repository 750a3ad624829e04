"""Programs of many objects of one class, which TensorFlow does not take for one that is traced repeatedly."""

import contextlib
import logging
from typing import Any, cast

import pytest
import tensorflow as tf

from tfplastic._tf.programs import own_program
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
