"""Segments: the content of a restored ring, the cost of a save, and killed or foreign files."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_agents.trajectories.trajectory import Trajectory

from tfplastic import seeds
from tfplastic.rl.replay import FrameReplay
from tfplastic.rl.replay.segments import SegmentLog

ROW_BYTES = 2 * (5 * 4 + 14)  # two environments, frames of 5 x 4


def make_replay(rows=20, num_envs=2, frame_shape=(5, 4)):
    return FrameReplay(rows * num_envs, num_envs, frame_shape, stack_size=3, n_step=2)


def add(replay, begin, end, source=0):
    """Adds rows `begin` to `end`, each a function of its number and `source`; episodes of 7 rows."""
    for t in range(begin, end):
        rng = np.random.default_rng([source, t])
        step_type, next_step_type = ([0, 1, 1, 1, 1, 1, 2][i % 7] for i in (t, t + 1))
        replay.add_batch(
            Trajectory(
                step_type=np.full(2, step_type),
                observation=rng.integers(0, 256, (2, 5, 4, 3)).astype(np.uint8),
                action=rng.integers(0, 18, 2),
                policy_info=(),
                next_step_type=np.full(2, next_step_type),
                reward=rng.normal(size=2),
                discount=np.full(2, float(next_step_type != 2)),
            )
        )


def assert_same(one, other):
    """Equal counters, and equal samples, which show every start."""
    assert (one.num_frames(), one.num_transitions) == (other.num_frames(), other.num_transitions)
    if one.num_transitions:
        key = seeds.derive(0, "compare")
        for name, a, b in zip(Trajectory._fields, one.sample(300, key), other.sample(300, key), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def restored(directory, names):
    replay = make_replay()
    replay.restore(directory, names)
    return replay


def added_only(end):
    replay = make_replay()
    add(replay, 0, end)
    return replay


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=6), keep=st.integers(1, 3), kills=st.data())
def test_any_sequence_of_adds_saves_and_resumes(tmp_path_factory, counts, keep, kills):
    """Checkpoints, of which the last `keep` stay, and now and then a resume from one of them."""
    directory = tmp_path_factory.mktemp("segments")
    replay, added, checkpoints = make_replay(), 0, []
    for count in counts:
        add(replay, added, added + count)
        added += count
        checkpoints = [*checkpoints, (added, replay.save(directory))][-keep:]
        for file in directory.iterdir():
            if not any(file.name in names for _, names in checkpoints):
                file.unlink()
        for end, names in checkpoints:
            assert_same(restored(directory, names), added_only(end))
        size = sum((directory / name).stat().st_size for name in checkpoints[-1][1])
        assert size <= 2 * 20 * ROW_BYTES + 6 * 1000  # two rings and the headers
        if kills.draw(st.booleans()):
            number = kills.draw(st.integers(0, len(checkpoints) - 1))
            checkpoints = checkpoints[: number + 1]
            added, names = checkpoints[-1]
            add(replay, 0, 3, source=1)  # what the killed run still did
            replay.save(directory)
            replay = restored(directory, names)
    add(replay, added, added + 9)
    assert_same(replay, added_only(added + 9))


def test_a_second_save_costs_only_what_is_new(tmp_path):
    replay = make_replay()
    add(replay, 0, 15)
    first = replay.save(tmp_path)
    assert first == ["replay-000000000000-000000000015.segment"]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    add(replay, 15, 18)
    second = replay.save(tmp_path)
    assert second == [*first, "replay-000000000015-000000000018.segment"]
    header = (tmp_path / second[0]).stat().st_size - 15 * ROW_BYTES
    assert (tmp_path / second[1]).stat().st_size == header + 3 * ROW_BYTES and header < 1000
    assert before.items() <= {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}.items()


def test_a_save_without_new_rows_writes_nothing(tmp_path):
    replay = make_replay()
    assert replay.save(tmp_path) == [] and not list(tmp_path.iterdir())
    add(replay, 0, 5)
    names = replay.save(tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert replay.save(tmp_path) == names
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files


def test_overwritten_segments_are_not_needed_and_rows_not_held_are_not_written(tmp_path):
    replay = make_replay(rows=20)
    add(replay, 0, 10)
    replay.save(tmp_path)
    add(replay, 10, 29)
    assert len(replay.save(tmp_path)) == 2  # row 9 is still held
    add(replay, 29, 30)
    assert replay.save(tmp_path) == [
        "replay-000000000010-000000000029.segment",
        "replay-000000000029-000000000030.segment",
    ]
    add(replay, 30, 95)
    assert replay.save(tmp_path) == ["replay-000000000075-000000000095.segment"]
    assert_same(restored(tmp_path, replay.save(tmp_path)), replay)


def test_another_directory_gets_everything(tmp_path):
    replay = make_replay()
    add(replay, 0, 30)
    replay.save(tmp_path / "one")
    names = replay.save(tmp_path / "two")
    assert names == ["replay-000000000010-000000000030.segment"]
    assert_same(restored(tmp_path / "two", names), replay)


def test_after_clear_only_later_rows_come_back(tmp_path):
    replay = make_replay()
    add(replay, 0, 10)
    earlier = replay.save(tmp_path)
    replay.clear()
    nothing = replay.save(tmp_path)
    assert nothing == ["replay-000000000010-000000000010.segment"]
    started = restored(tmp_path, nothing)  # in another process
    assert started.num_frames() == 0
    for each in (replay, started):
        add(each, 0, 8, source=1)
    assert started.save(tmp_path) == ["replay-000000000010-000000000018.segment"]
    assert_same(started, replay)
    names = replay.save(tmp_path)
    assert not set(names) & set(earlier)
    again = restored(tmp_path, names)
    assert again.num_frames() == 16
    assert_same(again, replay)
    assert_same(restored(tmp_path, earlier), added_only(10))


def test_restoring_replaces_what_was_held(tmp_path):
    names = added_only(12).save(tmp_path)
    replay = make_replay()
    add(replay, 0, 33, source=1)
    replay.restore(tmp_path, names)
    assert_same(replay, added_only(12))
    replay.restore(tmp_path, [])
    assert replay.num_frames() == 0


def test_a_segment_is_npy_arrays_one_after_another(tmp_path):
    ring = {"x": np.arange(12.0).reshape(4, 3), "y": np.array([4, 5, 2, 3], np.uint8)}  # rows 2 to 5
    (name,) = SegmentLog(ring).save(tmp_path, oldest=2, added=6)
    with open(tmp_path / name, "rb") as file:
        identity, x, y = (np.load(file) for _ in range(3))
        assert not file.read()
    assert identity.tolist() == [4, 2, 6] and y.tolist() == [2, 3, 4, 5]
    np.testing.assert_array_equal(x, ring["x"][[2, 3, 0, 1]])


def test_a_save_that_is_killed_leaves_the_last_one_good(tmp_path, monkeypatch):
    replay = make_replay()
    add(replay, 0, 10)
    good = replay.save(tmp_path)
    add(replay, 10, 24)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            replay.save(tmp_path)
    assert_same(restored(tmp_path, good), added_only(10))
    names = replay.save(tmp_path)  # the same object goes on,
    assert_same(restored(tmp_path, names), replay)
    resumed = restored(tmp_path, good)  # and so does a new process, over the files of the killed one.
    (tmp_path / "replay.segment.tmp").write_bytes(b"half a segment")
    (tmp_path / names[-1]).write_bytes(b"an orphan")
    add(resumed, 10, 24)
    assert resumed.save(tmp_path) == names
    assert_same(restored(tmp_path, names), replay)
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def damage_missing(path):
    path.unlink()
    return "must exist: the checkpoint needs this part of the replay"


def damage_cut(path):
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    return f"must have {size} bytes. Received: {size - 1}"


def damage_longer(path):
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")
    return f"must have {size} bytes. Received: {size + 4}"


def damage_empty(path):
    path.write_bytes(b"")
    return r"must hold \[rows of the ring, first row, last row \+ 1\] = \[20, 10, 15\]. Received: \[\]"


def damage_renamed(path):
    path.write_bytes((path.parent / "replay-000000000000-000000000010.segment").read_bytes())
    return r"must hold \[rows .* last row \+ 1\] = \[20, 10, 15\]. Received: \[20, 0, 10\]"


@pytest.mark.parametrize("damage", [damage_missing, damage_cut, damage_longer, damage_empty, damage_renamed])
def test_a_damaged_file_is_named_and_nothing_is_changed(tmp_path, damage):
    saved = make_replay()
    add(saved, 0, 10)
    saved.save(tmp_path)
    add(saved, 10, 15)
    names = saved.save(tmp_path)
    message = damage(tmp_path / names[-1])
    replay = make_replay()
    add(replay, 0, 13, source=1)
    expected = make_replay()
    add(expected, 0, 13, source=1)
    with pytest.raises(ValueError, match=f"{names[-1]} {message}"):
        replay.restore(tmp_path, names)
    assert_same(replay, expected)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rows": 21}, r"first row, last row \+ 1\] = \[21, 0, 10\]. Received: \[20, 0, 10\]"),
        ({"frame_shape": (4, 5)}, r"frame must .*: \(10, 2, 4, 5\), }. Received: .*: \(10, 2, 5, 4\), }"),
        ({"num_envs": 1}, r"frame must .*: \(10, 1, 5, 4\), }. Received: .*: \(10, 2, 5, 4\), }"),
    ],
)
def test_segments_of_another_kind_of_replay_are_named(tmp_path, options, message):
    names = added_only(10).save(tmp_path)
    with pytest.raises(ValueError, match=f"{names[0]}:? .*{message}"):
        make_replay(**options).restore(tmp_path, names)


def test_names_that_are_no_segments_or_have_a_gap(tmp_path):
    replay = make_replay()
    for end in (5, 10, 15):
        add(replay, end - 5, end)
        names = replay.save(tmp_path)
    message = f"`names` must be consecutive segments. Received: {names[2]} after {names[0]}"
    with pytest.raises(ValueError, match=message):
        make_replay().restore(tmp_path, [names[0], names[2]])
    with pytest.raises(ValueError, match="`names` must be names of replay segments. Received: .*weights'"):
        make_replay().restore(tmp_path, ["weights"])
