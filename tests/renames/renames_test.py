"""Names that have changed: old gin files, run directories and Python code are read by today's names."""

import functools
import importlib
import inspect
import pkgutil
from collections import defaultdict

import gin
import numpy as np
import pytest

import tfplastic
from tests.reports.run_directories import write_run
from tfplastic import _renames
from tfplastic._renames import gin_text
from tfplastic._renames.gin_text import translate
from tfplastic.configuration import gin_config, gin_files
from tfplastic.configuration.errors import UsageError
from tfplastic.reports import read_runs
from tfplastic.training import TrainConfig
from tfplastic.training.run import bindings as run_bindings

OLD_AND_NEW = [
    ("train.diagnostics = [@srank]  # as @srank", "train.diagnostics = [@feature_srank]  # as @srank"),
    ("a/diagnostics.effective_rank.x = '@srank'", "a/feature_effective_rank.x = '@srank'"),
    ("M = @tfplastic.diagnostics.stable_rank", "M = @feature_stable_rank"),
    (
        "a.b = {'k': (@one/numerical_rank, @approximate_rank)}",
        "a.b = {'k': (@one/feature_numerical_rank, @feature_approximate_rank)}",
    ),
    ("spectral_density.num_steps = 4", "hessian_spectral_density.num_steps = 4"),
    ("linalg.spectral_density.num_steps = 4", "linalg.spectral_density.num_steps = 4"),
    ("mine.srank.x = %srank", "mine.srank.x = %srank"),
    (
        "train.diagnostics_periods = {\n  'spectral_density': [0, 5],\n  \"srank\": 3}",
        "train.diagnostics_periods = {\n  'hessian_spectral_density': [0, 5],\n  \"feature_srank\": 3}",
    ),
    ("train.game = {'srank': 1}", "train.game = {'srank': 1}"),
    (
        "train:\n    program = 'xla'\n    step_statistics = [@dead_fraction]\nProbe.program = 'graph'",
        "train:\n    compiler = 'xla'\n    step_statistics = [@dead_units]\nProbe.compiler = 'graph'",
    ),
    ("srank:\n    delta = 0.1\nmlp.program = 1", "feature_srank:\n    delta = 0.1\nmlp.program = 1"),
    ("dormant_fraction.tau = 0.1", "dormant_units.tau = 0.1"),
    (
        "AtariTask.agent_steps_per_gradient_step = 4  # the paper\nAtariTask.replay_ratio = 0.25",
        "AtariTask.replay_ratio = 0.25  # the paper\nAtariTask.replay_ratio = 0.25",
    ),
    (
        "a/tfplastic.rl.AtariTask:\n    agent_steps_per_gradient_step = \\\n        8\n    num_envs = 2",
        "a/tfplastic.rl.AtariTask:\n    replay_ratio = \\\n        0.125\n    num_envs = 2",
    ),
    ("mine.agent_steps_per_gradient_step = 4", "mine.agent_steps_per_gradient_step = 4"),
    ("train.mitigations = [@BrownianTwin()]", "train.mitigations = ()\ntrain.twin = @BrownianTwin()\n"),
    (
        "a/train.mitigations = [@WeightDecay(), @training.BrownianTwin()]\nx.y = 1\n",
        "a/train.mitigations = [@WeightDecay() ]\nx.y = 1\na/train.twin = @training.BrownianTwin()\n",
    ),
    (
        "M = [\n    @one/WeightDecay(),\n    @BrownianTwin(),\n]\ntrain.mitigations = %M",
        "M = [\n    @one/WeightDecay()\n    \n]\ntrain.mitigations = %M\ntrain.twin = @BrownianTwin()\n",
    ),
    ("train.twin = @BrownianTwin()", "train.twin = @BrownianTwin()"),
    ("srank = ][ no gin", "srank = ][ no gin"),
]


@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW)
def test_gin_text_by_todays_names(old, new):
    translated = translate(old)
    # What a twin was taken from has spaces in place of a comma.
    assert [line.rstrip() for line in translated.text.split("\n")] == [
        line.rstrip() for line in new.split("\n")
    ]
    assert bool(translated.notes) == (old != new) and not translated.refusals
    assert translate(translated.text).text == translated.text


@pytest.mark.parametrize(
    ("old", "line", "reason"),
    [
        ("\ntrain.mitigations = [@BrownianTwin(), @WeightDecay()]", 2, "before other mitigations"),
        ("M = (@BrownianTwin(), @BrownianTwin())", 1, "before other mitigations"),
        *(
            (
                f"AtariTask.agent_steps_per_gradient_step = {value}",
                1,
                f"= {value} has no form today: bind Atari",
            )
            for value in ("%N", "0", "'x'", "0.5")
        ),
        (
            "dormant_units.tau = 0.1\ndormant_fraction.tau = 0.025",
            2,
            "dormant_units.tau = 0.1 and dormant_fraction.tau = 0.025 are one argument now",
        ),
    ],
)
def test_what_cannot_be_said_in_todays_names_is_refused_with_the_reason(tmp_path, old, line, reason):
    ((at, text),) = translate(old).refusals
    assert at == line and reason in text
    with pytest.raises(ValueError, match=r"^A gin config must have a form in this version. Received: "):
        run_bindings.parse_bindings(old)
    path = tmp_path / "old.gin"
    path.write_text(old)
    with pytest.raises(UsageError) as error:
        gin_files.scan([str(path)], [])
    assert str(error.value) == f"{path}:{line}: {text}"


def test_a_text_without_statements_has_no_notes():
    (binding,) = gin_files.scan([], ["# srank.delta = 1\ntrain.seed = 1"])
    assert binding.renamed == ()
    for empty in (" ", "# srank.delta = 1"):
        with pytest.raises(
            UsageError, match="^--gin_bindings must be a gin statement, such as .* Received: "
        ):
            gin_files.scan([], [empty])


def test_equal_values_of_two_arguments_that_have_become_one():
    old = "dormant_units.tau = 0.1\ndormant_fraction.tau = 0.1"
    assert run_bindings.parse_bindings(old) == {"dormant_units.tau": "0.1"}


def test_a_users_file_is_taken_with_a_note_for_each_name(tmp_path):
    path = tmp_path / "old.gin"
    path.write_text("train.diagnostics = [\n    @srank,\n    @dead_units,\n]\n\nsrank.delta = 0.3\n")
    flag = "train.mitigations = [@BrownianTwin()]"
    sources = gin_config.parse([str(path)], [flag, "train.program = 'xla'"])
    end = "the old form ends with the next release."
    assert gin_files.rename_notes(sources) == [
        f"{path}:1: srank is called feature_srank now; {end}",
        f"{path}:6: srank.delta is called feature_srank.delta now; {end}",
        f"--gin_bindings={flag}: @BrownianTwin() in train.mitigations is called train.twin = @BrownianTwin() "
        f"now; {end}",
        f"--gin_bindings=train.program = 'xla': train.program is called train.compiler now; {end}",
    ]
    assert gin.query_parameter("feature_srank.delta") == 0.3
    assert gin.query_parameter("train.compiler") == "xla"
    assert gin.query_parameter("train.mitigations") == ()
    assert str(gin.query_parameter("train.twin")) == "@BrownianTwin()"


def test_mitigations_that_replace_those_of_an_earlier_file_replace_its_twin(tmp_path):
    flags = ["train.mitigations = [@BrownianTwin()]", "train.mitigations = [@WeightDecay()]"]
    gin_config.parse([], flags)
    assert gin.query_parameter("train.twin") is None
    gin_config.parse([], flags[1:])
    with pytest.raises(ValueError):
        gin.query_parameter("train.twin")


def test_errors_name_the_line_of_the_file(tmp_path):
    path = tmp_path / "old.gin"
    path.write_text("train.mitigations = [@BrownianTwin()]\nsrank.delta = 1\n\nsrank.deltas = 1\n")
    with pytest.raises(UsageError, match=rf"^{path}:4: unknown parameter '.*feature_srank.deltas'. Did you"):
        gin_config.parse([str(path)], [])


def test_an_old_run_is_the_same_run():
    old = (gin_files.root() / "docs/paper/fig02/gradient_descent-seed0/operative_config.gin").read_text()
    assert "BrownianTwin()]" in old and "diagnostics.spectral_density" in old
    bindings = run_bindings.parse_bindings(old)
    assert bindings["train.mitigations"] == "()" and bindings["train.twin"] == "@BrownianTwin()"
    assert bindings["hessian_spectral_density.num_steps"] == "90"
    assert bindings["train.compiler"] == "'auto'"
    assert "'hessian_spectral_density': [0, 25000]" in bindings["train.diagnostics_periods"]


def test_reports_read_old_tags_and_arrays_and_runs_that_were_resumed_since(tmp_path):
    density = {"nodes": np.ones([1, 2]), "weights": np.ones([1, 2])}
    write_run(
        tmp_path / "a-seed0",
        0,
        {
            "diagnostics/srank/h": [(0, 1.0), (5, 2.0)],
            "diagnostics/feature_srank/h": [(10, 3.0)],
            "train/dead_fraction/h": [(5, 0.1)],
            "train/dead_units/h": [(10, 0.2)],
            "evaluation/srank": [(5, 4.0)],
        },
        arrays={
            "brownian_twin/spectral_density/all": {0: density},
            "brownian_twin/hessian_spectral_density/all": {10: density},
        },
    )
    runs = read_runs(tmp_path)
    assert runs.tags() == ["diagnostics/feature_srank/h", "evaluation/srank", "train/dead_units/h"]
    for pattern in ("diagnostics/feature_srank/*", "diagnostics/srank/*"):
        assert runs.scalars(pattern)[["step", "value"]].to_numpy().tolist() == [[0, 1], [5, 2], [10, 3]]
    assert runs.last("train/dead_fraction/h")["value"].tolist() == [0.2]
    assert runs.array_tags() == ["brownian_twin/hessian_spectral_density/all"]
    for tag in ("brownian_twin/hessian_spectral_density/all", "brownian_twin/spectral_density/all"):
        assert [each.step for each in runs.arrays(tag)] == [0, 10]


@pytest.mark.parametrize(
    ("module", "old"), [(module, old) for module, names in _renames.PYTHON.items() for old in names]
)
def test_old_python_names_are_the_new_ones_with_a_warning(module, old):
    new = _renames.PYTHON[module][old]
    home, _, new = (new if "." in new else f"{module}.{new}").rpartition(".")
    text = f"^{module}.{old} is called {home}.{new} now; the old name ends with the next release.$"
    with pytest.warns(DeprecationWarning, match=text):
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(home), new)


def test_unknown_python_names_stay_unknown():
    for module in _renames.PYTHON:
        with pytest.raises(AttributeError, match=f"^module '{module}' has no attribute 'sranks'"):
            importlib.import_module(module).sranks  # noqa: B018


@pytest.mark.parametrize("make", [TrainConfig, tfplastic.probing.Probe])
def test_old_keyword_arguments_are_taken_with_a_warning(make):
    with pytest.warns(
        DeprecationWarning, match=f"^The argument `program` of {make.__name__} is called `compiler`"
    ):
        with pytest.raises(ValueError, match="^`compiler` must be one of .* Received: 'jax'"):
            make(program="jax", **_needed(make))
    with pytest.raises(TypeError, match="unexpected keyword argument 'programs'"):
        make(programs="xla", **_needed(make))
    assert "compiler" in inspect.signature(make).parameters
    assert "program" not in inspect.signature(make).parameters


def test_an_old_argument_that_was_the_reciprocal():
    make = functools.partial(
        tfplastic.rl.AtariTask, "Pong", tfplastic.rl.double_dqn, tfplastic.networks.nature_dqn
    )
    with pytest.warns(DeprecationWarning, match="^The argument `agent_steps_per_gradient_step` of"):
        assert make(agent_steps_per_gradient_step=4).replay_ratio == 0.25
    with (
        pytest.warns(DeprecationWarning),
        pytest.raises(ValueError, match="^`agent_steps_per_g"),
    ):
        make(agent_steps_per_gradient_step=0)


def _needed(make):
    if make is not TrainConfig:
        return {}
    task = tfplastic.tasks.RandomLabelTask("digits", tfplastic.networks.mlp)
    return {"task": task, "optimizer": tfplastic.optimizers.sgd(), "total_steps": 1}


def _modules():
    for info in pkgutil.iter_modules(tfplastic.__path__):
        if info.name in tfplastic.__all__:
            module = importlib.import_module(f"tfplastic.{info.name}")
            yield module
            for name in getattr(module, "__all__", ()):
                if inspect.ismodule(getattr(module, name)):
                    yield getattr(module, name)


def test_no_two_public_functions_or_classes_have_one_name():
    places = defaultdict(set)
    for module in _modules():
        names = getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]
        for name in names:
            each = getattr(module, name)
            if callable(each) and each.__module__.startswith("tfplastic."):
                places[name].add(each)
    assert len(places) > 150
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_short_names_of_gin_say_which():
    gin_config.parse([], [])
    names = defaultdict(list)
    for complete, _ in gin.config._REGISTRY.items():
        names[complete.rpartition(".")[2]].append(complete)
    ours = {name: found for name, found in names.items() if any("tfplastic." in each for each in found)}
    assert {name: found for name, found in ours.items() if len(found) > 1} == {}


def test_no_old_name_is_a_name_of_today():
    gin_config.parse([], [])
    ours = {complete for complete, _ in gin.config._REGISTRY.items() if complete.startswith("tfplastic.")}
    for old in (*_renames.QUANTITIES, *_renames.STEP_STATISTICS):
        assert f"tfplastic.diagnostics.{old}" not in ours
    assert gin_text.translate("train.compiler = 'xla'").notes == []


def test_a_run_root_takes_the_argument_of_the_last_release(tmp_path):
    with pytest.warns(DeprecationWarning, match="^The argument `place` of RunRoot is called `location` now"):
        assert tfplastic.sweeps.RunRoot(place=tmp_path).location == str(tmp_path)
