"""Matrix-free linear algebra of a scalar loss over `tf.Variable`s. Knows nothing of plasticity.

Works on any loss a `tf.GradientTape` can differentiate twice: Keras 2 and Keras 3 models, in one process if
need be, TF-Agents networks, plain functions.
"""

from tfplastic.linalg.eigsh import Eigen, eigsh
from tfplastic.linalg.flatten import flatten, unflatten
from tfplastic.linalg.hessian import HessianOperator
from tfplastic.linalg.lanczos import NonFiniteError, Tridiagonal, lanczos

__all__ = [
    "Eigen",
    "HessianOperator",
    "NonFiniteError",
    "Tridiagonal",
    "eigsh",
    "flatten",
    "lanczos",
    "unflatten",
]
