"""Whether inputs that are not centered keep a fresh network from learning."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_FAILS = 0.7  # final loss of a fresh network over b
_FAR = 1.0  # mean over standard deviation


def uncentered_warning(scalars: Mapping[str, float], inputs: Any) -> str:
    """Returns a warning where a fresh network ends above 0.7 b on inputs beyond one deviation off center.

    An MLP on CIFAR-10 with pixels in [0, 1], which have a mean of 0.47 and a standard deviation of 0.25, ends
    at 0.9 b, and all units of its first layer die; with pixels in [-1, 1] it ends at 0.05 b.

    Args:
        scalars: scalars of the probe of a fresh network, its `final_loss` and b, its `target_variance`.
        inputs: a nest of arrays `[n, ...]`.

    Returns:
        The warning, or '' where the network learns or the inputs are centered.
    """
    loss, variance = (scalars.get(name, math.nan) for name in ("final_loss", "target_variance"))
    if not loss > _FAILS * variance:
        return ""
    for array in tf.nest.flatten(inputs):
        values = np.asarray(array)
        if values.dtype.kind in "fiu" and values.size:
            mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
            if abs(mean) > _FAR * deviation > 0:
                return (
                    f"a fresh network ends the probe at {loss / variance:.2g} b and its inputs"
                    f" are not centered (mean {mean:.2g}, standard deviation {deviation:.2g}), which may be"
                    " why: center them, pixels such as by pixel_range = (-1.0, 1.0)"
                )
    return ""
