"""Files and functions of the package stay short enough to be read at once."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tfplastic").rglob("*.py"))
MOST_LINES, MOST_OF_A_FUNCTION = 500, 60


def lengths(source: str) -> dict[str, int]:
    """The lines of each function without its docstring, {name: lines}; of several of one name the most."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            found[node.name] = max(lines, found.get(node.name, 0))
    return found


def test_files_are_short():
    too_long = {str(file): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {file: lines for file, lines in too_long.items() if lines > MOST_LINES} == {}


def test_functions_are_short():
    found = {
        f"{file.relative_to(ROOT)}:{name}": lines
        for file in FILES
        for name, lines in lengths(file.read_text("utf-8")).items()
    }
    assert len(found) > 1_000
    assert {name: lines for name, lines in found.items() if lines > MOST_OF_A_FUNCTION} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    return 1\n", {"f": 2}),
        ('def f():\n    """Returns."""\n    return 1\n', {"f": 2}),
        ('@d\nasync def f(\n    a,\n):\n    """A\n\n    b."""\n\n    return 1\n', {"f": 5}),
        (
            "class C:\n    def f(self):\n        def g():\n            pass\n        return g\n",
            {"f": 4, "g": 2},
        ),
    ],
)
def test_lines_are_counted_without_docstrings(source, expected):
    assert lengths(source) == expected
