"""Adam with a count of steps for each entry, of which a reset of units zeroes some."""

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import SHAPES, assert_within, gradients, train
from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import UnitReset
from tfplastic.networks import mlp
from tfplastic.optimizers import PureAdam, adam, slots
from tfplastic.seeds import derive

# Entries of the problem's weights that are reset after some steps; (step, masks).
RESETS = {
    4: [np.eye(3, 4, dtype=bool), np.array([1, 0, 0, 1, 0], bool)],
    11: [np.ones((3, 4), bool), np.array([0, 0, 0, 1, 0], bool)],
}


def reference(steps, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-4, bias_correction="means"):
    """AdamGnT of shibhansh/loss-of-plasticity: each entry has m, v and t of its own."""
    weights, mean, square, count = ([np.zeros(shape) for shape in SHAPES] for _ in range(4))
    for t, step in enumerate(steps):
        for i, g in enumerate(np.asarray(each, np.float64) for each in step):
            count[i] += 1
            mean[i] = beta_1 * mean[i] + (1 - beta_1) * g
            square[i] = beta_2 * square[i] + (1 - beta_2) * g**2
            of_mean, of_square = 1 - beta_1 ** count[i], 1 - beta_2 ** count[i]
            if bias_correction == "means":
                update = mean[i] / of_mean / (np.sqrt(square[i] / of_square) + epsilon)
            else:
                update = np.sqrt(of_square) / of_mean * mean[i] / (np.sqrt(square[i]) + epsilon)
            weights[i] -= learning_rate * update
        for i, mask in enumerate(RESETS.get(t, [])):
            for kept in (mean, square, count):
                kept[i][mask] = 0
    return weights


@pytest.mark.parametrize("bias_correction", ["means", "step_size"])
def test_entries_that_are_reset_count_again_from_one(bias_correction):
    settings = {"learning_rate": 0.01, "epsilon": 1e-4, "bias_correction": bias_correction}
    optimizer, steps = adam(per_entry_steps=True, **settings), list(gradients(20))
    variables = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    for t, step in enumerate(steps):
        train(optimizer, [step], variables)
        for variable, mask in zip(variables, RESETS.get(t, []), strict=t in RESETS):
            for slot in slots(optimizer, variable).values():
                slot.assign(tf.where(mask, 0.0, slot))
    assert_within(variables, reference(steps, **settings))


def test_the_first_update_after_a_reset_depends_on_the_new_gradient_alone():
    weight = tf.Variable([0.0, 0.0])
    optimizer = adam(0.1, epsilon=1e-8, bias_correction="means", per_entry_steps=True)
    for _ in range(50):
        optimizer.apply_gradients([(tf.constant([5.0, 5.0]), weight)])
    for slot in slots(optimizer, weight).values():
        slot.assign(tf.where([True, False], 0.0, slot))
    before = weight.numpy()
    optimizer.apply_gradients([(tf.constant([-1e-3, 5.0]), weight)])
    # The first entry takes the first step of a new Adam, lr against the sign; the second goes as before.
    np.testing.assert_allclose(weight - before, [0.1, -0.1], rtol=1e-4)
    np.testing.assert_array_equal(slots(optimizer, weight)["steps"], [1, 51])


def test_a_reset_of_units_reaches_the_counts():
    model = mlp(1, (2,), input_shape=(3,))
    optimizer = adam(per_entry_steps=True)
    optimizer.build(model.trainable_variables)
    for _ in range(3):
        optimizer.apply_gradients([(tf.ones_like(each), each) for each in model.trainable_variables])
    reset = UnitReset(model, UnitMap(model))
    reset.reset({"hidden1": tf.constant([True, False])}, lambda v: slots(optimizer, v), derive(0, "reset"))
    counts = [slots(optimizer, each)["steps"].numpy().tolist() for each in model.trainable_variables]
    assert counts == [[[0, 3]] * 3, [0, 3], [[0], [3]], [3]]


def test_counts_are_exact_in_16_bits():
    optimizer, parameters = PureAdam(learning_rate=0.1, per_entry_steps=True), [tf.ones(1, tf.bfloat16)]
    state = optimizer.init(parameters)
    state = state._replace(slots={**state.slots, "steps": [tf.constant([300.0])]})
    _, state = optimizer.update(parameters, state, parameters)
    assert state.slots["steps"][0].numpy().tolist() == [301]
