"""A function of several networks at once against the function of each alone."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.probing._training.batched_trace import BatchedTrace, Value, as_stacked

NUM_NETWORKS = 3


@pytest.fixture(scope="module")
def made():
    """A function of a scalar with all that is special: constants, captures, variables, branches, draws."""
    count = tf.Variable(0, dtype=tf.int64)
    weight = tf.Variable([1.0, -2.0])
    captured = tf.constant(np.random.default_rng(1).normal(size=[200]).astype(np.float32))

    @tf.function(autograph=False)
    def inner(value):
        return value * 2 + captured[0]

    @tf.function(autograph=False)
    def function(value):
        count.assign_add(1)

        def add():
            weight.assign_add([value, value])  # an assignment in a branch that all networks take or not
            return weight + 1.0, tf.constant(7)

        shared = tf.cond(count % 2 == 0, add, lambda: (tf.zeros([2]), tf.constant(0)))
        own = tf.cond(weight[0] > 2.5, lambda: weight * 2.0, lambda: inner(weight))
        draws = tf.random.stateless_uniform([3], [5, 7], alg="philox")
        key = tf.stack([tf.cast(weight[0] > 0.0, tf.int32), 7])
        own_draws = tf.random.stateless_uniform([3], key, alg="philox")
        weight.assign_sub(own * 0.125)
        places = tf.reshape(tf.cast(count % 2, tf.int64), [1, 1])
        memory = tf.tensor_scatter_nd_update(weight, places, draws[:1])
        folded = tf.foldl(lambda total, each: total / 2 + each, captured[:4])  # a loop over a list
        own_folded = tf.foldl(lambda total, each: total / 2 + each, weight)
        return (
            shared,
            own,
            draws,
            own_draws,
            memory,
            folded,
            own_folded,
            tf.nn.l2_loss(weight),
            weight + 0.0,
            tf.cast(count, tf.float32),
        )

    trace = function.get_concrete_function(tf.TensorSpec([], tf.float32))
    return function, trace, count, weight


@pytest.fixture(scope="module")
def batched(made):
    return BatchedTrace(made[1], NUM_NETWORKS)


def are_weights(batched):
    return [variable.value().shape.rank == 1 for variable in batched.variables]  # the weight, not the count


@pytest.mark.parametrize("jit_compile", [None, True])
def test_equals_each_function_alone(made, batched, jit_compile):
    function, _, count, weight = made
    # Draws by a key that is no constant are others under XLA than in the graph.
    alone = tf.function(function, autograph=False, jit_compile=jit_compile)
    are_stacked = are_weights(batched)
    assert sorted(are_stacked) == [False, True]

    @tf.function(autograph=False, jit_compile=jit_compile)
    def side_by_side(value, variables):
        given = [Value(*each) for each in zip(are_stacked, variables, strict=True)]
        outputs, after = batched([Value(False, value)], given)
        return [as_stacked(each, NUM_NETWORKS) for each in outputs], [each.tensor for each in after]

    beginnings = [np.array([1.0 * number, -2.0], np.float32) for number in (1, 2, 3)]
    values = [
        tf.constant(np.stack(beginnings)) if is_stacked else tf.constant(0, tf.int64)
        for is_stacked in are_stacked
    ]
    inputs = [tf.constant(each) for each in (1.0, 2.0, 3.0, 4.0)]
    found = []
    for value in inputs:
        outputs, values = side_by_side(value, values)
        found.append(outputs)
    for number, beginning in enumerate(beginnings):
        count.assign(0)
        weight.assign(beginning)
        for value, outputs in zip(inputs, found, strict=True):
            expected = tf.nest.flatten(alone(value))
            for one, other in zip(outputs, expected, strict=True):
                np.testing.assert_allclose(one[number], other, rtol=1e-6)
        last_count, last_weight = values if are_stacked[1] else values[::-1]
        assert int(last_count) == int(count) == 4
        np.testing.assert_allclose(last_weight[number], weight, rtol=1e-6)


def test_knows_what_differs_between_networks(batched):
    outputs, variables = batched.stacked_after([False], are_weights(batched))
    # Not so the second output of the shared branch, draws by a constant key, the captured sum and the count.
    assert outputs == [True, False, True, False, True, True, False, True, True, True, False]
    assert variables == are_weights(batched)


def test_what_is_equal_in_all_networks_stays_one_tensor(batched):
    outputs, variables = batched.stacked_after([False], [False, False])
    assert not any(outputs) and not any(variables)


def test_an_effect_that_is_not_on_variables_is_refused():
    function = tf.function(lambda value: value + tf.random.uniform([]), autograph=False)
    batched = BatchedTrace(function.get_concrete_function(tf.TensorSpec([], tf.float32)), 2)
    with pytest.raises(ValueError) as caught:
        batched.stacked_after([True], [])
    assert str(caught.value) == (
        "Targets side by side must take steps of pure operations. Received: the operation 'RandomUniform'"
    )
