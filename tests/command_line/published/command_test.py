"""`make published`: its page from committed runs, one number from nothing, and errors in one line."""

import os
import re
import shutil
import subprocess

import pytest

from tests.reports.run_directories import write_run
from tfplastic.command_line import published as program
from tfplastic.configuration import gin_files
from tfplastic.reports import published
from tfplastic.sweeps.queue import queue_file

ROOT = gin_files.root()
NUMBERS, MINATAR = ([*page.rows] for page in published.PAGES)
STUDIES = [*published.STUDIES]
ALL = [*NUMBERS, *MINATAR, *STUDIES]
LINK = re.compile(r"\]\(paper/([^)\s]+-seed\d+)\)")


def error_of(capsys, *given):
    assert program.main([*given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("make published: error: ")


def test_the_pages_are_made_from_the_runs_that_they_list(tmp_path):
    (tmp_path / "paper").mkdir()
    pages = [*(page.file for page in published.PAGES), *(study.page for study in STUDIES)]
    listed = {name for page in pages for name in LINK.findall((ROOT / "docs" / page).read_text())}
    assert len(listed) > 50
    for name in listed:  # further ones may have been committed since
        shutil.copytree(ROOT / "docs/paper" / name, tmp_path / "paper" / name)
    shutil.copy(ROOT / "docs/methods.md", tmp_path)
    assert program.main([f"--docs={tmp_path}"]) == 0
    for name in ("methods.md", "early_warning.md"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text(), "run make published"
    for each in published.PAGES:
        page = (tmp_path / each.file).read_text()
        assert page == (ROOT / "docs" / each.file).read_text(), "run make published"
        rows = [line for line in page.splitlines() if "make published NAME=" in line and line.startswith("|")]
        assert re.findall(r"NAME=(\w+)", "".join(rows)) == [row.name for row in each.rows]
        for link in re.findall(r"\]\(([^)#]+)", page):
            assert (ROOT / "docs" / link).exists(), link


def test_the_queue_has_every_row_once_and_published_numbers_in_the_order_of_their_page():
    of_rows = {row.name: row.experiment for row in ALL}
    entries = queue_file.read(ROOT / "docs/paper/queue.txt")
    found = {entry.figure: entry.experiment for entry in entries if entry.figure in of_rows}
    assert found == of_rows and len([e for e in entries if e.figure in of_rows]) == len(ALL)
    numbers = [row.name for row in NUMBERS]
    assert [name for name in found if name in numbers] == numbers
    for row in ALL:
        assert f"bin/sweep --experiment={row.experiment}" in (ROOT / row.experiment).read_text()


def test_one_number_is_made_and_judged(tmp_path, monkeypatch, capsys):
    asked = []

    def sweep(arguments):
        asked.extend(arguments)
        root = tmp_path / "kumar_table2"
        scalars = {
            "evaluation/average_online_accuracy": [(20, 0.815)],
            "evaluation/backward_transfer": [(20, -0.65)],
            "evaluation/one_step_backward_transfer": [(20, -0.11)],
        }
        for seed in range(2):
            write_run(root / f"l2_init-seed{seed}", seed, scalars)
        return 0

    monkeypatch.setattr("tfplastic.command_line.sweep.main", sweep)
    given = ["--name=kumar_table2", f"--run_root={tmp_path}", "--sweep_flags=--limit=2 --dry_run"]
    assert program.main(given) == 0
    assert asked == [
        "--experiment=gin/published/kumar_table2.gin",
        f"--run_root={tmp_path}/kumar_table2",
        "--limit=2",
        "--dry_run",
    ]
    shown = capsys.readouterr().out
    assert "Permuted MNIST, 20 tasks, L2 Init 1e-3 (Kumar et al. 2023, table 2): agree (2 of 15)" in shown
    assert "within all three: lambda" in shown


def test_a_study_is_made_and_its_tables_are_shown(tmp_path, monkeypatch, capsys):
    def sweep(arguments):
        root = tmp_path / "methods"
        write_run(root / "random_labels-redo-seed1", 1, {"evaluation/average_online_accuracy": [(20, 0.5)]})
        return 0

    monkeypatch.setattr("tfplastic.command_line.sweep.main", sweep)
    assert program.main(["--name=methods", f"--run_root={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "0.500, not run (1 of 2)" in shown and f"({tmp_path}/methods/random_labels-redo-seed1)" in shown


def test_a_sweep_that_does_not_end_is_not_judged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tfplastic.command_line.sweep.main", lambda arguments: 130)
    assert program.main(["--name=kumar_table2", f"--run_root={tmp_path}"]) == 130
    assert capsys.readouterr().out == ""


def test_errors_are_one_line(tmp_path, capsys):
    assert error_of(capsys, "--sweep_flags=--dry_run") == "--sweep_flags must be given with --name"
    assert error_of(capsys, f"--run_root={tmp_path}") == "--run_root must be given with --name"
    with_name = error_of(capsys, "--name=kumar_table2", f"--docs={tmp_path}")
    assert with_name == "--docs must be given without --name"
    message = error_of(capsys, "--name=kumar_tabel2")
    assert message.startswith("--name must be one of kumar_table2, ")
    assert message.endswith("Received: 'kumar_tabel2'. Did you mean 'kumar_table2'?")
    assert error_of(capsys, "kumar_table2").startswith("unexpected argument 'kumar_table2'. The number is")
    assert error_of(capsys, f"--docs={tmp_path / 'no'}").startswith("--docs must be a directory. Received:")
    (tmp_path / "methods.md").write_text("# Methods\n")
    message = error_of(capsys, f"--docs={tmp_path}")
    assert "methods.md must have the line" in message and message.endswith("Run `make methods` first")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["NAME=a"], "ran -m tfplastic.command_line.published --name=a"),
        ([], "ran -m tfplastic.command_line.published"),
    ],
)
def test_make_passes_the_name(given, said, tmp_path):
    (tmp_path / "venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    python = tmp_path / "venv/bin/python"
    python.write_text('#!/bin/sh\necho "ran $*"\n')
    python.chmod(0o755)
    (tmp_path / "venv/installed").touch()
    command = ["make", "--no-print-directory", "-C", str(tmp_path), "published", "VENV=venv", *given]
    outer = {"MAKEFLAGS": "", "MAKEOVERRIDES": ""}  # of the `make` that runs the tests
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, **outer})
    assert done.stdout.splitlines()[-1].strip() == said, done.stderr
