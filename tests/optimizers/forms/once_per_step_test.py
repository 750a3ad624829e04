"""The constants of a step are those of the step, however many steps and branches a program has."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.optimizers import adam


def three_steps(optimizer, variables):
    """One step of each variable, and one of both of which the second is in a branch."""
    one, other = variables
    optimizer.apply_gradients([(tf.constant([1.0]), one)])
    optimizer.apply_gradients([(tf.constant([1.0]), other)])
    optimizer.apply_gradients([(tf.constant([0.5]), one), (tf.constant([0.5]), other)])
    return tf.constant(True)


@pytest.mark.parametrize("branches", [False, True])
def test_two_steps_of_a_program_have_constants_of_their_own(branches):
    values = []
    for is_compiled in (False, True):
        optimizer, variables = adam(0.1), [tf.Variable([0.0]), tf.Variable([0.0])]
        optimizer.build(variables)

        def steps(optimizer=optimizer, variables=variables):
            if not branches:
                return three_steps(optimizer, variables)
            other = lambda: tf.constant(False)  # noqa: E731
            return tf.cond(variables[0][0] < 1, lambda: three_steps(optimizer, variables), other)

        (tf.function(steps, autograph=False) if is_compiled else steps)()
        assert optimizer.iterations.numpy() == 3
        values.append([each.numpy() for each in variables])
    np.testing.assert_array_equal(*values)
    # By float64: m and v of both; one has steps 1 and 3, the other 2 and 3.
    for (value,), places in zip(values[0], ((1, 3), (2, 3)), strict=True):
        mean = square = position = 0.0
        for place, gradient in zip(places, (1.0, 0.5), strict=True):
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            size = 0.1 * np.sqrt(1 - 0.999**place) / (1 - 0.9**place)
            position -= size * mean / (np.sqrt(square) + 0.01 / 32)
        np.testing.assert_allclose(value, position, rtol=1e-5)
