"""Functions of several seeds at once against each of them by itself."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.training.lockstep import Lockstep, Value, as_stacked

SEEDS = (1, 2, 3)


def make(seed):
    """A function of a scalar with all that is special: constants, captures, variables, branches, draws."""
    count = tf.Variable(0, dtype=tf.int64)
    weight = tf.Variable([1.0 * seed, -2.0])
    captured = tf.constant(np.random.default_rng(seed).normal(size=[200]).astype(np.float32))

    @tf.function(autograph=False)
    def inner(value):
        return value * 2 + captured[0]

    @tf.function(autograph=False)
    def function(value):
        count.assign_add(1)

        def add():
            weight.assign_add([value, value])  # an assignment in a branch that all seeds take or not
            return weight + 1.0, tf.constant(seed)

        shared = tf.cond(count % 2 == 0, add, lambda: (tf.zeros([2]), tf.constant(0)))
        own = tf.cond(weight[0] > 2.5, lambda: weight * 2.0, lambda: inner(weight))
        draws = tf.random.stateless_uniform([3], [seed, 7], alg="philox")
        weight.assign_sub(own * 0.125)
        places = tf.reshape(tf.cast(count % 2, tf.int64), [1, 1])
        memory = tf.tensor_scatter_nd_update(weight, places, draws[:1])
        folded = tf.foldl(lambda total, each: total / 2 + each, captured[:4])  # a loop over a list
        return (
            shared,
            own,
            draws,
            memory,
            folded,
            tf.nn.l2_loss(captured),
            weight + 0.0,
            tf.cast(count, tf.float32),
        )

    return function, (count, weight)


def trace(function):
    return function.get_concrete_function(tf.TensorSpec([], tf.float32))


@pytest.mark.parametrize("jit_compile", [None, True])
def test_equals_each_function_by_itself(jit_compile):
    made = [make(seed) for seed in SEEDS]
    lockstep = Lockstep([trace(function) for function, _ in made])
    assert len(lockstep.variables) == 2
    before = [[each.value() for each in of_seeds] for of_seeds in lockstep.variables]
    are_stacked = [of_seeds[0].shape.rank == 1 for of_seeds in before]  # the weight, not the count

    @tf.function(autograph=False, jit_compile=jit_compile)
    def side_by_side(value, variables):
        given = [Value(*each) for each in zip(are_stacked, variables, strict=True)]
        outputs, after = lockstep([Value(False, value)], given)
        return [as_stacked(each, 3) for each in outputs], [each.tensor for each in after]

    values = [
        tf.stack(each) if is_stacked else each[0]
        for each, is_stacked in zip(before, are_stacked, strict=True)
    ]
    for value in (1.0, 2.0, 3.0, 4.0):
        outputs, values = side_by_side(tf.constant(value), values)
        for number, (function, variables) in enumerate(made):
            expected = tf.nest.flatten(function(tf.constant(value)))
            for one, other in zip(outputs, expected, strict=True):
                np.testing.assert_allclose(one[number], other, rtol=1e-6)
            count, weight = values if are_stacked[1] else values[::-1]
            assert int(count) == int(variables[0])
            np.testing.assert_allclose(weight[number], variables[1], rtol=1e-6)


def test_knows_what_differs_between_seeds():
    lockstep = Lockstep([trace(make(seed)[0]) for seed in SEEDS])
    are_weights = [of_seeds[0].value().shape.rank == 1 for of_seeds in lockstep.variables]
    outputs, variables = lockstep.stacked_after([False], are_weights)
    assert outputs == [True, True, True, True, True, True, True, True, False]
    assert variables == are_weights


def test_what_is_equal_in_all_seeds_stays_one_tensor():
    lockstep = Lockstep([trace(make(5)[0]) for _ in range(2)])
    outputs, variables = lockstep.stacked_after([False], [False, False])
    assert not any(outputs) and not any(variables)


def test_traces_must_be_alike():
    functions = [tf.function(lambda value: value + 1.0), tf.function(lambda value: value * 2.0)]
    with pytest.raises(ValueError) as caught:
        Lockstep([trace(function) for function in functions])
    assert str(caught.value) == (
        "Seeds side by side must take the same steps, of pure operations. Received: a step of seed number 1"
        " with 'Mul' where it is 'AddV2' in that of the first seed"
    )


def test_constants_within_loops_must_be_alike():
    def make_loop(number):
        return tf.function(
            lambda value: tf.while_loop(lambda each: each < 9.0, lambda each: each + number, [value])[0],
            autograph=False,
        )

    with pytest.raises(ValueError) as caught:
        Lockstep([trace(make_loop(number)) for number in (1.0, 2.0)]).stacked_after([False], [])
    assert str(caught.value) == (
        "Seeds side by side must take the same steps, of pure operations. Received: a step of seed number 1"
        " with another 'Const' than that of the first seed"
    )
