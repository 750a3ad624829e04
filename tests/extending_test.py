"""The recipes of docs/extending.md, as a user would try them: their files in a folder, their commands there.

A file is a fenced block that its name in backquotes precedes; a command is a line of a block of `console`.
"""

import pathlib
import re
import shlex
import sys

import gin
import pytest

from tfplastic.command_line import train
from tfplastic.diagnostics.declaration.registry import declared_quantities

TEXT = (pathlib.Path(__file__).resolve().parent.parent / "docs/extending.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Of the last row of each section's run: a tag, and what its value must be above.
LEARNT = {
    "A quantity": ("diagnostics/top_units_activity/hidden1_relu", 0.25),  # its least value
    "A stream": ("evaluation/online_accuracy", 0.4),  # 0.1 without learning
    "An agent": ("evaluation/goes_right", 0.9),  # 0.5
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory from which modules are imported, as by `python`; nothing is left of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("tfplastic.diagnostics.declaration.registry._declared", declared_quantities())
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    gin.clear_config()


def test_every_recipe_has_files_and_a_command():
    assert set(LEARNT) <= set(SECTIONS)
    for section, text in SECTIONS.items():
        assert FILE.search(text) and CONSOLE.search(text), section


@pytest.mark.parametrize("section", SECTIONS)
def test_a_recipe_runs_and_learns(section, folder):
    for name, text in FILE.findall(SECTIONS[section]):
        (folder / name).write_text(text, "utf-8")
    for command in "".join(CONSOLE.findall(SECTIONS[section])).splitlines():
        program, *arguments = shlex.split(command)
        assert program == "bin/train"
        # XLA, which a longer run would have, takes most of the time of so short a one.
        assert train.main([*arguments, "--device=cpu", "--gin_bindings=train.compiler = 'graph'"]) == 0
    if section in LEARNT:
        tag, least = LEARNT[section]
        (metrics,) = folder.glob("*/metrics.csv")
        rows = [row.split(",") for row in metrics.read_text().splitlines()]
        assert float([value for _, name, value in rows if name == tag][-1]) > least
