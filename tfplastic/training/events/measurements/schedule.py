"""When something is measured: at the multiples of a period, or at the steps that are named."""

from collections.abc import Sequence

from tfplastic._checks import check_integer, check_positive_integer


class Schedule:
    """Gradient steps at which something is due.

    Args:
        name: name of the argument that gives the steps, for errors.
        when: a period, whose multiples are meant, 0 included; or a list of steps.

    Raises:
        ValueError: `when` is neither a positive integer nor a list of steps, or the list is empty.

    Example:
        >>> from tfplastic.training.events.measurements.schedule import Schedule
        >>> 10 in Schedule('period', 5), 10 in Schedule('period', [1, 20])
        (True, False)
        >>> Schedule('period', 5).after(10), Schedule('period', [1, 20]).after(10)
        (15, 20)
        >>> Schedule('period', 5).count(10), Schedule('period', [1, 20]).count(10)
        (3, 1)
        >>> print(Schedule('period', 5_000), Schedule('period', [0, 5_000]), sep='; ')
        every 5,000; at 0 and 5,000
    """

    def __init__(self, name: str, when: int | Sequence[int]):
        self._steps: list[int] | None = None
        if isinstance(when, Sequence) and not isinstance(when, str):
            self._steps = sorted({check_integer(f"{name}[{place}]", step) for place, step in enumerate(when)})
            if not self._steps:
                raise ValueError(f"`{name}` must be a period or a list of gradient steps. Received: {when!r}")
        else:
            self._period = check_positive_integer(name, when)

    def __contains__(self, step: int) -> bool:
        return step % self._period == 0 if self._steps is None else step in self._steps

    def after(self, step: int) -> int | None:
        """Returns the first step beyond `step` at which it is due; None if there is none any more."""
        if self._steps is None:
            return (step // self._period + 1) * self._period
        return next((each for each in self._steps if each > step), None)

    @property
    def first(self) -> int:
        """The first step at which it is due."""
        return 0 if self._steps is None else self._steps[0]

    def count(self, last: int) -> int:
        """Returns the number of steps up to `last` at which it is due."""
        return last // self._period + 1 if self._steps is None else sum(each <= last for each in self._steps)

    def __str__(self) -> str:
        if self._steps is None:
            return f"every {self._period:,}"
        *others, last = [f"{step:,}" for step in self._steps]
        return f"at {', '.join(others)} and {last}" if others else f"at {last}"
