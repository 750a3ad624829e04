"""Matrix-free linear algebra of functions of `tf.Variable`s. Knows nothing of plasticity.

Works on everything that a `tf.GradientTape` can differentiate twice: models of Keras 2 and Keras 3, even in
one process, TF-Agents networks and plain functions.
"""

from tfplastic import _renames
from tfplastic.linalg.diagonal import diagonal
from tfplastic.linalg.eigsh import Eigen, eigsh
from tfplastic.linalg.estimate import Estimate
from tfplastic.linalg.flatten import flatten, unflatten
from tfplastic.linalg.lanczos import NonFiniteError, Tridiagonal, lanczos
from tfplastic.linalg.norms import Norms, norms
from tfplastic.linalg.operators.empirical_fisher import EmpiricalFisherOperator
from tfplastic.linalg.operators.gauss_newton import GaussNewtonOperator
from tfplastic.linalg.operators.hessian import HessianOperator
from tfplastic.linalg.operators.ntk import NTKOperator
from tfplastic.linalg.operators.operator import Operator
from tfplastic.linalg.spectral_density import SpectralDensity, spectral_density
from tfplastic.linalg.trace import trace

__all__ = [
    "Eigen",
    "EmpiricalFisherOperator",
    "Estimate",
    "GaussNewtonOperator",
    "HessianOperator",
    "NTKOperator",
    "NonFiniteError",
    "Norms",
    "Operator",
    "SpectralDensity",
    "Tridiagonal",
    "diagonal",
    "eigsh",
    "flatten",
    "lanczos",
    "norms",
    "spectral_density",
    "trace",
    "unflatten",
]

__getattr__ = _renames.module_getattr(__name__)
