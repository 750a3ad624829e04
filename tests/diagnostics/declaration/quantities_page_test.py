import pathlib

import pytest

from tfplastic.diagnostics.declaration import quantities_page
from tfplastic.diagnostics.declaration.quantities_page import FACTS, facts_of, page
from tfplastic.diagnostics.declaration.registry import declared_quantities

ROOT = pathlib.Path(__file__).resolve().parents[3]
FAMILIES = "tfplastic.diagnostics.quantities."
OURS = {name: each for name, each in declared_quantities().items() if each.__module__.startswith(FAMILIES)}


def test_the_committed_page_is_up_to_date():
    assert len(OURS) > 50
    assert (ROOT / "docs/quantities.md").read_text() == page(OURS), "run `make quantities`"


@pytest.mark.parametrize("name", OURS)
def test_a_docstring_states_all_facts(name):
    facts = facts_of(OURS[name])
    assert list(facts) == list(FACTS) and all(facts.values()), facts
    assert not any(f"{other}:" in text for text in facts.values() for other in FACTS)


def test_the_page_of_quantities_of_another_module(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tfplastic.diagnostics.declaration.registry._declared", {})
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "declares_one.py").write_text(
        "from tfplastic import diagnostics\n"
        "@diagnostics.quantity('medium', group='my table', needs=('loss', 'optimizer'))\n"
        "def on_the_page(snapshot):\n"
        '    """Returns a number.\n\n'
        "    Formula: |a| < `b`\n    Range: [0, 1],\n        or more\n\n    Args:\n        snapshot: any.\n"
        '    """\n'
    )
    quantities_page.main(["declares_one"])
    assert capsys.readouterr().out.endswith(
        "| [`on_the_page`](#on_the_page) | my table | `medium` | a loss and the optimizer |\n\n"
        "## My table\n\n### on_the_page\n\nReturns a number.\n\n"
        "- Formula: `|a| < b`\n- Range: [0, 1], or more\n- NaN: not stated\n"
        "- Cost: `medium`: not stated Needs a loss and the optimizer.\n- Source: not stated\n"
    )
    assert declared_quantities().keys() == {"on_the_page"}
