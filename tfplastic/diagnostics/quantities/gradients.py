"""Sizes of the loss's gradient, and the units that get hardly any of it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.blockwise_sums import magnitude_sum, square_sum, summed
from tfplastic.diagnostics.reading.model_layers import named_layers
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_kernels import incoming_of
from tfplastic.diagnostics.units.unit_slices import Slice

__all__ = ["dormant_gradients", "gradient_l0_norm", "gradient_l1_norm", "gradient_norm"]

_KERNELS = ("kernel", "lora_kernel_b")  # names of variables whose last axis counts units


@quantity("medium", group="gradients", needs=("loss",), reads=("gradients",))
def gradient_norm(snapshot: Snapshot) -> dict[str, float]:
    """Returns the norm of the loss's gradient, by layer. Squares are summed in float64.

    Formula: sqrt(sum_i (dL / dtheta_i)^2)
    Range: at least 0; 0 where the loss does not touch a layer
    NaN: where the gradient is NaN; infinite where it is infinite.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.

    Returns:
        {layer name: norm} for every layer with variables of its own, and under 'all' the norm of the whole
        gradient.

    Raises:
        ValueError: the snapshot has no loss.

    Source: Abbas et al. 2023, "Loss of plasticity in continual deep reinforcement learning".
    """
    squares = _summed(snapshot, square_sum)
    return {layer: math.sqrt(square) for layer, square in squares.items()}


@quantity("medium", group="gradients", needs=("loss",), reads=("gradients",))
def gradient_l1_norm(snapshot: Snapshot) -> dict[str, float]:
    """Returns the l1 norm of the loss's gradient, by layer. Magnitudes are summed in float64.

    Formula: sum_i |dL / dtheta_i|
    Range: at least 0
    NaN: where the gradient is NaN; infinite where it is infinite.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.

    Returns:
        {layer name: norm} for every layer with variables of its own, and under 'all' their sum.

    Raises:
        ValueError: the snapshot has no loss.

    Source: Abbas et al. 2023, "Loss of plasticity in continual deep reinforcement learning".
    """
    return _summed(snapshot, magnitude_sum)


@quantity("medium", group="gradients", needs=("loss",), reads=("gradients",))
def gradient_l0_norm(snapshot: Snapshot) -> dict[str, float]:
    """Returns the share of the weights that get a gradient, by layer.

    The l0 "norm", which is the number itself, divided by the number of weights, so that layers compare. The
    zero is exact.

    Formula: #{i : dL / dtheta_i != 0} / #weights
    Range: [0, 1]
    NaN: where the gradient is NaN or infinite, and under 'all' if the model has no weights.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.

    Returns:
        {layer name: fraction} for every layer with variables of its own, and under 'all' the fraction of all
        weights.

    Raises:
        ValueError: the snapshot has no loss.

    Source: Abbas et al. 2023, "Loss of plasticity in continual deep reinforcement learning", who count the
        entries.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[3., 0.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, loss=lambda targets, outputs: outputs[:, 0])
        >>> diagnostics.gradient_l0_norm(snapshot)  # the gradient is (3, 0)
        {'only': 0.5, 'all': 0.5}
    """
    # Times 0 is 0, but for what is not finite.
    counts = _summed(snapshot, lambda block: np.count_nonzero(block) + (0 * block).sum())
    sizes = {layer: sum(each.shape.num_elements() for each in of) for layer, of in snapshot.weights.items()}
    sizes["all"] = sum(sizes.values())
    return {layer: count / sizes[layer] if sizes[layer] else math.nan for layer, count in counts.items()}


@quantity("medium", group="gradients", needs=("loss",), reads=("gradients",))
def dormant_gradients(snapshot: Snapshot, tau: float = 0.01) -> dict[str, float]:
    """Returns the fraction of units that hardly learn: those with little of their layer's gradient.

    m_i is the mean magnitude of the gradient by unit i's incoming weights, the loss being the mean over the
    batch. Computed as m_i <= tau times the layer's mean, in float64: a layer without any gradient is dormant
    as a whole, 1. Unlike `dormant_units` it sees units that are active and yet get no gradient, and works for
    activations that are never zero.

    Units are channels, of depthwise convolutions too; features of each head in `EinsumDense`; the units of
    recurrent layers, all gates and the recurrent kernel together. Of layers that Keras does not have the last
    axis of a variable called 'kernel' counts them; with LoRA that of the second factor, the trained one.

    Formula: #{i : G_i <= tau} / #units, G_i = m_i / ((1/K) sum_k m_k)
    Range: [0, 1]
    NaN: where a gradient is NaN or infinite, and under 'all' where there are no units.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.
        tau: threshold of the score, at least 0. 0.01 as in Liu et al. 2025.

    Returns:
        {layer name: fraction} for every layer with a kernel, and under 'all' the fraction of all their units.

    Raises:
        ValueError: the snapshot has no loss, or `tau` is negative or not a finite number.

    Source: Liu et al. 2025, "Measure gradients, not activations! Enhancing neuronal activity in deep
        reinforcement learning" (GraMa). Their magnitude is a mean over examples of each one's gradient; like
        the released code we take that of the batch's gradient.
    """
    snapshot.require("loss")
    layers = named_layers(snapshot.model)
    magnitudes = {
        name: _magnitudes_by_unit(layers[name], snapshot.weights[name], gradients)
        for name, gradients in snapshot.gradients.items()
    }
    dormant = {name: _is_dormant(each, tau) for name, each in magnitudes.items() if each.size}
    every = np.concatenate([np.zeros(0), *dormant.values()])
    return {**{layer: float(each.mean()) for layer, each in dormant.items()}, "all": _mean(every)}


def _magnitudes_by_unit(
    layer: Any, variables: Sequence[tf.Variable], gradients: Sequence[tf.Tensor]
) -> np.ndarray:
    """Returns the mean |gradient| of the weights into each unit, `[units] float64`; empty without units."""
    slices = incoming_of(layer) or [
        Slice(each, -1) for each in variables if each.name.split("/")[-1].split(":")[0] in _KERNELS
    ]
    sums = counts = np.zeros(0)
    for part in slices:
        (variable,) = as_tf_variables([part.variable])
        values = [gradients[place] for place, each in enumerate(variables) if each is variable]
        if values:
            magnitudes = np.abs(np.asarray(values[0], np.float64))
            units = np.broadcast_to(_numbered(part, magnitudes.ndim), magnitudes.shape).ravel()
            more = np.bincount(units, magnitudes.ravel()), np.bincount(units)
            sums, counts = more if not sums.size else (sums + more[0], counts + more[1])
    return sums / counts


def _numbered(part: Slice, rank: int) -> np.ndarray:
    """Returns the units of `part`, in the form in which they are broadcast along a variable of `rank`."""
    return part.units.reshape(*part.units.shape, *[1] * (rank - part.axis - part.units.ndim))


def _is_dormant(magnitudes: np.ndarray, tau: float) -> np.ndarray:
    """Returns 1 where a unit is dormant, else 0; NaN in a layer where one of the magnitudes is not finite."""
    if not np.isfinite(magnitudes).all():
        return np.full(magnitudes.shape, np.nan)
    return (magnitudes <= tau * magnitudes.mean()).astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _summed(snapshot: Snapshot, function: Callable[[np.ndarray], Any]) -> dict[str, float]:
    """Returns the sum of `function` of blocks of the gradient's entries, in float64."""
    snapshot.require("loss")
    sums = {
        layer: sum(summed(each, function) for each in gradients)
        for layer, gradients in snapshot.gradients.items()
    }
    return {**sums, "all": float(sum(sums.values()))}
