"""A run directory that cannot be written ends the run in one line, and costs nothing of it."""

import contextlib
import errno
import json
import os
import resource
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.loop_test import QuietProgress, make_loop, read_status, rows, run, weights
from tests.training.runs import tree
from tfplastic.training import NonFiniteLossError
from tfplastic.training.run.checkpoints import DamagedCheckpointError
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.write_errors import CannotWriteError, explained, writing
from tfplastic.training.run.writer import RunWriter
from tfplastic.writers import Writer

PERIODS = dict(log_period=1, diagnostics_period=5, evaluation_period=6, checkpoint_period=3, total_steps=20)


@contextlib.contextmanager
def largest_file(num_bytes):
    """A full disk, in effect: files cannot grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, weights(run(path, make_loop(**PERIODS))[0])


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("short")
    run(path, make_loop(**{**PERIODS, "total_steps": 3}))
    return path


def action(path, what, first="Free some space"):
    resume = "and run the same command again, which resumes from the last checkpoint"
    return f"{path} cannot be written: {what}. {first}, {resume}"


# Of an event file before and after a checkpoint, of the values of a checkpoint, of metrics.csv.
@pytest.mark.parametrize("num_bytes", [1_000, 2_000, 4_000])
def test_a_full_disk(tmp_path, whole, num_bytes):
    with pytest.raises(CannotWriteError) as error, largest_file(num_bytes):
        run(tmp_path, make_loop(**PERIODS))
    assert str(error.value) == action(tmp_path, os.strerror(errno.EFBIG))
    assert not tf.summary.should_record_summaries()  # no default writer stays behind
    status = read_status(tmp_path)
    assert (status["state"], status["error"]) == ("failed", f"CannotWriteError: {error.value}")
    assert not list((tmp_path / "checkpoints").glob(".writing*"))  # leaves what it took of the disk
    resumed, code = run(tmp_path, make_loop(**PERIODS))
    assert code == 0 and rows(tmp_path) == rows(whole[0])
    np.testing.assert_array_equal(weights(resumed), whole[1])


def test_a_disk_with_no_room_for_the_status(tmp_path):
    with RunDirectory.open(tmp_path, "", "train.total_steps = 20") as directory:
        with pytest.raises(CannotWriteError), largest_file(300):
            make_loop(**PERIODS).run(directory, progress=QuietProgress)
    assert read_status(tmp_path)["state"] == "starting"  # as before; the program's own line says it
    assert run(tmp_path, make_loop(**PERIODS))[1] == 0


@pytest.mark.parametrize(("name", "code"), [("checkpoints", errno.ENOTDIR), ("tensorboard", errno.EEXIST)])
def test_a_place_that_cannot_be_written(tmp_path, name, code):
    RunDirectory.open(tmp_path, "", "train.total_steps = 20").close()
    (tmp_path / name).write_text("a file")
    with pytest.raises((CannotWriteError, tf.errors.OpError)) as error:
        run(tmp_path, make_loop(**PERIODS))
    if name == "checkpoints":
        assert str(error.value) == action(tmp_path, os.strerror(code), "Make it writable")
        assert read_status(tmp_path)["state"] == "failed"
    (tmp_path / name).unlink()
    assert run(tmp_path, make_loop(**PERIODS))[1] == 0


def test_which_errors_are_of_writing(tmp_path):
    def is_explained(error):
        return isinstance(explained(error, tmp_path), CannotWriteError)

    assert is_explained(OSError(errno.ENOSPC, "No space left on device"))
    assert is_explained(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "metrics.csv")))
    assert is_explained(
        tf.errors.ResourceExhaustedError(None, None, f"{tmp_path}/a; No space left on device")
    )
    assert not is_explained(PermissionError(errno.EACCES, "Permission denied", "/somewhere/else"))
    sibling = f"{tmp_path}b/metrics.csv"
    assert not is_explained(PermissionError(errno.EACCES, "Permission denied", sibling))
    assert not is_explained(tf.errors.ResourceExhaustedError(None, None, f"{sibling}; No space left on dev"))
    assert not is_explained(FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "metrics.csv")))
    assert not is_explained(tf.errors.ResourceExhaustedError(None, None, "out of memory"))
    assert not is_explained(ConnectionResetError(errno.ECONNRESET, "reset"))
    assert not is_explained(NonFiniteLossError(3))


def test_a_directory_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    with pytest.raises(CannotWriteError) as error, writing(gone):
        (gone / "metrics.csv").write_bytes(b"")
    assert str(error.value) == action(gone, os.strerror(errno.ENOENT), "Restore it")


@pytest.mark.parametrize(
    ("hook", "code", "name"),
    [
        ("restore", errno.ENOENT, "checkpoints/shared/0.segment"),
        ("restore", errno.EACCES, "checkpoints/shared/0.segment"),
        ("next", errno.EIO, None),
        ("evaluate", errno.ENOSPC, None),  # such as of an emulator's shared memory
    ],
)
def test_what_a_task_reads_or_plays_is_not_the_directory(tmp_path, short, hook, code, name):
    shutil.copytree(short, tmp_path, dirs_exist_ok=True)
    loop = make_loop(**{**PERIODS, "total_steps": 6})
    raised = OSError(code, os.strerror(code), *([str(tmp_path / name)] if name else []))

    def fail(*arguments):
        raise raised

    setattr(loop.task, hook, fail)
    with pytest.raises(OSError, match=os.strerror(code)) as error:
        run(tmp_path, loop)
    assert error.value is raised
    if hook != "restore":
        assert read_status(tmp_path)["error"] == f"{type(raised).__name__}: {raised}"


@pytest.mark.parametrize(
    "method", ["scalars", "clock_scalars", "histogram", "image", "text", "arrays", "layout", "flush", "close"]
)
def test_every_method_of_the_writers_of_a_run_says_it(tmp_path, method):
    class Full(Writer):
        def __getattribute__(self, name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    given: dict[str, list[Any]] = {"layout": [{}], "flush": [], "close": [], "arrays": [0, "tag"]}
    arguments = given.get(method, [0, {}] if "scalars" in method else [0, "tag", 0])
    with pytest.raises(CannotWriteError):
        getattr(RunWriter(tmp_path, [Full()]), method)(*arguments)


def test_a_resume_that_fails_leaves_the_run_as_it_was(tmp_path):
    run(tmp_path, make_loop(**{**PERIODS, "total_steps": 7}))
    for path in tmp_path.glob("checkpoints/*/variables.index"):
        path.write_bytes(b"")
    before = tree(tmp_path)
    assert json.loads(before["status.json"])["step"] == 7
    with pytest.raises(DamagedCheckpointError):
        run(tmp_path, make_loop(**PERIODS))
    after = tree(tmp_path)
    for name in ("operative_config.gin", "run.lock"):  # a longer run, and another process
        before.pop(name)
        after.pop(name)
    assert after == before
