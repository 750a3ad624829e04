"""The page of all quantities, from their declarations and docstrings.

`make quantities` writes docs/quantities.md. With names of modules, it has the quantities of these as well:

    python -m tfplastic.diagnostics.declaration.quantities_page my_package.my_quantities
"""

import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfplastic.diagnostics.declaration.registry import declared_quantities

FACTS: tuple[str, ...] = ("Formula", "Range", "NaN", "Cost", "Source")
"""Sections of a quantity's docstring, each of which the page has a line for."""

_INTRODUCTION = """\
# Quantities

<!-- Written by `make quantities` from the docstrings: edit these, not this page. -->

All that `diagnose` and `train.diagnostics` can measure, by the tables in which a report prints them. The
budget is the smallest one that holds the quantity: `cheap` takes one forward pass for all of them together,
`medium` gradients, `full` products with curvature and gradients of single examples
([costs](diagnostics.md)). Values are by layer, those of the whole network under `all`. Arguments and their
defaults are in the docstrings
(`help(tp.diagnostics.feature_srank)`). A quantity of your own is one decorated function:
[extending](extending.md).
"""
_NEEDS = {"loss": "a loss", "optimizer": "the optimizer", "reference": "a reference"}


def page(quantities: Mapping[str, Any]) -> str:
    """Returns the page, in Markdown.

    Args:
        quantities: {name: quantity}, as from `declared_quantities`.
    """
    return "\n".join([_INTRODUCTION, *_overview(quantities), "", *_groups(quantities)])


def facts_of(quantity: Any) -> dict[str, str]:
    """Returns the sections `FACTS` of a quantity's docstring, {section: text}; '' where missing."""
    text = inspect.getdoc(quantity) or ""
    found = dict.fromkeys(FACTS, "")
    for match in re.finditer(rf"^({'|'.join(FACTS)}):(.*(?:\n[ ]+\S.*)*)", text, re.MULTILINE):
        found[match[1]] = " ".join(match[2].split())
    return found


def main(modules: Sequence[str]) -> None:
    """Writes the page to the standard output.

    Args:
        modules: names of modules to import before, which declare quantities.
    """
    for module in modules:
        importlib.import_module(module)
    sys.stdout.write(page(declared_quantities()))


def _overview(quantities: Mapping[str, Any]) -> Iterator[str]:
    yield "| quantity | table | budget | needs |"
    yield "| --- | --- | --- | --- |"
    for name, each in quantities.items():
        yield f"| [`{name}`](#{name}) | {each.group} | `{each.cost}` | {_needs(each) or '-'} |"


def _groups(quantities: Mapping[str, Any]) -> Iterator[str]:
    ordered = list(dict.fromkeys(each.group for each in quantities.values()))
    by_group = sorted(quantities.items(), key=lambda item: ordered.index(item[1].group))
    for group, members in itertools.groupby(by_group, key=lambda item: item[1].group):
        yield f"## {group[:1].upper()}{group[1:]}\n"
        for name, each in members:
            yield from _entry(name, each)


def _entry(name: str, quantity: Any) -> Iterator[str]:
    facts = facts_of(quantity)
    yield f"### {name}\n"
    yield f"{_summary(quantity)}\n"
    formula = facts["Formula"].replace("`", "")  # it stands between such
    yield f"- Formula: `{formula}`" if formula else "- Formula: not stated"
    yield f"- Range: {facts['Range'] or 'not stated'}"
    yield f"- NaN: {facts['NaN'] or 'not stated'}"
    needs = _needs(quantity)
    yield f"- Cost: `{quantity.cost}`: {facts['Cost'] or 'not stated'}{f' Needs {needs}.' if needs else ''}"
    yield f"- Source: {facts['Source'] or 'not stated'}\n"


def _summary(quantity: Any) -> str:
    return (inspect.getdoc(quantity) or "").partition("\n")[0]


def _needs(quantity: Any) -> str:
    return " and ".join(_NEEDS[need] for need in quantity.needs)


if __name__ == "__main__":
    main(sys.argv[1:])
