"""The mechanical part of the language: how docstrings open, and words that the field says in another way.

It holds for docstrings, for messages (all other strings with a space), for the pages of the repository and
for the comments of gin files.
"""

import ast
import functools
import io
import pathlib
import re
import tokenize

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
        *ROOT.glob("gin/*.md"),
    ]
)
GIN_FILES = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("gin/**/*.gin"))
OPENING = re.compile(r"(What|How|Of|As|That|Those)\b")
ARGUMENT = re.compile(
    r"^ +\*{0,2}(?!Cost:|NaN:|Departures:)\w+: (of|as|that|those|what|how|whose|where|which|called|chooses"
    r"|gives|holds|makes|maps|returns|takes)\b",
    re.MULTILINE | re.IGNORECASE,
)
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
BRITISH = re.compile(
    r"(normal|initial|regular|optim|minim|maxim|random|memor|penal|parameter|orthogonal|general|linear"
    r"|synchron|summar|organ|recogn|serial)is(ation|e|ing)|colour|neighbour|behaviour|favour"
    r"|cent(red|res?)(?![a-z])|labelled|(?<![a-z])grey(?![a-z])",
    re.IGNORECASE,
)
TITLE = re.compile(r'"[Oo]ptimisation readiness"')  # a paper's, quoted
PLURALS = set(
    "Actions Arrays Bars Bounds Bytes Curves Eigenpairs Facts Features Gradients Groups Inputs Integers"
    " Items Its Layers Losses Observations Outputs Pairs Parts Periods Points Products Quantities Remarks"
    " Samples Scalars Scores States Statistics Tensors This Transitions Vectors".split()
)
"""First words of docstrings that end like a verb and are nouns, or may be either."""
BOTH = {"Calls", "Checks", "Copies", "Draws", "Imports", "Names", "Notes", "Records", "Runs"}  # verb and noun
WHAT = re.compile(r"\bwhat\b", re.IGNORECASE)
MOST_WHATS = 0.5  # for each 1,000 words
FAULT = re.compile(
    r"\b((?:cannot|could not) \w+|no such|is gone|holds no|[Tt]here is no|has no value|does not exist)\b"
)
ACTION = re.compile(
    r"\b(build|call|change|check|choose|compile|drop|fetch|give|install|leave|look|make|move|name|override|pass|put"
    r"|read|remove|rename|restore|run|save|set|start|take|train|use|wait|write|takes another|must)\b"
    r"|\{_?(action|remedy|rule|elsewhere|instead)",
    re.IGNORECASE,
)
VARIABLE = re.compile(r"\{(?!_?(action|remedy|rule|elsewhere|instead)).*?\}", re.IGNORECASE)
ACTION_IN_PARTS = {
    "--model: cannot load {path}: {_cause(error)} ({_IN_PYTHON})",
    "this cannot be probed: {one_line(error)}",
    "this cannot be diagnosed: {one_line(error)}",
}
"""Messages that name the action in one of their parts, such as another error."""


FOLDERS = ["benchmarks", "examples", "tests", ".ci", "bin"]
"""Folders outside of the package, with the same language in docstrings and, but for tests, messages."""


def files(package: str) -> list[pathlib.Path]:
    if package in FOLDERS:
        pattern = "*" if package == "bin" else "**/*.py"  # programs have no ending
        return sorted(path for path in (ROOT / package).glob(pattern) if path.is_file())
    return sorted((ROOT / "tfplastic" / package).glob("**/*.py" if package else "*.py"))


@functools.cache
def nodes(path: pathlib.Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def documented(path: pathlib.Path) -> list[tuple[ast.AST, ast.Constant]]:
    """Returns the docstrings of a file, each with its module, class or function, or that of its constant."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node, each.value)
        for node in nodes(path)
        if isinstance(node, kinds)
        for each in node.body
        if isinstance(each, ast.Expr)
        and isinstance(each.value, ast.Constant)
        and isinstance(each.value.value, str)
    ]


def docstrings(path: pathlib.Path) -> list[ast.Constant]:
    """Returns the texts that document a module, class, function or constant."""
    return [text for _, text in documented(path)]


def first_words(path: pathlib.Path, of_functions: bool) -> list[tuple[str, ast.AST, str]]:
    """Returns (place, node, first word) of functions, or of all else; without properties and contexts."""
    found = []
    for node, text in documented(path):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        decorators = " ".join(map(ast.unparse, getattr(node, "decorator_list", [])))
        if is_function == of_functions and not re.search("property|contextmanager", decorators):
            found.append((f"{path.relative_to(ROOT)}:{text.lineno}", node, str(text.value).split()[0]))
    return found


def is_verb(word: str) -> bool:
    return re.fullmatch("[A-Z][a-z]+s[,:;]?", word) is not None and word.strip(",:;") not in PLURALS


def messages(path: pathlib.Path) -> list[str]:
    """Returns all other strings that have words in them."""
    known = {(each.lineno, each.col_offset) for each in docstrings(path)}
    strings = [node for node in nodes(path) if isinstance(node, ast.Constant)]
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
    british = BRITISH.search(TITLE.sub("", text))
    return [f"{match[0]!r}: {better}" for match, better in found if match] + (
        [f"{british[0]!r}: American spelling"] if british else []
    )


def text_of(message: ast.expr) -> str:
    """Returns a message as it stands in the code, with the names of its variables in braces."""
    if isinstance(message, ast.JoinedStr):
        return "".join(map(text_of, message.values))
    if isinstance(message, ast.FormattedValue):
        return f"{{{ast.unparse(message.value)}}}"
    if isinstance(message, ast.BinOp):
        return text_of(message.left) + text_of(message.right)
    return str(message.value) if isinstance(message, ast.Constant) else f"{{{ast.unparse(message)}}}"


def without_action(code: ast.AST) -> list[str]:
    """Returns the messages of errors that say that something failed and not the next action."""
    raised = [node.exc for node in ast.walk(code) if isinstance(node, ast.Raise)]
    texts = [" ".join(map(text_of, call.args)) for call in raised if isinstance(call, ast.Call)]
    faults = [text for text in texts if FAULT.search(text)]
    return [text for text in faults if not ACTION.search(FAULT.sub("", VARIABLE.sub("", text)))]


@pytest.mark.parametrize("package", PACKAGES)
def test_errors_name_the_next_action(package):
    faults = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files(package)
        for text in without_action(ast.parse(path.read_text()))
        if text not in ACTION_IN_PARTS
    ]
    assert faults == []


@pytest.mark.parametrize("package", [*PACKAGES, *FOLDERS])
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
def test_functions_open_with_verbs(package):
    faults = [
        f"{place} opens with {word!r}; open with a verb, such as 'Returns'"
        for path in files(package)
        for place, _, word in first_words(path, of_functions=True)
        if not is_verb(word)
    ]
    assert faults == []


@pytest.mark.parametrize("package", PACKAGES)
def test_only_generators_yield(package):
    faults = [
        f"{place} says 'Yields' and has no yield; open with 'Returns'"
        for path in files(package)
        for place, node, word in first_words(path, of_functions=True)
        if word == "Yields"
        and not any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node))
    ]
    assert faults == []


def test_classes_and_constants_open_with_nouns():
    paths = [path for package in PACKAGES for path in files(package)]
    opened = [word for path in paths for _, _, word in first_words(path, of_functions=True)]
    verbs = {word.strip(",:;") for word in opened if is_verb(word)} - BOTH
    faults = [
        f"{place} opens with {word!r}, as functions do; open with a noun"
        for path in paths
        for place, _, word in first_words(path, of_functions=False)
        if word.strip(",:;") in verbs
    ]
    assert {"Returns", "Computes", "Measures"} <= verbs
    assert faults == []


@pytest.mark.parametrize("package", [*PACKAGES, *(each for each in FOLDERS if each != "tests")])
def test_messages(package):
    faults = [
        (str(path), fault) for path in files(package) for text in messages(path) for fault in forbidden(text)
    ]
    assert faults == []


def prose(page: str) -> str:
    """Returns a page without its code and its list of sentences from before the revision."""
    lists = r"^```.*?^```$|^## Ten sentences.*?(?=^## )|`[^`\n]+`"
    return re.sub(lists, "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_pages(page):
    assert forbidden(prose(page)) == []


def comments(file: str) -> list[str]:
    """Returns the comments of a gin file, those of neighboring lines as one, without commands and code."""
    found, before = [], 0
    tokens = tokenize.generate_tokens(io.StringIO((ROOT / file).read_text()).readline)
    for token in tokens:
        text = token.string.removeprefix("#")
        if token.type != tokenize.COMMENT or text.startswith("   "):
            continue
        if token.start[0] == before + 1 and text.strip() and found and found[-1]:
            found[-1] += text
        else:
            found.append(text.strip())
        before = token.start[0]
    return [text for text in found if text]


@pytest.mark.parametrize("file", GIN_FILES)
def test_comments_of_gin_files(file):
    faults = [fault for text in comments(file) for fault in forbidden(text)]
    faults += [text for text in comments(file) if OPENING.match(text)]
    assert faults == []


def test_comments_of_gin_files_name_things():
    text = " ".join(comment for file in GIN_FILES for comment in comments(file))
    assert len(text.split()) > 2_000
    assert len(WHAT.findall(text)) <= MOST_WHATS * len(text.split()) / 1000


def test_the_guides_name_things():
    guides = [page for page in PAGES if page.startswith(("docs/", "README", "CONTRIBUTING"))]
    text = " ".join(map(prose, guides))
    assert len(WHAT.findall(text)) <= MOST_WHATS * len(text.split()) / 1000


def test_the_rules_find_what_they_forbid(tmp_path):
    message = 'raise ValueError(f"cannot read {name!r}: {error}{end}")'
    assert without_action(ast.parse(message)) == ["cannot read {name}: {error}{end}"]
    assert without_action(ast.parse(message.replace("{end}", ". Choose another"))) == []
    assert without_action(ast.parse(message.replace("{end}", ". {action}"))) == []
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
    assert forbidden("a regulariser of grey colours") == ["'regularise': American spelling"]
    assert forbidden('promised, analysed, "optimisation readiness"') == []
    assert is_verb("Returns,") and not is_verb("The") and not is_verb("Inputs")
    assert ARGUMENT.search("\n    batch_size: of a gradient step.\n")
    assert ARGUMENT.search("\n    make_model: makes a network.\n")
    assert not ARGUMENT.search("\n    batch_size: examples per gradient step.\n")
