"""The curvature of the loss: eigenvalues, trace and spectrum of its Hessian."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tfplastic import _checks, linalg
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.convergence import note_unconverged
from tfplastic.diagnostics.quantities.shared.preconditioned import PreconditionedOperator, adam_denominators
from tfplastic.diagnostics.quantities.shared.spectrum_quantiles import SpectrumQuantiles
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = [
    "hessian_condition_number",
    "hessian_rank",
    "hessian_spectral_density",
    "hessian_trace",
    "layer_sharpness",
    "preconditioned_sharpness",
    "sharpness",
    "smallest_eigenvalue",
]

Value = TypeVar("Value", float, np.ndarray)

_ENDS = {"LA": "Largest eigenvalue of the Hessian", "SA": "Smallest eigenvalue of the Hessian"}


@quantity("full", group="curvature", needs=("loss",))
def sharpness(snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0) -> dict[str, float]:
    """Returns the largest eigenvalue of the Hessian of the loss over all trainable variables.

    This is the algebraically largest eigenvalue. With too few `max_steps` the value is a lower bound.

    Formula: lambda_1 of H
    Range: any sign
    NaN: where a product with the Hessian is NaN or infinite.
    Cost: Hessian-vector products, each about two gradients, until Lanczos converges, about 10 to 50.

    Args:
        snapshot: snapshot of the model, with a loss.
        tol: the eigenpair's relative residual at which to stop, see `linalg.eigsh`.
        max_steps: most products to make.
        seed: seed of Lanczos' start vector; always the same, so that values along a run are comparable.

    Returns:
        {'all': lambda_1}.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 2, Eq. 2.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[1., 0.], [0., 2.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, loss=lambda targets, outputs: outputs[:, 0] ** 2)
        >>> round(diagnostics.sharpness(snapshot)['all'], 4)  # the Hessian is 2 times the mean of x x^T
        4.0
    """
    return {"all": _extreme(snapshot, "all", "LA", tol, max_steps, seed)}


@quantity("full", group="curvature", needs=("loss",))
def smallest_eigenvalue(
    snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0, by_layer: bool = False
) -> dict[str, float]:
    """Returns the smallest eigenvalue of the Hessian of the loss.

    This is the algebraically smallest eigenvalue, below zero where the loss is not convex. With too few
    `max_steps` the value is an upper bound.

    Formula: lambda_d of H
    Range: any sign
    NaN: where a product with the Hessian is NaN or infinite.
    Cost: that of `sharpness`.

    Args:
        snapshot: snapshot of the model, with a loss.
        tol: see `sharpness`.
        max_steps: most products to make.
        seed: seed of Lanczos' start vector.
        by_layer: whether to add each layer's own Hessian, as in `layer_sharpness`.

    Returns:
        {'all': lambda_d}, and with `by_layer` {layer name: ...} as well.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 2, Eq. 2.
    """
    names = _names(snapshot, by_layer)
    return {name: _extreme(snapshot, name, "SA", tol, max_steps, seed) for name in names}


@quantity("full", group="curvature", needs=("loss",))
def hessian_condition_number(
    snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0, by_layer: bool = False
) -> dict[str, float]:
    """Returns the condition number of the Hessian of the loss, as in the paper.

    Below zero where the loss is not convex, then -1 or above where it curves down more than up. lambda_d
    counts as at least 10 epsilon |lambda_1| in magnitude, below which it is rounding.

    Formula: lambda_1 / lambda_d
    Range: any sign
    NaN: where the Hessian is zero, and where a product with it is NaN or infinite.
    Cost: that of `sharpness` and `smallest_eigenvalue`, which it shares with them if `tol`, `max_steps` and
        `seed` agree.

    Args:
        snapshot: snapshot of the model, with a loss.
        tol: see `sharpness`.
        max_steps: most products to make for each end of the spectrum.
        seed: seed of Lanczos' start vectors.
        by_layer: whether to add each layer's own Hessian, as in `layer_sharpness`.

    Returns:
        {'all': ratio}, and with `by_layer` {layer name: ...} as well.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 2, below Eq. 2.
    """
    ratios = {}
    for name in _names(snapshot, by_layer):
        largest = _extreme(snapshot, name, "LA", tol, max_steps, seed)
        smallest = _extreme(snapshot, name, "SA", tol, max_steps, seed)
        least = 10 * float(np.finfo(_operator(snapshot, name).dtype).eps) * abs(largest)
        smallest = math.copysign(max(abs(smallest), least), smallest)
        ratios[name] = largest / smallest if smallest else math.nan
    return ratios


@quantity("full", group="curvature", needs=("loss",), rules={"tol": _checks.check_non_negative})
def hessian_trace(
    snapshot: Snapshot, tol: float = 0.01, max_products: int = 100, seed: int = 0, by_layer: bool = False
) -> dict[str, float]:
    """Returns the trace of the Hessian of the loss, by `linalg.trace` (Hutch++).

    Formula: tr H = sum_i lambda_i
    Range: any sign
    NaN: where a product with the Hessian is NaN or infinite.
    Cost: up to `max_products` Hessian-vector products, each about two gradients.

    Args:
        snapshot: snapshot of the model, with a loss.
        tol: relative standard error at which to stop, see `linalg.trace`.
        max_products: most products to make. PyHessian makes 100 at most.
        seed: seed of the random vectors.
        by_layer: whether to add each layer's own Hessian, whose traces add up to the whole.

    Returns:
        {'all': trace}, and with `by_layer` {layer name: ...} as well.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Yao et al. 2020, "PyHessian: neural networks through the lens of the Hessian", section 3.
    """

    def trace(name: str) -> float:
        estimate = linalg.trace(_operator(snapshot, name), tol, max_products, seed)
        note_unconverged(snapshot, "Trace of the Hessian", name, estimate.advice)
        return float(estimate.value)

    names = _names(snapshot, by_layer)
    return {name: _unless_not_finite(lambda name=name: trace(name), math.nan) for name in names}


@quantity("full", group="curvature", needs=("loss",))
def hessian_spectral_density(
    snapshot: Snapshot,
    num_steps: int = 90,
    num_probes: int = 1,
    num_points: int = 1000,
    seed: int = 0,
    by_layer: bool = False,
) -> dict[str, np.ndarray]:
    """Returns the spectral density of the Hessian of the loss, as quantiles of its eigenvalues.

    It uses stochastic Lanczos quadrature (`linalg.spectral_density`), for evenly spaced q from 0 to 1. The
    first and the last are the smallest and the largest eigenvalue that Lanczos found, whatever their share.

    Formula: the smallest t with a share of at least q of the eigenvalues up to t
    Range: any sign, ascending
    NaN: where a product with the Hessian is NaN or infinite.
    Cost: `num_steps` times `num_probes` products, each about two gradients.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_steps: steps of each Lanczos run. 90 as in Ghorbani et al. 2019.
        num_probes: random vectors. They take 10; for large models one shows the shape.
        num_points: number of points of the result, at least 2.
        seed: seed of the vectors.
        by_layer: whether to add each layer's own Hessian, as in `layer_sharpness`.

    Returns:
        {'all': `[num_points] float64`, ascending}, and with `by_layer` {layer name: ...} as well. An array
        also has the attribute `arrays`, with `nodes` and `weights`, `[num_probes, m]`, and `size`, which a
        run writes into its array file, so that figures can draw any two spectra as smoothed densities on one
        axis.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Ghorbani, Krishnan and Xiao 2019, "An investigation into neural net optimization via Hessian
        eigenvalue density", which Lyle et al. 2023 (appendix A.1) use.
    """

    def quantiles(name: str) -> np.ndarray:
        density = linalg.spectral_density(_operator(snapshot, name), num_steps, num_probes, seed)
        return SpectrumQuantiles.of(density, num_points)

    missing, names = np.full(num_points, np.nan), _names(snapshot, by_layer)
    return {name: _unless_not_finite(lambda name=name: quantiles(name), missing) for name in names}


@quantity("full", group="curvature", needs=("loss",))
def hessian_rank(
    snapshot: Snapshot,
    epsilon: float = 0.01,
    is_relative: bool = True,
    num_steps: int = 60,
    num_probes: int = 1,
    seed: int = 0,
    by_layer: bool = False,
) -> dict[str, float]:
    """Returns the epsilon-rank of the Hessian of the loss: how many eigenvalues are not near 0.

    It is estimated by stochastic Lanczos quadrature (`linalg.spectral_density`), from the share of the
    spectrum beyond epsilon. For one random vector and a rank of r the relative error is about sqrt(2 / r).
    Steps are too few to resolve an epsilon far below a hundredth of the largest eigenvalue: the many
    eigenvalues around 0 may then be counted in one measurement and not in the next.

    Formula: #{i : |lambda_i| > epsilon max_j |lambda_j|}; #{i : |lambda_i| > epsilon} if not `is_relative`
    Range: from 0 to the number of weights
    NaN: where a product with the Hessian is NaN or infinite.
    Cost: `num_steps` times `num_probes` products, each about two gradients.

    Args:
        snapshot: snapshot of the model, with a loss.
        epsilon: magnitude above which an eigenvalue counts, at least 0. That of `feature_rank`; the papers'
            values are for other networks.
        is_relative: whether epsilon is a share of the largest magnitude.
        num_steps: steps of each Lanczos run.
        num_probes: random vectors.
        seed: seed of the vectors.
        by_layer: whether to add each layer's own Hessian, as in `layer_sharpness`.

    Returns:
        {'all': rank}, and with `by_layer` {layer name: ...} as well; not an integer.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Prakash et al. 2026, "Spectral collapse drives loss of plasticity in deep continual learning";
        Lewandowski et al. 2023, "Directions of curvature as an explanation for loss of plasticity", take
        another rank.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[1., 0.], [0., 2.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, loss=lambda targets, outputs: outputs[:, 0] ** 2)
        >>> round(diagnostics.hessian_rank(snapshot)['all'], 4)  # the eigenvalues are 1 and 4
        2.0
    """

    def rank(name: str) -> float:
        density = linalg.spectral_density(_operator(snapshot, name), num_steps, num_probes, seed)
        least = epsilon * float(np.abs(density.nodes).max()) if is_relative else epsilon
        return density.size * float(density.mean(lambda nodes: np.abs(nodes) > least).value)

    names = _names(snapshot, by_layer)
    return {name: _unless_not_finite(lambda name=name: rank(name), math.nan) for name in names}


@quantity("full", group="curvature", needs=("loss",))
def layer_sharpness(
    snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0
) -> dict[str, float]:
    """Returns the largest eigenvalue of each layer's own Hessian.

    The weights of the other layers are constants. These are the blocks on the diagonal of H, so none is above
    `sharpness`.

    Formula: lambda_1 of the block of H of one layer
    Range: any sign; 0 for a layer that the loss does not touch
    NaN: where a product is NaN or infinite, and under 'all' if there is no layer.
    Cost: that of `sharpness` for each layer, though products with the last layers' blocks cost less.

    Args:
        snapshot: snapshot of the model, with a loss.
        tol: see `sharpness`.
        max_steps: most products to make for a layer.
        seed: seed of Lanczos' start vectors.

    Returns:
        {layer name: eigenvalue}, and under 'all' the largest of them, which is that of the block-diagonal
        matrix.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 2, Eq. 2, by layer.
    """
    snapshot.require("loss")
    values = {layer: _extreme(snapshot, layer, "LA", tol, max_steps, seed) for layer in snapshot.weights}
    return {**values, "all": float(np.max([*values.values()] or [math.nan]))}


@quantity("full", group="curvature", needs=("loss", "optimizer"))
def preconditioned_sharpness(
    snapshot: Snapshot, tol: float = 1e-3, max_steps: int = 50, seed: int = 0
) -> dict[str, float]:
    """Returns the largest eigenvalue of the Hessian in Adam's coordinates, D being Adam's divisor.

    D = sqrt(v_hat + epsilon_root) + epsilon, of the optimizer's slots as they are: v_hat = v / (1 - beta_2^t)
    after t updates (with `amsgrad` the largest so far). In the form that corrects the step size instead,
    Keras' own, D = (sqrt(v + epsilon_root) + epsilon) / sqrt(1 - beta_2^t). On full batches with learning
    rate lr training hovers where this is (2 + 2 beta_1) / ((1 - beta_1) lr), 38 / lr for beta_1 0.9.

    Formula: lambda_1 of D^-1/2 H D^-1/2
    Range: any sign
    NaN: before the first update, with an optimizer that is not an Adam or AdamW of this library or of Keras,
        and where a product is NaN or infinite.
    Cost: that of `sharpness`.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.
        tol: see `sharpness`.
        max_steps: most products to make.
        seed: seed of Lanczos' start vector.

    Returns:
        {'all': eigenvalue}.

    Raises:
        ValueError: the snapshot has no loss or no optimizer, the optimizer was built for other variables, or
            an argument is outside its range.

    Source: Cohen et al. 2022, "Adaptive gradient methods at the edge of stability", sections 2 and 3.
    """
    snapshot.require("optimizer")
    denominators = adam_denominators(snapshot)
    if denominators is None:
        return {"all": math.nan}
    operator = PreconditionedOperator(snapshot.hessian, 1 / np.sqrt(denominators))

    def value() -> float:
        found = _eigenvalue(operator, "LA", tol, max_steps, seed)
        note_unconverged(snapshot, "Largest preconditioned eigenvalue", "all", found.advice)
        return float(found.values[0])

    return {"all": _unless_not_finite(value, math.nan)}


def _names(snapshot: Snapshot, by_layer: bool) -> list[str]:
    snapshot.require("loss")
    return [*(snapshot.weights if by_layer else ()), "all"]


def _operator(snapshot: Snapshot, name: str) -> linalg.Operator:
    return snapshot.hessian if name == "all" else snapshot.block_hessian(name)


def _extreme(snapshot: Snapshot, name: str, which: str, tol: float, max_steps: int, seed: int) -> float:
    """Returns an eigenvalue at one end of the spectrum, made once for all that ask for the same."""

    def value() -> float:
        found = _eigenvalue(_operator(snapshot, name), which, tol, max_steps, seed)
        note_unconverged(snapshot, _ENDS[which], name, found.advice)
        return float(found.values[0])

    key = ("eigenvalue", name, which, tol, max_steps, seed)
    return snapshot.memoize(key, lambda: _unless_not_finite(value, math.nan))


def _eigenvalue(operator: Any, which: str, tol: float, max_steps: int, seed: int) -> linalg.Eigen:
    return linalg.eigsh(operator, 1, which, tol, max_steps, seed, return_eigenvectors=False)


def _unless_not_finite(compute: Callable[[], Value], otherwise: Value) -> Value:
    try:
        return compute()
    except linalg.NonFiniteError:
        return otherwise
