"""Unknown names are answered with the known ones near them, wherever a user types one."""

import importlib

import pytest

import tfplastic as tp
from tfplastic._text.near_names import near_matches
from tfplastic.command_line.diagnose import report
from tfplastic.configuration.errors import UsageError


@pytest.mark.parametrize(
    ("module", "name", "near"),
    [
        ("diagnostics", "dead_unit", "dead_units"),
        ("linalg", "eigs", "eigsh"),
        ("linalg", "HesianOperator", "HessianOperator"),
        ("networks", "resnet", "resnet18"),
        ("mitigations", "ShrinkPerturb", "ShrinkAndPerturb"),
        ("training", "PlasticModl", "PlasticModel"),
        ("rl", "QNetwork_", "QNetwork"),
    ],
)
def test_attributes(module, name, near):
    with pytest.raises(AttributeError) as caught:
        getattr(importlib.import_module(f"tfplastic.{module}"), name)
    start = f"module 'tfplastic.{module}' has no attribute '{name}'. Did you mean "
    assert str(caught.value).startswith(start) and repr(near) in str(caught.value)


@pytest.mark.parametrize("module", sorted({*tp.__all__} - {"run_format", "seeds", "sweeps", "writers"}))
def test_every_public_package_answers(module):
    package = importlib.import_module(f"tfplastic.{module}")
    known = max(package.__all__, key=len)
    with pytest.raises(AttributeError, match=f"no attribute '{known}x'. Did you mean .*'{known}'"):
        getattr(package, f"{known}x")
    with pytest.raises(AttributeError, match=f"^module 'tfplastic.{module}' has no attribute '__nothing__'$"):
        package.__nothing__  # noqa: B018


def test_values_of_flags():
    with pytest.raises(UsageError) as caught:
        report.COMMAND.parse(["--run_dir=runs", "--budget=medum"])
    rule = "--budget must be one of cheap, medium, full"
    assert str(caught.value) == f"{rule}. Received: 'medum'. Did you mean 'medium'?"
    with pytest.raises(UsageError) as caught:
        report.COMMAND.parse(["--run_dir=runs", "--budget=xyz"])
    assert str(caught.value) == f"{rule}. Received: 'xyz'"


def test_nothing_is_near():
    assert near_matches("zzz", ["cheap"]) == near_matches(None, ["cheap"]) == ""
