"""Names of the files of run directories and sweeps: each is written in one place."""

import ast
from pathlib import Path

import pytest

from tfplastic import _checkpoint_files, run_format

ROOT = Path(__file__).parents[1]
OWNERS = {
    "tfplastic/run_format.py": [
        value for name, value in vars(run_format).items() if name.endswith("_FILE") and isinstance(value, str)
    ],
    "tfplastic/_checkpoint_files.py": [_checkpoint_files.MANIFEST_FILE],
}


def literals(path):
    """The strings of a module, parts of f-strings too, without docstrings and other bare strings."""
    tree = ast.parse(path.read_text("utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.lineno, node.value


def is_path_to(name, text):
    """Whether a string is a file name or ends in it as a path: words that only speak of a file have more."""
    return text == name or text.endswith(f"/{name}")


def test_every_name_is_known():
    known = {"config.gin", "operative_config.gin", "metrics.csv", "status.json", "run.lock", "sweep.json"}
    assert known <= set(OWNERS["tfplastic/run_format.py"])


@pytest.mark.parametrize(
    ("text", "found"),
    [("sweep.json", True), ("/sweep.json", True), ("no sweep.json", False), ("my_sweep.json", False)],
)
def test_paths_differ_from_words(text, found):
    assert is_path_to("sweep.json", text) == found


@pytest.mark.parametrize("owner", OWNERS)
def test_no_file_name_is_written_elsewhere(owner):
    found = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for path in sorted(ROOT.joinpath("tfplastic").rglob("*.py"))
        if path != ROOT / owner
        for line, text in literals(path)
        if any(is_path_to(name, text) for name in OWNERS[owner])
    ]
    assert found == []
