"""Final losses of a probe from its first steps, beside fresh networks that took all of them."""

import dataclasses

import numpy as np

from tfplastic.probing.result import ProbeResult

_WINDOW = 0.2  # part of the steps over whose end a level is averaged
_SMOOTHED = 0.025  # part of all steps over which the reference is


def at_full_length(result: ProbeResult) -> ProbeResult:
    """The result with final losses as they would be after as many steps as fresh networks have taken.

    Those of fresh networks are extrapolated from as many steps, too, so that both have the same errors.

    Args:
        result: whose curves have fewer steps than those of its fresh networks.
    """
    steps, fresh = result.curves.shape[-1], result.fresh
    reference = fresh.curves.mean(axis=(0, 1))  # [all steps]
    losses = extrapolated(fresh.curves[..., :steps], reference)
    return dataclasses.replace(
        result,
        final_losses=extrapolated(result.curves, reference),
        fresh=dataclasses.replace(fresh, final_losses=losses),
        how=f"{result.how}; final losses extrapolated to {len(reference)} steps",
    )


def extrapolated(curves: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where loss curves would be after as many steps as the reference has.

    As if each curve were the reference at another speed: a network that has after s steps the level that the
    reference had after phi s will after S steps have the level that the reference has after phi S. Beyond
    its end the reference goes on as a power of the step, as it did in its second half. A level that the
    reference never had, because nothing was learnt or training diverged, stays.

    Args:
        curves: `[..., s]`, s at most S.
        reference: `[S]`, the mean curve of fresh networks.

    Returns:
        `[...] float64`.
    """
    steps, length = curves.shape[-1], len(reference)
    window = max(1, round(_WINDOW * steps))
    levels = curves[..., steps - window :].mean(axis=-1, dtype=np.float64)
    falling = np.minimum.accumulate(_smooth(reference, max(1, round(_SMOOTHED * length))))
    reached = np.searchsorted(-falling, -levels)  # the first step of the reference at this level, or none
    at = reached * (length - 1) / max(steps - (window + 1) / 2, 1.0)
    half, end = max(length // 2, 1), length - 1
    slope = (
        np.log(falling[end] / falling[half]) / np.log(end / half) if end > half and falling[end] > 0 else 0.0
    )
    beyond = falling[end] * (np.maximum(at, end) / max(end, 1)) ** slope
    found = np.where(at <= end, np.interp(at, np.arange(length), falling), beyond)
    return np.where((reached == 0) | np.isnan(levels), levels, found)


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values.astype(np.float64), (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
