"""README.md and the pages of docs/ are run as they stand: each Python block prints the text that follows it.

A block of Python is fenced by ```python; its output, if the page shows it, follows it fenced by ```text.
"""

import contextlib
import doctest
import io
import pathlib
import re

import pytest

from tfplastic.diagnostics.declaration.registry import declared_quantities

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^```python\n(.*?)^```$(?:\n+^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    if FENCED.search(page.read_text())
)


def test_there_are_pages():
    assert {"README.md", "docs/curvature.md", "docs/quickstart.md"} <= set(PAGES)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_links_of_a_page_outside_of_the_site_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfplastic.diagnostics.declaration.registry._declared", declared_quantities())
    text = (ROOT / page).read_text()
    names = {}
    for block in FENCED.finditer(text):
        code, expected = block[1], block[2] or ""
        line = text[: block.start(1)].count("\n")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + code, str(ROOT / page), "exec"), names)
        same = doctest.OutputChecker().check_output(expected, printed.getvalue(), SAME)
        assert same, f"{page}, line {line + 1}: expected\n{expected}printed\n{printed.getvalue()}"
