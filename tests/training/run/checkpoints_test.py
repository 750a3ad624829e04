"""Checkpoints are whole or not there, share files, and keep the given number."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.training.run.checkpoints import Checkpoints, DamagedCheckpointError


def saver(*names):
    """Stands for a task that writes its state and the shared files `names`."""

    def save(directory, shared):
        (directory / "task.json").write_text("[]")
        for name in names:
            (shared / name).write_text(name)
        return list(names)

    return save


def latest(checkpoints):
    checkpoint = checkpoints.latest()
    assert checkpoint is not None
    return checkpoint


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_round_trip_of_variables_and_state(tmp_path):
    variable = tf.Variable([1.0, 2.0])
    Checkpoints(tmp_path, {"v": variable}, keep=1).save(7, {"count": 3, "sum": 0.1}, saver("a"))
    variable.assign([5.0, 6.0])

    checkpoints = Checkpoints(tmp_path, {"v": variable}, keep=1)
    checkpoint = latest(checkpoints)
    checkpoints.restore(checkpoint)

    assert (checkpoint.step, checkpoint.shared_files) == (7, ["a"])
    assert checkpoint.state == {"count": 3, "sum": 0.1}
    assert (checkpoint.directory / "task.json").exists()
    np.testing.assert_array_equal(variable.numpy(), [1.0, 2.0])


def test_there_is_none_before_the_first(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints", {}, keep=1).latest() is None


def test_keeps_the_newest_and_the_shared_files_they_need(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable(0)}, keep=2)
    for step, needed in ((1, ["a"]), (2, ["a", "b"]), (3, ["b", "c"]), (10, ["c"])):
        checkpoints.save(step, {}, saver(*needed))
    assert names(tmp_path) == ["shared", "step_000000000003", "step_000000000010"]
    assert names(tmp_path / "shared") == ["b", "c"]
    assert latest(checkpoints).step == 10


@pytest.mark.parametrize("moment", ["task", "rename"])
def test_a_write_that_breaks_off_leaves_the_last_one(tmp_path, monkeypatch, moment):
    variable = tf.Variable(1.0)
    checkpoints = Checkpoints(tmp_path, {"v": variable}, keep=1)
    checkpoints.save(1, {}, saver("a"))
    variable.assign(2.0)

    def breaks(*arguments):
        raise KeyboardInterrupt

    if moment == "rename":
        monkeypatch.setattr("pathlib.Path.rename", breaks)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {}, breaks if moment == "task" else saver("a", "b"))
    monkeypatch.undo()

    checkpoints = Checkpoints(tmp_path, {"v": variable}, keep=1)
    assert latest(checkpoints).step == 1
    checkpoints.restore(latest(checkpoints))
    assert variable.numpy() == 1.0
    assert names(tmp_path) == ["shared", "step_000000000001"]
    assert names(tmp_path / "shared") == ["a"]


def test_a_replacement_that_breaks_off_leaves_the_only_one(tmp_path, monkeypatch):
    variable = tf.Variable(1.0)
    arguments = tmp_path, {"v": variable}, 1
    Checkpoints(*arguments, changing=["mitigations"]).save(1, {"pending": ["mitigations"]}, saver("a"))
    variable.assign(2.0)
    rename = Path.rename

    def breaks(path, target):
        if path.name.startswith(".writing"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", breaks)
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(*arguments, changing=["mitigations"]).save(1, {"pending": []}, saver("b"))
    monkeypatch.undo()
    assert not list(tmp_path.glob("step_*"))

    checkpoints = Checkpoints(*arguments)
    assert latest(checkpoints).state == {"pending": ["mitigations"]}
    checkpoints.restore(latest(checkpoints))
    assert variable.numpy() == 1.0
    assert names(tmp_path) == ["shared", "step_000000000001"]
    assert names(tmp_path / "shared") == ["a"]


def test_a_deletion_that_breaks_off_does_not_leave_half_a_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable(0)}, keep=1)
    checkpoints.save(1, {}, saver("a"))
    remove = shutil.rmtree

    def breaks(path, *arguments, **keywords):
        if path.name == "step_000000000001":
            raise KeyboardInterrupt
        remove(path, *arguments, **keywords)

    monkeypatch.setattr(shutil, "rmtree", breaks)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {}, saver("b"))
    monkeypatch.undo()
    assert latest(checkpoints).step == 2
    checkpoints.restore(latest(checkpoints))
    assert names(tmp_path) == ["shared", "step_000000000002"]
    assert names(tmp_path / "shared") == ["b"]


def test_the_same_step_again_replaces_the_numbers_of_the_loop_only(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable(0)}, keep=1)
    checkpoints.save(1, {"pending": ["evaluation"]}, saver("a"))
    checkpoints.save(1, {"pending": []}, saver("b"))
    assert latest(checkpoints).state == {"pending": []}
    assert latest(checkpoints).shared_files == ["a"]


def test_a_variable_of_another_shape_is_an_error(tmp_path):
    Checkpoints(tmp_path, {"v": tf.Variable([1.0])}, keep=1).save(1, {}, saver())
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable([1.0, 2.0])}, keep=1)
    with pytest.raises(ValueError, match="shape"):
        checkpoints.restore(latest(checkpoints))


def test_a_variable_that_was_not_saved_is_an_error(tmp_path):
    Checkpoints(tmp_path, {"v": tf.Variable(1.0)}, keep=1).save(1, {}, saver())
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable(1.0), "w": tf.Variable(1.0)}, keep=1)
    with pytest.raises(AssertionError):
        checkpoints.restore(latest(checkpoints))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "is empty": lambda path: path.write_bytes(b""),
    "is missing": lambda path: path.unlink(),
    "is not as it was written": flip,
    "is not as it was written ": lambda path: path.write_bytes(path.read_bytes()[:-1]),
}
FILES = ("variables.index", "variables.data-00000-of-00001", "task.json", "../shared/new")


def saved_twice(root):
    variable = tf.Variable([1.0, 2.0])
    checkpoints = Checkpoints(root, {"v": variable}, keep=2)
    checkpoints.save(1, {}, saver("old"))
    variable.assign([3.0, 4.0])
    checkpoints.save(2, {}, saver("old", "new"))
    return checkpoints, variable


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_newest_checkpoint_is_put_aside(tmp_path, caplog, name, damage):
    checkpoints, variable = saved_twice(tmp_path)
    DAMAGES[damage](tmp_path / "step_000000000002" / name)
    found = latest(checkpoints)
    checkpoints.restore(found)
    assert found.step == 1 and variable.numpy().tolist() == [1.0, 2.0]
    aside = tmp_path / "damaged_step_000000000002"
    shown = name.replace("../", "")
    assert f"Damaged checkpoint put aside as {aside}: {shown} {damage.strip()}." in caplog.text
    assert f"Resuming from the older {found.directory}." in caplog.text
    assert aside.is_dir() and latest(checkpoints).step == 1
    checkpoints.save(2, {}, saver("old", "new"))
    assert latest(checkpoints).step == 2 and aside.is_dir()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"step": 2}', '{"step": "2", "shared_files": 1, "state": 3}'),
        '{"step": 1, "shared_files": [], "state": {}}',  # of another folder
        '{"step": 2, "shared_files": [1], "state": {}}',
        '{"step": 2, "shared_files": ["../../a"], "state": {}}',
        '{"step": 2, "shared_files": [], "state": {}, "checksums": ["a"]}',
        "[" * 99_999,
    ],
)
def test_a_damaged_manifest(tmp_path, text):
    checkpoints, _ = saved_twice(tmp_path)
    (tmp_path / "step_000000000002/manifest.json").write_text(text)
    assert latest(checkpoints).step == 1


@pytest.mark.parametrize("old", ["2", "new", "count", "7", "index"])
def test_any_other_character_of_a_manifest_is_damage(tmp_path, old):
    checkpoints = Checkpoints(tmp_path, {"v": tf.Variable([1.0, 2.0])}, keep=2)
    checkpoints.save(1, {}, saver())
    checkpoints.save(2, {"count": 7}, saver("new"))
    path = tmp_path / "step_000000000002/manifest.json"
    assert latest(checkpoints).step == 2
    path.write_text(path.read_text().replace(old, chr(ord(old[0]) + 1) + old[1:], 1))
    assert latest(checkpoints).step == 1


def test_all_damaged_stay_where_they_are(tmp_path):
    checkpoints, _ = saved_twice(tmp_path)
    for step in (1, 2):
        flip(tmp_path / f"step_00000000000{step}/variables.index")
    with pytest.raises(DamagedCheckpointError) as caught:
        checkpoints.latest()
    assert str(caught.value) == (
        f"no checkpoint of {tmp_path} can be read: step_000000000002: "
        "variables.index is not as it was written."
        " Restore one of them, or choose another run directory"
    )
    assert names(tmp_path) == ["shared", "step_000000000001", "step_000000000002"]


def test_checkpoints_of_older_versions_have_no_checksums(tmp_path):
    checkpoints, _ = saved_twice(tmp_path)
    for path in tmp_path.glob("step_*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["checksums"]
        path.write_text(json.dumps(manifest))
    assert latest(checkpoints).step == 2
    (tmp_path / "step_000000000002/task.json").write_text("")
    assert latest(checkpoints).step == 1


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001", "task.json"])
def test_a_truncated_checkpoint_without_checksums_is_put_aside(tmp_path, name):
    checkpoints, variable = saved_twice(tmp_path)
    for path in tmp_path.glob("step_*/manifest.json"):
        manifest = json.loads(path.read_text())
        del manifest["checksums"]
        path.write_text(json.dumps(manifest))
    path = tmp_path / "step_000000000002" / name
    path.write_bytes(path.read_bytes()[:-1])
    found = latest(checkpoints)
    checkpoints.restore(found)
    assert found.step == 1 and variable.numpy().tolist() == [1.0, 2.0]
