"""Thresholds of quantities."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfplastic._checks import check_finite, shown
from tfplastic.diagnostics.declaration.quantity import QuantityFn
from tfplastic.diagnostics.measure import check_quantities


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Bound of a quantity of any layer, or of one.

    Args:
        quantity: function of a snapshot, such as `diagnostics.dead_units`, or a `functools.partial` of one.
        above: the bound is crossed by values above it; or None.
        below: the bound is crossed by values below it; or None. Exactly one of the two is given.
        layer: name of the only layer to check, as in the quantity's result; None: any layer.

    Values that are NaN cross nothing, and neither do arrays.

    Raises:
        TypeError: `quantity` is not a function of a snapshot, or `layer` not a name.
        ValueError: both bounds are given or none, or one is not a finite number.

    Example:
        >>> import tfplastic as tp
        >>> rule = tp.callbacks.Threshold(tp.diagnostics.dead_units, above=0.2)
        >>> rule.crossed({'hidden1': 0.1, 'hidden2': 0.25})
        {'hidden2': 0.25}
    """

    quantity: QuantityFn
    above: float | None = None
    below: float | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        check_quantities("quantity", [self.quantity])
        if (self.above is None) == (self.below is None):
            received = f"above={self.above!r} and below={self.below!r}"
            raise ValueError(f"`above` or `below` must be given, and not both. Received: {received}")
        for name in ("above", "below"):
            if getattr(self, name) is not None:
                check_finite(name, getattr(self, name))
        if self.layer is not None and not isinstance(self.layer, str):
            raise TypeError(f"`layer` must be the name of a layer or None. Received: {shown(self.layer)}")

    def crossed(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Returns the values of the layers that have crossed the bound.

        Args:
            values: {layer name: value}, as the quantity returns them.
        """
        numbers = {
            name: float(value)
            for name, value in values.items()
            if np.ndim(value) == 0 and self.layer in (None, name)
        }
        if self.above is not None:
            return {name: value for name, value in numbers.items() if value > self.above}
        below = self.below
        return {name: value for name, value in numbers.items() if below is not None and value < below}

    @property
    def text(self) -> str:
        """The bound as text, such as 'above 0.2'."""
        return f"below {self.below:g}" if self.above is None else f"above {self.above:g}"
