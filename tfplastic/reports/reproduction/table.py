"""Results of all 22 figures of the paper."""

from collections.abc import Callable, Mapping

from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Result
from tfplastic.reports.reproduction.results import (
    correlates,
    instability,
    interventions,
    landscape,
    learning,
    minatar,
    probes,
    width,
)

_MAKE: Mapping[int, Callable[[Committed], Result]] = {
    1: instability.figure_1,
    2: landscape.figure_2,
    3: correlates.figure_3,
    4: probes.figure_4,
    5: width.figure_5,
    6: interventions.figure_6,
    7: minatar.figure_7,
    8: interventions.figure_8,
    9: interventions.figure_9,
    10: interventions.figure_10,
    11: interventions.figure_11,
    12: learning.figure_12,
    13: learning.figure_13,
    14: landscape.figure_14,
    15: learning.figure_15,
    16: learning.figure_16,
    17: probes.figure_17,
    18: probes.figure_18,
    19: minatar.figure_19,
    20: minatar.figure_20,
    21: minatar.figure_21,
    22: minatar.figure_22,
}


def results(committed: Committed) -> dict[int, Result]:
    """Returns {figure of the paper: its result}, all 22."""
    return {number: make(committed) for number, make in _MAKE.items()}
