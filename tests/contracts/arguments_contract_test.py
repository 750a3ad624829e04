"""Every argument of every configurable of gin: a wrong value is refused in one line, before any work.

The line names the argument, its rule and the value received. Accepted values stand at each configurable.
"""

import functools
import inspect
from typing import Any

import gin
import pytest

import tfplastic as tp
from tests.contracts.arguments_table import INTERNAL, MEMBERS, SEED, TABLE, WITHOUT_ARGUMENTS, may
from tests.contracts.wrong_values import faults
from tests.made_up_data import no_configuration_left  # noqa: F401
from tfplastic.configuration import gin_config
from tfplastic.diagnostics.declaration.arguments import check_function
from tfplastic.diagnostics.objectives import check_objective


@pytest.fixture(scope="module")
def registered() -> dict[str, Any]:
    """All configurables of this library by their short names; tests register others."""
    gin_config._register_names((*gin_config.PACKAGES, "sweeps"))
    return {
        name.rpartition(".")[2]: each.wrapped
        for name, each in gin.config._REGISTRY.items()
        if name.startswith("tfplastic.") and each.wrapped.__module__.startswith("tfplastic.")
    }


def test_every_configurable_has_a_row(registered):
    of_diagnostics = {name for name, each in registered.items() if "diagnostics" in each.__module__}
    assert set(registered) - of_diagnostics == {*TABLE, *WITHOUT_ARGUMENTS, *MEMBERS}


@pytest.mark.parametrize("name", TABLE)
def test_a_wrong_value_is_refused_in_one_line(name, registered):
    call, allowed = TABLE[name]
    arguments = set(inspect.signature(registered[name]).parameters) - INTERNAL.get(name, set())
    assert not faults(registered[name], call, allowed, arguments)


# Of quantities and of what diagnostics take besides.
QUANTITY = (
    SEED
    | may("0 0.5 L", "epsilon", "tau", "tolerance")
    | may("0 0.5", "delta", "min_fraction")
    | may("0.5 L", "tol")
    | may("None", "layers", "tolerance")
    | may("[] ['x']", "layers")  # whose names are known with the model
    | may("L", "max_products", "max_steps", "max_values", "num_clusters", "num_examples", "num_minibatches")
    | may(
        "L", "num_steps", "num_points", "num_probes"
    )  # the last two are compared with the memory at their use
)


def test_every_argument_of_a_quantity_is_checked_before_there_is_a_snapshot(registered):
    quantities = {name: each for name, each in registered.items() if hasattr(each, "cost")}
    assert len(quantities) > 60
    for name, quantity in quantities.items():

        def rehearse(quantity=quantity, **tried):
            check_function("diagnostics", functools.partial(quantity, **tried), "snapshot")

        allowed = QUANTITY | (may("0", "tol") if name == "hessian_trace" else set())
        _, *arguments = inspect.signature(quantity).parameters
        assert not faults(quantity, rehearse, allowed, arguments), name


def test_the_seed_of_the_noise_is_checked_before_there_is_a_model(registered):
    def rehearse(**tried):
        check_objective("diagnostics_loss", functools.partial(noise, **tried))

    noise = registered["noisy_self_targets"]
    assert not faults(noise, rehearse, SEED, ["seed"])


@pytest.mark.parametrize("wrong", [5, "x", None, [1.0], tp.diagnostics])
def test_a_quantity_refuses_what_is_no_snapshot(wrong):
    with pytest.raises(
        TypeError, match=r"^`snapshot` must be a Snapshot of a model(, or a tensor .*)?\. Rec"
    ):
        tp.diagnostics.feature_rank(wrong)
    with pytest.raises(TypeError, match=r"^`snapshot` must be a Snapshot of a model, or a tensor of activ"):
        tp.diagnostics.dead_units(wrong)
