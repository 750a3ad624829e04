"""Ranks of the weight matrices of each layer.

The matrix W is a layer's kernel, `[inputs, outputs]`. That of a convolution, `[height, width, channels,
filters]`, is reshaped to `[height * width * channels, filters]`; that of a depthwise one to `[height * width,
channels * multiplier]`; that of `EinsumDense`, as in attention, to `[summed axes, axes of the output]`.
Embeddings count; biases, and gains and offsets of normalisation layers do not. A layer with several kernels,
such as an LSTM, has an entry 'layer/variable' for each.

Each is cheap: no pass at all, and singular values that are made once for all of them and kept with the
snapshot until its `refresh`. A matrix of zeros has rank 0. Ranks are NaN where a weight is NaN or infinite.
The formulas, and who uses which under what name, are in `ranks`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.quantities.shared.spectra import Spectrum, weight_spectra
from tfplastic.diagnostics.quantity import quantity
from tfplastic.diagnostics.snapshot import Snapshot


@quantity("cheap")
def weight_srank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """`ranks.srank` of each weight matrix: how many singular values make up 1 - delta of their sum.

    Args:
        snapshot: of the model; needs no loss.
        delta: share of the sum to leave out, in [0, 1].

    Returns:
        {layer name: whole number from 0 to the matrix' smaller side}.

    Raises:
        ValueError: `delta` is out of its range.

    Source: of weights, Lyle et al. 2023, "Understanding plasticity in neural networks", section 4.1, where no
        definition of the rank is given; the definition and delta 0.01 are Kumar et al. 2020, "Implicit
        under-parameterization inhibits data-efficient deep reinforcement learning", section 3.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.srank(spectrum.values, delta))


@quantity("cheap")
def weight_srank_sum(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """The sum of `weight_srank` over all weight matrices: one rank for the whole network.

    Args:
        snapshot: of the model; needs no loss.
        delta: share of each matrix' sum to leave out, in [0, 1].

    Returns:
        {'all': whole number}; NaN where a weight is NaN or infinite.

    Raises:
        ValueError: `delta` is out of its range.

    Source: an axis of Fig. 3 of Lyle et al. 2023, "Understanding plasticity in neural networks", which does
        not say how layers are put together; its range of 300 to 500 suits a sum.
    """
    return {"all": float(sum(weight_srank(snapshot, delta).values()))}


@quantity("cheap")
def weight_approximate_rank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """`ranks.approximate_rank` of each weight matrix: as `weight_srank`, of squared singular values.

    Args:
        snapshot: of the model; needs no loss.
        delta: share of the sum of squares to leave out, in [0, 1].

    Returns:
        {layer name: whole number from 0 to the matrix' smaller side}.

    Raises:
        ValueError: `delta` is out of its range.

    Source: Yang et al. 2020, "Harnessing structures for value-based planning and reinforcement learning",
        delta 0.01.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.approximate_rank(spectrum.values, delta))


@quantity("cheap")
def weight_effective_rank(snapshot: Snapshot) -> dict[str, float]:
    """`ranks.effective_rank` of each weight matrix: exp of the entropy of its singular values.

    Args:
        snapshot: of the model; needs no loss.

    Returns:
        {layer name: 0, or from 1 to the matrix' smaller side}.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality".
    """
    return _by_layer(snapshot, lambda spectrum: ranks.effective_rank(spectrum.values))


@quantity("cheap")
def weight_stable_rank(snapshot: Snapshot) -> dict[str, float]:
    """`ranks.stable_rank` of each weight matrix: ||W||_F^2 / ||W||_2^2.

    Args:
        snapshot: of the model; needs no loss.

    Returns:
        {layer name: 0, or from 1 to the matrix' smaller side}.

    Source: Rudelson and Vershynin 2007, "Sampling from large matrices", section 1.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.stable_rank(spectrum.values))


@quantity("cheap")
def weight_numerical_rank(snapshot: Snapshot, tolerance: float | None = None) -> dict[str, float]:
    """`ranks.numerical_rank` of each weight matrix: how many singular values are no rounding errors.

    Args:
        snapshot: of the model; needs no loss.
        tolerance: the share, at least 0; None: `ranks.rounding_tolerance`, the longer side times the spacing
            of the weights' dtype.

    Returns:
        {layer name: whole number from 0 to the matrix' smaller side}.

    Raises:
        ValueError: `tolerance` is out of its range.

    Source: Golub and Van Loan, "Matrix computations", section 5.4.1.
    """
    return _by_layer(snapshot, lambda spectrum: spectrum.numerical_rank(tolerance))


@quantity("cheap")
def weight_singular_values(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """The singular values of each weight matrix: a distribution.

    Args:
        snapshot: of the model; needs no loss.

    Returns:
        {layer name: `[smaller side] float64`, descending}. Those below some 3e-7 of the largest are 0, unless
        weights are float64: rounding made them.
    """
    return {layer: spectrum.values for layer, spectrum in weight_spectra(snapshot).items()}


def _by_layer(snapshot: Snapshot, measure: Callable[[Spectrum], Any]) -> dict[str, float]:
    return {layer: float(measure(spectrum)) for layer, spectrum in weight_spectra(snapshot).items()}
