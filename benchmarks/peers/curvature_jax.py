"""JAX in curvature.py: jitted forward over reverse, its `vmap` or `lax.map`, and loops around it.

The driver starts it, in the peers' environment; `curvature_blocks.py` says how they talk.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.curvature_blocks import Contender, ritz, serve, settings
from benchmarks.curvature_problem import CONVOLUTION_STRIDES, Problem
from benchmarks.peers.curvature_arpack import largest


def _loss(weights: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    strides = iter(CONVOLUTION_STRIDES)
    for index, (kernel, bias) in enumerate(layers):
        if kernel.ndim == 4:
            stride = (next(strides),) * 2
            names = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, stride, "VALID", dimension_numbers=names) + bias
        else:
            x = x.reshape(len(x), -1) @ kernel + bias
        if index < len(layers) - 1:
            x = jax.nn.relu(x)
    if jnp.issubdtype(y.dtype, jnp.integer):
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()
    return jnp.square(x - y).mean()


class Jax(Contender):
    """Everything jitted; weights and data are arguments of the programs, not constants in them."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        flat, unravel = ravel_pytree([jnp.asarray(weight) for weight in problem.weights])
        self._arguments = flat, jnp.asarray(problem.x), jnp.asarray(problem.y)

        def loss(flat: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            return _loss(unravel(flat), x, y)

        def product(flat: jax.Array, x: jax.Array, y: jax.Array, vector: jax.Array) -> jax.Array:
            return jax.jvp(lambda flat: jax.grad(loss)(flat, x, y), (flat,), (vector,))[1]

        def products(flat: jax.Array, x: jax.Array, y: jax.Array, block: jax.Array) -> jax.Array:
            one = lambda vector: product(flat, x, y, vector)  # noqa: E731
            return jax.lax.map(one, block) if settings()["map"] else jax.vmap(one)(block)

        def step(data: Any, vector: jax.Array, previous: jax.Array, beta: jax.Array) -> Any:
            rest = product(*data, vector) - beta * previous
            alpha = rest @ vector
            rest = rest - alpha * vector
            beta = jnp.linalg.norm(rest)
            return rest / beta, alpha, beta

        self._gradient, self._product = jax.jit(jax.grad(loss)), jax.jit(product)
        self._products, self._step = jax.jit(products), jax.jit(step)
        self._start = jax.random.normal(jax.random.key(0), [problem.size])

    def to_native(self, vector: np.ndarray) -> jax.Array:
        return jnp.asarray(vector)

    def from_native(self, vector: Any) -> np.ndarray:
        return np.asarray(vector)

    def block(self, vectors: list[Any]) -> jax.Array:
        return jnp.stack(vectors)

    def last(self, block: Any) -> jax.Array:
        return block[-1]

    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)

    def task(self, name: str, num_steps: int) -> Any:
        return None if settings()["map"] and not name.startswith("matmat_") else super().task(name, num_steps)

    def gradient(self) -> jax.Array:
        return self._gradient(*self._arguments)

    def hvp(self) -> jax.Array:
        return self._product(*self._arguments, self.vector)

    def matmat(self, block: jax.Array) -> jax.Array:
        return self._products(*self._arguments, block)

    def start(self) -> jax.Array:
        return self._start

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Lanczos without reorthogonalization.

        A step is a program, not the whole loop: in XLA's loops convolutions are slow on CPUs.
        """
        vector, previous = self._start / jnp.linalg.norm(self._start), jnp.zeros_like(self._start)
        coefficients = [(0.0, jnp.zeros(()))]
        for _ in range(num_steps):
            following, *new = self._step(self._arguments, vector, previous, coefficients[-1][1])
            previous, vector = vector, following
            coefficients.append(tuple(new))
        alpha, beta = np.array(coefficients[1:], float).T
        return ritz(alpha, beta[:-1])

    def top(self) -> Any:
        return largest(
            self.problem.size,
            lambda vector: np.asarray(self._product(*self._arguments, jnp.asarray(vector.ravel()))),
        )


if __name__ == "__main__":
    jax.config.update("jax_default_matmul_precision", "float32")
    if settings()["device"] == "gpu" and jax.default_backend() != "gpu":
        raise SystemExit("JAX finds no GPU")
    serve(Jax, ("jax", "jaxlib", "numpy", "scipy"))
