"""Final losses of a probe from its first steps, compared with fresh networks that took all of them."""

import dataclasses

import numpy as np

from tfplastic.probing.result import ProbeResult

_WINDOW = 0.2  # part of the steps over whose end a level is averaged
_SMOOTHED = 0.025  # part of all steps over which the reference is


def at_full_length(result: ProbeResult) -> ProbeResult:
    """Returns the result with final losses as they would be after as many steps as fresh networks have taken.

    Those of fresh networks are extrapolated from as many steps, too, so that both have the same errors.

    Args:
        result: result whose curves have fewer steps than those of its fresh networks.
    """
    steps, fresh = result.curves.shape[-1], result.fresh
    flat = fresh.curves.reshape(-1, fresh.curves.shape[-1])
    learnt = flat[np.isfinite(flat).all(axis=-1)]  # one that diverges is no reference for those that learn
    reference = (learnt if len(learnt) else flat).mean(axis=0)  # [all steps]
    losses = extrapolated(fresh.curves[..., :steps], reference)
    return dataclasses.replace(
        result,
        final_losses=extrapolated(result.curves, reference),
        fresh=dataclasses.replace(fresh, final_losses=losses),
        how=f"{result.how}; final losses extrapolated to {len(reference)} steps",
    )


def extrapolated(curves: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Extrapolates loss curves to as many steps as the reference has.

    Each curve is taken for the reference at another speed: a network that has after s steps the level that
    the reference had after phi s has after S steps the level that the reference has after phi S. Beyond its
    end the reference continues as the power of the step that fits its second half. A curve that is still
    above the reference's beginning, as that of a value network whose outputs are large, continues as its own
    power of the step, down to that beginning. Where nothing is learnt, or training diverges, it stays.

    Args:
        curves: `[..., s]`, s at most S.
        reference: `[S]`, the mean curve of fresh networks.

    Returns:
        `[...] float64`.
    """
    length = len(reference)
    levels, middle = _level(curves)
    middle = max(middle, 1.0)
    falling = np.minimum.accumulate(_smooth(reference, max(1, round(_SMOOTHED * length))))
    reached = np.searchsorted(-falling, -levels)  # the first step of the reference at this level, or none
    at = reached * (length - 1) / middle
    half, end = max(length // 2, 1), length - 1
    slope = (
        np.log(falling[end] / falling[half]) / np.log(end / half) if end > half and falling[end] > 0 else 0.0
    )
    beyond = falling[end] * (np.maximum(at, end) / max(end, 1)) ** slope
    found = np.where(at <= end, np.interp(at, np.arange(length), falling), beyond)
    above = np.maximum(levels * (length / middle) ** _slope(curves), falling[0])
    return np.select([~np.isfinite(levels), reached == 0], [levels, above], found)


def _level(curves: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the final level of curves `[..., s]`, `[...] float64`, and its step on average."""
    steps = curves.shape[-1]
    window = max(1, round(_WINDOW * steps))
    return curves[..., steps - window :].mean(axis=-1, dtype=np.float64), steps - (window + 1) / 2


def _slope(curves: np.ndarray) -> np.ndarray:
    """Returns the power of the step, at most 0, by which curves `[..., s]` fall in their second half."""
    half = curves.shape[-1] // 2
    if half < 2:
        return np.zeros(curves.shape[:-1])
    (late, end), (early, middle) = _level(curves), _level(curves[..., :half])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(np.log(late / early) / np.log(end / middle), 0.0)


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values.astype(np.float64), (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
