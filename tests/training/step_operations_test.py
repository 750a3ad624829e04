"""Operations of a step whose mitigations read nothing of it: those of the step before there were contexts."""

import hashlib

import pytest
import tensorflow as tf

from tests.training.regression_task import RegressionTask
from tfplastic import diagnostics, mitigations
from tfplastic._keras import keras
from tfplastic.mitigations import Mitigation
from tfplastic.training import GradientStep

# Number of operations, and the begin of the SHA-256 of their kinds in order, before hooks had a context
# (TensorFlow 2.21.0, tf-keras 2.21.0).
BEFORE = {
    "plain": (155, "925fa4a8ded5bf4b"),
    "penalty": (210, "bdcb5d54a5987d2f"),
    "statistic": (175, "e5a40a332da32229"),
    "after update": (155, "925fa4a8ded5bf4b"),
}


class Reader(Mitigation):
    """Reads activations, gradients and older weights after each update."""

    reads = ("activations", "gradients")
    history = 1

    def after_update(self, step, model, slots, key, context):
        raise AssertionError("the step itself does not call it")


ARGUMENTS = {
    "plain": {},
    "penalty": {"mitigation": mitigations.WeightDecay()},
    "statistic": {"statistics": {"dead_units": diagnostics.dead_units}},
    "after update": {"mitigation": mitigations.ShrinkAndPerturb()},
}


def kinds(mitigation=None, statistics=None):
    """The kinds of the operations of a traced step: a network of two layers, SGD."""
    task = RegressionTask()
    task.build(0)
    chosen = [] if mitigation is None else [mitigation]
    for each in chosen:
        each.build(task.model, None, 0)
    step = GradientStep(task, task.model, keras.optimizers.SGD(0.1), chosen, statistics)
    batch = tf.nest.map_structure(tf.constant, task.example())
    traced = tf.function(step, autograph=False).get_concrete_function(batch)
    return [each.type for each in traced.graph.get_operations()]


@pytest.mark.parametrize("kind", BEFORE)
def test_a_step_that_nothing_reads_has_the_operations_of_before(kind):
    found = kinds(**ARGUMENTS[kind])
    assert (len(found), hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]) == BEFORE[kind]


def test_reading_adds_only_the_copies_and_what_is_handed_on():
    plain, read = kinds(), kinds(Reader())
    more = [each for each in set(read) if read.count(each) > plain.count(each)]
    # Four weights are copied before the update; activations and gradients are results of the step.
    assert read.count("AssignVariableOp") == plain.count("AssignVariableOp") + 4
    assert set(more) <= {"AssignVariableOp", "Identity", "Placeholder", "ReadVariableOp"}
    assert read.count("MatMul") == plain.count("MatMul")
