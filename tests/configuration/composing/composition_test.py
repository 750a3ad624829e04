"""Any number of files compose, in any order: each acts, and the order of the files leaves no trace."""

import itertools
import re

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic import mitigations
from tfplastic.command_line import train
from tfplastic.configuration import gin_config, gin_files, unused
from tfplastic.configuration.build import build_loop
from tfplastic.configuration.composing import description
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.training.run.bindings import parse_bindings
from tfplastic.training.run.config_differences import differences

TASK, LABELS = "gin/mdp_true_label_digits.gin", "gin/random_labels_digits.gin"
IN_ORDER = ("WeightDecay", "ShrinkAndPerturb", "ResetLastLayer", "ResetOptimizerState")
PROBES = ("gin/probes/paper.gin", "gin/probes/quick.gin", "gin/probes/two_hot.gin")
FILES = {
    "WeightDecay": "gin/mitigations/weight_decay.gin",
    "ShrinkAndPerturb": "gin/mitigations/shrink_and_perturb.gin",
    "ResetLastLayer": "gin/mitigations/reset_last_layer.gin",
    "ResetOptimizerState": "gin/mitigations/reset_optimizer_state.gin",
}


def value(name, *files, bindings=()):
    """An argument of `train` as the configuration has it."""
    gin_config.parse(files, bindings)
    return gin.config._CONFIG["", "tfplastic.training.train"].get(name)


def listed(*names):
    return f"[{', '.join(f'@{name}()' for name in names)}]"


def operative(*files, bindings=()):
    """All that a run uses, by name; it is built and must read all that it is given."""
    sources = gin_config.parse(files, bindings)
    build_loop(sources)
    unused.check_all_bindings_used(sources)
    return parse_bindings(gin_config.operative_text())


def error_of(*files, bindings=()):
    with pytest.raises(UsageError) as caught:
        gin_config.parse(files, bindings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return name

    return written


FOLDER = gin_files.root() / "gin" / "mitigations"
MEMBER = re.compile(r"^mitigations\.(\w+) = @((?:\w+/)?(\w+))\(\)$", re.MULTILINE)


def test_the_files_of_the_folder_act_together_by_turn_and_name_in_any_order():
    members = {}
    for path in sorted(FOLDER.glob("*.gin")):
        found = MEMBER.findall(path.read_text())
        if path.stem not in (names := [name for name, _, _ in found]):
            # Another form of a member that has a file, such as shrink_and_perturb_ash.gin.
            assert any(
                path.stem.startswith(f"{name}_") and (FOLDER / f"{name}.gin").exists() for name in names
            )
            continue
        ((name, kind, unscoped),) = found
        if {*getattr(mitigations, unscoped).excludes} - {unscoped}:
            continue  # not with all others
        members[kind] = (getattr(mitigations, unscoped).turn, unscoped, kind), name
    assert (
        FILES.items() <= {kind: f"gin/mitigations/{name}.gin" for kind, (_, name) in members.items()}.items()
    )
    files = [f"gin/mitigations/{name}.gin" for _, name in members.values()]
    for given in (files, files[::-1]):
        assert repr(value("mitigations", TASK, *given)) == listed(*sorted(members, key=members.__getitem__))


@pytest.mark.parametrize("pair", list(itertools.permutations(FILES, 2)), ids="-".join)
def test_each_pair_of_mitigations_acts_in_the_one_order_there_is(pair):
    in_order = listed(*sorted(pair, key=IN_ORDER.index))
    assert repr(value("mitigations", TASK, *(FILES[name] for name in pair))) == in_order


@pytest.mark.parametrize("place", range(5))
def test_all_of_them_act_wherever_the_file_of_the_task_stands(place):
    files = [FILES[name] for name in sorted(FILES)]
    files.insert(place, TASK)
    assert repr(value("mitigations", *files)) == listed(*IN_ORDER)


def test_a_list_keeps_its_order_alone_and_joins_the_one_order_with_files(write):
    text = "train.mitigations = [@ResetLastLayer(), @ShrinkAndPerturb()]"
    assert repr(value("mitigations", TASK, bindings=[text])) == listed("ResetLastLayer", "ShrinkAndPerturb")
    own = write("own.gin", text)
    for files in itertools.permutations((own, FILES["WeightDecay"])):
        assert repr(value("mitigations", TASK, *files)) == listed(
            "WeightDecay", "ShrinkAndPerturb", "ResetLastLayer"
        )


def test_both_forms_are_the_same_run():
    files = [FILES[name] for name in ("ShrinkAndPerturb", "WeightDecay")]
    bindings = ["WeightDecay.coefficient = 1e-5", "ShrinkAndPerturb.shrink = 0.8"]
    old = operative(TASK, bindings=[*bindings, "train.mitigations = [@WeightDecay(), @ShrinkAndPerturb()]"])
    assert list(differences(old, operative(TASK, *files))) == []
    turned = operative(TASK, bindings=["train.mitigations = [@ShrinkAndPerturb(), @WeightDecay()]"])
    assert [name for name, *_ in differences(old, turned)] == ["train.mitigations"]  # other random draws


def test_a_member_is_taken_back_by_none():
    files = (TASK, FILES["WeightDecay"], FILES["ResetLastLayer"])
    bindings = ["mitigations.reset_last_layer = None"]
    assert repr(value("mitigations", *files, bindings=bindings)) == listed("WeightDecay")
    found = operative(*files, bindings=bindings)
    assert found["train.mitigations"] == listed("WeightDecay")
    assert not any("ResetLastLayer" in name for name in found)  # Its constants leave with it.
    found = operative(TASK, "gin/probes/two_hot.gin", PROBES[0], bindings=["train.probe = None"])
    assert not any("Probe" in name for name in found)


def test_one_named_twice_is_an_error_that_names_both_places(write):
    other = write("mine.gin", "# mine\nmitigations.weight_decay = @WeightDecay()\n")
    for files in itertools.permutations((other, FILES["WeightDecay"])):
        text = error_of(TASK, *files)
        assert "mitigations.weight_decay is named twice, by " in text
        assert "mine.gin:2" in text and "gin/mitigations/weight_decay.gin:6" in text
    text = error_of(TASK, FILES["WeightDecay"], bindings=["mitigations.again = @WeightDecay()"])
    assert text.startswith("@WeightDecay() is named twice, by gin/mitigations/weight_decay.gin:6 and --gin_b")
    old = write("old.gin", "train.mitigations = [@WeightDecay()]")
    assert "by old.gin:1 and gin/mitigations/weight_decay.gin:6" in error_of(TASK, FILES["WeightDecay"], old)


def test_a_list_is_checked_as_members_are(write):
    place = "--gin_bindings=train.mitigations = "
    for text in ("[@WeightDecay(), @WeightDecay()]", "[@a/ResetLastLayer(), @a/ResetLastLayer()]"):
        name = text[1:].partition(",")[0]
        found = error_of(TASK, bindings=[f"train.mitigations = {text}"])
        assert found.startswith(f"{name} is named twice, by {place}{text}. Name it once, or give one a scope")
    own = write("own.gin", "WD = @WeightDecay()\ntrain.mitigations = [%WD, @WeightDecay()]\n")
    assert error_of(TASK, own).startswith("@WeightDecay() is named twice, by own.gin:2. Name it once")


def test_one_class_acts_twice_in_scopes_of_its_own():
    bindings = ["mitigations.strong = @strong/WeightDecay()", "strong/WeightDecay.coefficient = 1e-2"]
    found = repr(value("mitigations", TASK, FILES["WeightDecay"], bindings=bindings))
    assert found == "[@WeightDecay(), @strong/WeightDecay()]"
    one = [
        "train.mitigations = [@strong/WeightDecay(), @WeightDecay()]",
        "strong/WeightDecay.coefficient = 1e-2",
    ]
    sources = gin_config.parse([LABELS], one)
    assert len(build_loop(sources).config.mitigations) == 2
    unused.check_all_bindings_used(sources)  # Each has its own coefficient.


@pytest.mark.parametrize("macros", ["WD = @WeightDecay()\n", "WD = %W\nW = @WeightDecay()\n"])
def test_a_macro_is_in_the_one_order_there_is(macros, write):
    own = write("own.gin", f"{macros}mitigations.weight_decay = %WD\n")
    for files in itertools.permutations((own, FILES["ShrinkAndPerturb"])):
        assert repr(value("mitigations", TASK, *files)) == "[%WD, @ShrinkAndPerturb()]"
        sources = gin_config.parse([LABELS, *files], [])
        acting = [type(each).__name__ for each in build_loop(sources).config.mitigations]
        assert acting == ["WeightDecay", "ShrinkAndPerturb"]
        unused.check_all_bindings_used(sources)
    listed_too = ["train.mitigations = [@ResetLastLayer(), %WD]", "WD = @WeightDecay()"]
    found = value("mitigations", TASK, bindings=[*listed_too, "mitigations.x = @ShrinkAndPerturb()"])
    assert repr(found) == "[%WD, @ShrinkAndPerturb(), @ResetLastLayer()]"


def test_a_macro_is_checked_as_what_it_stands_for(write):
    own = write("own.gin", "WD = @WeightDecay()\nmitigations.again = %WD\n")
    assert error_of(TASK, FILES["WeightDecay"], own).startswith("@WeightDecay() is named twice, by ")
    bindings = ["WD = 3", "mitigations.x = %WD"]
    assert "mitigations.x must be a mitigation, such as @WeightDecay()" in error_of(TASK, bindings=bindings)
    assert "the macro %NO has no value" in error_of(TASK, bindings=["mitigations.x = %M", "M = %NO"])
    bindings = ["S = @dead_units", "diagnostics.dead_units = %S", "step_statistics.dead_units = %S"]
    assert repr(value("diagnostics", LABELS, bindings=bindings)).count("dead_units") == 1
    assert repr(value("step_statistics", LABELS, bindings=bindings)) == "[@dead_units, @dormant_units]"
    assert repr(value("step_statistics", TASK, bindings=bindings)) == "[%S]"
    measured = build_loop(gin_config.parse([LABELS], ["S = @sharpness", "diagnostics.sharpness = %S"]))
    assert "sharpness" in measured.config.diagnostics_plan.quantities


def test_lists_of_two_files_are_an_error_that_names_both(write):
    one = write("one.gin", "train.mitigations = [@WeightDecay()]\n")
    other = write("other.gin", "\ntrain.mitigations = [@ShrinkAndPerturb()]\n")
    assert error_of(TASK, one, other) == (
        "one.gin:1 and other.gin:2 exclude each other: they set train.mitigations to [@WeightDecay()] and "
        "[@ShrinkAndPerturb()]. To have both, write mitigations.NAME = @Mitigation() (gin/README.md)"
    )
    flag = ["train.mitigations = [@ResetLastLayer()]"]  # The command line overrides, and so does a variant.
    assert repr(value("mitigations", TASK, one, bindings=flag)) == listed("ResetLastLayer")
    variant = write("variant.gin", "include 'one.gin'\ntrain.mitigations = [@ResetLastLayer()]\n")
    for files in itertools.permutations((one, variant)):
        assert repr(value("mitigations", TASK, *files)) == listed("ResetLastLayer")


@pytest.mark.parametrize(
    ("argument", "one", "other", "form"),
    [
        ("diagnostics", "[@sharpness]", "[@weight_norm]", "diagnostics.NAME = @NAME"),
        ("diagnostics", "[@sharpness]", "'cheap'", "diagnostics.NAME = @NAME"),
        ("diagnostics", "{'hot': @sharpness}", "[@sharpness]", "diagnostics.NAME = @NAME"),
        (
            "diagnostics_periods",
            "{'weight_norm': 5}",
            "{'dead_units': 5}",
            "diagnostics_periods.NAME = PERIOD",
        ),
        ("diagnostics_losses", "{'dead_units': None}", "{}", "diagnostics_losses.NAME = @loss"),
        ("step_statistics", "[@dead_units]", "()", "step_statistics.NAME = @NAME"),
    ],
)
def test_whole_arguments_of_two_files_are_an_error_that_names_both(argument, one, other, form, write):
    files = [write(f"{name}.gin", f"train.{argument} = {text}") for name, text in (("a", one), ("b", other))]
    for turned in itertools.permutations(files):
        text = error_of(LABELS, *turned)
        assert text.startswith(
            f"{turned[0]}:1 and {turned[1]}:1 exclude each other: they set train.{argument}"
        )
        assert text.endswith(f"To have both, write {form} (gin/README.md)")
        assert value(argument, LABELS, turned[0], turned[0]) is not None  # the same twice


def test_a_budget_and_a_list_are_refused_and_of_two_budgets_the_later_counts(write):
    own = write("own.gin", "train.diagnostics = [@sharpness]")
    for turned in itertools.permutations((own, BUDGETS[0])):
        text = error_of(LABELS, *turned)
        assert "own.gin:1" in text and "gin/diagnostics/cheap.gin:8" in text
    budget = write("budget.gin", "train.diagnostics = 'medium'")
    assert value("diagnostics", LABELS, BUDGETS[0], budget) == "medium"
    assert value("diagnostics", LABELS, budget, BUDGETS[0]) == "cheap"


def test_quantities_that_two_files_name_alike_are_one(write):
    same = "diagnostics.sharpness = @sharpness\nstep_statistics.dead_units = @dead_units\n"
    one = write("one.gin", f"{same}diagnostics_periods.sharpness = 3\n")
    other = write("other.gin", f"{same}diagnostics_periods.sharpness = 5\n")
    assert value("diagnostics_periods", LABELS, one, other) == {"sharpness": 5}
    assert repr(value("diagnostics", LABELS, one, other)).count("sharpness") == 1
    assert repr(value("step_statistics", TASK, one, other)) == "[@dead_units]"
    third = write("third.gin", "diagnostics.sharpness = @a/sharpness\n")
    assert "diagnostics.sharpness is named twice, by one.gin:1 and third.gin:1" in error_of(
        LABELS, one, third
    )


def test_a_file_that_includes_another_may_change_it(write):
    own = write("mine.gin", "include 'gin/mitigations/weight_decay.gin'\nWeightDecay.coefficient = 0.5\n")
    for files in itertools.permutations((own, FILES["WeightDecay"])):
        assert repr(value("mitigations", TASK, *files)) == listed("WeightDecay")
        assert gin.query_parameter("WeightDecay.coefficient") == 0.5
    scoped = write("scoped.gin", "include 'mine.gin'\nmitigations.weight_decay = @a/WeightDecay()\n")
    for files in itertools.permutations((scoped, own)):
        assert repr(value("mitigations", TASK, *files)) == "[@a/WeightDecay()]"


def test_the_example_of_the_users_own_composes_and_excludes(write, monkeypatch, tmp_path):
    text = (gin_files.root() / "gin" / "README.md").read_text()
    module, own = (re.search(rf"```(?:python)?\n(?:# )?{start}.*?(?=```)", text, re.S) for start in STARTS)
    assert module and own
    write("my_noise.py", module[0].removeprefix("```python\n"))
    file = write("my_noise.gin", own[0].removeprefix("```\n"))
    monkeypatch.syspath_prepend(tmp_path)
    trust = GinTrust.of_user(allow_imports=True)
    files = [FILES["ResetOptimizerState"], file, TASK, FILES["ShrinkAndPerturb"]]
    sources = gin_config.parse(files, [], trust=trust)
    found = repr(gin.query_parameter("train.mitigations"))
    assert found == listed("ShrinkAndPerturb", "MyNoise", "ResetOptimizerState")
    build_loop(sources)
    unused.check_all_bindings_used(sources)
    with pytest.raises(UsageError) as caught:
        gin_config.parse([TASK, FILES["ResetLastLayer"], file], [], trust=trust)
    assert str(caught.value) == (
        "@MyNoise() (my_noise.gin:3) and @ResetLastLayer() (gin/mitigations/reset_last_layer.gin:6) exclude "
        "each other. Give one of the two"
    )
    with pytest.raises(
        UsageError, match=r"^@ResetLastLayer\(\) \(--gin_.*\) and @MyNoise\(\) \(--.* exclude each"
    ):
        gin_config.parse(
            [TASK, "my_noise.gin"], ["train.mitigations = [@ResetLastLayer(), @MyNoise()]"], trust=trust
        )


STARTS = ("my_noise.py", "my_noise.gin")


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("mitigations.x = @WeightDecay", "mitigations.x must be a mitigation, such as @WeightDecay()"),
        (
            "mitigations.x = 'decay'",
            "mitigations.x must be a mitigation, such as @WeightDecay(). Received: 'de",
        ),
        ("a/mitigations.x = @WeightDecay()", "mitigations must have no scope. Received: 'a'"),
        ("mitigation.x = @WeightDecay()", "unknown name 'mitigation'. Did you mean 'mitigations'"),
        (
            "diagnostics.x = @sharpness()",
            "diagnostics.x must be a function of a snapshot, such as @sharpness",
        ),
        ("diagnostics.x = @sharpness", "diagnostics.x must be of its own name, or added to a mapping"),
        ("step_statistics.x = 3", "step_statistics.x must be a function of a snapshot"),
    ],
)
def test_a_member_of_the_wrong_kind(binding, message):
    assert error_of(TASK, bindings=[binding]).startswith(f"--gin_bindings={binding}: {message}")


def test_a_whole_that_nothing_can_be_added_to(write):
    own = write("own.gin", "train.mitigations = @WeightDecay()")
    text = error_of(TASK, FILES["WeightDecay"], own)
    assert "train.mitigations must be a list, such as [@WeightDecay()], to go with files of mit" in text


SHARPNESS, STATISTICS = "gin/diagnostics/sharpness.gin", "gin/diagnostics/step_statistics.gin"


@pytest.mark.parametrize(
    ("file", "binding", "found"),
    [
        (FILES["WeightDecay"], "train.mitigations = []", "[]"),
        (FILES["WeightDecay"], "train.mitigations = [@ShrinkAndPerturb()]", "[@ShrinkAndPerturb()]"),
        (SHARPNESS, "train.diagnostics_periods = {'sharpness': 5}", "{'sharpness': 5}"),
        (SHARPNESS, "train.diagnostics = ()", "()"),
        (SHARPNESS, "train.diagnostics = [@dead_units]", "[@dead_units]"),
        (STATISTICS, "train.step_statistics = []", "[]"),
    ],
)
def test_a_whole_argument_on_the_command_line_displaces_the_members_in_files(file, binding, found):
    argument = binding.partition(" ")[0].removeprefix("train.")
    sources = gin_config.parse([LABELS, file], [binding])
    assert repr(gin.config._CONFIG["", "tfplastic.training.train"][argument]) == found
    build_loop(sources)
    unused.check_all_bindings_used(sources)  # The constants in the file leave with their reader.
    own = [line for line in description.describe(sources).splitlines() if line.split()[0] == file]
    assert f"; displaced by --gin_bindings={binding}: {argument}." in own[0]
    more = f"{argument}.{ADDED[argument][0]} = {ADDED[argument][1]}"
    gin_config.parse([LABELS, file], [binding, more])  # Members on the command line are added to it.
    assert ADDED[argument][1] in repr(gin.config._CONFIG["", "tfplastic.training.train"][argument])


ADDED = {
    "mitigations": ("weight_decay", "@WeightDecay()"),
    "diagnostics": ("weight_norm", "@weight_norm"),
    "diagnostics_periods": ("weight_norm", "77"),
    "step_statistics": ("dead_units", "@dead_units"),
}


def test_the_description_shows_what_left_with_a_displaced_member():
    binding = "train.mitigations = [@ShrinkAndPerturb()]"
    sources = gin_config.parse([LABELS, FILES["WeightDecay"]], [binding])
    build_loop(sources)
    unused.check_all_bindings_used(sources)
    lines = [" ".join(line.split()[1:]) for line in description.describe(sources).splitlines()]
    assert lines[2] == (
        "sets nothing that counts; no longer read: WeightDecay.coefficient; "
        f"displaced by --gin_bindings={binding}: mitigations.weight_decay"
    )


def test_the_period_of_a_quantity_stays_as_long_as_it_is_measured():
    for whole in ("'full'", "[@sharpness]", "{'sharpness': @sharpness}"):
        bindings = [f"train.diagnostics = {whole}"]
        assert value("diagnostics_periods", LABELS, SHARPNESS, bindings=bindings) == {"sharpness": 2_000}
    for macro, whole in (("@sharpness", "[%S]"), ("[@sharpness]", "%S"), ("'full'", "['cheap', %S]")):
        bindings = [f"S = {macro}", f"train.diagnostics = {whole}"]
        assert value("diagnostics_periods", LABELS, SHARPNESS, bindings=bindings) == {"sharpness": 2_000}
    bindings = ["train.diagnostics = []", "diagnostics.sharpness = @sharpness"]
    assert value("diagnostics_periods", LABELS, SHARPNESS, bindings=bindings) == {"sharpness": 2_000}


def test_a_constant_of_a_displaced_mitigation_on_the_command_line_is_an_error():
    sources = gin_config.parse(
        [LABELS, FILES["WeightDecay"]], ["train.mitigations = []", "WeightDecay.coefficient = 0.1"]
    )
    build_loop(sources)
    with pytest.raises(UsageError, match="mitigations = .. has replaced mitigations.weight_decay = @WeightD"):
        unused.check_all_bindings_used(sources)


BUDGETS = tuple(f"gin/diagnostics/{budget}.gin" for budget in ("cheap", "medium", "full"))


@pytest.mark.parametrize("files", list(itertools.permutations(BUDGETS, 2)), ids=str)
def test_of_two_budgets_the_larger_one_is_measured(files, write):
    larger = max(files, key=BUDGETS.index)
    assert value("diagnostics", TASK, *files) == larger.split("/")[-1].removesuffix(".gin")
    periods = value("diagnostics_periods", TASK, larger)
    assert value("diagnostics_periods", TASK, *files) == periods
    more = write("more.gin", "diagnostics.sharpness = @sharpness\ndiagnostics_periods.sharpness = 7\n")
    for place in range(3):
        given = [*files[:place], more, *files[place:]]
        assert (
            repr(value("diagnostics", TASK, *given))
            == f"['{value('diagnostics', TASK, larger)}', @sharpness]"
        )
        assert value("diagnostics_periods", TASK, *given) == {**(periods or {}), "sharpness": 7}


def test_quantities_and_statistics_are_added_to_those_of_the_task():
    added = ["diagnostics.feature_srank = @feature_srank", "diagnostics.dead_units = @dead_units"]
    found = repr(value("diagnostics", LABELS, bindings=added))
    assert found == "[@dead_units, @dormant_units, @weight_norm, @gradient_norm, @feature_srank]"
    renamed = "train.diagnostics = {'hot': @sharpness}"
    found = value("diagnostics", LABELS, bindings=[renamed, "diagnostics.slow = @sharpness"])
    assert repr(found) == "{'hot': @sharpness, 'slow': @sharpness}"
    statistics = [
        "step_statistics.dormant_units = @dormant_units",
        "step_statistics.dead_units = @dead_units",
    ]
    for task in (LABELS, TASK):
        for turned in itertools.permutations(statistics):
            found = repr(value("step_statistics", task, bindings=turned))
            assert found == "[@dead_units, @dormant_units]"


def test_what_is_added_to_a_budget_is_measured():
    loop = build_loop(gin_config.parse([LABELS, BUDGETS[0]], ["diagnostics.sharpness = @sharpness"]))
    plan = loop.config.diagnostics_plan
    assert set(plan.quantities) == {*plan.leaves_out, "sharpness"} and "dead_units" in plan.leaves_out
    assert "sharpness" not in plan.leaves_out  # It was asked for by name: where it does not suit, an error.


def test_probes_compose_in_any_order():
    files = ("gin/mdp_true_label_mnist_two_hot.gin", *PROBES)
    first = operative(*files)
    assert (first["Probe.quick_steps"], first["Probe.num_targets"], first["Probe.head"]) == (
        "500",
        "5",
        "@TwoHot()",
    )
    for turned in itertools.permutations(PROBES):
        gin_config.parse([files[0], *turned], [])
        again = parse_bindings(gin_config.config_text())
        assert {name: again[name] for name in again} == {name: first[name] for name in again}


def test_networks_that_set_different_arguments_compose():
    files = ("gin/networks/mlp_ln.gin", "gin/networks/mlp_bfloat16.gin", "gin/networks/mlp_spectral_norm.gin")
    for turned in itertools.permutations(files):
        gin_config.parse([TASK, *turned], [])
        assert gin.query_parameter("mlp.norm") == "layer"
        assert gin.query_parameter("mlp.dtype") == "mixed_bfloat16"
        assert gin.query_parameter("mlp.spectral_norm_layers") == ("hidden1",)


def test_two_orders_of_files_give_the_same_bits(tmp_path, capsys):
    files = [FILES[name] for name in ("ShrinkAndPerturb", "ResetLastLayer", "WeightDecay")]
    size = ["train.total_steps = 40", "train.log_period = 10", "RandomLabelTask.steps_per_task = 15"]
    size += ["train.compiler = 'graph'", "train.diagnostics = []", "train.step_statistics = []"]
    size += ["mlp.hidden = (8,)", "RandomLabelTask.num_examples = 50", "RandomLabelTask.batch_size = 10"]
    flags = [f"--gin_bindings={text}" for text in size]
    made = []
    for name, turned in (("a", files), ("b", files[::-1])):
        given = [f"--gin_file={file}" for file in (LABELS, *turned)]
        assert train.main([*given, *flags, "--device=cpu", f"--run_dir={tmp_path / name}"]) == 0
        lines = (tmp_path / name / "metrics.csv").read_text().splitlines()
        made.append([line for line in lines if "performance/" not in line and "per_second" not in line])
        made.append((tmp_path / name / "operative_config.gin").read_text())
    assert made[:2] == made[2:] and any("loss" in line for line in made[0])
    in_order = listed("WeightDecay", "ShrinkAndPerturb", "ResetLastLayer")
    assert parse_bindings(made[1])["train.mitigations"] == in_order
