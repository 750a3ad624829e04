"""A random estimate with its standard error."""

import dataclasses
from typing import Generic, TypeVar

import numpy as np
from scipy.special import stdtrit

from tfplastic._text.short_repr import ShortRepr

Value = TypeVar("Value", float, np.ndarray)


@dataclasses.dataclass(frozen=True, repr=False)
class Estimate(ShortRepr, Generic[Value]):
    """The mean of a quantity over independent random probes.

    Attributes:
        value: the mean, a float or `[n] float64`.
        standard_error: s / sqrt(num_probes), s being the standard deviation over the probes (with
            num_probes - 1 in its denominator). In the form of `value`. 0 where the value is exact, NaN after
            one probe.
        num_probes: number of probes; 0 where the value is exact.
        num_products: number of all matrix-vector products, including those not spent on probes.
        converged: whether the requested tolerance was met; True without a tolerance, or where the value is
            exact.
        advice: the reason and the remedy, in one line, where not converged; else empty.

    Example:
        >>> from tfplastic import linalg
        >>> estimate = linalg.Estimate(10.0, 1.0, num_probes=5, num_products=5, converged=True)
        >>> [round(end, 3) for end in estimate.interval()]  # the 97.5 % point of t with 4 degrees is 2.776
        [7.224, 12.776]
    """

    value: Value
    standard_error: Value
    num_probes: int
    num_products: int
    converged: bool
    advice: str = ""

    def interval(self, level: float = 0.95) -> tuple[Value, Value]:
        """Returns the confidence interval of Student's t with num_probes - 1 degrees of freedom.

        Args:
            level: probability that such an interval holds the true value, in (0, 1). For each entry of an
                array separately.

        Returns:
            Its two ends, each in the form of `value`. Both are `value` where that is exact, NaN after one
            probe.

        Raises:
            ValueError: `level` is not in (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be a number in (0, 1). Received: {level!r}")
        degrees = max(self.num_probes - 1, 1)  # where there are none, the standard error is 0 or NaN
        radius = float(stdtrit(degrees, (1 + level) / 2)) * self.standard_error
        return self.value - radius, self.value + radius
