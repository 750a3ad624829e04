"""Every public quantity is in the budget of its cost and in the larger ones."""

from tfplastic import diagnostics
from tfplastic.diagnostics.declaration.budgets import BUDGETS


def public():
    every = {name: getattr(diagnostics, name) for name in diagnostics.__all__}
    return {name: each for name, each in every.items() if hasattr(each, "cost")}


def ours(budget):
    return [
        each for each in BUDGETS[budget] if each.__module__.startswith("tfplastic.diagnostics.quantities.")
    ]


def test_every_public_quantity_is_in_the_budgets_from_its_cost_on():
    assert len(public()) > 40
    for name, quantity in public().items():
        held = [budget for budget in BUDGETS if quantity in BUDGETS[budget]]
        assert held == list(BUDGETS)[list(BUDGETS).index(quantity.cost) :], name


def test_every_member_is_public_and_there_once():
    assert sorted(each.__name__ for each in ours("full")) == sorted(public())


def test_a_larger_budget_begins_with_the_smaller():
    cheap, medium, full = (ours(budget) for budget in ("cheap", "medium", "full"))
    assert medium[: len(cheap)] == cheap and full[: len(medium)] == medium
    assert [each.__name__ for each in cheap[:2] + medium[-2:] + full[-1:]] == [
        "dead_units",
        "dormant_units",
        "same_batch_loss_change",
        "churn",
        "preconditioned_sharpness",
    ]


def test_what_needs_a_loss_is_not_cheap():
    assert not any("loss" in each.needs for each in ours("cheap"))
