"""Agreement of the gradients of single examples and minibatches: signal and noise."""

import math

import numpy as np

from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.gradients import gradient_norm
from tfplastic.diagnostics.quantities.shared.example_gradients import gram_matrices
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = ["gradient_reliability", "gradient_signal_to_noise", "gradient_strength"]


@quantity("full", group="gradient noise", needs=("loss",))
def gradient_signal_to_noise(snapshot: Snapshot, num_examples: int = 512) -> dict[str, float]:
    """Returns the signal-to-noise ratio of examples' gradients, by layer.

    tr Cov(g) = sum_i |g_i - mean|^2 / (k - 1). The inverse of the simple noise scale of McCandlish et al.
    2018, the batch size from which on larger batches help little. Gradients without any signal still give
    about 1 / k, since |mean|^2 is taken as it is.

    Formula: |mean of g_i|^2 / tr Cov(g)
    Range: at least 0; infinite where all gradients are one that is not zero
    NaN: where all gradients are zero, where there is one example only, and where a gradient is NaN or
        infinite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: k, how many of the first examples to take; all where there are fewer. The default is
            that of `gradient_covariance`, so that both share the work.

    Returns:
        {layer name: ratio} for every layer with variables of its own, and under 'all' the ratio of whole
        gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: McCandlish et al. 2018, "An empirical model of large-batch training", section 2.2, Eq. 2.9.
    """
    matrices = gram_matrices(snapshot, num_examples)
    return {layer: signal_to_noise(matrix) for layer, matrix in matrices.items()}


def signal_to_noise(gram: np.ndarray) -> float:
    """Returns `gradient_signal_to_noise` by the inner products of k gradients.

    Args:
        gram: `[k, k]`.

    Example:
        >>> from tfplastic.diagnostics.quantities.gradient_noise import signal_to_noise
        >>> signal_to_noise([[9., 3.], [3., 1.]])  # gradients 3 and 1: mean 2, variance 2
        2.0
    """
    gram = np.asarray(gram, np.float64)
    if not np.isfinite(gram).all():
        return math.nan
    signal, power = max(0.0, float(gram.mean())), float(np.trace(gram)) / len(gram)
    # What is below the rounding of float32, which gradients have, is no noise.
    spread = power - signal if power - signal > power * np.finfo(np.float32).eps else 0.0
    noise = spread * len(gram) / (len(gram) - 1) if len(gram) > 1 else math.nan
    return _ratio(signal, noise)


@quantity("medium", group="gradient noise", needs=("loss",))
def gradient_strength(snapshot: Snapshot) -> dict[str, float]:
    """Returns the squared norm of the loss's gradient, by layer: the gain of a small step per learning rate.

    With `gradient_reliability` it is the pair that "optimisation readiness" consists of.

    Formula: |g|^2
    Range: at least 0
    NaN: where the gradient is NaN; infinite where it is infinite.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.

    Returns:
        {layer name: |g|^2} for every layer with variables of its own, and under 'all' that of the whole
        gradient.

    Raises:
        ValueError: the snapshot has no loss.

    Source: "Optimisation readiness" (arXiv 2605.09044).
    """
    return {layer: norm**2 for layer, norm in gradient_norm(snapshot).items()}


@quantity("full", group="gradient noise", needs=("loss",))
def gradient_reliability(
    snapshot: Snapshot, num_minibatches: int = 128, num_examples: int = 512
) -> dict[str, float]:
    """Returns how far minibatches agree on the gradient, by layer.

    g_b is the mean gradient of minibatch b, g that of all. The examples are cut into minibatches in their
    order; where they do not divide evenly, minibatches differ by one example and count by their examples.
    Unrelated gradients give 1 / num_minibatches, equal ones 1.

    Formula: |g|^2 / mean over minibatches b of |g_b|^2
    Range: [0, 1]
    NaN: where all gradients of minibatches are zero, or one is NaN or infinite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_minibatches: at least 1; as many as there are examples where these are fewer. 128 as in the
            source, whose minibatches are larger for want of a limit on the examples.
        num_examples: number of first examples to take; all where there are fewer.

    Returns:
        {layer name: ratio} for every layer with variables of its own, and under 'all' the ratio of whole
        gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: "Optimisation readiness" (arXiv 2605.09044).
    """
    matrices = gram_matrices(snapshot, num_examples)
    return {layer: reliability(matrix, num_minibatches) for layer, matrix in matrices.items()}


def reliability(gram: np.ndarray, num_minibatches: int) -> float:
    """Returns `gradient_reliability` by the inner products of k gradients.

    Args:
        gram: `[k, k]`.
        num_minibatches: at least 1.

    Example:
        >>> from tfplastic.diagnostics.quantities.gradient_noise import reliability
        >>> reliability([[9., 3.], [3., 1.]], num_minibatches=2)  # gradients 3 and 1: 2^2 / ((9 + 1) / 2)
        0.8
    """
    gram = np.asarray(gram, np.float64)
    if not np.isfinite(gram).all():
        return math.nan
    parts = np.array_split(np.arange(len(gram)), min(num_minibatches, len(gram)))
    # A minibatch of m examples has the share m / k, and |g_b|^2 = sum of its inner products / m^2.
    power = sum(max(0.0, gram[np.ix_(part, part)].sum()) / len(part) for part in parts) / len(gram)
    return float(np.minimum(1.0, _ratio(max(0.0, float(gram.mean())), float(power))))


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.inf if numerator > 0 else math.nan
    return numerator / denominator
