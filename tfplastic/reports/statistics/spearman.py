"""Spearman's rank correlation, of many samples at once."""

from typing import Any

import numpy as np
import scipy.stats


def spearman(x: Any, y: Any) -> np.ndarray:
    """Returns ranks along the last axis, `[...]`; NaN for NaN and where all values of one are equal."""
    x, y = (scipy.stats.rankdata(np.asarray(each, np.float64), axis=-1) for each in (x, y))
    x, y = (ranks - ranks.mean(-1, keepdims=True) for ranks in (x, y))
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), scale, out=np.full(np.shape(scale), np.nan), where=scale > 0)
