from tfplastic.sweeps import plan
from tfplastic.sweeps.job import Job
from tfplastic.sweeps.preflight.requests import Answer, SeedState

TEMPLATE = Job(arm="", seed=0, config="", root="/runs", device="gpu", threads=3)


def answer(arm, seeds=(0, 1, 2), finished=(), steps=100, probes=0):
    states = [SeedState(seed, f"/runs/{arm}-seed{seed}", seed in finished, 40) for seed in seeds]
    return Answer(arm, f"config of {arm}", steps, "CPU", probes, 0.5, 2_000_000, states, [])


def made(answers, limit=None):
    jobs = plan.jobs(plan.grid(answers), answers, TEMPLATE, limit)
    return [(job.arm, job.seed) for job in jobs]


def test_the_grid_goes_seed_by_seed():
    runs = plan.grid([answer("a", finished=[1]), answer("b")])
    assert [run.name for run in runs] == [f"{arm}-seed{seed}" for seed in range(3) for arm in "ab"]
    assert [run.state for run in runs] == ["waiting"] * 2 + ["finished"] + ["waiting"] * 3
    assert runs[0].directory == "/runs/a-seed0" and runs[0].step == 40 and runs[0].total_steps == 100


def test_a_job_has_what_all_have_and_its_arm():
    (job,) = plan.jobs(plan.grid([answer("a", [5])]), [answer("a", [5])], TEMPLATE, None)
    assert job == Job("a", 5, "config of a", "/runs", "gpu", 3)
    assert job.name == "a-seed5"


def test_one_job_for_each_run_that_is_not_finished():
    assert made([answer("a", finished=[0]), answer("b")]) == [
        ("b", 0),
        *[("a", 1), ("b", 1), ("a", 2), ("b", 2)],
    ]


def test_the_limit_counts_runs_that_are_left():
    answers = [answer("a", finished=[0]), answer("b")]
    assert made(answers, limit=3) == [("b", 0), ("a", 1), ("b", 1)]
    assert made(answers, limit=0) == []


def test_the_plan_as_text():
    answers = [answer("a", finished=[1], probes=30), answer("long_name")]
    runs = plan.grid(answers)
    todo = plan.jobs(runs, answers, TEMPLATE, None)
    lines = plan.describe(answers, runs, todo, num_slots=2, gpus=0.5).splitlines()
    assert lines[0].split() == "arm steps a step a run with probes checkpoints finished to do".split()
    assert lines[1].split() == "a 100 500 ms 50 s 65 s 2 MB 1 2".split()
    assert lines[2].endswith("0      3")
    # 5 runs with 60 steps left, half a second each, and 30 seconds of probes.
    assert lines[3] == (
        "5 of 6 runs to do: 3 min one by one, 2 min of a GPU, about 2 min with 2 at once;"
        " 10 MB of checkpoints."
    )
    assert plan.describe(answers, runs, [], None, 0).splitlines()[3].startswith("0 of 6 runs to do: 0 s")
