"""google/spectral-density's TensorFlow 2 part in curvature.py, from a copy of its repository.

It needs TensorFlow and so runs in this library's environment. It is slow (it traces for each product and
keeps its basis in float64), so that the driver asks for fewer steps.
"""

import importlib
import sys
import types
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.curvature_blocks import Contender, ritz, serve, settings
from benchmarks.curvature_problem import Problem
from benchmarks.tfplastic_curvature import loss_function, network


class SpectralDensity(Contender):
    """Its `approximate_hessian`, with full reorthogonalization in float64."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        sys.path.insert(0, f"{settings()['path']}/tf2")
        self._lanczos = importlib.import_module("lanczos_algorithm")
        model, loss = network(problem), loss_function(problem)
        # It knows nothing of Keras 3, whose variables are no `tf.Variable`s.
        variables = [each.value for each in model.trainable_variables]
        self._model = types.SimpleNamespace(trainable_variables=variables)
        self._loss = lambda _, batch: loss(model(batch[0]), batch[1])
        self._data = tf.data.Dataset.from_tensors((problem.x, problem.y))
        self._start: np.ndarray | None = None

    def from_native(self, vector: Any) -> np.ndarray:
        return np.array(vector)

    def start(self) -> np.ndarray | None:
        return self._start

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        basis, tridiagonal = self._lanczos.approximate_hessian(self._model, self._loss, self._data, num_steps)
        self._start, matrix = basis[:, 0].numpy(), tridiagonal.numpy()
        return ritz(np.diag(matrix), np.diag(matrix, 1))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(SpectralDensity, ("tensorflow", "keras", "numpy"))
