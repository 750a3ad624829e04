"""Some of many values, for histograms."""

import numpy as np

_GOLDEN_RATIO = (np.sqrt(5) - 1) / 2


def thinned(values: np.ndarray, max_values: int) -> np.ndarray:
    """Returns at most `max_values` of the values, `[k] float64`, spread evenly over all axes.

    Number floor(size * frac(j * golden ratio)) for j = 0, 1, ...; in equal steps they could be all of one
    unit.

    Args:
        values: array of any shape.
        max_values: most values to take.
    """
    if values.size > max_values:
        shares = np.arange(max_values) * _GOLDEN_RATIO % 1
        values = values.ravel()[(shares * values.size).astype(np.int64)]
    return values.ravel().astype(np.float64)
