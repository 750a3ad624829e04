"""JAX in probe.py: `lax.scan` over gradient steps of one target, or of all targets under `vmap`.

The driver starts it, in the peers' environment; `loop_blocks.py` says how they talk.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.loop_blocks import Problem, TakeSteps, serve
from benchmarks.peers.loop_jax import _adam, _initial_weights, _logits
from benchmarks.probe_problems import NUM_TARGETS, PROBLEMS, STEPS, probe_data


def _loss(weights: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(_logits(weights, x) - y))


def make(problem: Problem, vmap: bool = False) -> TakeSteps:
    """Gradient steps, counted over all targets.

    Args:
        problem: the problem to train.
        vmap: whether all targets are trained at once.
    """
    images, targets = map(jnp.asarray, probe_data())

    def fit(carry: Any, targets: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
        def body(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            weights, mean, square, step = carry
            places = jax.random.randint(key, [problem.batch_size], 0, len(images))
            loss, gradients = jax.value_and_grad(_loss)(weights, images[places], targets[places])
            weights, mean, square = _adam(gradients, weights, mean, square, step + 1.0)
            return (weights, mean, square, step + 1), loss

        return jax.lax.scan(body, carry, jax.random.split(key, STEPS))

    weights = _initial_weights(problem, images.shape[1:])
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    carry = (weights, zeros(weights), zeros(weights), jnp.zeros((), jnp.int32))
    key = jax.random.key(0)
    if vmap:
        fit = jax.vmap(fit)
        carry = jax.tree.map(lambda each: jnp.stack([each] * NUM_TARGETS), carry)
        key = jax.random.split(key, NUM_TARGETS)
    call = jax.jit(fit, donate_argnums=0)
    steps_of_call = STEPS * (NUM_TARGETS if vmap else 1)

    def take_steps(count: int) -> None:
        nonlocal carry
        for _ in range(count // steps_of_call):
            carry, losses = call(carry, targets if vmap else targets[0], key)
            jax.block_until_ready(losses)

    return take_steps


if __name__ == "__main__":
    serve(make, ("jax", "jaxlib", "numpy"), PROBLEMS)
