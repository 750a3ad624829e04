"""Arguments that a dataclass describes for several functions, as seen by callers, `help` and gin."""

import dataclasses
import doctest
import inspect
import sys

import gin
import pytest

from tfplastic import _checks
from tfplastic._shared_arguments import REQUIRED, shares_arguments


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes.

    Attributes:
        rows: number of rows,
            at least one.
        width: factor.
        depth: layers.
        limit: largest depth.
    """

    rows: int
    _: dataclasses.KW_ONLY
    width: float = 1.0
    depth: int = 2
    limit: int = 5

    def __post_init__(self) -> None:
        _checks.check_integer("depth", self.depth, 1, self.limit)


@shares_arguments(Size, omit=("limit",), limit=9, depth=3)
def network(outputs: int, *, seed: int = 0, settings: Size) -> tuple:
    """Builds a network.

    Args:
        outputs: number of outputs.
        settings: see `Size`.
        depth: layers of this one.
        seed: root seed.

    Returns:
        All of it.
    """
    return outputs, seed, settings


@shares_arguments(Size, width=REQUIRED)
def without_documents(*, settings: Size) -> Size:
    return settings


def test_the_signature_has_every_argument():
    expected = "(outputs: int, rows: int, *, seed: int = 0, width: float = 1.0, depth: int = 3) -> tuple"
    assert str(inspect.signature(network)) == expected
    assert str(inspect.signature(without_documents)).startswith("(rows: int, *, width: float, depth: int = 2")
    assert network.__name__ == "network" and network.__module__ == __name__


def test_the_documentation_has_every_argument_once():
    assert inspect.getdoc(network) == (
        "Builds a network.\n\nArgs:\n"
        "    outputs: number of outputs.\n"
        "    rows: number of rows,\n        at least one.\n"
        "    width: factor.\n"
        "    depth: layers of this one.\n"
        "    seed: root seed.\n\n"
        "Returns:\n    All of it."
    )


def test_doctest_finds_it():
    found = doctest.DocTestFinder(exclude_empty=False).find(sys.modules[__name__])
    assert f"{__name__}.network" in {each.name for each in found}


def test_calls_by_position_and_by_name():
    assert network(4, 2) == network(rows=2, outputs=4) == (4, 0, Size(2, width=1.0, depth=3, limit=9))
    assert network(4, 2, width=0.5, seed=7) == (4, 7, Size(2, width=0.5, depth=3, limit=9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "network() missing a required argument: 'outputs'"),
        ({"outputs": 1}, "network() missing a required argument: 'rows'"),
        ({"outputs": 1, "rows": 1, "dpeth": 1}, "network() got an unexpected keyword argument 'dpeth'"),
        ({"outputs": 1, "rows": 1, "limit": 1}, "network() got an unexpected keyword argument 'limit'"),
    ],
)
def test_wrong_calls(arguments, message):
    with pytest.raises(TypeError) as error:
        network(**arguments)
    assert str(error.value) == message
    with pytest.raises(ValueError, match="`depth` must be at most 9. Received: 10"):
        network(1, 1, depth=10)


def test_gin_binds_every_argument_and_no_other():
    configurable = gin.external_configurable(network, "shared_arguments_network")
    try:
        gin.parse_config(["shared_arguments_network.depth = 5", "shared_arguments_network.rows = 4"])
        assert configurable(3) == (3, 0, Size(4, width=1.0, depth=5, limit=9))
        assert "shared_arguments_network.width = 1.0" in gin.operative_config_str()
        with pytest.raises(ValueError, match="doesn't have a parameter named 'limit'"):
            gin.parse_config("shared_arguments_network.limit = 3")
    finally:
        gin.clear_config()
