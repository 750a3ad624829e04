"""The site's own part of `make docs`: which names are public, and that one without a page stops the build."""

import importlib
import importlib.util
import inspect
import pathlib
import types

import griffe
import pytest
from mkdocs.exceptions import PluginError

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / ".ci" / "site.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_public_names_are_those_of_the_imported_packages(site):
    found = site.public_names()
    assert {"tfplastic.diagnostics", "tfplastic.reports.figures", "tfplastic.seeds"} <= set(found)
    for module in ("tfplastic.linalg", "tfplastic.layers", "tfplastic.diagnostics"):
        imported = importlib.import_module(module)
        names = {
            name for name in imported.__all__ if not isinstance(getattr(imported, name), types.ModuleType)
        }
        assert set(found[module]) == names
    assert "sharpness" not in found["tfplastic.seeds"]


def test_a_name_without_an_entry_stops_the_build(site, tmp_path):
    (tmp_path / "api").mkdir()
    names = [f"{module}.{name}" for module, names in site.public_names().items() for name in names]
    page = tmp_path / "api" / "page.html"
    config = types.SimpleNamespace(site_dir=str(tmp_path))
    page.write_text("".join(f'<h2 id="{name}">' for name in names))
    site.on_post_build(config)
    page.write_text("".join(f'<h2 id="{name}">' for name in names if name != "tfplastic.linalg.trace"))
    with pytest.raises(PluginError, match=r"No API page has tfplastic\.linalg\.trace\."):
        site.on_post_build(config)


def test_runs_are_named_without_links_and_other_links_stay(site, tmp_path):
    for run in ("minatar_fig07/breakout-c51+layer_norm-seed0", "methods/one"):
        (tmp_path / "paper" / run).mkdir(parents=True)
        (tmp_path / "paper" / run / "status.json").write_text("{}")
    config = types.SimpleNamespace(docs_dir=str(tmp_path))

    def shown(text, page):
        file = types.SimpleNamespace(src_uri=page)
        return site.on_page_markdown(text, page=types.SimpleNamespace(file=file), config=config)

    row = "| [0](minatar_fig07/breakout-c51+layer_norm-seed0) [1](methods/one) |"
    assert shown(row, "paper/README.md") == "| 0 1 |"
    assert shown("[0](paper/methods/one)", "published.md") == "0"
    others = "[a](other.md#b) [b](https://keras.io/x) ![c](figures/c.png) [d](methods) [e](missing-seed0)"
    assert shown(others, "paper/README.md") == others


def test_functions_of_a_module_with_their_name_are_public_and_not_modules(site):
    found = site.public_names()
    assert "tfplastic.linalg.trace" not in found and "trace" in found["tfplastic.linalg"]
    assert "tfplastic.diagnostics.ranks" in found and "ranks" not in found["tfplastic.diagnostics"]


@pytest.fixture(scope="module")
def package(site):
    extensions = griffe.Extensions(site.SharedArguments())
    return griffe.load("tfplastic", allow_inspection=False, search_paths=[ROOT], extensions=extensions)


@pytest.mark.parametrize("path", ["networks.mlp.mlp", "networks.nature_dqn.nature_dqn", "rl.agents.dqn"])
def test_arguments_that_functions_share_are_those_that_python_shows(package, path):
    module, _, name = path.rpartition(".")
    shown = package[module].members[name]
    function = getattr(importlib.import_module(f"tfplastic.{module.partition('.')[0]}"), name)
    expected = inspect.signature(function).parameters
    assert [each.name for each in shown.parameters] == list(expected)
    for each in shown.parameters:
        python = expected[each.name]
        assert each.kind.value == python.kind.description
        assert (each.default is None) == (python.default is python.empty)
    assert shown.docstring.value.strip() == function.__doc__.strip()
