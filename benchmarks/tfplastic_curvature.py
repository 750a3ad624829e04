"""This library's contender in curvature.py.

The driver starts it; `curvature_blocks.py` says how they talk.
"""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from benchmarks.curvature_blocks import NUM_EIGENVALUES, TOLERANCE, Contender, serve, settings
from benchmarks.curvature_problem import CONVOLUTION_STRIDES, Problem
from tfplastic import linalg
from tfplastic._keras import keras, replaced_attribute

_SEED = 0
_MOST_STEPS = 100


def network(problem: Problem, dtype: str = "float32") -> keras.Model:
    """The problem's network in Keras, with its weights."""
    layers: list[Any] = [keras.Input(problem.x.shape[1:], dtype=dtype)]
    kernels = problem.weights[::2]
    dense = [kernel for kernel in kernels if kernel.ndim == 2]
    for kernel, stride in zip(kernels[: -len(dense)], CONVOLUTION_STRIDES, strict=False):
        height, width, _, channels = kernel.shape
        layers.append(keras.layers.Conv2D(channels, (height, width), stride, activation="relu", dtype=dtype))
    layers.append(keras.layers.Flatten(dtype=dtype))
    for kernel in dense:
        activation = None if kernel is kernels[-1] else "relu"
        layers.append(keras.layers.Dense(kernel.shape[1], activation, dtype=dtype))
    model = keras.Sequential(layers)
    model.set_weights(problem.weights)
    return model


def loss_function(problem: Problem) -> Callable[[Any, Any], tf.Tensor]:
    """From outputs and targets to the mean loss."""
    if problem.y.dtype.kind == "i":
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        return lambda outputs, y: tf.reduce_mean(cross_entropy(labels=y, logits=outputs))
    return lambda outputs, y: tf.reduce_mean(tf.square(outputs - y))


def hessian(problem: Problem, dtype: str = "float32") -> linalg.HessianOperator:
    """The operator of the problem's loss."""
    model, loss = network(problem, dtype), loss_function(problem)
    targets = problem.y if problem.y.dtype.kind == "i" else problem.y.astype(dtype)
    x, y = tf.constant(problem.x.astype(dtype)), tf.constant(targets)
    return linalg.HessianOperator(lambda: loss(model(x), y), model.trainable_variables)


class StartRecorder:
    """An operator that keeps the first vector it is multiplied with: the start vector of a density.

    Args:
        operator: operator that gives the products.
    """

    def __init__(self, operator: Any):
        self._operator = operator
        self.shape, self.dtype = operator.shape, operator.dtype
        self.first: np.ndarray | None = None

    def matvec(self, vector: Any) -> Any:
        if self.first is None:
            self.first = np.array(vector)
        return self._operator.matvec(vector)


class Tfplastic(Contender):
    """Through the public functions of `tfplastic.linalg`, on a Keras model."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        self._operator = hessian(problem)
        model, loss = network(problem), loss_function(problem)
        x, y = tf.constant(problem.x), tf.constant(problem.y)
        variables = [variable.value for variable in model.trainable_variables]

        @tf.function
        def gradient() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                value = loss(model(x), y)
            return tape.gradient(value, variables)

        self.gradient = gradient

    def to_native(self, vector: np.ndarray) -> tf.Tensor:
        return tf.constant(vector)

    def from_native(self, vector: Any) -> np.ndarray:
        return np.array(vector)

    def block(self, vectors: list[Any]) -> tf.Tensor:
        return tf.stack(vectors, axis=1)

    def last(self, block: Any) -> tf.Tensor:
        return block[:, -1]

    def wait(self, result: Any) -> None:
        if isinstance(result, list | tf.Tensor):
            tf.reshape(tf.nest.flatten(result)[-1], [-1])[-1].numpy()

    def compiled(self) -> set[str]:
        found = {path.name for path in pathlib.Path(settings()["xla_dump"]).glob("*before_optimizations.txt")}
        eager_context = context.context()
        return found if eager_context is None else found | set(eager_context.list_function_names())

    def keep_nothing(self) -> None:
        self._operator.basis_memory.is_kept = False

    def hvp(self) -> tf.Tensor:
        return self._operator.matvec(self.vector)

    def matmat(self, block: tf.Tensor) -> tf.Tensor:
        return self._operator.matmat(block)

    def lanczos(self, num_steps: int) -> Any:
        return linalg.lanczos(self._operator, num_steps, seed=_SEED, reorthogonalize="none")

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        result = linalg.spectral_density(self._operator, num_steps, num_probes=1, seed=_SEED)
        return result.nodes[0], result.weights[0]

    def start(self) -> np.ndarray:
        recorder = StartRecorder(self._operator)
        linalg.spectral_density(recorder, 2, num_probes=1, seed=_SEED)
        assert recorder.first is not None
        return recorder.first

    def top(self) -> tuple[np.ndarray, list[np.ndarray]]:
        options = {"tol": TOLERANCE, "max_steps": _MOST_STEPS, "seed": _SEED}
        result = linalg.eigsh(self._operator, NUM_EIGENVALUES, "LA", **options)
        return result.values, list(np.array(result.vectors).T)


class Unguarded(Tfplastic):
    """`eigsh` without its guard: Lanczos that stops as soon as the residuals are small, and may skip some."""

    def task(self, name: str, num_steps: int) -> Callable[[], Any] | None:
        return super().task(name, num_steps) if name == "top" else None

    def top(self) -> tuple[np.ndarray, list[np.ndarray]]:
        module = importlib.import_module("tfplastic.linalg.eigsh")
        with replaced_attribute(module, "num_complete", lambda space, values, *_: (len(values), False)):
            return super().top()


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if settings()["device"] == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise SystemExit("TensorFlow finds no GPU")
    serve(Tfplastic if settings()["guard"] else Unguarded, ("tensorflow", "keras", "numpy", "scipy"))


if __name__ == "__main__":
    main()
