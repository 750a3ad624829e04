import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.optimizers.problems import (
    SHAPES,
    assert_goes_on_from_a_checkpoint,
    assert_within,
    gradients,
    train,
    train_pure,
)
from tests.optimizers.trac_reference import trac_reference
from tfplastic.optimizers import PureAdam, PureSGD, PureTRAC, adam, sgd, slots, trac
from tfplastic.optimizers.trac import TRAC, erfi

# Steps with one sign, so that the scale grows: the displacement goes against the gradients.
STEADY = [[np.full(shape, 0.3, np.float32) * (1 + 0.1 * t) for shape in SHAPES] for t in range(20)]


@pytest.mark.parametrize("initial_scale", [1e-8, 1e-2])
@pytest.mark.parametrize("steps", [list(gradients(20)), STEADY], ids=["changing", "steady"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_a_float64_transcription(momentum, steps, initial_scale):
    pure = PureTRAC(
        learning_rate=0.1, base=PureSGD(learning_rate=1.0, momentum=momentum), initial_scale=initial_scale
    )
    expected = trac_reference(steps, 0.1, momentum, initial_scale)
    assert_within(train_pure(pure, steps)[0], expected, tolerance=1e-4)
    assert_within(train_pure(pure, steps, jit_compile=True)[0], expected, tolerance=1e-4)
    keras_form = trac(sgd(0.1, momentum=momentum), initial_scale=initial_scale)
    assert_within(train(keras_form, steps), expected, tolerance=1e-4)


def test_equals_the_transcription_closely_in_float64_from_weights_that_are_not_zero():
    start = [np.random.default_rng(3).normal(size=shape) for shape in SHAPES]
    steps = [[each.astype(np.float64) for each in step] for step in STEADY]
    pure = PureTRAC(learning_rate=0.1, base=PureSGD(learning_rate=1.0), initial_scale=1e-3)
    parameters = [tf.constant(each) for each in start]
    state = pure.init(parameters)
    for step in steps:
        parameters, state = pure.update([tf.constant(each) for each in step], state, parameters)
    assert_within(parameters, trac_reference(steps, 0.1, 0.0, 1e-3, start), tolerance=1e-9)


def test_erfi_is_that_of_scipy():
    x = np.concatenate([np.linspace(-12, 12, 401), [0.0, 5.0, -5.0, 1e-9, 4.999, 5.001]])
    for jit_compile in (False, True):
        values = tf.function(erfi, jit_compile=jit_compile)(tf.constant(x))
        np.testing.assert_allclose(values, special.erfi(x), rtol=1e-9)


def test_the_learner_starts_nearly_frozen_and_the_scale_grows_with_steady_gradients():
    pure = PureTRAC(learning_rate=0.1, base=PureAdam(learning_rate=1.0))
    (first, *_), _ = train_pure(pure, STEADY[:1])
    (last, *_), _ = train_pure(pure, STEADY)
    assert 0 < np.abs(first).max() < 1e-7 and np.abs(last).max() > 100 * np.abs(first).max()


def test_zero_slots_and_count_take_the_weights_as_a_new_reference():
    optimizer = trac(adam(0.1), initial_scale=1e-2)
    variables = train(optimizer, STEADY)
    for variable in variables:
        assert set(slots(optimizer, variable)) == {"reference", "mean", "mean_square"}
        for slot in slots(optimizer, variable).values():
            slot.assign(tf.zeros_like(slot))
    optimizer.iterations.assign(0)
    fresh = [tf.Variable(each) for each in variables]
    train(optimizer, STEADY[:3], variables)
    expected = train(trac(adam(0.1), initial_scale=1e-2), STEADY[:3], fresh)
    for one, other in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    assert_goes_on_from_a_checkpoint(lambda: trac(adam(0.1), initial_scale=1e-2), tmp_path)


def test_learning_rate_and_clipping_are_those_of_the_base():
    optimizer = trac(adam(0.25, max_gradient_norm=2.0))
    assert float(optimizer.pure.learning_rate) == 0.25 and optimizer.pure.max_gradient_norm == 2.0
    again = TRAC.from_config(optimizer.get_config())
    assert again.pure.max_gradient_norm == 2.0 and again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 5}, "`base` must be an optimizer of this package, such as adam(). Received: 5"),
        ({"initial_scale": 0}, "`initial_scale` must be a finite number above 0. Received: 0"),
        ({"discounts": [1.0]}, "`discounts` must be a number in [0, 1). Received: 1.0"),
        ({"discounts": []}, "`discounts` must hold a number or more. Received: ()"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        trac(**{"base": sgd(), **arguments})
