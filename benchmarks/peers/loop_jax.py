"""JAX in train_loop.py: `lax.scan` over gradient steps in one jitted program, Adam written out.

The driver starts it, in the peers' environment; `loop_blocks.py` says how they talk.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.loop_blocks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    NUM_CLASSES,
    Problem,
    TakeSteps,
    data,
    serve,
)

_STEPS_PER_CALL = 100


def _initial_weights(problem: Problem, image_shape: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    generator = np.random.default_rng(0)

    def layer(*shape: int) -> tuple[jax.Array, jax.Array]:
        kernel = generator.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        return jnp.asarray(kernel, jnp.float32), jnp.zeros(shape[-1])

    height, width, channels = image_shape
    layers = []
    for filters in problem.filters:
        layers.append(layer(3, 3, channels, filters))
        height, width, channels = -(-height // 2), -(-width // 2), filters
    units = [height * width * channels, *problem.hidden, NUM_CLASSES]
    return layers + [layer(*sizes) for sizes in zip(units[:-1], units[1:], strict=True)]


def _logits(weights: Any, x: jax.Array) -> jax.Array:
    for index, (kernel, bias) in enumerate(weights):
        if kernel.ndim == 4:
            names = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=names) + bias
        else:
            x = x.reshape(len(x), -1) @ kernel + bias
        if index < len(weights) - 1:
            x = jax.nn.relu(x)
    return x


def _loss(weights: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy and accuracy."""
    logits = _logits(weights, x)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return losses.mean(), (logits.argmax(axis=1) == y).mean()


def _adam(gradients: Any, weights: Any, mean: Any, square: Any, step: jax.Array) -> tuple[Any, Any, Any]:
    mean = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, mean, gradients)
    square = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, square, gradients)
    rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), weights, mean, square)
    return weights, mean, square


def make(problem: Problem) -> TakeSteps:
    """Gradient steps of a problem."""
    images, labels = map(jnp.asarray, data())

    def body(carry: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        weights, mean, square, step = carry
        indices = jax.random.randint(key, [problem.batch_size], 0, len(images))
        batch = images[indices], labels[indices]
        (loss, accuracy), gradients = jax.value_and_grad(_loss, has_aux=True)(weights, *batch)
        weights, mean, square = _adam(gradients, weights, mean, square, step + 1.0)
        return (weights, mean, square, step + 1), (loss, accuracy)

    @functools.partial(jax.jit, donate_argnums=0)
    def call(carry: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        carry, (losses, accuracies) = jax.lax.scan(body, carry, jax.random.split(key, _STEPS_PER_CALL))
        return carry, (losses.mean(), accuracies.mean())

    weights = _initial_weights(problem, images.shape[1:])
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    carry, key = (weights, zeros(weights), zeros(weights), jnp.zeros((), jnp.int32)), jax.random.key(0)

    def take_steps(count: int) -> None:
        nonlocal carry, key
        for _ in range(count // _STEPS_PER_CALL):
            key, own = jax.random.split(key)
            carry, reported = call(carry, own)
            jax.block_until_ready(reported)

    return take_steps


if __name__ == "__main__":
    serve(make, ("jax", "jaxlib", "numpy"))
