"""The text of docs/methods.md."""

import itertools
import re
from collections.abc import Iterator, Sequence

from tfplastic.command_line.methods_page.catalogue import Method, catalogue, facts_of
from tfplastic.command_line.methods_page.works_with import NETWORKS, remarks

_INTRODUCTION = """\
# Methods

<!-- Written by `make methods` from classes, docstrings and gin files: edit these, not this page. -->

All methods of the package that keep a network plastic, with their rules, defaults, sources and departures
from the sources. The texts are taken from the docstrings (`help(tp.mitigations.ReDo)`), which also explain
the arguments. Every mitigation works in `bin/train` on streams, MDPs and Atari, in the graph and under XLA,
and together with all others, unless one excludes another. The lines on other places where it works follow
from its class. The networks that it accepts were found by building it on small networks with
{networks}.
A method's gin file is given after that of a task:

```
bin/train --gin_file=gin/random_labels_digits.gin --gin_file=gin/mitigations/redo.gin
```

A method of your own is one class: [extending](extending.md).
[All methods at one setting](#all-methods-at-one-setting) compares them on two streams.
"""
_LEFT_OUT = """\
## Left out

Methods of the field that are missing because their rules are not known well enough to be written without
guessing:

- AltNet (arXiv 2512.01034): two networks take turns at acting, and the passive one is reset. The full rule
  was not available.
- CCBP, of the family of CPR (`PartialResets`); sample weight decay; SingularClip; Reinit (arXiv 2508.00212);
  smooth-leaky activations (arXiv 2509.22562); AID: their sources were not read in full.
"""
_MARKUP = re.compile(r"(`[^`]*`)|([\\*<|]|(?<!\w)_|_(?!\w))")


def page(results: str) -> str:
    """Returns the page of the package's methods, in Markdown.

    Args:
        results: part of the page that `make published` writes, with its marks.
    """
    methods = catalogue()
    *first, last = NETWORKS
    introduction = _INTRODUCTION.format(networks=f"{', '.join(first)} and {last}")
    return "\n".join([introduction, *_overview(methods), "", results, "", *_kinds(methods), _LEFT_OUT])


def anchor(method: Method) -> str:
    """Returns the anchor of a method's entry."""
    return method.name.lower()


def _overview(methods: Sequence[Method]) -> Iterator[str]:
    yield "| method | kind | summary |"
    yield "| --- | --- | --- |"
    for each in methods:
        yield f"| [`{each.name}`](#{anchor(each)}) | {each.kind.lower()} | {_escaped(each.summary)} |"


def _kinds(methods: Sequence[Method]) -> Iterator[str]:
    for kind, members in itertools.groupby(methods, key=lambda each: each.kind):
        yield f"## {kind}\n"
        for each in members:
            yield from _entry(each)


def _entry(method: Method) -> Iterator[str]:
    yield f"### {method.name}\n"
    yield f"`{method.path}`. {_escaped(method.summary)}\n"
    for heading, text in _facts(method).items():
        yield f"- {heading}: {_escaped(text) or 'not stated'}"
    for heading, text in remarks(method):
        yield f"- {heading}: {_escaped(text)}"
    files = ", ".join(f"`{path}`" for path in method.gin_files)
    yield f"- Gin file: {files or 'none'}\n"


def _facts(method: Method) -> dict[str, str]:
    return {"Values": method.thing} if isinstance(method.thing, str) else facts_of(method.thing)


def _escaped(text: str) -> str:
    """Returns a text whose signs are not taken for Markdown's, outside of its code."""
    return _MARKUP.sub(lambda match: match[1] or rf"\{match[2]}", text)
