"""Ranks of the weight matrices of each layer.

The matrix W is a layer's kernel, `[inputs, outputs]`. That of a convolution, `[height, width, channels,
filters]`, is reshaped to `[height * width * channels, filters]`; that of a depthwise one to `[height * width,
channels * multiplier]`; that of `EinsumDense`, as in attention, to `[summed axes, axes of the output]`.
Embeddings count; biases, and gains and offsets of normalization layers do not. A layer with several kernels,
such as an LSTM, has an entry 'layer/variable' for each.

Each is cheap: no pass at all, and singular values that are made once for all of them and kept with the
snapshot until its `refresh`. A matrix of zeros has rank 0. Ranks are NaN where a weight is NaN or infinite.
`ranks` has the formulas, with their users and names.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.spectra import Spectrum, weight_spectra
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = [
    "weight_approximate_rank",
    "weight_effective_rank",
    "weight_numerical_rank",
    "weight_singular_values",
    "weight_srank",
    "weight_srank_sum",
    "weight_stable_rank",
]


@quantity("cheap", group="weight ranks")
def weight_srank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns how many singular values of each weight matrix make up 1 - delta of their sum.

    Formula: min {k : sum_{i<=k} s_i >= (1 - delta) sum_i s_i}, s the singular values of W, descending
        (`ranks.srank`)
    Range: whole numbers from 0 to the matrix' smaller side
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of the sum to leave out, in [0, 1].

    Returns:
        {layer name: rank}.

    Raises:
        ValueError: `delta` is out of its range.

    Source: for weights, Lyle et al. 2023, "Understanding plasticity in neural networks", section 4.1, where
        no definition of the rank is given; the definition and delta 0.01 are Kumar et al. 2020, "Implicit
        under-parameterization inhibits data-efficient deep reinforcement learning", section 3.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.srank(spectrum.values, delta))


@quantity("cheap", group="weight ranks")
def weight_srank_sum(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns the sum of `weight_srank` over all weight matrices: one rank for the whole network.

    Formula: sum over weight matrices of `weight_srank`
    Range: whole numbers of at least 0
    NaN: where a weight is NaN or infinite.
    Cost: that of `weight_srank`.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of each matrix' sum to leave out, in [0, 1].

    Returns:
        {'all': rank}.

    Raises:
        ValueError: `delta` is out of its range.

    Source: an axis of Fig. 3 of Lyle et al. 2023, "Understanding plasticity in neural networks", which does
        not say how layers are put together; its range of 300 to 500 suits a sum.
    """
    return {"all": float(sum(weight_srank(snapshot, delta).values()))}


@quantity("cheap", group="weight ranks")
def weight_approximate_rank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns how many squared singular values of each weight matrix make up 1 - delta of their sum.

    Formula: min {k : sum_{i<=k} s_i^2 >= (1 - delta) sum_i s_i^2} (`ranks.approximate_rank`)
    Range: whole numbers from 0 to the matrix' smaller side
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of the sum of squares to leave out, in [0, 1].

    Returns:
        {layer name: rank}.

    Raises:
        ValueError: `delta` is out of its range.

    Source: Yang et al. 2020, "Harnessing structures for value-based planning and reinforcement learning",
        delta 0.01.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.approximate_rank(spectrum.values, delta))


@quantity("cheap", group="weight ranks")
def weight_effective_rank(snapshot: Snapshot) -> dict[str, float]:
    """Returns the exponential of the entropy of the singular values of each weight matrix.

    Formula: exp(-sum_i p_i log p_i), p_i = s_i / sum_k s_k (`ranks.effective_rank`)
    Range: 0, or from 1 to the matrix' smaller side
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: rank}.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality".
    """
    return _by_layer(snapshot, lambda spectrum: ranks.effective_rank(spectrum.values))


@quantity("cheap", group="weight ranks")
def weight_stable_rank(snapshot: Snapshot) -> dict[str, float]:
    """Returns the stable rank of each weight matrix (`ranks.stable_rank`).

    Formula: ||W||_F^2 / ||W||_2^2
    Range: 0, or from 1 to the matrix' smaller side
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: rank}.

    Source: Rudelson and Vershynin 2007, "Sampling from large matrices", section 1.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.stable_rank(spectrum.values))


@quantity("cheap", group="weight ranks")
def weight_numerical_rank(snapshot: Snapshot, tolerance: float | None = None) -> dict[str, float]:
    """Returns how many singular values of each weight matrix are not rounding errors.

    Formula: #{i : s_i > tolerance * s_1} (`ranks.numerical_rank`)
    Range: whole numbers from 0 to the matrix' smaller side
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        tolerance: the share, at least 0; None: `ranks.rounding_tolerance`, the longer side times the spacing
            of the weights' dtype.

    Returns:
        {layer name: rank}.

    Raises:
        ValueError: `tolerance` is out of its range.

    Source: Golub and Van Loan, "Matrix computations", section 5.4.1.
    """
    return _by_layer(snapshot, lambda spectrum: spectrum.numerical_rank(tolerance))


@quantity("cheap", group="weight ranks")
def weight_singular_values(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Returns the singular values of each weight matrix: a distribution.

    Those below about 3e-7 of the largest are 0, unless weights are float64: rounding made them.

    Formula: s_1 >= s_2 >= ..., the singular values of W
    Range: at least 0
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: `[smaller side] float64`, descending}.

    Source: the spectrum behind the ranks of weights, which Lyle et al. 2023 look at, "Understanding
        plasticity in neural networks", section 4.1.
    """
    return {layer: spectrum.values for layer, spectrum in weight_spectra(snapshot).items()}


def _by_layer(snapshot: Snapshot, measure: Callable[[Spectrum], Any]) -> dict[str, float]:
    return {layer: float(measure(spectrum)) for layer, spectrum in weight_spectra(snapshot).items()}
