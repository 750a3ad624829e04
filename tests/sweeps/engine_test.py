"""The engine with a pool whose jobs report given results."""

import json

import pytest

from tfplastic.sweeps import RunRoot
from tfplastic.sweeps.engine import Engine
from tfplastic.sweeps.experiment import Arm
from tfplastic.sweeps.job import Job, JobStatus
from tfplastic.sweeps.ray_pool import LostError
from tfplastic.sweeps.records import Records, Run
from tfplastic.sweeps.stop import Stop


class Pool:
    """For each job's name a list of attempts; an attempt is a list of reports and errors."""

    def __init__(self, **attempts):
        self.attempts = {name.replace("_", "-"): list(each) for name, each in attempts.items()}
        self.submitted = []
        self.cancelled = []

    def submit(self, job):
        self.submitted.append(job.name)
        return iter(self.attempts[job.name].pop(0))

    def ready(self, tasks, timeout_s):
        return tasks[:1]

    def next(self, task):
        said = next(task, None)
        if isinstance(said, Exception):
            raise said
        return said() if callable(said) else said

    def cancel(self, task):
        self.cancelled.append(task)


class Lines(list):
    def say(self, text):
        self.append(text)

    def update(self):
        pass


def at(step, state="running", code=None, error=""):
    return JobStatus("node", state, step, code, error)


DONE = at(100, "finished", 0)
LOST = LostError("the node is dead")


def sweep(tmp_path, pool, seeds=(0,), retries=2, stop=None):
    runs = [Run("a", seed, str(tmp_path / f"a-seed{seed}"), 100) for seed in seeds]
    records = Records(RunRoot(tmp_path), "x.gin", [Arm("a", ("b.gin",), ())], seeds, [], runs)
    lines = Lines()
    Engine(records, pool, lines, retries).run([Job("a", seed, "", "") for seed in seeds], stop or Stop())
    return runs, lines


def test_all_finish(tmp_path):
    pool = Pool(a_seed0=[[at(0), at(50), DONE]], a_seed1=[[DONE]])
    runs, lines = sweep(tmp_path, pool, [0, 1])
    assert [(run.state, run.step, run.attempts, run.host) for run in runs] == [
        ("finished", 100, 1, "node")
    ] * 2
    assert lines == ["a-seed0 has finished.", "a-seed1 has finished."]
    said = json.loads((tmp_path / "sweep.json").read_text())
    assert said["experiment"] == "x.gin" and said["seeds"] == [0, 1]
    assert said["arms"] == {"a": {"files": ["b.gin"], "bindings": []}}
    assert said["runs"][1]["directory"] == str(tmp_path / "a-seed1")
    assert {run["state"] for run in said["runs"]} == {"finished"}


def test_lost_and_failed_runs_are_started_again(tmp_path):
    pool = Pool(a_seed0=[[at(30), LOST], [at(30), at(60, code=1, error="NaN")], [at(50), DONE]])
    (run,), lines = sweep(tmp_path, pool)
    assert (run.state, run.attempts, run.error) == ("finished", 3, None)
    assert lines == [
        "Again (1 of 2): a-seed0 at step 30 of 100: lost: the node is dead",
        "Again (1 of 2): a-seed0 at step 60 of 100: NaN",  # It has got further.
        "a-seed0 has finished.",
    ]


def test_a_run_whose_last_copy_is_lost_has_not_finished(tmp_path):
    pool = Pool(a_seed0=[[at(50), at(100, "finished"), LOST], [DONE]])
    (run,), lines = sweep(tmp_path, pool)
    assert pool.submitted == ["a-seed0"] * 2 and (run.state, run.attempts) == ("finished", 2)
    assert lines[0] == "Again (1 of 2): a-seed0 at step 100 of 100: lost: the node is dead"
    (run,), _ = sweep(tmp_path, Pool(a_seed0=[[at(100, "finished"), LOST]]), retries=0)
    assert run.state == "failed"


def test_a_second_experiment_in_a_run_root_keeps_the_runs_of_the_first(tmp_path):
    sweep(tmp_path, Pool(a_seed0=[[LOST]], a_seed1=[[DONE]]), [0, 1], retries=0)
    runs = [Run("b", 0, str(tmp_path / "b-seed0"), 100), Run("a", 1, str(tmp_path / "a-seed1"), 100)]
    records = Records(RunRoot(tmp_path), "y.gin", [Arm("b", ("c.gin",), ())], [0], [], runs)
    records.write()
    said = json.loads((tmp_path / "sweep.json").read_text())
    assert {*said["arms"]} == {"a", "b"} and said["experiment"] == "y.gin"
    assert [(each["arm"], each["seed"], each["state"]) for each in said["runs"]] == [
        ("a", 0, "failed"),
        ("b", 0, "waiting"),
        ("a", 1, "waiting"),
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": [3]}', '{"runs": [{"arm": "a"}]}', '{"arms": 3}'])
def test_records_that_cannot_be_read_are_replaced(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    runs, _ = sweep(tmp_path, Pool(a_seed0=[[DONE]]))
    assert len(json.loads((tmp_path / "sweep.json").read_text())["runs"]) == len(runs) == 1


def test_a_run_is_given_up_where_it_gets_no_further(tmp_path):
    failure = [at(30), at(30, code=1, error="NaN")]
    pool = Pool(a_seed0=[failure] * 4)
    (run,), lines = sweep(tmp_path, pool)
    assert (run.state, run.attempts, run.error) == ("failed", 3, "NaN")
    assert lines[-1] == "Given up: a-seed0 at step 30 of 100: NaN" and len(lines) == 3
    assert json.loads((tmp_path / "sweep.json").read_text())["runs"][0]["error"] == "NaN"


def test_no_retries(tmp_path):
    (run,), _ = sweep(tmp_path, Pool(a_seed0=[[LOST]]), retries=0)
    assert (run.state, run.attempts, run.error) == ("failed", 0, "lost: the node is dead")


def test_a_process_that_ends_well_before_the_last_step_has_failed(tmp_path):
    pool = Pool(a_seed0=[[at(10, "stopped", 0)], [at(10), DONE]])
    (run,), lines = sweep(tmp_path, pool)
    assert run.state == "finished"
    assert lines[0].endswith(": it ended with code 0 before its last step")


def test_finished_at_another_length_is_not_finished(tmp_path):
    pool = Pool(a_seed0=[[at(50, "finished"), DONE]])
    (run,), lines = sweep(tmp_path, pool)
    assert lines == ["a-seed0 has finished."] and run.step == 100


@pytest.mark.parametrize("ends", ["by_itself", "lost"])
def test_stop(tmp_path, ends):
    stop = Stop()

    def interrupt():
        stop.signal = 2
        return at(20)

    last = at(20, "stopped", 143) if ends == "by_itself" else LOST
    pool = Pool(a_seed0=[[at(0), interrupt, last]], a_seed1=[[LOST]])
    runs, lines = sweep(tmp_path, pool, [0, 1], stop=stop)
    assert [run.state for run in runs] == ["stopped", "waiting"]
    assert len(pool.cancelled) == 2 and len(lines) == 1
