"""The full reset: a new network by the same distributions, bit for bit a new optimizer."""

import numpy as np
import tensorflow as tf

from tests.mitigations.oracle import Oracle
from tests.mitigations.small_run import SmallRun, network, same_bits
from tfplastic.mitigations import ResetNetwork

PERIOD = 5


def test_the_rule(tmp_path):
    oracle = Oracle(ResetNetwork(PERIOD), 12, "convolutional")
    for step in oracle.steps():
        if step % PERIOD == 0:
            oracle.weights = oracle.fresh(step, kernels=False)
            oracle.momenta = [np.zeros_like(each) for each in oracle.weights]
    oracle.check(tmp_path)


def test_statistics_of_batch_normalization_and_the_count_of_steps():
    training = SmallRun(model=network(norm="batch")).train()
    statistics = training.model.non_trainable_variables
    assert len(statistics) == 4 and int(training.optimizer.iterations.numpy()) > 0
    training.act(ResetNetwork())
    for each in statistics:
        np.testing.assert_array_equal(each, np.full(each.shape, "variance" in each.name))
    assert int(training.optimizer.iterations.numpy()) == 0


def test_the_run_before_leaves_no_trace():
    one, other = SmallRun(), SmallRun().train()
    for training in (one, other):
        training.act(ResetNetwork())
        training._step(tf.constant(1, tf.int64))
    assert same_bits(one.everything(), other.everything())


def test_a_frozen_layer_and_the_count_of_steps_stay():
    training = SmallRun(model=network(norm=None)).train()
    steps, kernel = int(training.optimizer.iterations.numpy()), training.model.layers[0].kernel.numpy()
    training.model.layers[0].trainable = False
    training.act(ResetNetwork(reset_step=False))
    np.testing.assert_array_equal(training.model.layers[0].kernel, kernel)
    assert int(training.optimizer.iterations.numpy()) == steps
