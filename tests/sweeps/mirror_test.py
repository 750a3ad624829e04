"""Copies of run directories in stores, in memory and in files."""

import fsspec
import pytest

from tfplastic.sweeps import RunRoot
from tfplastic.sweeps.mirror import Mirror


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    url = f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/store"
    return RunRoot(url)


def write(directory, **files):
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checkpoint(directory, step):
    write(
        directory,
        **{
            f"checkpoints__step_{step}__manifest_DOT_json": "{}",
            f"checkpoints__step_{step}__variables": f"{step}",
        },
    )


def run(directory, step=5):
    write(
        directory,
        operative_config_DOT_gin="a.b = 1",
        metrics_DOT_csv="step,tag,value\n" + "1,a,2\n" * step,
        status_DOT_json='{"state": "running"}',
        run_DOT_lock="process 1",
        _DOT_status_DOT_json_DOT_tmp="half",
        checkpoints___DOT_writing_step_9__variables="half",
    )
    checkpoint(directory, step)


def names(store):
    store.filesystem.invalidate_cache()
    path = f"{store.path}/run"
    return {each.split("/run/", 1)[1] for each in store.filesystem.find(path)}


def mirror(store, directory):
    return Mirror(directory, store.filesystem, f"{store.path}/run")


def test_a_copy_and_back(store, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    run(here)
    mirror(store, here).push()
    wanted = {"operative_config.gin", "metrics.csv", "status.json"}
    wanted |= {"checkpoints/step_5/manifest.json", "checkpoints/step_5/variables"}
    assert names(store) == wanted
    back = mirror(store, there)
    back.pull()
    assert {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()} == wanted
    for name in wanted:
        assert (there / name).read_text() == (here / name).read_text()


def test_nothing_is_pulled_where_there_is_no_run(store, tmp_path):
    store.write("run/metrics.csv", "half a run")
    mirror(store, tmp_path / "here").pull()
    assert not (tmp_path / "here").exists()


def test_what_changed_is_copied_and_what_is_gone_removed(store, tmp_path, monkeypatch):
    here = tmp_path / "here"
    run(here)
    copy = mirror(store, here)
    copy.push()
    put, put_file = [], type(store.filesystem).put_file
    monkeypatch.setattr(
        type(store.filesystem), "put_file", lambda self, a, b, **k: (put.append(b), put_file(self, a, b, **k))
    )
    copy.push()
    assert put == []
    run(here, step=8)
    for path in sorted((here / "checkpoints/step_5").iterdir()):
        path.unlink()
    copy.push()
    assert "checkpoints/step_8/manifest.json" in names(store)
    assert not any("step_5" in name for name in names(store))
    assert store.read("run/metrics.csv").count("\n") == 9
    # What makes it a run is first, what says that it is finished last; a manifest follows its files.
    order = [each.split("/run/", 1)[1] for each in put]
    assert order[-1] == "status.json" and "metrics.csv" in order
    assert order.index("checkpoints/step_8/manifest.json") > order.index("checkpoints/step_8/variables")
    assert order.index("checkpoints/step_8/manifest.json") > order.index("metrics.csv")


def test_at_each_moment_the_copy_is_whole(store, tmp_path):
    """A run continues while it is copied: between two files a checkpoint replaces another."""
    run(tmp_path / "here", step=1)
    copy = mirror(store, tmp_path / "here")
    step = 1

    class Store:
        """Lets the run continue at each call, and then looks at the copy as one who resumes would."""

        def __getattr__(self, name):
            act = getattr(store.filesystem, name)
            return lambda *arguments, **options: (self.go_on(), act(*arguments, **options), self.check())[1]

        def go_on(self):
            nonlocal step
            step += 1
            here = tmp_path / "here"
            write(here, metrics_DOT_csv="step,tag,value\n" + "1,a,2\n" * step)
            checkpoint(here, step)
            for old in here.glob("checkpoints/step_*"):
                if int(old.name[5:]) <= step - 2:
                    for name in ("manifest.json", "variables"):
                        (old / name).unlink()
                    old.rmdir()

        def check(self):
            there = names(store)
            for name in there:
                if name.endswith("manifest.json"):
                    folder = name.rsplit("/", 1)[0]
                    assert f"{folder}/variables" in there, there
                    rows = store.read("run/metrics.csv").count("\n") - 1
                    assert rows >= int(folder.rsplit("_", 1)[1]), (rows, folder)

    copy._filesystem = Store()
    for _ in range(4):
        copy.push()
    assert step > 10


@pytest.mark.parametrize("url", ["memory://other", "directory"])
def test_a_run_root(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = RunRoot(url)
    assert root.read("a/b.json") is None
    root.write("a/b.json", "1")
    root.write("a/b.json", "2")
    assert root.read("a/b.json") == "2" and root.read("a/b.json/c") is None
    assert root.of("a") == (f"{url}/a" if "://" in url else str(tmp_path / "directory/a"))
    assert (tmp_path / "directory/a/b.json").exists() != root.is_remote
    if root.is_remote:
        assert fsspec.filesystem("memory").cat("/other/a/b.json") == b"2"


def test_an_unknown_protocol():
    with pytest.raises(
        ValueError, match=r"^`run_root` must be a directory or a URL .*: Protocol not known: fo$"
    ):
        RunRoot("fo://bar")
