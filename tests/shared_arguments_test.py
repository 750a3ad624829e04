"""Arguments that a dataclass describes for several functions, as seen by callers, `help` and gin."""

import dataclasses
import doctest
import inspect
import sys

import gin
import pytest

from tfplastic import _checks
from tfplastic._shared_arguments import REQUIRED, shares_arguments, texts_of


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
        ({}, "network() missing 2 required arguments: 'outputs' and 'rows'"),
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeAndColor(Size):
    """Sizes with a color.

    Attributes:
        color: name of a color.
    """

    color: str = "red"


class Plain:
    """A thing.

    Args:
        name: its name.
        settings: see `SizeAndColor`.

    Attributes:
        given: all of it.
    """

    @shares_arguments(SizeAndColor, width=REQUIRED, color="blue")
    def __init__(self, name: str, *, settings: SizeAndColor):
        self.given = name, settings


class Derived(Plain):
    """A thing of its own.

    Args:
        settings: see `Size`.
    """

    @shares_arguments(Size, omit=("rows",), rows=1)
    def __init__(self, *, settings: Size):
        super().__init__("derived", settings.rows, width=settings.width, depth=settings.depth)


def test_the_arguments_of_a_class_are_those_of_its_initializer():
    expected = "(name: str, rows: int, *, width: float, depth: int = 2, limit: int = 5, color: str = 'blue')"
    assert str(inspect.signature(Plain)) == expected
    assert Plain("a", 3, width=2.0).given == ("a", SizeAndColor(3, width=2.0, color="blue"))
    assert Derived(depth=4).given == ("derived", SizeAndColor(1, width=1.0, depth=4, color="blue"))
    assert inspect.isfunction(Plain.__init__) and Plain.__init__.__qualname__ == "Plain.__init__"


def test_the_documentation_of_a_class_has_those_of_all_its_dataclasses():
    assert inspect.getdoc(Plain) == (
        "A thing.\n\nArgs:\n"
        "    name: its name.\n"
        "    rows: number of rows,\n        at least one.\n"
        "    width: factor.\n"
        "    depth: layers.\n"
        "    limit: largest depth.\n"
        "    color: name of a color.\n\n"
        "Attributes:\n    given: all of it."
    )
    assert "rows" not in (inspect.getdoc(Derived) or "") and "depth: layers." in (Derived.__doc__ or "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule.

    Args:
        rate: above 0.
        limit: see `Size`.
    """

    rate: float
    limit: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnRule(Rule):
    """A rule.

    Args:
        rate: see `Rule`.
        limit: see `Rule`. Not above 9.
        factor: see `Size`.
    """

    factor: float = 1.0


def test_an_entry_that_refers_to_the_base_class_leaves_that_of_the_base_class():
    assert texts_of(OwnRule) == {
        "rate": "    rate: above 0.\n",
        "limit": "    limit: see `Rule`. Not above 9.\n",
        "factor": "    factor: see `Size`.\n",
    }


def test_wrong_calls_of_a_class_name_it():
    with pytest.raises(
        TypeError, match=r"^Plain\(\) missing 3 required arguments: 'name' and 'rows' and 'width'$"
    ):
        Plain()
    with pytest.raises(TypeError, match=r"^Derived\(\) got an unexpected keyword argument 'rows'$"):
        Derived(rows=2)


def test_gin_binds_the_arguments_of_a_class():
    configurable = gin.external_configurable(Plain, "shared_arguments_plain")
    try:
        gin.parse_config(["shared_arguments_plain.depth = 3", "shared_arguments_plain.width = 4.0"])
        assert configurable("a", 1).given == ("a", SizeAndColor(1, width=4.0, depth=3, color="blue"))
        with pytest.raises(ValueError, match="doesn't have a parameter named 'settings'"):
            gin.parse_config("shared_arguments_plain.settings = 3")
    finally:
        gin.clear_config()


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
