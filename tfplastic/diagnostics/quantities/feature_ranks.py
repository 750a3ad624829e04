"""Ranks of the features: the outputs of each hidden layer, as a matrix Phi.

Phi is `[n, d]`, a row for each example, of every hidden nonlinearity, and of linear layers such as
bottlenecks by the rules of `Snapshot.linear_outputs`; papers mostly report the last one's. Outputs with
positions, `[n, height, width, channels]`, are flattened: d = height * width * channels. Positions that a mask
of Keras leaves out are zeros. Nothing is centered. No rank exceeds min(n, d), so only batches of one size
compare.

Each is cheap: one forward pass, and singular values that are made once for all of them and kept with the
snapshot. A layer of zeros has rank 0. Ranks are NaN where an activation is NaN or infinite, and for layers in
`Snapshot.unmeasured`. `ranks` has the formulas, with their users and names.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.spectra import Spectrum, feature_spectra
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = [
    "feature_approximate_rank",
    "feature_effective_rank",
    "feature_numerical_rank",
    "feature_rank",
    "feature_rank_unscaled",
    "feature_singular_values",
    "feature_spectral_norm",
    "feature_srank",
    "feature_srank_sum",
    "feature_stable_rank",
]


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_srank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns how many singular values of each layer's features make up 1 - delta of their sum.

    Formula: min {k : sum_{i<=k} s_i >= (1 - delta) sum_i s_i}, s the singular values of Phi, descending
        (`ranks.srank`)
    Range: whole numbers from 0 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of the sum to leave out, in [0, 1].

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Raises:
        ValueError: `delta` is out of its range.

    Source: Kumar et al. 2020, "Implicit under-parameterization inhibits data-efficient deep reinforcement
        learning", section 3, where delta is 0.01 and the layer is the last.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.srank(spectrum.values, delta))


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_srank_sum(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns the sum of `feature_srank` over all hidden nonlinearities: one rank for the whole network.

    Formula: sum over hidden nonlinearities of `feature_srank`
    Range: whole numbers of at least 0
    NaN: where a layer's rank is NaN.
    Cost: that of `feature_srank`.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of each layer's sum to leave out, in [0, 1].

    Returns:
        {'all': rank}; empty where there is no hidden nonlinearity.

    Raises:
        ValueError: `delta` is out of its range.

    Source: an axis of Fig. 3 of Lyle et al. 2023, "Understanding plasticity in neural networks", which does
        not say how layers are put together.
    """
    by_layer = feature_srank(snapshot, delta)
    nonlinear = [by_layer[layer] for layer in (*snapshot.activations, *snapshot.unmeasured)]
    return {"all": float(sum(nonlinear))} if nonlinear else {}


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_approximate_rank(snapshot: Snapshot, delta: float = 0.01) -> dict[str, float]:
    """Returns how many squared singular values of each layer's features make up 1 - delta of their sum.

    Formula: min {k : sum_{i<=k} s_i^2 >= (1 - delta) sum_i s_i^2} (`ranks.approximate_rank`)
    Range: whole numbers from 0 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        delta: share of the sum of squares to leave out, in [0, 1].

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Raises:
        ValueError: `delta` is out of its range.

    Source: Yang et al. 2020, "Harnessing structures for value-based planning and reinforcement learning",
        delta 0.01; Dohare et al. 2024, "Loss of plasticity in deep continual learning".
    """
    return _by_layer(snapshot, lambda spectrum: ranks.approximate_rank(spectrum.values, delta))


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_effective_rank(snapshot: Snapshot) -> dict[str, float]:
    """Returns the exponential of the entropy of the singular values of each layer's features.

    Formula: exp(-sum_i p_i log p_i), p_i = s_i / sum_k s_k (`ranks.effective_rank`)
    Range: 0, or from 1 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality"; Dohare et al.
        2024, "Loss of plasticity in deep continual learning".
    """
    return _by_layer(snapshot, lambda spectrum: ranks.effective_rank(spectrum.values))


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_rank(snapshot: Snapshot, epsilon: float = 0.01) -> dict[str, float]:
    """Returns how many singular values of each layer's scaled features exceed epsilon.

    Formula: #{i : s_i / sqrt(n) > epsilon}, s the singular values of Phi (`ranks.absolute_rank`)
    Range: whole numbers from 0 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss. The paper takes n = 5000 examples.
        epsilon: threshold, at least 0.

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Raises:
        ValueError: `epsilon` is out of its range.

    Source: Lyle et al. 2022, "Understanding and preventing capacity loss in reinforcement learning",
        Definition 2, epsilon 0.01.
    """
    num_examples = snapshot.num_examples
    threshold = epsilon * np.sqrt(num_examples)
    return _by_layer(
        snapshot,
        lambda spectrum: ranks.absolute_rank(spectrum.values_down_to(threshold), num_examples, epsilon),
    )


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_rank_unscaled(snapshot: Snapshot, epsilon: float = 0.01) -> dict[str, float]:
    """Returns how many singular values of each layer's features exceed epsilon, as `feature_rank` unscaled.

    Formula: #{i : s_i > epsilon}, s the singular values of Phi
    Range: whole numbers from 0 to min(n, d), at least `feature_rank`
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        epsilon: threshold, at least 0.

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Raises:
        ValueError: `epsilon` is out of its range.

    Source: the plots of Lyle et al. 2022, "Understanding and preventing capacity loss in reinforcement
        learning".
    """
    return _by_layer(
        snapshot, lambda spectrum: ranks.absolute_rank(spectrum.values_down_to(epsilon), 1, epsilon)
    )


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_stable_rank(snapshot: Snapshot) -> dict[str, float]:
    """Returns the stable rank of each layer's features (`ranks.stable_rank`).

    Formula: ||Phi||_F^2 / ||Phi||_2^2
    Range: 0, or from 1 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Source: Rudelson and Vershynin 2007, "Sampling from large matrices", section 1.
    """
    return _by_layer(snapshot, lambda spectrum: ranks.stable_rank(spectrum.values))


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_numerical_rank(snapshot: Snapshot, tolerance: float | None = None) -> dict[str, float]:
    """Returns how many singular values of each layer's features are not rounding errors.

    Formula: #{i : s_i > tolerance * s_1} (`ranks.numerical_rank`)
    Range: whole numbers from 0 to min(n, d)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        tolerance: the share, at least 0; None: `ranks.rounding_tolerance`, max(n, d) times the spacing of the
            features' dtype. Of float16 and bfloat16 features, whose rounding raises the rank, it takes that
            of float32.

    Returns:
        {layer name: rank} for every hidden nonlinearity and linear output.

    Raises:
        ValueError: `tolerance` is out of its range.

    Source: Golub and Van Loan, "Matrix computations", section 5.4.1; Dohare et al. 2024, "Loss of plasticity
        in deep continual learning".
    """
    return _by_layer(snapshot, lambda spectrum: spectrum.numerical_rank(tolerance))


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_spectral_norm(snapshot: Snapshot) -> dict[str, float]:
    """Returns the largest singular value of each layer's features.

    It grows by orders of magnitude where targets have a large common offset.

    Formula: ||Phi||_2
    Range: at least 0; it grows with n, like sqrt(n)
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: norm} for every hidden nonlinearity and linear output.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks".
    """
    return _by_layer(snapshot, lambda spectrum: spectrum.values[0])


@quantity("cheap", group="feature ranks", reads=("activations", "linear_outputs"))
def feature_singular_values(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Returns the singular values of each layer's features: a distribution.

    Those below about 3e-7 of the largest are 0, unless features are float64: rounding made them.

    Formula: s_1 >= s_2 >= ..., the singular values of Phi
    Range: at least 0
    NaN: where an activation is NaN or infinite. Layers in `Snapshot.unmeasured` are left out.
    Cost: one forward pass, and singular values that all ranks of features share.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: `[min(n, d)] float64`, descending} for every hidden nonlinearity and linear output.

    Source: the spectrum behind the ranks of features; for its use see Kumar et al. 2020, "Implicit
        under-parameterization inhibits data-efficient deep reinforcement learning".
    """
    return {layer: spectrum.values for layer, spectrum in feature_spectra(snapshot).items()}


def _by_layer(snapshot: Snapshot, measure: Callable[[Spectrum], Any]) -> dict[str, float]:
    values = {layer: float(measure(spectrum)) for layer, spectrum in feature_spectra(snapshot).items()}
    return values | dict.fromkeys(snapshot.unmeasured, float("nan"))
