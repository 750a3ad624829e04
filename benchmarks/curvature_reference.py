"""Ground truth of curvature.py: float64 products, and Lanczos in float64 with full reorthogonalization.

Its operator is the library's, with float64 weights; its Lanczos is a plain loop that shares no code with it.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.curvature_blocks import ritz, serve
from benchmarks.curvature_problem import Problem
from benchmarks.tfplastic_curvature import hessian


class Reference:
    """Judge of the saved results of contenders.

    Args:
        problem: problem of the Hessian.
        vectors: vectors that contenders multiplied.
    """

    def __init__(self, problem: Problem, vectors: np.ndarray):
        self._operator = hessian(problem, "float64")
        self._vectors = vectors
        self._products: dict[int, np.ndarray] = {}
        self._runs: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def answer(self, kind: str, **request: Any) -> dict[str, Any]:
        """One of the judgements below."""
        return getattr(self, kind)(**request)

    def product(self, path: str, index: int) -> dict[str, float]:
        """Error of a product with vector `index`, relative to its norm."""
        if index not in self._products:
            self._products[index] = self._multiply(self._vectors[index])
        true = self._products[index]
        with np.load(path) as saved:
            return {"product": float(np.linalg.norm(saved["product"] - true) / np.linalg.norm(true))}

    def density(self, path: str) -> dict[str, float]:
        """Largest deviation of nodes, relative to the largest of them, and of weights, sorted by node."""
        with np.load(path) as saved:
            if "start" not in saved:
                return {}
            order = np.argsort(saved["nodes"])
            nodes, weights = saved["nodes"][order].astype(float), saved["weights"][order].astype(float)
            true_nodes, true_weights = self._lanczos(saved["start"].astype(float), len(nodes))
        return {
            "nodes": float(np.abs(nodes - true_nodes).max() / np.abs(true_nodes).max()),
            "weights": float(np.abs(weights - true_weights).max()),
        }

    def top(self, path: str, num_steps: int) -> dict[str, Any]:
        """Eigenvalues, their deviation from a Lanczos run's, and residuals, one product each.

        Deviations are relative to each true eigenvalue, residuals |H v - theta v| / |v| to each |theta|.
        """
        with np.load(path) as saved:
            order = np.argsort(saved["values"])[::-1]
            values, vectors = saved["values"][order].astype(float), saved["vectors"][order].astype(float)
        start = np.random.default_rng(2).standard_normal(self._operator.shape[0])
        true = self._lanczos(start, num_steps)[0][::-1][: len(values)]
        residuals = [
            np.linalg.norm(self._multiply(vector) - value * vector) / np.linalg.norm(vector) / abs(value)
            for value, vector in zip(values, vectors, strict=True)
        ]
        deviations = np.abs(values - true) / np.abs(true)
        return {
            "values": values.tolist(),
            "true": true.tolist(),
            "deviation": float(deviations.max()),
            "residual": float(max(residuals)),
        }

    def _multiply(self, vector: np.ndarray) -> np.ndarray:
        return np.array(self._operator.matvec(vector.astype(float)))

    def _lanczos(self, start: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights, nodes ascending."""
        key = start.tobytes() + bytes([num_steps])
        if key not in self._runs:
            basis = np.empty((num_steps, len(start)))
            alpha, beta = np.empty(num_steps), np.empty(num_steps)
            vector = start / np.linalg.norm(start)
            for step in range(num_steps):
                basis[step] = vector
                vector = self._multiply(vector)
                alpha[step] = basis[step] @ vector
                for _ in range(2):  # a second time for what rounding left of the first
                    vector -= (basis[: step + 1] @ vector) @ basis[: step + 1]
                beta[step] = np.linalg.norm(vector)
                vector /= beta[step]
            self._runs[key] = ritz(alpha, beta[:-1])
        return self._runs[key]


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve(Reference, ())
