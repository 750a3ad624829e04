"""The largest curvature of the loss."""

import gin

from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.linalg import NonFiniteError, eigsh


@gin.register(module="tfplastic.diagnostics")
def sharpness(snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0) -> dict[str, float]:
    """The algebraically largest eigenvalue lambda_1 of the Hessian of the loss over all trainable variables.

    Dear: Hessian-vector products, each about two gradients, until Lanczos converges, some 10 to 50. Where
    `max_steps` are too few the value is a lower bound of lambda_1.

    Args:
        snapshot: of the model, with a loss.
        tol: the eigenpair's relative residual at which to stop, see `linalg.eigsh`.
        max_steps: most products to make.
        seed: of Lanczos' start vector; always the same, so that values along a run are comparable.

    Returns:
        {'all': lambda_1}, of any sign. NaN where a product is NaN or infinite.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 2, Eq. 2.
    """
    try:
        return {"all": float(eigsh(snapshot.hessian, 1, "LA", tol, max_steps, seed).values[0])}
    except NonFiniteError:
        return {"all": float("nan")}
