"""Which operative configurations are of one run, though versions of the library lie between them."""

import pytest

from tests.training.runs import begin, tree
from tfplastic import diagnostics, mitigations, training
from tfplastic._renames import old_values
from tfplastic.training.run.bindings import parse_bindings
from tfplastic.training.run.config_differences import differences, missing_old_values

REGISTERED = diagnostics, mitigations, training  # whose names gin knows once they are imported


def found(old, new):
    return list(differences(parse_bindings(old), parse_bindings(new)))


@pytest.mark.parametrize(
    "argument",
    [
        "train.log_period = 1000",
        "train.probe_on = 'first'",
        "train.diagnostics_periods = {}",  # a default that a factory makes
        "train.diagnostics_loss = None",
        "train.mitigations = ()",
        "ShrinkAndPerturb.shrink = 0.8",  # of a configurable that the other does not name at all
        "dormant_units.tau = 0.025",  # of a function
        "inner/train.seed = 0",
        "training.train.seed = 0",
    ],
)
def test_an_argument_that_one_lacks_and_that_has_its_default_in_the_other(argument):
    assert found("train.total_steps = 5", f"train.total_steps = 5\n{argument}") == []
    assert found(f"train.total_steps = 5\n{argument}", "train.total_steps = 5") == []


@pytest.mark.parametrize(
    "argument, default",
    [
        ("train.log_period = 999", "1000"),
        ("train.log_period = 1000.0", "1000"),
        ("train.diagnostics_periods = {'sharpness': 5}", "{}"),
        ("inner/ShrinkAndPerturb.shrink = 0.5", "0.8"),
        ("train.task = @AtariTask()", "not bound"),  # required, so that no run lacked it
        ("train.unknown = 1", "not bound"),
        ("Unknown.seed = 0", "not bound"),
    ],
)
def test_an_argument_that_one_lacks_and_that_has_another_value_in_the_other(argument, default):
    name, value = argument.split(" = ")
    assert found("train.total_steps = 5", f"train.total_steps = 5\n{argument}") == [(name, default, value)]
    assert found(f"train.total_steps = 5\n{argument}", "train.total_steps = 5") == [(name, value, default)]


def test_a_name_may_have_more_of_its_modules():
    short = "dead_units.per_position = True\ntrain.diagnostics = [@dead_units, @a/srank]"
    long = short.replace("dead_units", "diagnostics.dead_units").replace("a/srank", "a/diagnostics.srank")
    assert found(short, long) == found(long, short) == []
    other = long.replace("True", "False").replace("@a/", "@b/")
    assert [name for name, _, _ in found(short, other)] == [
        "diagnostics.dead_units.per_position",
        "train.diagnostics",
    ]
    assert len(found("a.f.x = 1", "b.f.x = 1")) == 2


def test_an_argument_whose_default_changed_results_has_its_old_value_where_it_lacks(monkeypatch):
    old, values = "train.total_steps = 5", ("'current'", "'first'")
    monkeypatch.setitem(old_values.OLD_VALUES, "train.probe_on", values[0])
    monkeypatch.setitem(old_values.OLD_VALUES, "RandomLabelTask.removed", "3")
    assert found(old, f"{old}\ntrain.probe_on = {values[0]}") == []
    assert found(old, f"{old}\ntrain.probe_on = {values[1]}") == [("train.probe_on", *values)]
    assert found(f"{old}\nRandomLabelTask.removed = 3", old) == []
    assert found(f"{old}\nRandomLabelTask.removed = 4", old) == [("RandomLabelTask.removed", "4", "3")]
    wanted = ["train.probe_on = 'current'", "RandomLabelTask.removed = 3"]
    assert missing_old_values(parse_bindings(old)) == wanted
    assert missing_old_values(parse_bindings(f"a/train.probe_on = 'first'\n{old}")) == wanted[1:]


def test_a_run_without_a_new_argument_is_resumed_and_learns_of_it(tmp_path):
    path, old = tmp_path / "run", "train.total_steps = 5\n"
    begin(path, old).close()
    assert b"probe_on" not in tree(path)["operative_config.gin"]
    with begin(path, old + "train.probe_on = 'first'\n") as run:
        assert not run.is_new
    assert b"train.probe_on = 'first'" in tree(path)["operative_config.gin"]
