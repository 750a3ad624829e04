"""The quantities of each budget, as their declarations have them."""

from collections.abc import Iterator, Mapping

from tfplastic.diagnostics.declaration.quantity import COSTS, QuantityFn
from tfplastic.diagnostics.declaration.registry import declared_quantities


class _Budgets(Mapping[str, tuple[QuantityFn, ...]]):
    """{budget: its quantities}, at the time of asking: of the lowest cost first, then as declared."""

    def __getitem__(self, budget: str) -> tuple[QuantityFn, ...]:
        if budget not in COSTS:
            raise KeyError(budget)
        costs, declared = COSTS[: COSTS.index(budget) + 1], declared_quantities().values()
        return tuple(each for cost in costs for each in declared if each.cost == cost)

    def __iter__(self) -> Iterator[str]:
        return iter(COSTS)

    def __len__(self) -> int:
        return len(COSTS)


BUDGETS: Mapping[str, tuple[QuantityFn, ...]] = _Budgets()
"""All quantities that `diagnose` computes for each budget, those of other packages included."""
