from typing import Any

import tensorflow as tf

from tests.mitigations.small_run import SmallRun, same_bits
from tfplastic.mitigations import Mitigation

CONTEXT: Any = None  # these hooks read nothing


class _Nothing(Mitigation):
    pass


class _HalfGradients(Mitigation):
    def transform_gradients(self, gradients, variables):
        return [0.5 * gradient for gradient in gradients]


class _Counter(Mitigation):
    """Counts its calls, in a variable of its own."""

    def build(self, model, optimizer, seed):
        self._count = tf.Variable(0, dtype=tf.int64)

    def after_update(self, step, model, slots, key, context):
        self._count.assign_add(step)

    @property
    def state(self):
        return {"count": self._count}


def test_a_class_says_which_hooks_it_overrides():
    flags = {
        each: (each.adds_penalty, each.transforms_gradients, each.acts_after_update)
        for each in (Mitigation, _Nothing, _HalfGradients, _Counter)
    }
    assert list(flags.values()) == [
        (False, False, False),
        (False, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_subclass_inherits_them():
    class Slower(_Counter):
        period = 3

    assert Slower.acts_after_update and Slower().period == 3 and Slower.transforms_gradients is False


def test_the_hooks_do_nothing_by_default():
    nothing = _Nothing()
    training = SmallRun()
    before = training.everything()
    training.act(nothing)
    assert same_bits(training.everything(), before)
    assert float(nothing.penalty(training.model.trainable_variables, CONTEXT)) == 0
    gradients = [tf.ones(2)]
    assert nothing.transform_gradients(gradients, []) is gradients
    assert nothing.state == {} and nothing.period is None


def test_gradients_are_transformed_before_the_optimizer_sees_them():
    halved, whole = SmallRun([_HalfGradients()]), SmallRun()
    for training in (halved, whole):
        training._step(tf.constant(1, tf.int64))
    for name, slots in halved.slot_values().items():
        expected = 0.5 * whole.slot_values()[name]["momentum"]
        tf.debugging.assert_near(slots["momentum"], expected, rtol=1e-6, atol=1e-9)


def test_state_changes_inside_a_compiled_loop():
    counter = _Counter()
    SmallRun([counter]).train("loop")
    assert int(counter.state["count"].numpy()) == 2 + 4 + 6
