import json
import shutil

import pytest

from tests.reports.page import made_up_sweep
from tests.reports.run_directories import write_run
from tfplastic.reports import discovery


def test_a_sweep_says_what_should_be_and_in_which_order(tmp_path):
    for name in ("b-seed0", "b-seed1", "a-seed0", "other-seed7"):
        write_run(tmp_path / name, int(name[-1]))
    made_up_sweep.write_sweep_file(tmp_path, ("b", "a"), (0, 1), a_1="out of memory", b_0="an earlier one")
    found = discovery.find([str(tmp_path)])
    assert found.runs.arms == ["b", "a", "other"]
    assert found.runs.missing() == [("a", 1)]
    assert found.errors == {("a", 1): "out of memory"}  # What has left a directory speaks for itself.
    assert found.experiment == "gin/made_up.gin"


def test_a_grid_takes_the_place_of_the_sweeps(tmp_path):
    write_run(tmp_path / "b-seed0")
    made_up_sweep.write_sweep_file(tmp_path, ("b",), (0, 1))
    assert discovery.find([str(tmp_path)], {"c": [0], "b": [0]}).runs.missing() == [("c", 0)]


def test_sweeps_a_level_below_have_their_folder_in_the_names_of_arms(tmp_path):
    for folder in ("one", "two"):
        write_run(tmp_path / folder / "a-seed0")
        made_up_sweep.write_sweep_file(tmp_path / folder, ("a",), (0, 1))
    found = discovery.find([str(tmp_path)])
    assert found.runs.arms == ["one/a", "two/a"] and found.experiment == ""
    assert found.runs.missing() == [("one/a", 1), ("two/a", 1)]


def test_runs_that_a_sweep_took_from_elsewhere_are_read_there(tmp_path):
    write_run(tmp_path / "root" / "a-seed0")
    elsewhere = write_run(tmp_path / "committed" / "a-seed1", 1)
    made_up_sweep.write_sweep_file(tmp_path / "root", ("a",), (0, 1))
    file = tmp_path / "root" / "sweep.json"
    sweep = json.loads(file.read_text())
    sweep["runs"][1]["directory"] = str(elsewhere)
    file.write_text(json.dumps(sweep))
    found = discovery.find([str(tmp_path / "root")])
    assert [run.name for run in found.runs] == ["a-seed0", "a-seed1"] and not found.runs.missing()


def test_a_copy_of_a_run_root_has_its_own_runs_and_not_those_of_the_original(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / "root" / f"a-seed{seed}", seed)
    made_up_sweep.write_sweep_file(tmp_path / "root", ("a",), (0, 1))  # with the paths of the original
    shutil.copytree(tmp_path / "root", tmp_path / "copies" / "copy")
    for path, prefix in ((tmp_path / "copies" / "copy", ""), (tmp_path / "copies", "copy/")):
        found = discovery.find([str(path)])
        assert [run.name for run in found.runs] == [f"{prefix}a-seed0", f"{prefix}a-seed1"]
        assert found.runs.arms == [f"{prefix}a"] and not found.runs.missing()
    shutil.rmtree(tmp_path / "copies" / "copy" / "a-seed1")  # which is in the original alone
    found = discovery.find([str(tmp_path / "copies")])
    assert [run.name for run in found.runs] == ["copy/a-seed0", "copy/a-seed1"]
    assert found.runs.arms == ["copy/a"] and not found.runs.missing()


def test_runs_that_no_grid_of_arms_and_seeds_has_are_expected_as_they_are_listed(tmp_path):
    write_run(tmp_path / "a-seed0")
    made_up_sweep.write_sweep_file(tmp_path, ("a",), (0, 1))
    file = tmp_path / "sweep.json"
    sweep = json.loads(file.read_text())
    sweep["runs"].append({"arm": "b", "seed": 5, "directory": str(tmp_path / "b-seed5")})
    file.write_text(json.dumps(sweep))
    assert discovery.find([str(tmp_path)]).runs.missing() == [("a", 1), ("b", 5)]


def test_two_folders_with_runs_of_one_name_are_refused(tmp_path):
    roots = [tmp_path / name for name in ("before", "after")]
    for root in roots:
        write_run(root / "none-seed0")
    with pytest.raises(ValueError) as error:
        discovery.find([str(root) for root in roots])
    assert str(error.value) == (
        f"`paths` must have runs of different names. Received: 'none-seed0' in {roots[0]} and in {roots[1]}."
        " Give the folder above both"
    )
    assert len(discovery.find([str(tmp_path)]).runs) == 2


GARBLED = {
    "{": "Expecting",
    "": "Expecting",
    "[]": "its 'experiment' must be a str, not None",
    "{}": "its 'experiment' must be a str, not None",
    '{"experiment": "a", "arms": 3}': "its 'arms' must be a dict, not 3",
    '{"experiment": "a", "arms": {}, "seeds": ["x"], "runs": []}': "its 'seeds' must be integers, not ['x']",
    '{"experiment": "a", "arms": {}, "seeds": [0], "runs": [{"arm": "a"}]}': "its 'runs' must have an arm,",
    "[" * 10_000: "",
}


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_sweep_file_is_a_problem_and_the_rest_is_shown(tmp_path, text):
    write_run(tmp_path / "a-seed0")
    (tmp_path / "sweep.json").write_text(text)
    found = discovery.find([str(tmp_path)])
    assert [run.name for run in found.runs] == ["a-seed0"]
    (problem,) = found.runs.problems()
    assert problem.startswith(f"sweep.json cannot be read: {GARBLED[text]}")
