import functools
import re
from typing import Any

import gin
import pytest
import tensorflow as tf

from tfplastic import diagnostics
from tfplastic.diagnostics import Snapshot
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.quantity import group_of, needs_of, quantity, reads_of
from tfplastic.diagnostics.declaration.registry import declared_quantities
from tfplastic.diagnostics.measure import check_quantities


@pytest.fixture(autouse=True)
def _only_here(monkeypatch):
    monkeypatch.setattr("tfplastic.diagnostics.declaration.registry._declared", declared_quantities())
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def model():
    model = tf.keras.Sequential([tf.keras.layers.ReLU(name="relu"), tf.keras.layers.Dense(1, name="output")])
    model(tf.ones([1, 2]))
    return model


def refuse_odd(name, value):
    if value % 2:
        raise ValueError(f"`{name}` must be even. Received: {value}")


def declare(cost: Any = "cheap", **keywords):
    @quantity(cost, **keywords)
    def some_quantity(it, factor=2.0, seed=0):
        return {layer: factor * float(tf.reduce_sum(each)) for layer, each in it.activations.items()}

    return some_quantity


def test_one_decorated_function_is_in_budgets_report_and_gin(model):
    some_quantity = declare(group="my table", reads=("activations",))
    assert [some_quantity in BUDGETS[budget] for budget in ("cheap", "medium", "full")] == [True] * 3
    inputs = tf.constant([[1.0, -2.0]])
    report = diagnostics.diagnose(model, inputs, budget="cheap")
    assert report.to_dict()["some_quantity"] == {"relu": 2.0}
    assert re.search(r"\n +some_\nmy table +quantity *\nrelu +2 *\n", report.to_text(80))
    with gin.unlock_config():
        gin.parse_config("some_quantity.factor = 5.0")
    by_gin = gin.get_configurable("some_quantity")
    assert check_quantities("quantities", [by_gin]) == {"some_quantity": by_gin}
    assert diagnostics.measure(Snapshot(model, inputs), [by_gin]) == {"some_quantity": {"relu": 5.0}}


@pytest.mark.parametrize("cost, budgets", [("cheap", 3), ("medium", 2), ("full", 1)])
def test_a_budget_holds_its_cost_and_lower_ones(cost, budgets):
    some_quantity = declare(cost)
    held = [some_quantity in BUDGETS[budget] for budget in BUDGETS]
    assert held == [False] * (3 - budgets) + [True] * budgets
    assert list(BUDGETS) == ["cheap", "medium", "full"] and len(BUDGETS) == 3
    with pytest.raises(KeyError):
        BUDGETS["large"]


def test_what_a_partial_of_one_says():
    some_quantity = declare("full", group="mine", needs=("loss",), reads=("gradients",))
    partial = functools.partial(functools.partial(some_quantity, factor=3.0), factor=4.0)
    assert (needs_of(partial), reads_of(partial), group_of(partial)) == (("loss",), ("gradients",), "mine")
    assert (needs_of(len), reads_of(len), group_of(len)) == ((), (), "others")


def test_what_it_needs_is_left_out_with_the_reason(model):
    declare(needs=("reference",))
    report = diagnostics.diagnose(model, tf.ones([1, 2]), budget="cheap")
    assert report.left_out["some_quantity"] == "needs `reference`"


def test_its_own_rules_are_kept_before_any_work_and_no_others(model):
    some_quantity = declare(rules={"factor": refuse_odd})
    with pytest.raises(ValueError, match=r"^`factor` must be even. Received: 3$"):
        check_quantities("quantities", [functools.partial(some_quantity, factor=3)])
    with pytest.raises(TypeError, match="^`it` must be a Snapshot of a model. Received: 1$"):
        some_quantity(1)
    seed: Any = "its own business"
    assert some_quantity(Snapshot(model, tf.ones([1, 2])), seed=seed) == {"relu": 4.0}


def test_a_function_that_is_defined_again_replaces_the_first(model):
    first, second = declare("cheap"), declare("full")
    assert first not in BUDGETS["full"] and second in BUDGETS["full"]
    assert gin.get_configurable("some_quantity").cost == "full"
    assert not gin.config._INTERACTIVE_MODE


def test_another_functions_name_is_refused():
    with pytest.raises(ValueError) as error:

        @quantity("cheap")
        def dead_units(snapshot):
            return {}

    assert str(error.value) == (
        "`quantity` must have a name of its own, and tfplastic.diagnostics.quantities.unit_activity has a "
        f"quantity of this name: give yours another. Received: dead_units, of {__name__}"
    )
    assert declared_quantities()["dead_units"] is diagnostics.dead_units


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"cost": "steep"}, "`cost` must be one of 'cheap', 'medium', 'full'. Received: 'steep'"),
        ({"needs": ("los",)}, "`needs` must be one of 'loss', 'optimizer', 'reference'. Received: 'los'"),
        (
            {"rules": {"typo": refuse_odd}},
            "`rules` must be for arguments of some_quantity besides its first (factor, seed). Received: 'ty",
        ),
        (
            {"rules": {"factr": refuse_odd}},
            "`rules` must be for arguments of some_quantity besides its first",
        ),
        ({"rules": {"it": refuse_odd}}, "`rules` must be for arguments of some_quantity besides its first"),
        ({"rules": {"factor": 3}}, "`rules['factor']` must be a function, such as check_tau. Received: 3"),
        ({"rules": "factor"}, "`rules` must be a dictionary, such as {'tau': check_tau}. Received: 'factor'"),
        ({"group": ""}, "`group` must be the title of a table, such as 'units'. Received: ''"),
    ],
)
def test_errors_of_a_declaration(keywords, message):
    with pytest.raises(ValueError) as error:
        declare(**keywords)
    assert str(error.value).startswith(message)


def test_a_declaration_that_was_refused_declares_nothing():
    with pytest.raises(ValueError, match="Received: 'factr'. Did you mean 'factor'"):
        declare(rules={"factr": refuse_odd})
    assert "some_quantity" not in declared_quantities()


def test_parts_that_are_read_are_known_and_functions_are_functions():
    with pytest.raises(ValueError, match="^`reads` must be one of 'activations', .* Received: 'activation'"):
        declare(reads=("activation",))
    decorate: Any = quantity("cheap")
    with pytest.raises(TypeError, match="^`quantity` must decorate a function of a snapshot. Received: 3$"):
        decorate(3)
