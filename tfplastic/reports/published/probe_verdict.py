"""The verdict of a probe, from the scalars that a run writes."""

import math

from tfplastic.reports.published.measures import scalar
from tfplastic.reports.runs import Run

_SATURATED = 0.9  # mean loss of fresh networks at the end, over b


def probe_verdict(run: Run) -> str:
    """Returns 'lost', 'gained', 'as fresh' or 'undecided' for the last probe of a run; '' without one.

    The rules are those of `ProbeResult.verdict`.
    """
    final, low, high, fresh, variance = (
        scalar(run, f"probe/{name}")
        for name in ("final_loss", "fresh_low", "fresh_high", "fresh_final_loss", "target_variance")
    )
    if math.isnan(variance):
        return ""
    if not math.isfinite(high) or fresh > _SATURATED * variance:
        return "undecided"
    if not final <= high:
        return "lost"
    return "gained" if final < low else "as fresh"
