"""From the statistics of units to a value for each layer."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics


def by_layer(
    snapshot: Snapshot,
    reads: tuple[str, ...],
    per_position: bool,
    measure: Callable[[UnitStatistics], Any],
    finite: Literal["mean_abs", "pre_mean"] = "mean_abs",
) -> dict[str, float]:
    """Returns {layer name: `measure` of the statistics of its units}.

    Args:
        snapshot: snapshot of the model.
        reads: the arrays that `measure` takes, and `finite`.
        per_position: whether a channel's statistics are taken position by position, or over all of them.
        measure: function that takes statistics whose arrays are `[units]`, or `[positions, units]` with
            `per_position`.
        finite: the array that must be finite. The value is NaN where it is not, and for layers whose
            statistics are unknown.
    """

    def measured(statistics: UnitStatistics) -> float:
        statistics = statistics.by_position() if per_position else statistics.by_channel()
        is_known = np.isfinite(getattr(statistics, finite)).all()
        return float(measure(statistics)) if is_known else float("nan")

    values = {layer: measured(each) for layer, each in snapshot.statistics_with(reads).items()}
    return values | dict.fromkeys(snapshot.unmeasured, float("nan"))
