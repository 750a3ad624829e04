"""Every public quantity is in the tuple of its cost, and in no other."""

from tfplastic import diagnostics
from tfplastic.diagnostics.budgets import BUDGETS, CHEAP, FULL, MEDIUM

TUPLES = {"cheap": CHEAP, "medium": MEDIUM, "full": FULL}


def quantities():
    public = {name: getattr(diagnostics, name) for name in diagnostics.__all__}
    return {name: each for name, each in public.items() if hasattr(each, "cost")}


def test_every_public_quantity_is_in_the_tuple_of_its_cost():
    assert len(quantities()) > 40
    for name, quantity in quantities().items():
        assert [cost for cost, members in TUPLES.items() if quantity in members] == [quantity.cost], name


def test_every_member_is_public_and_there_once():
    members = [each.__name__ for tuple_ in TUPLES.values() for each in tuple_]
    assert sorted(members) == sorted(quantities())


def test_a_larger_budget_holds_the_smaller():
    assert BUDGETS == {"cheap": CHEAP, "medium": CHEAP + MEDIUM, "full": CHEAP + MEDIUM + FULL}


def test_what_needs_a_loss_is_not_cheap():
    assert not any("loss" in quantity.needs for quantity in CHEAP)
