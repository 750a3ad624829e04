"""C_k: alignment of the gradients of single examples."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.example_gradients import gram_matrices
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = [
    "cosine_rows",
    "flat_inputs",
    "gradient_cosine",
    "gradient_covariance",
    "gradient_directions",
    "gradient_effective_rank",
    "gradient_interference",
]

Embedding = Callable[[Snapshot, np.ndarray], np.ndarray]
"""From a snapshot and the C_k of whole gradients to a point for each of the k examples, `[k, dimensions]`."""


@gin.register(module="tfplastic.diagnostics")
def gradient_directions(snapshot: Snapshot, cosines: np.ndarray) -> np.ndarray:
    """Returns points whose inner products are those of the gradients' directions g_i / |g_i|.

    With C = V diag(w) V^T they are the rows of V diag(sqrt(w)), whose inner products are C: k-means on them
    is k-means on the normalized gradients.

    Args:
        snapshot: not read.
        cosines: C, `[k, k]`.

    Returns:
        `[k, k] float64`.
    """
    values, vectors = np.linalg.eigh(cosines)
    return vectors * np.sqrt(np.maximum(values, 0))


@gin.register(module="tfplastic.diagnostics")
def cosine_rows(snapshot: Snapshot, cosines: np.ndarray) -> np.ndarray:
    """Returns the rows of C_k: examples are alike if their gradients lie alike to all others.

    Args:
        snapshot: not read.
        cosines: C, `[k, k]`.

    Returns:
        `[k, k] float64`.
    """
    return cosines


@gin.register(module="tfplastic.diagnostics")
def flat_inputs(snapshot: Snapshot, cosines: np.ndarray) -> np.ndarray:
    """Returns the inputs of the first k examples, flattened; those of several inputs side by side.

    Args:
        snapshot: snapshot of the model.
        cosines: C, `[k, k]`, of which only k is read.

    Returns:
        `[k, entries] float64`.
    """
    count = len(cosines)
    arrays = [np.asarray(each[:count], np.float64) for each in tf.nest.flatten(snapshot.inputs)]
    return np.concatenate([each.reshape(count, -1) for each in arrays], axis=1)


@quantity("full", group="gradient covariance", needs=("loss",))
def gradient_covariance(
    snapshot: Snapshot,
    num_examples: int = 512,
    num_clusters: int = 10,
    cluster_by: Embedding = gradient_directions,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Returns C_k, the cosines of the gradients of k examples, by layer.

    Rows and columns are in the order of clusters found by k-means, the largest cluster first, and within a
    cluster in the order of the examples: groups of examples whose gradients agree show as blocks. There is
    one order for all layers, so that their pictures compare. Negative entries are interference: a step for
    one example undoes another. Examples whose whole gradient is zero or not finite come last.

    Formula: C_ij = g_i . g_j / (|g_i| |g_j|)
    Range: [-1, 1]
    NaN: in the rows and columns of examples whose gradient is zero (in that layer) or not finite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: k, the number of first examples to take; all where there are fewer.
        num_clusters: number of clusters of k-means; no more than there are examples.
        cluster_by: points that k-means compares: a function of the snapshot and of C_k of whole gradients
            that returns a point for each example, such as `gradient_directions`, `cosine_rows` or
            `flat_inputs`. The paper does not specify the clustered points; the default is our choice.
        seed: seed of the starts of k-means.

    Returns:
        {layer name: `[k, k] float64`} for every layer with variables of its own, and under 'all' C_k of whole
        gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.
        ImportError: scikit-learn is not installed.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", Eq. 3; k = 512 and 10 clusters
        from appendix A.1.
    """
    cosines = {layer: cosine_matrix(each) for layer, each in gram_matrices(snapshot, num_examples).items()}
    order = _order(snapshot, cosines["all"], num_clusters, cluster_by, seed)
    return {layer: each[np.ix_(order, order)] for layer, each in cosines.items()}


@quantity("full", group="gradient covariance", needs=("loss",))
def gradient_cosine(snapshot: Snapshot, num_examples: int = 512) -> dict[str, float]:
    """Returns the mean cosine of the gradients of two different examples, by layer.

    Examples with a gradient of zero are left out.

    Formula: mean over i != j of C_ij
    Range: [-1, 1]
    NaN: where fewer than two examples have a gradient, or a gradient is NaN or infinite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: number of first examples to take; all where there are fewer.

    Returns:
        {layer name: mean} for every layer with variables of its own, and under 'all' the mean of whole
        gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: a scalar of C_k, Lyle et al. 2023, "Understanding plasticity in neural networks", Eq. 3.
    """
    return {layer: _of_pairs(each, np.mean) for layer, each in gram_matrices(snapshot, num_examples).items()}


@quantity("full", group="gradient covariance", needs=("loss",))
def gradient_interference(snapshot: Snapshot, num_examples: int = 512) -> dict[str, float]:
    """Returns the fraction of pairs of examples whose gradients are opposed, by layer.

    Examples with a gradient of zero are left out.

    Formula: #{i != j : C_ij < 0} / #pairs
    Range: [0, 1]
    NaN: where fewer than two examples have a gradient, or a gradient is NaN or infinite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: number of first examples to take; all where there are fewer.

    Returns:
        {layer name: fraction} for every layer with variables of its own, and under 'all' the fraction of
        whole gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: a scalar of C_k, Lyle et al. 2023, "Understanding plasticity in neural networks", Eq. 3.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[1., 0.], [0., 2.], [-3., 0.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, loss=lambda targets, outputs: outputs[:, 0])
        >>> diagnostics.gradient_interference(snapshot)  # gradients are the inputs
        {'only': 0.333..., 'all': 0.333...}
    """
    matrices = gram_matrices(snapshot, num_examples)
    return {layer: _of_pairs(each, lambda pairs: np.mean(pairs < 0)) for layer, each in matrices.items()}


@quantity("full", group="gradient covariance", needs=("loss",))
def gradient_effective_rank(snapshot: Snapshot, num_examples: int = 512) -> dict[str, float]:
    """Returns the effective rank of C_k, by layer.

    1 where all gradients point along one line, k where they are at right angles. Examples with a gradient of
    zero are left out.

    Formula: exp(-sum_i p_i log p_i), p_i = eigenvalue i of C_k / sum of eigenvalues
    Range: [1, k]
    NaN: where no example has a gradient, or a gradient is NaN or infinite.
    Cost: the gradients of k single examples, which all quantities of example gradients share.

    Args:
        snapshot: snapshot of the model, with a loss.
        num_examples: k, the number of first examples to take; all where there are fewer.

    Returns:
        {layer name: rank} for every layer with variables of its own, and under 'all' the rank of whole
        gradients.

    Raises:
        ValueError: the snapshot has no loss, or an argument is outside its range.

    Source: a scalar of C_k, Lyle et al. 2023, "Understanding plasticity in neural networks", Eq. 3; the
        effective rank is that of Roy and Vetterli 2007, "The effective rank".
    """
    return {layer: _effective_rank(each) for layer, each in gram_matrices(snapshot, num_examples).items()}


def cosine_matrix(gram: np.ndarray) -> np.ndarray:
    """Returns G_ij / sqrt(G_ii G_jj), `[k, k] float64` in [-1, 1]; NaN in rows and columns with G_ii = 0.

    Args:
        gram: G, `[k, k]`.

    Example:
        >>> from tfplastic.diagnostics.quantities.gradient_angles import cosine_matrix
        >>> cosine_matrix([[4., -2.], [-2., 1.]]).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    gram = np.asarray(gram, np.float64)
    norms = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), np.nan))
    return np.clip(gram / norms / norms[:, np.newaxis], -1, 1)


def _order(
    snapshot: Snapshot, cosines: np.ndarray, num_clusters: int, cluster_by: Embedding, seed: int
) -> np.ndarray:
    """Returns positions of the examples, cluster after cluster."""
    known = np.flatnonzero(~np.isnan(np.diag(cosines)))
    unknown = np.setdiff1d(np.arange(len(cosines)), known)
    if not len(known):
        return unknown
    points = cluster_by(snapshot, np.where(np.isnan(cosines), 0, cosines))[known]
    labels = _k_means(points, num_clusters, seed)
    sizes = np.bincount(labels)
    return np.concatenate([known[np.lexsort([known, labels, -sizes[labels]])], unknown])


def _k_means(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError:
        needed = "`gradient_covariance` needs scikit-learn: pip install 'tfplastic[reports]'"
        raise ImportError(needed) from None
    distinct = len(np.unique(points, axis=0))  # where many are the same, fewer than there may be clusters
    integer = seeds.derive_integer(seed, "diagnostics", "gradient_covariance")
    # 10 starts, of which the best counts: one alone depends much on the seed.
    settings: dict[str, Any] = {"n_init": 10, "random_state": integer}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # points that are almost the same are one cluster
        return np.asarray(KMeans(min(num_clusters, distinct), **settings).fit_predict(points))


def _of_pairs(gram: np.ndarray, statistic: Callable[[np.ndarray], np.floating]) -> float:
    """Returns `statistic` of the cosines of all pairs of different examples with a gradient."""
    cosines = _of_nonzero(gram)
    if not np.isfinite(gram).all() or len(cosines) < 2:
        return math.nan
    return float(statistic(cosines[~np.eye(len(cosines), dtype=bool)]))


def _effective_rank(gram: np.ndarray) -> float:
    cosines = _of_nonzero(gram)
    if not np.isfinite(gram).all() or not len(cosines):
        return math.nan
    values = np.maximum(np.linalg.eigvalsh(cosines), 0)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _of_nonzero(gram: np.ndarray) -> np.ndarray:
    kept = np.flatnonzero(np.diag(gram) > 0)
    return cosine_matrix(gram[np.ix_(kept, kept)])
