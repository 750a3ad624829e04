"""Damaged files of one run: it is listed with its error, and the others are drawn."""

import json

import numpy as np
import pytest

from tests.reports.run_directories import write_run
from tfplastic import reports
from tfplastic.command_line.report import command
from tfplastic.reports.page import ReportInput, sections

COVARIANCE = "diagnostics/gradient_covariance/all"


@pytest.fixture
def root(tmp_path):
    matrix = {step: {"matrix": np.eye(4)} for step in (0, 10)}
    density = {step: {"grid": np.linspace(-1, 1, 5), "density": np.ones(5)} for step in (0, 10)}
    arrays = {COVARIANCE: matrix, "diagnostics/hessian_spectral_density/all": density}
    for seed in (0, 1):
        scalars = {"train/loss": [(0, 1.0), (10, 0.5)]}
        write_run(tmp_path / "runs" / f"a-seed{seed}", seed, scalars, arrays)
    return tmp_path / "runs"


ARRAYS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "no archive": lambda path: path.write_bytes(b"text"),
    "flipped": lambda path: path.write_bytes(path.read_bytes().replace(b"descr", b"dexxr")),
    "other keys": lambda path: np.savez(path, other=np.ones(3)),
    "another shape": lambda path: np.savez(
        path, matrix=np.float64(3), grid=np.float64(1), density=np.ones((2, 2, 2))
    ),
    "objects": lambda path: np.savez(
        path, matrix=np.array([{}]), grid=np.array([{}]), density=np.array([{}])
    ),
}


@pytest.mark.parametrize("damage", ARRAYS)
@pytest.mark.parametrize("tag", [COVARIANCE, "diagnostics/hessian_spectral_density/all"])
def test_an_array_file(root, tag, damage):
    whole = {section.title: section for section in sections(ReportInput(reports.read_runs(root), "x"))}
    ARRAYS[damage](root / "a-seed0/arrays" / tag / "0.npz")
    found = sections(ReportInput(reports.read_runs(root), "x"))
    named = [
        section for section in found if any("a-seed0 is left out here" in text for text in section.texts)
    ]
    assert named
    for section in named:
        assert len(section.pictures) == len(whole[section.title].pictures) > 0
    for section in found:
        assert section in named or len(section.pictures) == len(whole[section.title].pictures)


FILES = {
    "metrics.csv": (
        b"",
        b"step,tag",
        b"step,tag,value\n1,x",
        b"step,tag,value\na,b,c\n",
        b"\xff\xfe",
        b"x" * 99,
    ),
    "status.json": (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"step": "x"}',
        b'{"versions": 3, "state": []}',
        b"[" * 99999,
    ),
    "operative_config.gin": (b"", b"\xff", b"train.seed = ", b"train.seed = @x\n= ="),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_text(root, name, tmp_path, capsys):
    for number, content in enumerate(FILES[name]):
        (root / "a-seed0" / name).write_bytes(content)
        runs = reports.read_runs(root)
        assert [run.name for run in runs] == ["a-seed0", "a-seed1"]
        assert sections(ReportInput(runs, "x"))
        runs.table()
        if number == 0:
            assert command.main([f"--runs={root}", f"--out={tmp_path / 'out'}"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_being_written(root, name):
    """Cut at every byte of a small file, as a reader might find it during the run."""
    path = root / "a-seed0" / name
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        runs = reports.read_runs(root)
        assert len(runs) == 2 and len(runs.table()) == 2
    path.unlink()
    (run, _) = reports.read_runs(root)
    assert f"{name} is missing" in run.errors


def test_what_is_wrong_with_a_status_is_said(root):
    (root / "a-seed0/status.json").write_text(json.dumps({"state": "running", "step": "ten"}))
    assert (
        "a-seed0: status.json cannot be read: its 'step' must not be 'ten'"
        in reports.read_runs(root).problems()
    )
