import functools

import gin

from tfplastic.diagnostics.quantity import needs_of, quantity


def test_a_quantity_says_what_it_costs_and_needs_and_gin_knows_it():
    @quantity("full", needs=("loss",))
    def some_quantity(value, factor=2.0):
        return {"all": factor * value}

    assert (some_quantity.cost, some_quantity.needs) == ("full", ("loss",))
    assert needs_of(functools.partial(functools.partial(some_quantity, factor=3.0), factor=4.0)) == ("loss",)
    with gin.unlock_config():
        gin.parse_config("some_quantity.factor = 5.0")
    by_gin = gin.get_configurable("tfplastic.diagnostics.some_quantity")
    assert (by_gin(1.0), by_gin.__name__, needs_of(by_gin)) == ({"all": 5.0}, "some_quantity", ("loss",))
    gin.clear_config()


def test_other_functions_need_nothing():
    assert needs_of(lambda snapshot: {}) == ()
