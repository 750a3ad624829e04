import inspect
import pathlib
import re

import pytest

from tfplastic import mitigations
from tfplastic.command_line.methods_page import FACTS, KINDS, catalogue, committed_results, facts_of, page
from tfplastic.command_line.methods_page.works_with import make
from tfplastic.command_line.published import results_section
from tfplastic.mitigations import Mitigation

ROOT = pathlib.Path(__file__).resolve().parents[3]
METHODS = catalogue()
WITH_DOCSTRING = [each for each in METHODS if not isinstance(each.thing, str)]
ADDED = [each for each in METHODS if isinstance(each.thing, type) and issubclass(each.thing, Mitigation)]


def named(name):
    return next(each for each in METHODS if each.name == name)


def test_the_committed_page_is_up_to_date():
    found = (ROOT / "docs/methods.md").read_text()
    # The part with results is in published/command_test.py: it may lack runs that have been committed since.
    assert found == page(results_section.part_of(found)), "run `make methods`"
    assert results_section.START in committed_results() and results_section.START in found


def test_every_kind_has_methods_with_names_of_their_own():
    assert list(dict.fromkeys(each.kind for each in METHODS)) == list(KINDS)
    assert len({each.name.lower() for each in METHODS}) == len(METHODS) > 35
    public = {name for name in mitigations.__all__ if inspect.isclass(getattr(mitigations, name))}
    assert {each.name for each in ADDED} == public - {
        *("Mitigation", "StepContext", "UnitReset", "WeightReinitializer")
    }


@pytest.mark.parametrize("method", WITH_DOCSTRING, ids=lambda method: method.name)
def test_a_docstring_states_all_facts(method):
    facts = facts_of(method.thing)
    assert list(facts) == list(FACTS) and all(facts.values()), facts
    assert not any(f"{other}:" in text for text in facts.values() for other in FACTS)
    if method.kind in ("Layers and activations", "Targets"):
        assert facts_of(method.thing, ("Works with",))["Works with"]


@pytest.mark.parametrize("method", ADDED, ids=lambda method: method.name)
def test_a_mitigation_has_a_gin_file_and_one_that_changes_weights_says_if_outputs_stay(method):
    assert method.gin_files
    assert bool(facts_of(method.thing, ("Outputs",))["Outputs"]) == method.thing.acts_after_update
    assert isinstance(make(method), method.thing)


def test_the_readme_names_each_method_by_kind():
    section = re.search(r"## Methods\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.DOTALL)
    assert section
    rows = [line for line in section[1].splitlines() if line.startswith("| ")][1:]
    found = {row.split("|")[1].strip(): re.findall(r"\[`(\w+)`\]\((\S+?)\)", row) for row in rows}
    expected: dict[str, list[tuple[str, str]]] = {}
    for each in METHODS:
        expected.setdefault(each.kind.lower(), []).append((each.name, f"docs/methods.md#{each.name.lower()}"))
    assert found == expected


def test_gin_files_and_required_arguments():
    assert named("ResetOptimizerState").gin_files == (
        "gin/mitigations/adam_rel.gin",
        "gin/mitigations/reset_optimizer_state.gin",
    )
    assert named("adam").gin_files == tuple(
        f"gin/optimizers/{name}.gin"
        for name in ("adam", "atari_adam", "per_entry_steps", "qr_dqn_adam", "rainbow_adam", "tuned_adam")
    )
    assert vars(make(named("GradientClipping"))) == {"_max_norm": 10.0}
    assert make(named("trac")).pure.base.slot_names == ("mean", "mean_square")


def test_methods_whose_rules_are_not_known_are_left_out_by_name():
    left_out = page("").partition("## Left out")[2]
    names = re.findall(r"AltNet|SingularClip|CCBP", left_out)
    assert len(names) == 3 and not {each.lower() for each in names} & {each.name.lower() for each in METHODS}


def test_no_gin_file_of_a_mitigation_chooses_a_layer():
    layers = [each for each in METHODS if each.kind == "Layers and activations"]
    assert layers and not [each for each in layers if any("/mitigations/" in path for path in each.gin_files)]
