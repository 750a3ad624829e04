"""A matrix as an operator, for tests."""

import numpy as np


class _Matrix:
    """Keeps the vectors that it multiplied: `columns`, each `[n]`, and the shape of each call, `calls`."""

    def __init__(self, matrix, dtype="float64"):
        self.matrix = np.asarray(matrix, dtype)
        self.shape, self.dtype = self.matrix.shape, self.matrix.dtype
        self.columns, self.calls = [], []


class DenseOperator(_Matrix):
    """With `matvec` only."""

    def matvec(self, vector):
        vector = np.asarray(vector)
        self.calls.append(vector.shape)
        self.columns.append(vector.copy())
        return self.matrix @ vector


class BlockOperator(_Matrix):
    """With `matmat` only."""

    def matmat(self, vectors):
        vectors = np.asarray(vectors)
        self.calls.append(vectors.shape)
        self.columns.extend(vectors.T)
        return self.matrix @ vectors


def with_eigenvalues(values, kind: type[_Matrix] = DenseOperator, dtype="float64", seed=0):
    """A symmetric operator with these eigenvalues and random eigenvectors."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return kind((rotation * values) @ rotation.T, dtype)


def broken_at(column, value, matrix):
    """An operator whose product number `column`, from 1, holds `value`."""

    class Broken(DenseOperator):
        def matvec(self, vector):
            product = super().matvec(vector)
            if len(self.columns) == column:
                product[1] = value
            return product

    return Broken(matrix)
