"""Distance of the weights from an earlier state, and the size of the next update.

Trainable variables count, those of a layer together, biases as well. Sums are in float64, made once for all
and kept until the snapshot's `refresh`. Values are NaN or infinite where a variable is.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfplastic._checks import check_one_of
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.virtual_step import virtual_step
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_map import UnitMap

__all__ = [
    "cosine_from_init",
    "distance_from_init",
    "effective_learning_rate",
    "rms_distance_from_init",
    "update_ratio",
]


@quantity("cheap", group="changes", needs=("reference",))
def distance_from_init(snapshot: Snapshot) -> dict[str, float]:
    """Returns the Euclidean distance of each layer's weights from the weights of the reference.

    The reference is commonly the initialization, hence the name.

    Formula: ||theta - theta_0||_2
    Range: at least 0
    NaN: where a variable is NaN; infinite where one is infinite.
    Cost: no pass; sums that all distances share.

    Args:
        snapshot: snapshot of the model, with a reference.

    Returns:
        {layer name: distance} for every layer with variables of its own, and under 'all' the distance of all
        of them together.

    Raises:
        ValueError: the snapshot has no reference, or one of another model.

    Source: the root of L2 Init's penalty, Kumar et al. 2023, "Maintaining plasticity in continual learning
        via regenerative regularization", section 4. `rms_distance_from_init` is a mean.
    """
    return {layer: math.sqrt(change.squared_distance) for layer, change in _changes(snapshot).items()}


@quantity("cheap", group="changes", needs=("reference",))
def rms_distance_from_init(snapshot: Snapshot) -> dict[str, float]:
    """Returns the root mean square of each layer's change since the reference.

    It is `distance_from_init` over the root of the number N of weights, so that layers of different sizes
    compare.

    Formula: sqrt((1/N) sum_i (theta_i - theta_i0)^2)
    Range: at least 0
    NaN: where a variable is NaN, and under 'all' if there is no variable; infinite where one is infinite.
    Cost: no pass; sums that all distances share.

    Args:
        snapshot: snapshot of the model, with a reference.

    Returns:
        {layer name: distance} for every layer with variables of its own, and under 'all' the distance of all
        of them together.

    Raises:
        ValueError: the snapshot has no reference, or one of another model.

    Source: the "difference from initialization" of Plasticine.
    """
    return {
        layer: _root_of_ratio(change.squared_distance, change.count)
        for layer, change in _changes(snapshot).items()
    }


@quantity("cheap", group="changes", needs=("reference",))
def cosine_from_init(snapshot: Snapshot) -> dict[str, float]:
    """Returns the cosine of each layer's weights with the weights of the reference.

    Formula: <theta, theta_0> / (||theta|| ||theta_0||)
    Range: [-1, 1]
    NaN: where either is all zeros, or a variable is NaN or infinite.
    Cost: no pass; sums that all distances share.

    Args:
        snapshot: snapshot of the model, with a reference.

    Returns:
        {layer name: cosine} for every layer with variables of its own, and under 'all' the cosine of all of
        them together.

    Raises:
        ValueError: the snapshot has no reference, or one of another model.

    Source: common usage; a scale-invariant companion of `distance_from_init`.
    """
    return {layer: _cosine(change) for layer, change in _changes(snapshot).items()}


@quantity("medium", group="changes", needs=("loss", "optimizer"))
def update_ratio(snapshot: Snapshot) -> dict[str, float]:
    """Returns the size of the optimizer's next update compared with the size of the weights.

    The update is that of `virtual_step` on the snapshot's batch.

    Formula: ||Delta theta|| / ||theta||
    Range: at least 0; infinite where the weights are all zeros and change
    NaN: where the weights are all zeros and stay so, or an update is NaN.
    Cost: one gradient, an update that is undone, and a loss.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.

    Returns:
        {layer name: ratio} for every layer with variables of its own, and under 'all' the ratio of all of
        them together.

    Raises:
        ValueError: the snapshot has no loss or no optimizer.

    Source: common usage, such as Lyle et al. 2024, "Normalization and effective learning rates in
        reinforcement learning"; about 1e-3 is a rule of thumb for healthy training.
    """
    updates, weights = _squares(virtual_step(snapshot).updates), _squares(snapshot.weights)
    return {layer: _root_of_ratio(updates[layer], weights[layer]) for layer in weights}


@quantity("medium", group="changes", needs=("loss", "optimizer"))
def effective_learning_rate(snapshot: Snapshot, layers: Sequence[str] | None = None) -> dict[str, float]:
    """Returns the learning rate of normalized layers' directions theta / ||theta||.

    If a normalization takes the scale of theta = (kernel, bias) away, the loss depends on its direction
    alone, whose gradient is ||theta|| times the gradient g with respect to theta; and an update Delta moves
    the direction by ||Delta|| / ||theta||. The ratio is eta / ||theta||^2 exactly for gradient descent with
    the rate eta; for other optimizers it is the rate with which gradient descent would have moved the
    direction as far.

    Formula: ||Delta|| / (||g|| ||theta||^2)
    Range: at least 0
    NaN: where the gradient or the weights are all zeros, or one is NaN.
    Cost: one gradient, an update that is undone, and a loss.

    Args:
        snapshot: snapshot of the model, with a loss and an optimizer.
        layers: names of the normalized layers. None: the layers with units in the model's `UnitMap` and a
            normalization behind them. Layers in between, such as ReLU or pooling, are assumed to keep scales;
            tanh does not.

    Returns:
        {layer name: rate}; empty where there is no such layer, or `UnitMap` cannot trace the model.

    Raises:
        ValueError: the snapshot has no loss or no optimizer, or no weights of one of `layers`.

    Source: van Laarhoven 2017, "L2 regularization versus batch and weight normalization", section 2; Lyle et
        al. 2024, "Normalization and effective learning rates in reinforcement learning". For Adam the latter
        writes eta / ||theta||, to which `update_ratio` is proportional.
    """
    updates = _squares(virtual_step(snapshot).updates)
    gradients, weights = _squares(snapshot.gradients), _squares(snapshot.weights)
    names = (
        snapshot.memoize("normalized_layers", lambda: _normalized(snapshot), survives_refresh=True)
        if layers is None
        else layers
    )
    for name in names:
        check_one_of("layers", name, list(snapshot.weights))
    return {
        name: _root_of_ratio(updates[name], gradients[name] * weights[name] ** 2)
        if gradients[name]
        else float("nan")
        for name in names
    }


def _normalized(snapshot: Snapshot) -> list[str]:
    """Returns the layers in front of a normalization; spectral normalization is in the layer itself."""
    try:
        units_by_layer = UnitMap(snapshot.model)
    except ValueError:  # not traced, or without hidden units
        return []
    return [
        layer
        for layer, units in units_by_layer.items()
        if layer in snapshot.weights and any(norm.layer != layer for norm in units.norms)
    ]


class _Change(NamedTuple):
    """Sums over variables of 1, (theta_i - theta_i0)^2, theta_i theta_i0, theta_i^2, theta_i0^2."""

    count: int
    squared_distance: float
    inner: float
    now_square: float
    then_square: float


def _changes(snapshot: Snapshot) -> dict[str, _Change]:
    """Returns the sums of each layer, and of all under 'all'."""
    snapshot.require("reference")
    return snapshot.memoize(("changes", snapshot.reference), lambda: _made_changes(snapshot))


def _made_changes(snapshot: Snapshot) -> dict[str, _Change]:
    changes = {
        layer: _change(_vector(weights), _vector(snapshot.reference.weights_like(layer, weights)))
        for layer, weights in snapshot.weights.items()
    }
    nothing = _Change(0, 0.0, 0.0, 0.0, 0.0)
    return {**changes, "all": _Change(*map(sum, zip(nothing, *changes.values(), strict=True)))}


def _change(now: np.ndarray, then: np.ndarray) -> _Change:
    moved = now - then
    return _Change(len(now), float(moved @ moved), float(now @ then), float(now @ now), float(then @ then))


def _cosine(change: _Change) -> float:
    """Returns the cosine; NaN where either is zero. Rounding does not take it beyond 1."""
    norms = math.sqrt(change.now_square) * math.sqrt(change.then_square)
    return float(np.clip(change.inner / norms, -1, 1)) if norms else float("nan")


def _squares(tensors: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    vectors = {layer: _vector(each) for layer, each in tensors.items()}
    squares = {layer: float(each @ each) for layer, each in vectors.items()}
    return {**squares, "all": float(sum(squares.values()))}


def _vector(tensors: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(each).astype(np.float64).ravel() for each in tensors])


def _root_of_ratio(numerator: float, denominator: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(np.divide(numerator, denominator)))
