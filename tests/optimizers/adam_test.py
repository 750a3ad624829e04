import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.optimizers import adam

SHAPES = [(3, 4), (5,)]


def gradients(num_steps, seed=0):
    """As they are in training: of many sizes, some near zero, now and then all of them zero."""
    generator = np.random.default_rng(seed)
    for step in range(num_steps):
        scale = 0.0 if step % 10 == 9 else 10.0 ** generator.uniform(-4, 0)
        yield [(scale * generator.normal(size=shape)).astype(np.float32) for shape in SHAPES]


def clipped(step, max_norm):
    norm = np.sqrt(sum((array**2).sum() for array in step))
    return [array * min(1.0, max_norm / norm) for array in step] if norm else step


def reference(
    steps, learning_rate=2.5e-4, beta_1=0.9, beta_2=0.999, epsilon=0.01 / 32, max_gradient_norm=np.inf
):
    """Adam in float64: Kingma and Ba 2015, section 2, in the form with the corrected step size."""
    weights = [np.zeros(shape) for shape in SHAPES]
    mean, square = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    for t, step in enumerate(steps, start=1):
        rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        for i, g in enumerate(clipped([array.astype(np.float64) for array in step], max_gradient_norm)):
            mean[i] = beta_1 * mean[i] + (1 - beta_1) * g
            square[i] = beta_2 * square[i] + (1 - beta_2) * g**2
            weights[i] -= rate * mean[i] / (np.sqrt(square[i]) + epsilon)
    return weights


def train(optimizer, steps, variables=None):
    variables = variables or [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    for step in steps:
        optimizer.apply_gradients(zip(map(tf.constant, step), variables, strict=True))
    return variables


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"learning_rate": 0.01},
        {"beta_1": 0.0},
        {"beta_2": 0.9},
        {"epsilon": 1e-2},
        {"max_gradient_norm": 0.1},
        {"max_gradient_norm": 10},
    ],
    ids=lambda settings: str(settings),
)
def test_equals_a_float64_transcription_for_a_hundred_steps(settings):
    # float32 rounds 1 - 0.999, whose root corrects the step, by a relative 1.3e-5; all else is within 1e-6.
    actual, expected = train(adam(**settings), gradients(100)), reference(gradients(100), **settings)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


def test_the_first_step_has_epsilon_outside_the_root():
    # g = 0.02: m = 0.002, v = 4e-7, step size sqrt(0.001) / 0.1 = 0.3162278,
    # so 0.3162278 x 0.002 / (0.0006324555 + 0.001) = 0.3874259.
    weight = tf.Variable([1.0])
    adam(1.0, epsilon=1e-3).apply_gradients([(tf.constant([0.02]), weight)])
    np.testing.assert_allclose(weight, [1 - 0.3874259], rtol=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    # (3, 4) has norm 5: clipped to 1 it is (0.6, 0.8), which a learning rate far below epsilon makes visible:
    # the first step is 0.3162278 x 0.1 g / (0.0316228 |g| + epsilon), near linear in g for a large epsilon.
    variables = [tf.Variable([0.0]), tf.Variable([0.0])]
    adam(1.0, epsilon=1e6, max_gradient_norm=1.0).apply_gradients(
        zip([tf.constant([3.0]), tf.constant([4.0])], variables, strict=True)
    )
    np.testing.assert_allclose(variables, [[-0.6 * 3.162278e-8], [-0.8 * 3.162278e-8]], rtol=1e-5)


def test_the_defaults_are_those_of_the_source():
    optimizer = adam()
    assert float(optimizer.learning_rate) == np.float32(2.5e-4)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 0.01 / 32)
    assert optimizer.global_clipnorm is None


def test_goes_on_exactly_from_a_checkpoint(tmp_path):
    steps = list(gradients(20))
    expected = train(adam(max_gradient_norm=1.0), steps)

    first = adam(max_gradient_norm=1.0)
    variables = train(first, steps[:10])
    path = tf.train.Checkpoint(optimizer=first, variables=variables).write(str(tmp_path / "checkpoint"))
    second, again = adam(max_gradient_norm=1.0), [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    second.build(again)
    tf.train.Checkpoint(optimizer=second, variables=again).read(path).assert_consumed()
    for one, other in zip(train(second, steps[10:], again), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": float("nan")}, "`learning_rate` must be a finite number above 0. Received: nan"),
        ({"beta_1": -0.1}, "`beta_1` must be a number in [0, 1]. Received: -0.1"),
        ({"beta_1": 1}, "`beta_1` must be a number in [0, 1). Received: 1"),
        ({"beta_2": 1.0}, "`beta_2` must be a number in [0, 1). Received: 1.0"),
        ({"epsilon": 0}, "`epsilon` must be a finite number above 0. Received: 0"),
        ({"max_gradient_norm": 0.0}, "`max_gradient_norm` must be a finite number above 0. Received: 0.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        adam(**arguments)
