"""The diagnostics of a run as configured: which quantities, when, and with which losses."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tfplastic._checks import check_mapping, check_one_of
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.quantity import QuantityFn, needs_of
from tfplastic.diagnostics.diagnose import quantities_of_budget
from tfplastic.diagnostics.measure import check_quantities
from tfplastic.diagnostics.objectives import Objective, check_objective
from tfplastic.training.events.measurements.schedule import Schedule


class DiagnosticsPlan:
    """The quantities that a run measures, each with its steps and its loss; checked, and without a state.

    Args:
        quantities: functions of a `diagnostics.Snapshot`; or a budget, `'cheap'`, `'medium'` or `'full'`, of
            whose quantities those that do not suit the network are left out, with a warning that says why; or
            a list of budgets and functions.
        period: gradient steps between measurements of a quantity that is not in `periods`.
        periods: {name of a quantity: its own period, or a list of the steps at which to measure it}.
        loss: loss for quantities of a loss, in place of the task's, see `TrainConfig.diagnostics_loss`.
        losses: {name of a quantity: its own loss, instead of `loss`; None for the task's}.

    Raises:
        TypeError: `quantities` are not functions with names.
        ValueError: a period is not a positive integer, there is no quantity of a name in `periods` or
            `losses`, or a loss is not a function.

    Attributes:
        quantities: by name.
        schedules: steps of each quantity, by its name.
        losses: loss of each quantity, by its name; None for the task's.
        leaves_out: names of quantities that are left out if they do not suit the network.
        needs_reference: whether a quantity compares with the beginning.
    """

    def __init__(
        self,
        quantities: str | Sequence[str | QuantityFn] | Mapping[str, QuantityFn],
        period: int,
        periods: Mapping[str, int | Sequence[int]],
        loss: Objective | None = None,
        losses: Mapping[str, Objective | None] = MappingProxyType({}),
    ):
        self.quantities, self.leaves_out = _expanded(quantities)
        self.schedules = dict.fromkeys(self.quantities, Schedule("diagnostics_period", period))
        for name, own in check_mapping("diagnostics_periods", periods, "{'sharpness': 100}").items():
            self._check_name("diagnostics_periods", name)
            self.schedules[name] = Schedule(f"diagnostics_periods[{name!r}]", own)
        self.losses = dict.fromkeys(self.quantities, _checked_loss("diagnostics_loss", loss))
        example = "{'sharpness': @noisy_self_targets}"
        for name, own in check_mapping("diagnostics_losses", losses, example).items():
            self._check_name("diagnostics_losses", name)
            self.losses[name] = _checked_loss(f"diagnostics_losses[{name!r}]", own)
        self.needs_reference = any("reference" in needs_of(each) for each in self.quantities.values())

    def _check_name(self, argument: str, name: str) -> None:
        if name not in self.quantities:
            rule = f"must name quantities of `diagnostics` ({', '.join(self.quantities) or 'none'})"
            raise ValueError(f"`{argument}` {rule}. Received: {name!r}")


def _expanded(
    quantities: str | Sequence[str | QuantityFn] | Mapping[str, QuantityFn],
) -> tuple[dict[str, QuantityFn], set[str]]:
    """Returns quantities by name, and the names of those that are of a budget."""
    if isinstance(quantities, str):
        quantities = [check_one_of("diagnostics", quantities, tuple(BUDGETS))]
    named: Any = quantities
    of_budgets: dict[str, QuantityFn] = {}
    if isinstance(quantities, list | tuple):
        named = [each for each in quantities if not isinstance(each, str)]
        for budget in quantities:
            if isinstance(budget, str):
                of_budgets |= quantities_of_budget(check_one_of("diagnostics", budget, tuple(BUDGETS)))
    own = check_quantities("diagnostics", named)
    return {**of_budgets, **own}, {*of_budgets} - {*own}


def _checked_loss(name: str, loss: Any) -> Objective | None:
    if loss is not None:
        check_objective(name, loss)
    return loss
