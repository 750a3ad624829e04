"""Ten steps on the weights of a small convolutional network, against float64."""

import pytest
import tensorflow as tf

from tests.optimizers.obgd_reference import obgd_reference
from tests.optimizers.problems import (
    adam_reference,
    assert_within,
    gradients,
    rmsprop_reference,
    sgd_reference,
    train,
)
from tests.optimizers.trac_reference import trac_reference
from tfplastic.optimizers import adam, adamw, centered_rmsprop, obgd, sgd, trac

SHAPES = [(3, 3, 2, 4), (4,), (2, 2, 4, 3), (3,), (12, 5), (5,)]
ADAMW = {"learning_rate": 0.1, "epsilon": 1e-8, "bias_correction": "means"}
ADAMW |= {"weight_decay": 0.3, "decay_vectors": False}


def around_momentum(learning_rate, momentum, initial_scale):
    return trac(sgd(learning_rate, momentum), initial_scale)


CASES = {
    "adam": (adam, adam_reference, {"learning_rate": 0.1}),
    "adamw": (adamw, adam_reference, ADAMW),
    "centered_rmsprop": (centered_rmsprop, rmsprop_reference, {"learning_rate": 0.1}),
    "obgd": (obgd, obgd_reference, {}),
    "sgd": (sgd, sgd_reference, {"learning_rate": 0.1, "momentum": 0.9}),
    "trac": (around_momentum, trac_reference, {"learning_rate": 0.1, "momentum": 0.9, "initial_scale": 0.5}),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_on_the_weights_of_a_convolutional_network(name):
    make, reference, settings = CASES[name]
    steps = list(gradients(10, shapes=SHAPES))
    variables = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    assert_within(train(make(**settings), steps, variables), reference(steps, **settings, shapes=SHAPES))
