import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.optimizers import centered_rmsprop

SHAPES = [(3, 4), (5,)]


def gradients(num_steps, seed=0):
    """As they are in training: of many sizes, some near zero, now and then all of them zero."""
    generator = np.random.default_rng(seed)
    for step in range(num_steps):
        scale = 0.0 if step % 10 == 9 else 10.0 ** generator.uniform(-4, 0)
        yield [(scale * generator.normal(size=shape)).astype(np.float32) for shape in SHAPES]


def reference(steps, learning_rate=2.5e-4, decay=0.95, epsilon=0.01 / 32**2):
    """Centred RMSProp in float64: Graves 2013 (Generating sequences), section 4.2."""
    weights = [np.zeros(shape) for shape in SHAPES]
    mean, square = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    for step in steps:
        for i, g in enumerate(array.astype(np.float64) for array in step):
            mean[i] = decay * mean[i] + (1 - decay) * g
            square[i] = decay * square[i] + (1 - decay) * g**2
            weights[i] -= learning_rate * g / np.sqrt(square[i] - mean[i] ** 2 + epsilon)
    return weights


def train(optimizer, steps, variables=None):
    variables = variables or [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    for step in steps:
        optimizer.apply_gradients(zip(map(tf.constant, step), variables, strict=True))
    return variables


@pytest.mark.parametrize(
    "settings",
    [{}, {"learning_rate": 0.01}, {"decay": 0.5}, {"epsilon": 1e-3}],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    actual, expected = (
        train(centered_rmsprop(**settings), gradients(100)),
        reference(gradients(100), **settings),
    )
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


def test_the_first_step_has_epsilon_inside_the_root():
    # g = 0.02: mean 0.001, mean square 0.00002, so 0.02 / sqrt(0.00002 - 0.000001 + 0.0001) = 1.833397.
    weight = tf.Variable([1.0])
    centered_rmsprop(1.0, 0.95, 1e-4).apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [1 - 1.8333969], rtol=1e-5)


def test_the_defaults_are_those_of_the_source():
    optimizer = centered_rmsprop()
    assert float(optimizer.learning_rate) == np.float32(2.5e-4)
    assert (optimizer.rho, optimizer.epsilon, optimizer.centered) == (0.95, 0.01 / 1024, True)


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    steps = list(gradients(20))
    expected = train(centered_rmsprop(), steps)

    first = centered_rmsprop()
    variables = train(first, steps[:10])
    path = tf.train.Checkpoint(optimizer=first, variables=variables).write(str(tmp_path / "checkpoint"))
    second, again = centered_rmsprop(), [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    second.build(again)
    tf.train.Checkpoint(optimizer=second, variables=again).read(path).assert_consumed()
    for one, other in zip(train(second, steps[10:], again), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be a finite number above 0. Received: 0"),
        ({"decay": 1.1}, "`decay` must be a number in [0, 1]. Received: 1.1"),
        ({"epsilon": -1e-3}, "`epsilon` must be a finite number above 0. Received: -0.001"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        centered_rmsprop(**arguments)
