"""No package imports a private module or name of another; modules of the ground floor are there for all.

A package is a folder directly in tfplastic/. Its private parts begin with an underscore, at any depth.
"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tfplastic"
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py") if not path.parent.name.startswith("_")}


def private_imports(package: str, source: str) -> list[str]:
    """The private parts of other packages that a module of `package` imports or reads."""
    tree = ast.parse(source)
    imported, modules = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name: full for name, full in names.items() if _is_module(full)}
    read = [
        f"{modules[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    ]
    return sorted({name for name in imported + read if _is_private_elsewhere(name, package)})


def _is_module(name: str) -> bool:
    top, *parts = name.split(".")
    path = ROOT.joinpath(*parts)
    return top == "tfplastic" and (path.is_dir() or path.with_suffix(".py").is_file())


def _is_private_elsewhere(name: str, package: str) -> bool:
    top, *parts = name.split(".")
    if top != "tfplastic" or not parts or parts[0] not in PACKAGES or parts[0] == package:
        return False
    return any(part.startswith("_") and not part.startswith("__") for part in parts[1:])


def test_there_are_packages():
    assert {"diagnostics", "linalg", "probing", "training", "rl"} <= PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_imports_nothing_private_of_another(package):
    found = {
        str(file.relative_to(ROOT)): private_imports(package, file.read_text("utf-8"))
        for file in sorted((ROOT / package).rglob("*.py"))
    }
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source, found",
    [
        (
            "from tfplastic.linalg._krylov import KrylovSpace",
            ["tfplastic.linalg._krylov.KrylovSpace"],
        ),
        ("from tfplastic.linalg import _krylov", ["tfplastic.linalg._krylov"]),
        ("import tfplastic.linalg._krylov as krylov", ["tfplastic.linalg._krylov"]),
        ("def f():\n    from tfplastic.linalg.eigsh import _helper", ["tfplastic.linalg.eigsh._helper"]),
        ("from tfplastic.linalg import eigsh\neigsh._helper()", ["tfplastic.linalg.eigsh._helper"]),
        ("from tfplastic import linalg\nlinalg._krylov", ["tfplastic.linalg._krylov"]),
        ("from tfplastic._tf import read_only\nfrom tfplastic import _checks", []),
        ("from tfplastic.diagnostics.declaration.arguments import checked", []),
        ("from tfplastic.linalg import eigsh\neigsh(operator)\nself._krylov", []),
    ],
)
def test_each_form_is_found(source, found):
    assert private_imports("diagnostics", source) == found
