"""Distributions of activations and gradients, which TensorBoard shows as histograms.

`pre_activation_histogram` is the third of them.
"""

import numpy as np

from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.thinned import thinned
from tfplastic.diagnostics.snapshot import Snapshot

__all__ = ["activation_histogram", "gradient_histogram"]


@quantity("cheap", group="units", reads=("activations",))
def activation_histogram(snapshot: Snapshot, max_values: int = 10_000) -> dict[str, np.ndarray]:
    """Returns the activations of each layer, of all inputs, positions and units, for a histogram.

    Of more values, `max_values` are taken as in `pre_activation_histogram`, spread evenly over inputs,
    positions and units.

    Formula: h_i(x) for inputs x, positions and units i
    Range: values of the activation function
    NaN: in the entries that are NaN. Layers in `Snapshot.unmeasured` are left out.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        max_values: most values of a layer, at least 1.

    Returns:
        {layer name: `[min(size, max_values)] float64`} for every hidden nonlinearity.

    Raises:
        ValueError: `max_values` is not a whole number of at least 1.

    Source: common usage.
    """
    masks = snapshot.masks
    return {
        layer: thinned(np.asarray(each)[np.asarray(masks[layer]) if layer in masks else ...], max_values)
        for layer, each in snapshot.activations.items()
    }


@quantity("medium", group="gradients", needs=("loss",), reads=("gradients",))
def gradient_histogram(snapshot: Snapshot, max_values: int = 10_000) -> dict[str, np.ndarray]:
    """Returns the entries of the loss's gradient by the weights of each layer, for a histogram.

    Of more values, `max_values` are taken as in `pre_activation_histogram`, spread evenly over the layer's
    variables in their order.

    Formula: dL / dtheta_i for the trainable weights theta_i of the layer
    Range: any sign
    NaN: in the entries that are NaN.
    Cost: one gradient.

    Args:
        snapshot: snapshot of the model, with a loss.
        max_values: most values of a layer, at least 1.

    Returns:
        {layer name: `[min(size, max_values)] float64`} for every layer with variables of its own.

    Raises:
        ValueError: the snapshot has no loss, or `max_values` is not a whole number of at least 1.

    Source: common usage.
    """
    snapshot.require("loss")
    return {
        layer: thinned(np.concatenate([np.ravel(np.asarray(each)) for each in gradients]), max_values)
        for layer, gradients in snapshot.gradients.items()
    }
