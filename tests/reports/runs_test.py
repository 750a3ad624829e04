import subprocess
import sys
import time

import numpy as np
import pytest

from tests.reports.run_directories import write_run
from tfplastic.reports import read_runs

GIN = r"""
# Parameters for train:
# ==============================================================================
train.log_period = 100
mlp.hidden = \
    (512,
     512)
AtariTask.game = 'Pong'
train.total_steps = %STEPS
tfplastic.optimizers/adam.learning_rate = 0.001
STEPS = 300
"""


def test_reads_what_a_run_left(tmp_path):
    series = [(100, 0.1), (200, float("nan")), (300, float("-inf"))]
    status = {"device": "CPU", "versions": {"python": "3.11", "ale_py": None}}
    write_run(tmp_path / "mlp-seed3", 3, {"train/loss": series, "nan": [(100, 2.0)]}, config=GIN, **status)
    (run,) = read_runs(tmp_path)
    assert (run.name, run.arm, run.seed, run.state, run.errors) == ("mlp-seed3", "mlp", 3, "finished", ())
    assert run.metrics["tag"].tolist() == ["nan", "train/loss", "train/loss", "train/loss"]
    np.testing.assert_array_equal(run.metrics["value"], [2.0, 0.1, np.nan, -np.inf])
    assert run.metrics.dtypes[["step", "value"]].tolist() == [np.int64, np.float64]
    assert run.config["mlp.hidden"] == "(512, 512)"
    assert run.config["train.total_steps"] == "300"
    assert run.config["AtariTask.game"] == "'Pong'"
    assert run.config["tfplastic.optimizers/adam.learning_rate"] == "0.001"
    assert "STEPS" not in run.config


def test_floats_are_the_same_bits(tmp_path):
    values = np.random.default_rng(0).standard_normal(500) * 10.0 ** np.arange(-250, 250)
    write_run(tmp_path / "run", 0, {"x": list(enumerate(values))})
    np.testing.assert_array_equal(read_runs(tmp_path)[0].metrics["value"], values)


def test_arms_and_seeds_come_from_names_and_configurations(tmp_path):
    for name, seed in (("grid/cnn-none-seed0", 0), ("grid/cnn-none-seed10", 10), ("grid/cnn-none-seed9", 9)):
        write_run(tmp_path / name, seed)
    write_run(tmp_path / "other", 4)
    runs = read_runs(tmp_path)
    assert [(run.arm, run.seed) for run in runs] == [
        *(("grid/cnn-none", seed) for seed in (0, 9, 10)),
        ("other", 4),
    ]
    (tmp_path / "other" / "operative_config.gin").unlink()
    other = read_runs(tmp_path)[-1]
    assert other.seed is None and other.errors == ("operative_config.gin is missing",)
    assert [run.name for run in read_runs(tmp_path / "other")] == ["other"]


def test_failed_unfinished_and_missing_runs_are_shown(tmp_path):
    write_run(tmp_path / "a-seed0", 0, {"x": [(5, 1.0)]}, state="failed", error="The loss is\n not finite")
    write_run(tmp_path / "a-seed1", 1, {"x": [(5, 1.0)]})
    write_run(tmp_path / "b-seed1", 1, {"x": [(5, 1.0)]}, state="stopped", total_steps=10)
    runs = read_runs(tmp_path)
    assert runs.missing() == [("b", 0)]
    assert runs.problems() == [
        "a-seed0: The loss is not finite",
        "a-seed0: failed, step 5 of 5",
        "b-seed1: stopped, step 5 of 10",
        "b: seed 0 is missing",
    ]
    table = runs.table()
    assert table["state"].tolist() == ["failed", "finished", "stopped"]
    assert table["errors"].tolist() == ["The loss is not finite", "", ""]
    assert len(runs.scalars("x")) == 3  # none is dropped
    expected = read_runs(tmp_path, expected={"a": [0, 1, 2], "c": [0]})
    assert expected.missing() == [("a", 2), ("c", 0)]


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("metrics.csv", b"a,b\n1,2\n", "metrics.csv cannot be read: it must begin with 'step,tag,value'"),
        ("metrics.csv", b"step,tag,value\n1,x,one\n", "metrics.csv cannot be read: "),
        ("status.json", b"{", "status.json cannot be read: "),
        ("status.json", b"[]", "status.json cannot be read: it must be a JSON object, not list"),
        ("operative_config.gin", b"\xff", "operative_config.gin cannot be read: "),
    ],
)
def test_a_broken_file_is_an_error_of_its_run_alone(tmp_path, file, content, error):
    write_run(tmp_path / "good", 0, {"x": [(1, 1.0)]})
    (write_run(tmp_path / "bad", 0, {"x": [(1, 1.0)]}) / file).write_bytes(content)
    bad, good = read_runs(tmp_path)
    assert len(bad.errors) == 1 and bad.errors[0].startswith(error) and "\n" not in bad.errors[0]
    assert good.errors == ()


def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path):
    run = write_run(tmp_path / "run", 0, {"x": [(1, 1.0)]})
    with open(run / "metrics.csv", "a") as file:
        file.write("2,x,0.")
    assert read_runs(tmp_path).scalars("x")["step"].tolist() == [1]


@pytest.mark.parametrize("written", [b"", b"step,tag", b"step,tag,value\n", b"step,tag,value\n1,x"])
def test_a_run_that_is_starting_or_writing(tmp_path, written):
    """Half-written files of each kind, and those that are not there yet."""
    run = write_run(tmp_path / "run", 0, arrays={"a": {5: {"x": np.ones(3)}}}, state="starting")
    (run / "metrics.csv").write_bytes(written)
    for path in [path for path in run.rglob("*") if path.is_file()]:
        path.with_name(f".{path.name}.tmp").write_bytes(path.read_bytes()[:9])
    (found,) = read_runs(tmp_path)
    assert found.errors == () and len(found.metrics) == 0 and found.state == "starting"
    assert [each.step for each in read_runs(tmp_path).arrays("a")] == [5]
    for name in ("metrics.csv", "operative_config.gin", "arrays/a/5.npz"):
        (run / name).unlink()
    (found,) = read_runs(tmp_path)
    assert found.errors == ("operative_config.gin is missing", "metrics.csv is missing")
    assert read_runs(tmp_path).arrays("a") == []


def test_scalars_are_found_by_patterns(tmp_path):
    scalars = {"a/x": [(1, 0.5), (3, 1.5)], "a/y": [(2, 2.5)], "b": [(2, 3.5)]}
    write_run(tmp_path / "one-seed7", 7, scalars)
    runs = read_runs(tmp_path)
    assert runs.tags() == ["a/x", "a/y", "b"]
    rows = runs.scalars("a/*")
    assert rows.columns.tolist() == ["run", "arm", "seed", "step", "tag", "value"]
    assert rows[["arm", "seed", "step", "tag", "value"]].values.tolist() == [
        ["one", 7, 1, "a/x", 0.5],
        ["one", 7, 2, "a/y", 2.5],
        ["one", 7, 3, "a/x", 1.5],
    ]
    assert runs.last("a/*")[["tag", "value"]].values.tolist() == [["a/y", 2.5], ["a/x", 1.5]]
    assert runs.scalars("c").empty and read_runs().scalars("c").empty
    assert runs.where(lambda run: run.seed == 8).scalars("b").empty


def test_arrays_come_by_step(tmp_path):
    files = {step: {"losses": np.full((2, 3), step)} for step in (1000, 200)}
    path = write_run(tmp_path / "run", 0, arrays={"probe/curves": files})
    runs = read_runs(tmp_path)
    assert runs.array_tags() == ["probe/curves"]
    entries = runs.arrays("probe/curves")
    assert [entry.step for entry in entries] == [200, 1000]
    assert entries[1].values["losses"].tolist() == [[1000] * 3] * 2 and entries[0].run.name == "run"
    assert runs.arrays("probe") == []
    (path / "arrays/probe/curves/200.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="^An array file must be readable. Received: .*200.npz, [^\n]*$"):
        runs.arrays("probe/curves")


def test_a_path_that_is_not_a_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="^`paths` must be directories. Received: '.*/nowhere'$"):
        read_runs(tmp_path / "nowhere")


def test_two_hundred_runs_are_read_within_ten_seconds(tmp_path):
    steps = range(0, 100_000, 1_000)
    scalars = {f"diagnostics/quantity/{number}": [(step, 0.1) for step in steps] for number in range(20)}
    write_run(tmp_path / "arm-seed0", 0, scalars)
    for seed in range(1, 200):
        write_run(tmp_path / f"arm-seed{seed}", seed)
        content = (tmp_path / "arm-seed0/metrics.csv").read_bytes()
        (tmp_path / f"arm-seed{seed}/metrics.csv").write_bytes(content)
    start = time.perf_counter()
    rows = read_runs(tmp_path).scalars("diagnostics/*/1*")
    assert time.perf_counter() - start < 10
    assert len(rows) == 200 * len(steps) * 11


def test_needs_no_tensorflow():
    program = "import sys; sys.modules['tensorflow'] = None; import tfplastic.reports; "
    program += "import tfplastic.reports.figures; print(len(tfplastic.reports.paper_numbers()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 200, done.stderr


@pytest.mark.parametrize(
    "changed, words", [(False, ""), (True, " with changes"), (None, " with unknown changes")]
)
def test_versions_name_the_commit_of_the_code(tmp_path, changed, words):
    status = {"versions": {"python": "3.11.9"}, "commit": "0123456789abcdef" * 2, "tree_changed": changed}
    write_run(tmp_path / "a-seed0", **status)
    assert read_runs(tmp_path).table()["versions"][0] == f"python 3.11.9, commit 0123456789ab{words}"
