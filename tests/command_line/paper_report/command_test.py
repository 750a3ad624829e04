import os
import shutil
import subprocess
import sys

import pytest

from tests.reports.reproduction import made_up_grid
from tests.reports.run_directories import write_run
from tfplastic.command_line import paper_report
from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError

ROOT = gin_files.root()
DOCS = ROOT / "docs/paper"


def error_of(capsys, *given):
    assert paper_report.main(given) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1, shown.err
    return shown.err.removeprefix("make paper-report: error: ").rstrip()


def test_the_plan_is_of_the_queue_and_of_small_forms_beside_it():
    grid, files = paper_report.planned(DOCS)
    count = {place: sum(map(len, arms.values())) for place, arms in grid.items()}
    # 2 data x 2 networks x 12 x 3, 2 x 2 x 4 x 3 more, ViT 2 x 6 x 3, ResNet 3 x 3
    assert count["fig06"] == 144 + 48 + 36 + 9
    assert count["fig03"] == 12 * 4 + 12 * 2 and grid["fig03"]["easy-mnist-cnn"] == [0, 1, 2, 3, 4, 5]
    assert count["fig01"] == 6 and files["fig01"] == ["gin/paper/small/fig01.gin"]  # not in the queue
    assert count["fig06_coefficients"] == 2 * 2 * 3
    assert count["fig06_bfloat16"] == count["fig06_pixel_range"] == 3
    assert "fig02" not in grid and "fig04" not in grid  # in the queue under other names
    assert count["minatar_fig07"] == 36 and "fig07" not in grid
    folder = ROOT / "gin/paper/small"
    found = [path for kind in ("fig", "minatar_", "atari_") for path in folder.glob(f"{kind}*.gin")]
    small = {path.relative_to(ROOT).as_posix() for path in found}
    assert small == {file for of_place in files.values() for file in of_place if "/small/" in file}


def test_the_program_writes_a_page_without_tensorflow(tmp_path):
    folder = tmp_path / "paper"
    for arm in ("easy-none", "easy-layer_norm"):
        write_run(folder / f"fig14/{arm}-seed0", 0, made_up_grid.fig14(arm, 0)[0])
    for name in ("queue.txt", "text.md"):
        shutil.copy(DOCS / name, folder)
    blocked = "\n".join(
        f"import sys; sys.modules[{name!r}] = None" for name in ("tensorflow", "keras", "ray")
    )
    (tmp_path / "sitecustomize.py").write_text(blocked)
    done = subprocess.run(
        [sys.executable, "-m", "tfplastic.command_line.paper_report", f"--folder={folder}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'README.md'}, figures drawn: 1\n"
    assert "| agree (2 of 12) |" in (folder / "README.md").read_text()
    assert (folder / "figures/fig14.png").exists()


def test_errors_are_one_line(tmp_path, capsys):
    assert error_of(capsys, "--folder=no") == "--folder must be a directory. Received: 'no'"
    assert error_of(capsys, "docs").startswith("unexpected argument 'docs'")
    shutil.copy(DOCS / "queue.txt", tmp_path)
    assert error_of(capsys, f"--folder={tmp_path}").startswith("The texts of the page must be at")
    assert paper_report.main(["--help"]) == 0 and "--folder=DIRECTORY" in capsys.readouterr().out


def test_a_folder_without_a_queue_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="--queue must name a file that can be read"):
        paper_report.planned(tmp_path)


@pytest.fixture
def checkout(tmp_path):
    """Files of a checkout that `make paper-small` reads, and an interpreter that prints its arguments."""
    for folder in ("gin/paper/small", "runs/paper/fig06", "venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("06", "12"):
        (tmp_path / f"gin/paper/small/fig{name}.gin").touch()
    (tmp_path / "gin/paper/small/fig06_vit.gin").touch()
    (tmp_path / "requirements.lock").touch()
    python = tmp_path / "venv/bin/python"
    python.write_text('#!/bin/sh\necho "ran $*"\n')
    python.chmod(0o755)
    (tmp_path / "venv/installed").touch()  # younger than the lock file
    return tmp_path


def paper_small(checkout, *arguments):
    command = ["make", "--no-print-directory", "-C", str(checkout), "paper-small", "VENV=venv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done, [line for line in done.stdout.splitlines() if line.startswith("ran ")]


@pytest.mark.parametrize("figure", ["06", "6", "006"])
def test_make_paper_small_sweeps_and_reports_one_figure(checkout, figure):
    done, ran = paper_small(checkout, f"FIG={figure}", "ARGS=--limit=2")
    assert done.returncode == 0, done.stderr
    assert ran == [
        "ran bin/sweep --experiment=gin/paper/small/fig06.gin --run_root=runs/paper/fig06 --limit=2",
        "ran bin/report --runs=runs/paper/fig06 --out=runs/paper/fig06/report",
    ]


def test_make_paper_small_reports_nothing_where_nothing_was_run(checkout):
    done, ran = paper_small(checkout, "FIG=12", "ARGS=--dry_run")
    assert (
        done.returncode == 0
        and len(ran) == 1
        and ran[0].endswith("fig12.gin --run_root=runs/paper/fig12 --dry_run")
    )


@pytest.mark.parametrize("figure", ["7", "banana", "", "6 12", "0", "060"])
def test_make_paper_small_names_the_figures_that_there_are(checkout, figure):
    done, ran = paper_small(checkout, f"FIG={figure}")
    assert done.returncode and not ran
    line, *rest = done.stderr.splitlines()
    assert line.startswith("FIG must be a figure with a small form: 06 12 (06 is of Figs. 6 and 8 to 11,")
    assert line.endswith(f"Received: '{figure}'") and len(rest) == 1  # make's own
