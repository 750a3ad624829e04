"""Ranks of a matrix, as functions of its singular values.

In all functions, singular values are `[k]` floats, at least 0, in any order, k at least 1; sums are in
float64. A matrix of zeros has rank 0 in every sense here. NaN where a singular value is NaN or infinite.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfplastic import _renames
from tfplastic._checks import check_fraction, check_non_negative, check_positive_integer


def srank(singular_values: ArrayLike, delta: float = 0.01) -> float:
    """Returns the least k whose k largest singular values make up 1 - delta of the sum of all.

    min{k : sum_{i<=k} s_i >= (1 - delta) sum_i s_i}, the singular values not squared.

    Args:
        singular_values: `[k]` floats.
        delta: share of the sum to leave out, in [0, 1].

    Returns:
        A whole number from 0 to k.

    Raises:
        ValueError: an argument is out of its range.

    Source: Kumar et al. 2020, "Implicit under-parameterization inhibits data-efficient deep RL", section 3,
        delta 0.01 there, where it is also called effective rank; `approximate_rank_abs` in the code of Dohare
        et al. 2024; `compute_stable_rank` in Plasticine.

    Example:
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.srank([96.0, 3.5, 0.5]), ranks.approximate_rank([96.0, 3.5, 0.5])  # 99.5 % after two
        (2.0, 1.0)
    """
    check_fraction("delta", delta)
    return _measured(singular_values, lambda values: _least_count(values, delta))


def approximate_rank(singular_values: ArrayLike, delta: float = 0.01) -> float:
    """Returns the least k whose k largest singular values make up 1 - delta of the sum of squares of all.

    min{k : sum_{i<=k} s_i^2 >= (1 - delta) sum_i s_i^2}: the directions that hold 1 - delta of the variance
    about zero. At most `srank` of the same delta.

    Args:
        singular_values: `[k]` floats.
        delta: share of the sum of squares to leave out, in [0, 1].

    Returns:
        A whole number from 0 to k.

    Raises:
        ValueError: an argument is out of its range.

    Source: Yang et al. 2020, "Harnessing structures for value-based planning and reinforcement learning",
        section 4, delta 0.01; Dohare et al. 2024, "Loss of plasticity in deep continual learning".
    """
    check_fraction("delta", delta)
    return _measured(singular_values, lambda values: _least_count(np.square(values / values[0]), delta))


def effective_rank(singular_values: ArrayLike) -> float:
    """Returns exp(H(p)) of p = s / sum_i s_i, with H(p) = -sum_i p_i ln p_i and 0 ln 0 = 0.

    Args:
        singular_values: `[k]` floats.

    Returns:
        0, or from 1 to k, k where all are equal.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", section 2;
        Dohare et al. 2024. The effective rank of Kumar et al. 2020 is `srank`.

    Example:
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.effective_rank([3.0, 0.0]), round(ranks.effective_rank([3.0, 3.0]), 9)
        (1.0, 2.0)
    """
    return _measured(singular_values, _exponential_of_entropy)


def absolute_rank(singular_values: ArrayLike, num_examples: int, epsilon: float = 0.01) -> float:
    """Returns the number of singular values of Phi / sqrt(n) above epsilon: #{i : s_i / sqrt(n) > epsilon}.

    The threshold is absolute and not a share of the largest: features that are all small have a small rank.

    Args:
        singular_values: `[k]` floats, of the features Phi `[n, d]`.
        num_examples: n, at least 1. With 1 it is `feature_rank_unscaled`.
        epsilon: threshold, at least 0.

    Returns:
        A whole number from 0 to k.

    Raises:
        ValueError: an argument is out of its range.

    Source: Lyle et al. 2022, "Understanding and preventing capacity loss in reinforcement learning",
        Definition 2 and epsilon 0.01, n 5000 there. The plots published leave out 1 / sqrt(n).

    Example:
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.absolute_rank([5.0, 0.05], num_examples=100)  # 0.5 and 0.005
        1.0
    """
    check_positive_integer("num_examples", num_examples)
    threshold = check_non_negative("epsilon", epsilon) * np.sqrt(num_examples)
    return _measured(singular_values, lambda values: np.count_nonzero(values > threshold))


def stable_rank(singular_values: ArrayLike) -> float:
    """Returns ||A||_F^2 / ||A||_2^2 = sum_i s_i^2 / max_i s_i^2.

    Args:
        singular_values: `[k]` floats.

    Returns:
        0, or from 1 to k. At most the rank.

    Source: Rudelson and Vershynin 2007, "Sampling from large matrices", section 1 (as numerical rank there).
        Plasticine's stable rank is `srank`.

    Example:
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.stable_rank([2.0, 1.0])
        1.25
    """
    return _measured(singular_values, lambda values: np.square(values / values[0]).sum())


def numerical_rank(singular_values: ArrayLike, tolerance: float) -> float:
    """Returns the number of singular values above a share of the largest: #{i : s_i > tolerance max_j s_j}.

    Args:
        singular_values: `[k]` floats.
        tolerance: the share, at least 0. max(n, d) times the spacing of the dtype's numbers above one is the
            usual one, `rounding_tolerance`.

    Returns:
        A whole number from 0 to k.

    Raises:
        ValueError: an argument is out of its range.

    Source: Golub and Van Loan, "Matrix computations", section 5.4.1; `matrix_rank` in NumPy and PyTorch, and
        the rank of Dohare et al. 2024.

    Example:
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.numerical_rank([1.0, 1e-3, 1e-9], tolerance=1e-6)
        2.0
    """
    check_non_negative("tolerance", tolerance)
    return _measured(singular_values, lambda values: np.count_nonzero(values > tolerance * values[0]))


def rounding_tolerance(shape: tuple[int, int], dtype: np.dtype) -> float:
    """Returns the tolerance of `numerical_rank` for rounding: max(shape) * spacing.

    The spacing above one is that of `dtype`; that of float32 for narrower ones, for which the product would
    exceed 1 in layers of usual sizes.

    Args:
        shape: shape of the matrix.
        dtype: dtype of its entries.

    Example:
        >>> import numpy as np
        >>> from tfplastic.diagnostics import ranks
        >>> ranks.rounding_tolerance((100, 50), np.dtype('float32')) == 100 * 2**-23
        True
    """
    exact = np.float64 if dtype == np.float64 else np.float32
    return float(max(shape) * np.finfo(exact).eps)


def _measured(singular_values: ArrayLike, measure: Callable[[np.ndarray], Any]) -> float:
    """Returns `measure` of the values in float64, descending, where they are finite and not all zero."""
    values = np.asarray(singular_values, np.float64)
    if values.ndim != 1 or not len(values):
        rule = "must be a vector of at least one entry"
        raise ValueError(f"`singular_values` {rule}. Received: shape {values.shape}")
    if not np.isfinite(values).all():
        return float("nan")
    values = np.sort(values)[::-1]
    return float(measure(values)) if values[0] > 0 else 0.0


def _least_count(values: np.ndarray, delta: float) -> int:
    """Returns the least number of the descending `values` that sum to 1 - delta of all."""
    sums = np.cumsum(values)
    return int(np.searchsorted(sums, (1 - delta) * sums[-1])) + 1


def _exponential_of_entropy(values: np.ndarray) -> float:
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


__getattr__ = _renames.module_getattr(__name__)
