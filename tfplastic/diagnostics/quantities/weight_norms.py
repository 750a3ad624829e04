"""Sizes of the weights.

Trainable variables count, those of a layer together: biases as well, and gains and offsets of normalization
layers under their own layer's name, unless a docstring speaks of weight matrices, which are those of
`weight_ranks`. Layer normalization of a convolution has a gain and an offset for each position, which may be
more than all kernels together: to compare networks with and without it, take `normalization=False`, which
leaves out the gains and offsets of normalization layers.

Each is cheap: no pass at all, and sums and singular values that are made once for all of them and kept until
the snapshot's `refresh`. Sums are in float64, and NaN or infinite where a variable is.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfplastic._checks import check_one_of
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.blockwise_sums import blocks, magnitude_sum, square_sum
from tfplastic.diagnostics.quantities.shared.spectra import weight_spectra
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_rules import is_norm

__all__ = [
    "deviation_from_isometry",
    "weight_l1_norm",
    "weight_magnitude",
    "weight_norm",
    "weight_spectral_norm",
]


@quantity("cheap", group="weights")
def weight_norm(snapshot: Snapshot, normalization: bool = True) -> dict[str, float]:
    """Returns the norm of each layer's trainable variables together.

    Formula: sqrt(sum_i theta_i^2)
    Range: at least 0
    NaN: where a variable is NaN; infinite where one is infinite.
    Cost: no pass; sums that all sizes of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        normalization: whether gains and offsets of normalization layers count.

    Returns:
        {layer name: norm} for every layer with variables of its own, and under 'all' the norm of all of them
        together.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 5.1 (which
        variables count is not said there).
    """
    return {layer: math.sqrt(sums.squares) for layer, sums in _sums(snapshot, normalization).items()}


@quantity("cheap", group="weights")
def weight_l1_norm(snapshot: Snapshot, normalization: bool = True) -> dict[str, float]:
    """Returns the sum of magnitudes of each layer's trainable variables.

    Formula: sum_i |theta_i|
    Range: at least 0
    NaN: where a variable is NaN; infinite where one is infinite.
    Cost: no pass; sums that all sizes of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        normalization: whether gains and offsets of normalization layers count.

    Returns:
        {layer name: norm} for every layer with variables of its own, and under 'all' their sum.

    Source: common usage; `weight_magnitude` is the mean in place of the sum.
    """
    return {layer: sums.magnitudes for layer, sums in _sums(snapshot, normalization).items()}


@quantity("cheap", group="weights")
def weight_magnitude(snapshot: Snapshot, normalization: bool = True) -> dict[str, float]:
    """Returns the mean magnitude of each layer's trainable variables.

    Formula: (1/N) sum_i |theta_i|
    Range: at least 0
    NaN: where a variable is NaN, and under 'all' if there is no variable; infinite where one is infinite.
    Cost: no pass; sums that all sizes of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        normalization: whether gains and offsets of normalization layers count.

    Returns:
        {layer name: mean} for every layer with variables of its own, and under 'all' the mean over all N
        variables.

    Source: Dohare et al. 2024, "Loss of plasticity in deep continual learning", Fig. 4, "average weight
        magnitude" (which variables count is not said there).
    """
    return {
        layer: sums.magnitudes / sums.count if sums.count else float("nan")
        for layer, sums in _sums(snapshot, normalization).items()
    }


@quantity("cheap", group="weights")
def weight_spectral_norm(snapshot: Snapshot) -> dict[str, float]:
    """Returns the largest singular value of each weight matrix.

    The norm of a convolution's reshaped kernel is not that of the convolution as a linear map, which is at
    most sqrt(height * width) times as large.

    Formula: ||W||_2
    Range: at least 0
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: norm}.

    Source: the norm that Lyle et al. 2023 normalize by, "Understanding plasticity in neural networks",
        section 5.1, after Miyato et al. 2018, "Spectral normalization for generative adversarial networks".
    """
    return {layer: float(each.values[0]) for layer, each in weight_spectra(snapshot).items()}


@quantity("cheap", group="weights")
def deviation_from_isometry(snapshot: Snapshot) -> dict[str, float]:
    """Returns how far each weight matrix is from orthonormal rows or columns (DfI).

    The sum is over the min(inputs, outputs) singular values s: ||W^T W - I||_F^2 with the Gram matrix of the
    smaller side, which is 0 where W is orthogonal. With the Gram matrix of the longer side the value would be
    greater by the difference of the sides, whatever the weights.

    Formula: sum_i (s_i^2 - 1)^2
    Range: at least 0; the smaller side for weights of zeros
    NaN: where a weight is NaN or infinite.
    Cost: no pass; singular values that all ranks of weights share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: deviation}.

    Source: Han et al. 2026, "FIRE: Frobenius-isometry reinitialization for balancing the
        stability-plasticity tradeoff", which takes kernels of convolutions position by position.
    """
    return {
        layer: float(np.square(np.square(each.values) - 1).sum())
        for layer, each in weight_spectra(snapshot).items()
    }


class _Sums(NamedTuple):
    """Sums over variables of 1, |theta_i| and theta_i^2."""

    count: int
    magnitudes: float
    squares: float


def _sums(snapshot: Snapshot, normalization: bool) -> dict[str, _Sums]:
    """Returns the sums of each layer, and of all under 'all'."""
    by_layer = snapshot.memoize("weight_sums", lambda: _made_sums(snapshot.weights))
    if not check_one_of("normalization", normalization, (True, False)):
        layers = named_layers(snapshot.model)
        by_layer = {layer: sums for layer, sums in by_layer.items() if not is_norm(layers[layer])}
    return {**by_layer, "all": _total(list(by_layer.values()))}


def _made_sums(weights: Mapping[str, Sequence[Any]]) -> dict[str, _Sums]:
    return {layer: _total([_sums_of(each) for each in variables]) for layer, variables in weights.items()}


def _sums_of(variable: Any) -> _Sums:
    parts = [(square_sum(block), magnitude_sum(block)) for block in blocks(variable)]
    squares, magnitudes = (float(sum(each)) for each in zip((0.0, 0.0), *parts, strict=True))
    return _Sums(variable.shape.num_elements(), magnitudes, squares)


def _total(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(
        sum(part.count for part in parts),
        float(sum(part.magnitudes for part in parts)),
        float(sum(part.squares for part in parts)),
    )
