"""Streams of gradients, training by them, and the optimizers in float64."""

import numpy as np
import tensorflow as tf

SHAPES = [(3, 4), (5,)]


def gradients(num_steps, seed=0, shapes=SHAPES):
    """Gradients like those of training: of many sizes, some near zero, now and then all of them zero."""
    generator = np.random.default_rng(seed)
    for step in range(num_steps):
        scale = 0.0 if step % 10 == 9 else 10.0 ** generator.uniform(-4, 0)
        yield [(scale * generator.normal(size=shape)).astype(np.float32) for shape in shapes]


def train(optimizer, steps, variables=None):
    """The variables after the steps of a Keras optimizer, from zero if none are given."""
    variables = variables or [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    optimizer.build(variables)

    @tf.function(autograph=False)
    def apply(step):
        optimizer.apply_gradients(zip(step, variables, strict=True))

    for step in steps:
        apply([tf.constant(gradient) for gradient in step])
    return variables


def assert_goes_on_from_a_checkpoint(make, folder):
    """Ten steps, a checkpoint and ten more by another optimizer of `make` leave the bits of twenty steps."""
    steps = list(gradients(20))
    expected = train(make(), steps)
    first, second = make(), make()
    variables = train(first, steps[:10])
    path = tf.train.Checkpoint(optimizer=first, variables=variables).write(str(folder / "checkpoint"))
    again = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]
    second.build(again)
    tf.train.Checkpoint(optimizer=second, variables=again).read(path).assert_consumed()
    for one, other in zip(train(second, steps[10:], again), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def train_pure(optimizer, steps, jit_compile=False):
    """The parameters and the state after the steps of a pure optimizer, which are one `tf.while_loop`."""
    stacked = [tf.constant(np.stack(arrays)) for arrays in zip(*steps, strict=True)]

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run():
        def body(step, parameters, state):
            return step + 1, *optimizer.update([array[step] for array in stacked], state, parameters)

        parameters = [tf.zeros(shape) for shape in SHAPES]
        start = (0, parameters, optimizer.init(parameters))
        return tf.while_loop(lambda step, *_: step < len(stacked[0]), body, start)[1:]

    return run()


def clipped(step, max_norm):
    """The gradients of a step in float64, scaled down to a global norm of at most `max_norm`."""
    step = [array.astype(np.float64) for array in step]
    norm = np.sqrt(sum((array**2).sum() for array in step))
    return [array * min(1.0, max_norm / norm) for array in step] if norm else step


def adam_reference(
    steps,
    learning_rate=2.5e-4,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=0.01 / 32,
    epsilon_root=0.0,
    bias_correction="step_size",
    max_gradient_norm=np.inf,
    weight_decay=0.0,
    decay_vectors=True,
    per_entry_steps=False,  # which differ after resets of entries only
    shapes=SHAPES,
):
    """Kingma and Ba 2015: Algorithm 1 with a second epsilon, or the other form in section 2; and AdamW."""
    weights, mean, square = ([np.zeros(shape) for shape in shapes] for _ in range(3))
    for t, step in enumerate(steps, start=1):
        for i, g in enumerate(clipped(step, max_gradient_norm)):
            if decay_vectors or weights[i].ndim > 1:
                weights[i] *= 1 - learning_rate * weight_decay
            mean[i] = beta_1 * mean[i] + (1 - beta_1) * g
            square[i] = beta_2 * square[i] + (1 - beta_2) * g**2
            if bias_correction == "means":
                mean_hat, square_hat = mean[i] / (1 - beta_1**t), square[i] / (1 - beta_2**t)
                weights[i] -= learning_rate * mean_hat / (np.sqrt(square_hat + epsilon_root) + epsilon)
            else:
                rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
                weights[i] -= rate * mean[i] / (np.sqrt(square[i] + epsilon_root) + epsilon)
    return weights


def rmsprop_reference(
    steps,
    learning_rate=2.5e-4,
    decay=0.95,
    epsilon=0.01 / 32**2,
    outer_epsilon=0.0,
    max_gradient_norm=np.inf,
    shapes=SHAPES,
):
    """Centered RMSProp: Graves 2013 (Generating sequences), section 4.2; PyTorch's with the outer epsilon."""
    weights, mean, square = ([np.zeros(shape) for shape in shapes] for _ in range(3))
    for step in steps:
        for i, g in enumerate(clipped(step, max_gradient_norm)):
            mean[i] = decay * mean[i] + (1 - decay) * g
            square[i] = decay * square[i] + (1 - decay) * g**2
            root = np.sqrt(square[i] - mean[i] ** 2 + epsilon)
            weights[i] -= learning_rate * g / (root + outer_epsilon)
    return weights


def sgd_reference(steps, learning_rate=1e-3, momentum=0.0, max_gradient_norm=np.inf, shapes=SHAPES):
    """Gradient descent with the momentum of Polyak 1964, the learning rate inside the increment."""
    weights, increment = ([np.zeros(shape) for shape in shapes] for _ in range(2))
    for step in steps:
        for i, g in enumerate(clipped(step, max_gradient_norm)):
            increment[i] = momentum * increment[i] - learning_rate * g
            weights[i] += increment[i]
    return weights


def assert_within(actual, expected, tolerance=1e-6):
    """Every difference is at most `tolerance` of the largest value."""
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
