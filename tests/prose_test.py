"""The mechanical part of the language: how docstrings open, and words that the field says in another way.

It holds for docstrings, for messages (all other strings with a space) and for the pages of the repository.
"""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ["", *sorted(path.parent.name for path in ROOT.glob("tfplastic/*/__init__.py"))]  # "": modules
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/paper/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
OPENING = re.compile(r"(What|How|Of|As|That|Those)\b")
ARGUMENT = re.compile(r"^ +\*{0,2}(?!Cost:)\w+: (of|as|that|those|what|how)\b", re.MULTILINE | re.IGNORECASE)
FORBIDDEN = {
    r"\bdear(er|est)?\b": "expensive",
    r"\b(go|goes|going|gone|went) on\b": "continue or resume",
    r"\bat work\b": "running",
    r"\bbeside\b(?!:)": "next to, compared with or besides",
    r"\b(anew|afresh)\b": "again",
    r"\bbegun\b": "started",
    r"\bby (itself|themselves)\b": "alone",
    r"\bsome \d": "about",
    r"\b(tells|told)\b": "shows or reports",
    r"\bthe paper has it\b": "as in the paper",
}
WHAT = re.compile(r"\bwhat\b", re.IGNORECASE)
MOST_WHATS = 0.5  # for each 1,000 words


def files(package: str) -> list[pathlib.Path]:
    return sorted((ROOT / "tfplastic" / package).glob("**/*.py" if package else "*.py"))


def docstrings(path: pathlib.Path) -> list[ast.Constant]:
    """Returns the texts that document a module, class, function or constant."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    values = [each.value for node in nodes for each in node.body if isinstance(each, ast.Expr)]
    return [each for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def messages(path: pathlib.Path) -> list[str]:
    """Returns all other strings that have words in them."""
    known = {(each.lineno, each.col_offset) for each in docstrings(path)}
    strings = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    return [
        each.value
        for each in strings
        if isinstance(each.value, str)
        and " " in each.value.strip()
        and (each.lineno, each.col_offset) not in known
    ]


def forbidden(text: str) -> list[str]:
    """Returns the forbidden words of a text, each with the better one."""
    found = [(re.search(pattern, text, re.IGNORECASE), better) for pattern, better in FORBIDDEN.items()]
    return [f"{match[0]!r}: {better}" for match, better in found if match]


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings(package):
    faults, words, whats = [], 0, 0
    for path in files(package):
        for node in docstrings(path):
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            text = str(node.value)
            words, whats = words + len(text.split()), whats + len(WHAT.findall(text))
            if OPENING.match(text):
                faults.append(f"{where} opens with {text.split()[0]!r}; open with a verb or a noun")
            faults += [
                f"{where} {match[0].strip()!r}: start with the noun" for match in ARGUMENT.finditer(text)
            ]
            faults += [f"{where} {fault}" for fault in forbidden(text)]
    assert words > 0
    assert faults == []
    assert whats <= max(1, MOST_WHATS * words / 1000), (
        f"{whats} times 'what' in {words} words: name the thing"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_messages(package):
    faults = [
        (str(path), fault) for path in files(package) for text in messages(path) for fault in forbidden(text)
    ]
    assert faults == []


def prose(page: str) -> str:
    """Returns a page without its blocks of code and its list of sentences from before the revision."""
    lists = r"^```.*?^```$|^## Ten sentences.*?(?=^## )"
    return re.sub(lists, "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_pages(page):
    assert forbidden(prose(page)) == []


def test_the_guides_name_things():
    guides = [
        page
        for page in PAGES
        if page.startswith(("docs/", "README", "CONTRIBUTING")) and "paper/" not in page
    ]
    text = " ".join(map(prose, guides))
    assert len(WHAT.findall(text)) <= MOST_WHATS * len(text.split()) / 1000


def test_the_rules_find_what_they_forbid(tmp_path):
    (tmp_path / "a.py").write_text('"""What it is."""\nx = "it goes on"\n"""Of x."""\n')
    assert [OPENING.match(str(each.value)) is not None for each in docstrings(tmp_path / "a.py")] == [
        True,
        True,
    ]
    assert messages(tmp_path / "a.py") == ["it goes on"]
    assert forbidden("it goes on") == ["'goes on': continue or resume"]
    assert forbidden("some 10 of them, told anew") == [
        "'anew': again",
        "'some 1': about",
        "'told': shows or reports",
    ]
    assert ARGUMENT.search("\n    batch_size: of a gradient step.\n")
    assert not ARGUMENT.search("\n    batch_size: examples per gradient step.\n")
