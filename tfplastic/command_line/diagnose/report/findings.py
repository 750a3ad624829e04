"""The findings of a report on one network, and their written form."""

import dataclasses
import math
from typing import Any

import numpy as np

from tfplastic.diagnostics.report import Report

HEADER = ("step", "quantity", "layer", "value")


@dataclasses.dataclass(frozen=True)
class Findings:
    """A report and its subject.

    Attributes:
        name: such as 'boxing, gradient step 12,500'.
        step: gradient step of the checkpoint; None for a Keras file, which does not say.
        report: the values.
        budget: budget of the measurement.
    """

    name: str
    step: int | None
    report: Report
    budget: str

    @property
    def number(self) -> int:
        """The step as it is written: -1 for a Keras file."""
        return -1 if self.step is None else self.step

    def rows(self) -> list[tuple[int, str, str, float]]:
        """Returns the numbers in the columns of `HEADER`."""
        return [
            (self.number, quantity, layer, value)
            for quantity, by_layer in self.report.to_dict().items()
            for layer, value in by_layer.items()
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by 'quantity/layer', and the `step`."""
        arrays = {
            f"{quantity}/{layer}": array
            for quantity, by_layer in self.report.arrays.items()
            for layer, array in by_layer.items()
        }
        return {"step": np.array(self.number, np.int64), **arrays}

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers, `None` for NaN or infinity, and the missing quantities with the reasons."""
        return {
            "name": self.name,
            "step": self.step,
            "budget": self.budget,
            "values": {
                quantity: {
                    layer: value if math.isfinite(value) else None for layer, value in by_layer.items()
                }
                for quantity, by_layer in self.report.to_dict().items()
            },
            "reasons": self.report.reasons,
            "left_out": self.report.left_out,
        }
