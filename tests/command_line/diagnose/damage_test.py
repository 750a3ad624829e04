"""`bin/diagnose` on runs with damaged files: the newest good checkpoint, named, and nothing changed."""

import contextlib
import itertools
import json
import pathlib
import shutil

import numpy as np
import pytest

from tests.command_line.diagnose.tiny import train, tree, undisturbed  # noqa: F401
from tfplastic.command_line import diagnose
from tfplastic.command_line.diagnose import checkpoints
from tfplastic.command_line.diagnose.probe import run_inputs
from tfplastic.command_line.diagnose.report import run_reference
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.configuration.errors import UsageError
from tfplastic.training.events.measurements.diagnostics import REFERENCE_FILE
from tfplastic.training.events.measurements.probes import INPUTS_FILE

pytestmark = pytest.mark.usefixtures("undisturbed")
SMALL = ("--device=cpu", "--num_eigenvalues=1", "--num_steps=3", "--num_probes=1")
NEWEST = pathlib.Path("checkpoints/step_000000000006")
VALUES = "variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tiny"
    train(path)
    return path


@pytest.fixture
def run(whole, tmp_path):
    """A copy of a run with checkpoints of steps 4 and 6."""
    shutil.copytree(whole, tmp_path / "tiny")
    return tmp_path / "tiny"


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def make_old(run):
    """Checkpoints of versions without checksums."""
    for path in run.glob("checkpoints/*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["checksums"]
        path.write_text(json.dumps(manifest))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product(["manifest.json"], [cut, flip, empty]),  # without one it is being written
        *itertools.product(["variables.index", VALUES, "task.json"], [cut, flip, empty, pathlib.Path.unlink]),
    ],
)
def test_the_newest_good_checkpoint_is_taken(run, capsys, name, damage):
    damage(run / NEWEST / name)
    before = tree(run)
    assert [each.step for each in checkpoints.find_checkpoints(str(run))] == [4]
    assert capsys.readouterr().out.startswith(f"gradient step 6: damaged, and left out: {name} ")
    with pytest.raises(UsageError) as error:
        checkpoints.find_checkpoint(str(run), 6)
    assert str(error.value).startswith(f"--run_dir: checkpoint 6 cannot be read: {name} ")
    assert str(error.value).endswith(". Choose one that can be read: 4")
    assert tree(run) == before


def test_none_is_good(run):
    for step in (4, 6):
        flip(run / f"checkpoints/step_{step:012d}/variables.index")
    with pytest.raises(UsageError) as error:
        checkpoints.find_checkpoints(str(run))
    rule = "--run_dir: checkpoint 6 cannot be read: variables.index is not as it was written"
    action = "nor any other. Restore one of them, or name another run"
    assert str(error.value) == f"{rule}, {action}"


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("name", ["variables.index", VALUES, "task.json"])
def test_a_checkpoint_without_checksums(run, capsys, name, damage):
    make_old(run)
    damage(run / NEWEST / name)
    found = checkpoints.find_checkpoints(str(run))[::-1]
    checkpoint, _ = checkpoints.first_readable(found, TrainedRun(found[0]).read_snapshot)
    assert checkpoint.step == 4
    assert "gradient step 6: " in capsys.readouterr().out


def test_a_command_on_a_damaged_run(run, capsys):
    make_old(run)
    cut(run / NEWEST / VALUES)
    assert diagnose.main(["spectrum", f"--run_dir={run}", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "gradient step 6: left out. --run_dir: checkpoint 6 cannot be read: " in shown
    assert "tiny, gradient step 4: loss on 8 examples" in shown
    assert (run / "arrays/spectrum/4.npz").exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 half", b"\x93NUMPY", b"text"])
def test_kept_inputs_and_network_that_cannot_be_read(run, capsys, content):
    for name in (INPUTS_FILE, REFERENCE_FILE):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    found = checkpoints.find_checkpoints(str(run))
    inputs, whence = run_inputs.of_run(TrainedRun(found[0]), found, 5)
    assert (np.shape(inputs), whence) == ((5, 3), "drawn at gradient step 4")
    assert run_reference.of_run(str(run)) is None
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"The inputs of probes in {run / INPUTS_FILE} cannot be read. Inputs are drawn again"
    assert second.startswith("The network of gradient step 0 cannot be read: ")


def half_written(path):
    """The worst state of the disk while `bin/train` writes `path`."""
    return path.with_name(f".{path.name}.tmp"), path.read_bytes()[: path.stat().st_size // 2]


def test_a_run_that_is_writing(run, capsys):
    """Half-written files of each kind, and a new checkpoint whose folder has no manifest yet."""
    for file in [file for file in run.rglob("*") if file.is_file()]:
        temporary, half = half_written(file)
        temporary.write_bytes(half)
    writing = run / "checkpoints/.writing_step_000000000008"
    shutil.copytree(run / NEWEST, writing)
    removing = run / "checkpoints/step_000000000002"
    shutil.copytree(run / NEWEST, removing)
    (removing / "manifest.json").unlink()
    (run / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes()[:-3])
    (run / "status.json").write_bytes(b"{")
    before = tree(run)
    assert [each.step for each in checkpoints.find_checkpoints(str(run))] == [4, 6]
    found = checkpoints.find_checkpoints(str(run))[::-1]
    assert checkpoints.first_readable(found, TrainedRun(found[0]).read_snapshot)[0].step == 6
    assert capsys.readouterr().out == "" and tree(run) == before


@pytest.mark.parametrize("present", [[], ["operative_config.gin"], ["operative_config.gin", "status.json"]])
def test_a_run_that_is_starting(run, present):
    for path in run.iterdir():
        if path.name not in present:
            with contextlib.suppress(NotADirectoryError):
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
    with pytest.raises(
        UsageError,
        match="has no checkpoint yet. Wait for its first one$" if present else "holds no run: it has no",
    ):
        checkpoints.find_checkpoints(str(run))
