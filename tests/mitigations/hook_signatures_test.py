"""Hooks written before there was a context still run, and hooks of any other form are refused."""

from typing import Any

import pytest
import tensorflow as tf

from tests.mitigations.small_run import SmallRun, same_bits
from tfplastic.mitigations import Mitigation


def test_hooks_of_before_run_with_a_warning():
    with pytest.warns(DeprecationWarning, match="takes no `context`.*Add it: ") as warned:

        class Old(Mitigation):
            def penalty(self, variables):
                return 0.1 * tf.reduce_sum(variables[0])

            def after_update(self, step, model, slots, key):
                model.trainable_variables[0].assign_add(tf.ones_like(model.trainable_variables[0]))

    assert len(warned) == 2 and all(each.filename == __file__ for each in warned)
    assert Old.adds_penalty and Old.acts_after_update

    class New(Mitigation):
        def penalty(self, variables, context):
            return 0.1 * tf.reduce_sum(variables[0])

        def after_update(self, step, model, slots, key, context):
            model.trainable_variables[0].assign_add(tf.ones_like(model.trainable_variables[0]))

    old, new = SmallRun([Old()]).train(), SmallRun([New()]).train()
    assert same_bits(old.everything(), new.everything())
    assert not same_bits(old.everything(), SmallRun().train().everything())


def test_old_hooks_may_be_called_as_before():
    with pytest.warns(DeprecationWarning):

        class Old(Mitigation):
            def penalty(self, variables):
                return tf.zeros([])

    old: Any = Old()
    assert float(old.penalty([])) == float(old.penalty(variables=[], context=None)) == 0


def test_hooks_of_another_form_are_refused_when_the_class_is_made():
    with pytest.raises(
        TypeError, match=r"`Wrong.after_update` must take \(self, step, model, slots, key, con"
    ):

        class Wrong(Mitigation):
            def after_update(self, step, model):
                pass


@pytest.mark.parametrize(("reads", "received"), [(("gradient",), "'gradient'"), ("batch", "'batch'")])
def test_reads_are_names_of_parts(reads, received):
    with pytest.raises(ValueError, match=rf"`Wrong.reads` must be a tuple .* Received: {received}"):
        type("Wrong", (Mitigation,), {"reads": reads})
