"""The queue: existing runs are not repeated, finished ones are committed, and nothing else is."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tfplastic.command_line.queue import command
from tfplastic.sweeps.queue.checkout import Checkout
from tfplastic.sweeps.queue.work import Run

ROOT = Path(__file__).resolve().parents[3]
EXPERIMENT = """\
sweep.base = ['gin/base.gin']
sweep.arms = {'one': [], 'two': ['a.b = 1']}
sweep.seeds = [0, 1]
"""


def git(top, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", "-C", top, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def top(tmp_path):
    """A checkout with a queue of four runs."""
    top = tmp_path / "top"
    (top / "docs" / "paper").mkdir(parents=True)
    (top / "gin").mkdir()
    git(top, "init", "--quiet")
    git(top, "config", "user.name", "A")
    git(top, "config", "user.email", "a@b.c")
    (top / ".gitignore").write_text("runs/\n")
    (top / "gin" / "small.gin").write_text(EXPERIMENT)
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=First")
    (top / "docs" / "paper" / "queue.txt").write_text(
        f"commit {git(top, 'rev-parse', 'HEAD')}\nfig99 gin/small.gin\n"
    )
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=Queue")
    return top


def finish(run, stop=None, state="finished"):
    """Writes the files that training would write."""
    run.directory.mkdir(parents=True, exist_ok=True)
    for name in ("config.gin", "operative_config.gin", "metrics.csv"):
        (run.directory / name).write_text(run.directory.name)
    status = {"state": state, "commit": run.commit, "error": "out of luck" if state == "failed" else None}
    (run.directory / "status.json").write_text(json.dumps(status))


def work(top, *flags):
    return command.main([f"--queue={top / 'docs' / 'paper' / 'queue.txt'}", *flags])


def log(top):
    return git(top, "log", "--reverse", "--format=%s").splitlines()[2:]


ALL = ["fig99: one, seed 0", "fig99: two, seed 0", "fig99: one, seed 1", "fig99: two, seed 1"]


def test_runs_are_committed_seed_by_seed_and_not_made_again(top, monkeypatch, capsys):
    made = []

    def make(run, stop):
        made.append((run.directory.name, run.arm.files, run.arm.bindings))
        finish(run)

    monkeypatch.setattr(Run, "make", make)
    assert work(top, "--limit=1") == 0 and log(top) == ALL[:1]
    assert made == [("one-seed0", ("gin/base.gin",), ())]
    assert work(top) == 0 and log(top) == ALL and len(made) == 4
    assert made[-1] == ("two-seed1", ("gin/base.gin",), ("a.b = 1",))
    assert "fig99: 1 of 4 runs of gin/small.gin" in capsys.readouterr().out
    assert work(top) == 0 and len(made) == 4
    kept = top / "docs" / "paper" / "fig99" / "two-seed1"
    assert sorted(os.listdir(kept)) == ["config.gin", "metrics.csv", "operative_config.gin", "status.json"]
    assert git(top, "status", "--porcelain") == ""


def test_what_others_have_staged_or_changed_stays_theirs(top, monkeypatch):
    monkeypatch.setattr(Run, "make", finish)
    (top / "staged.txt").write_text("theirs")
    git(top, "add", "staged.txt")
    (top / ".gitignore").write_text("runs/\nother/\n")
    assert work(top) == 0 and log(top) == ALL
    assert git(top, "status", "--porcelain").splitlines() == ["M .gitignore", "A  staged.txt"]  # stripped


def test_runs_at_another_commit_are_made_again_and_replaced(top, monkeypatch):
    monkeypatch.setattr(Run, "make", finish)
    work(top)
    queue = top / "docs" / "paper" / "queue.txt"
    head = git(top, "rev-parse", "HEAD")
    queue.write_text(f"commit {head}\nfig99 gin/small.gin\n")
    assert work(top, "--limit=1") == 0 and log(top) == [*ALL, ALL[0]]
    kept = top / "docs" / "paper" / "fig99" / "one-seed0"
    assert json.loads((kept / "status.json").read_text())["commit"] == head


def test_runs_that_git_does_not_take_are_no_failures_and_are_committed_with_the_next(
    top, monkeypatch, capsys
):
    monkeypatch.setattr(Run, "make", finish)
    commit, asked = Checkout.commit, []

    def busy(checkout, *arguments):
        asked.append(arguments)
        return "a rebase is going on" if len(asked) <= 9 else commit(checkout, *arguments)

    monkeypatch.setattr(Checkout, "commit", busy)
    assert work(top) == 0 and sorted(log(top)) == sorted(ALL)  # 1 + 2 + 3 + 4 tries, then all at the end
    assert "fig99 one-seed0: not committed yet: a rebase is going on" in capsys.readouterr().out
    assert git(top, "status", "--porcelain") == ""


def test_what_was_made_or_copied_when_the_queue_was_killed_is_committed(top, monkeypatch):
    """One run is finished but not copied, another copied but not committed."""
    monkeypatch.setattr(Run, "make", finish)
    monkeypatch.setattr(Checkout, "commit", lambda *arguments: "killed")
    assert work(top, "--limit=2") == 1 and log(top) == []
    monkeypatch.undo()
    made = []
    monkeypatch.setattr(Run, "make", lambda run, stop: made.append(run))
    assert work(top, "--limit=0") == 0 and log(top) == ALL[:2] and not made
    (run,) = [each for each in _runs(top) if each.directory.name == "one-seed1"]
    finish(run)
    assert work(top, "--limit=1") == 0 and log(top) == ALL[:3] and not made


def _runs(top):
    checkout = Checkout(top)
    folder = top / "docs" / "paper"
    entries = command.queue_file.read(folder / "queue.txt")
    return list(command.runs_of(entries, checkout, checkout.top / "runs" / "queue", folder))


def test_a_run_that_fails_twice_is_given_up_and_the_others_are_made(top, monkeypatch, capsys):
    tried = []

    def make(run, stop):
        tried.append(run.directory.name)
        finish(run, state="failed" if run.directory.name == "two-seed0" else "finished")

    monkeypatch.setattr(Run, "make", make)
    assert work(top) == 1 and log(top) == [ALL[0], *ALL[2:]]
    assert tried.count("two-seed0") == 2 and len(tried) == 5
    assert "fig99 two-seed0: out of luck (" in capsys.readouterr().out


def test_three_failures_in_a_row_stop_the_queue(top, monkeypatch, capsys):
    names = []

    def make(run, stop):
        names.append(run.directory.name)
        finish(run, state="failed")

    monkeypatch.setattr(Run, "make", make)
    assert work(top) == 1
    assert names == ["one-seed0"] * 2 + ["two-seed0"] * 2 + ["one-seed1"] * 2
    last = capsys.readouterr().out.splitlines()[-1]
    assert "after 3 failures in a row" in last and "run the same command again" in last

    names.clear()
    monkeypatch.setattr(Run, "make", finish)
    assert work(top) == 0 and log(top) == ALL


def test_failures_with_a_success_between_do_not_stop_it(top, monkeypatch):
    def make(run, stop):
        finish(run, state="finished" if run.directory.name == "one-seed1" else "failed")

    monkeypatch.setattr(Run, "make", make)
    assert work(top) == 1 and log(top) == ["fig99: one, seed 1"]
    assert not list(top.glob("docs/paper/fig99/two*"))
    monkeypatch.setattr(Run, "make", finish)
    assert work(top) == 0


def test_what_is_given_up_is_counted_under_the_lock(top, capsys):
    queue = command.Queue(Checkout(top), top, top, runs := _runs(top))
    thread = threading.Thread(target=queue._give_up, args=(runs[0], "out of luck"))
    with queue._lock:
        thread.start()
        thread.join(0.05)
        assert queue._given_up == 0
    thread.join()
    assert queue._given_up == 1 and "one-seed0: out of luck" in capsys.readouterr().out


def test_a_signal_stops_it_and_the_same_command_continues(top, monkeypatch, capsys):
    def make(run, stop):
        if run.directory.name == "two-seed0":
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(10)
        else:
            finish(run)

    monkeypatch.setattr(Run, "make", make)
    assert work(top) == 128 + signal.SIGTERM and log(top) == ALL[:1]
    assert "Run the same command again to continue." in capsys.readouterr().out
    monkeypatch.setattr(Run, "make", finish)
    assert work(top) == 0 and log(top) == ALL


def test_a_dry_run_writes_nothing_and_another_queue_may_be_at_work(top, monkeypatch, capsys):
    assert work(top, "--dry_run") == 0 and not (top / "runs").exists()
    monkeypatch.setattr(Run, "make", lambda run, stop: work(top, "--dry_run") or finish(run))
    assert work(top, "--limit=2") == 0 and log(top) == ALL[:2]
    told = [line[:19] for line in capsys.readouterr().out.splitlines() if "gin/small.gin" in line]
    assert told == ["fig99: 0 of 4 runs "] * 3 + ["fig99: 1 of 4 runs "]


def test_two_queues_do_not_work_side_by_side(top, monkeypatch, capsys):
    def make(run, stop):
        assert work(top) == 2
        finish(run)

    monkeypatch.setattr(Run, "make", make)
    assert work(top, "--limit=1") == 0
    assert f"make runs: error: process {os.getpid()} works on this queue already" in capsys.readouterr().err


def test_a_commit_waits_for_a_rebase(top, monkeypatch):
    monkeypatch.setattr(Run, "make", finish)
    busy = top / ".git" / "rebase-merge"
    busy.mkdir()
    timer = threading.Timer(1.0, busy.rmdir)
    timer.start()
    assert work(top, "--limit=1") == 0 and log(top) == ALL[:1] and not busy.exists()
    timer.join()


def test_errors_of_use(top, capsys):
    queue = top / "docs" / "paper" / "queue.txt"
    queue.write_text("commit 0123abc\nfig99 gin/small.gin\n")
    assert work(top) == 2
    assert "there is no commit 0123abc in " in capsys.readouterr().err
    queue.write_text(f"commit {git(top, 'rev-parse', 'HEAD')}\n" + 2 * "fig99 gin/small.gin\n")
    assert work(top) == 2
    assert "two runs of the queue would be committed to " in capsys.readouterr().err
    (top / "gin" / "wrong.gin").write_text("sweep.arms = {")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=Wrong")
    head = git(top, "rev-parse", "HEAD")
    queue.write_text(f"commit {head}\nfig99 gin/none.gin\n")
    assert work(top) == 2
    assert f"there is no file gin/none.gin in commit {head[:12]}. Ch" in capsys.readouterr().err
    queue.write_text(f"commit {head}\nfig99 gin/wrong.gin\n")
    assert work(top) == 2
    assert f"{head[:12]}:gin/wrong.gin" in capsys.readouterr().err


TINY = """\
sweep.base = ['gin/mdp_true_label_digits.gin', 'mlp.hidden = (8,)', 'train.diagnostics = [@dead_units]',
              'train.total_steps = 5_000', 'train.log_period = 500', 'train.checkpoint_period = 500']
sweep.arms = {'plain': [], 'layer_norm': ["mlp.norm = 'layer'"]}
sweep.seeds = [0]
"""


@pytest.mark.slow
def test_a_queue_that_is_killed_makes_real_runs(tmp_path):
    """In a clone of this repository: killed while the first of two runs is made, it leaves no process."""
    top = tmp_path / "top"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(top))
    git(top, "config", "user.name", "A")
    git(top, "config", "user.email", "a@b.c")
    (top / "gin" / "tiny.gin").write_text(TINY)
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=Tiny")
    queue = top / "docs" / "paper" / "queue.txt"
    head = git(top, "rev-parse", "HEAD")
    queue.write_text(f"commit {head}\ntiny gin/tiny.gin\n")
    place = top / "runs" / "queue" / head[:12] / "tiny"
    shell = [sys.executable, "-m", "tfplastic.sweeps.queue", f"--queue={queue}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(shell, cwd=top, env=environment)
    deadline = time.monotonic() + 300
    while not list((place / "plain-seed0" / "checkpoints").glob("step_*/manifest.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = subprocess.run(shell, cwd=top, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(top, "log", "-2", "--format=%s").splitlines() == [
        "tiny: layer_norm, seed 0",
        "tiny: plain, seed 0",
    ]
    kept = top / "docs" / "paper" / "tiny" / "plain-seed0"
    found = json.loads((kept / "status.json").read_text())
    assert (found["state"], found["commit"], found["step"]) == ("finished", head, 5_000)
    assert "Resumed at gradient step" in (place / "logs" / "plain-seed0.log").read_text()
