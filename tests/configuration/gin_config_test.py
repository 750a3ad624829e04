"""With names registered here, so that each rule is tested on the smallest configuration that shows it."""

import dataclasses

import gin
import pytest

from tfplastic.configuration import gin_config, gin_errors, unused
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust


@gin.register(module="tfplastic.fakes")
def fake_network(norm=None, width=1):
    if norm not in (None, "layer"):
        raise ValueError(f"`norm` must be one of None, 'layer'. Received: {norm!r}")
    return norm, width


@gin.register(module="tfplastic.fakes")
def fake_sharpness(num_steps=3):
    return num_steps


@gin.register(module="tfplastic.fakes")
class FakeTask:
    def __init__(self, network=None, size=1, metrics=()):
        self.network, self.size, self.metrics = network, size, metrics


@gin.configurable("fake_train", module="tfplastic.fakes")
@dataclasses.dataclass(frozen=True)
class FakeTrain:
    task: FakeTask
    steps: int
    seed: int = 0


@pytest.fixture(autouse=True)
def fake_names_only(monkeypatch):
    monkeypatch.setattr(gin_config, "PACKAGES", ())
    yield
    gin.clear_config()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda name, text: (tmp_path / name).write_text(text)


def build(bindings):
    sources = gin_config.parse([], bindings)
    with gin_errors.constructing(sources):
        built = gin.get_configurable(FakeTrain)()
    unused.check_all_bindings_used(sources)
    return built


def error_of(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


COMPLETE = ["fake_train.task = @FakeTask()", "fake_train.steps = 5"]


def test_later_files_and_bindings_override_earlier_ones(write):
    write(
        "a.gin",
        "fake_train.task = @FakeTask()\nfake_train.steps = 1\nfake_train.seed = 1\nFakeTask.size = 1\n",
    )
    write("b.gin", "include 'a.gin'\nfake_train.seed = 2\nFakeTask.size = 2\n")
    gin_config.parse(["a.gin", "b.gin"], ["FakeTask.size = 3"])
    built = gin.get_configurable(FakeTrain)()
    assert (built.steps, built.seed, built.task.size) == (1, 2, 3)


def test_parse_forgets_what_was_parsed_before():
    gin_config.parse([], [*COMPLETE, "fake_train.seed = 4"])
    assert build(COMPLETE).seed == 0


def test_includes_are_found_from_the_root_whatever_the_working_directory(write):
    write("a.gin", "include 'gin/none.gin'")
    assert "looked in" in error_of(gin_config.parse, ["a.gin"], [])
    write("b.gin", "include 'gin/sizes/quick.gin'")
    try:
        gin_config.parse(["b.gin"], [])
    except UsageError as error:  # Names of rl/, which this file hides unless another test has imported it.
        assert "unknown name" in str(error)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            "fake_netwrk.norm = 1",
            "unknown name 'fake_netwrk'. Did you mean 'fake_network'",
        ),
        (
            "fake_train.task = @FakeTsk()",
            "unknown name 'FakeTsk'. Did you mean 'FakeTask'",
        ),
        (
            "rl.fake_sharpnes.k = 1",
            "unknown name 'rl.fake_sharpnes'. Did you mean 'fake_sharpness'",
        ),
        ("xyzzy.norm = 1", "unknown name 'xyzzy'."),
        ("fake_network.nrom = 1", "unknown parameter 'fake_network.nrom'. Did you mean 'norm'?"),
        ("fake_train.step = 1", "unknown parameter 'fake_train.step'. Did you mean 'steps'?"),
        ("fake_train.xyzzy = 1", "unknown parameter 'fake_train.xyzzy'."),
        (
            "import no_such_module",
            "refused 'import no_such_module': if you trust it, give --allow_imports",
        ),
    ],
)
def test_unknown_names(write, binding, message):
    write("a.gin", f"\n{binding}\n")
    write("b.gin", "include 'a.gin'")
    for place, error in (
        (f"--gin_bindings={binding}", error_of(gin_config.parse, [], [binding])),
        ("a.gin:2", error_of(gin_config.parse, ["b.gin"], [])),
    ):
        assert error.startswith(
            f"{place}: {message}"
        )  # Other tests' names may be near, too, but not nearest.
        assert ("Did you mean" in error) == ("Did you mean" in message)


def test_required_value_not_given(write):
    write("a.gin", "fake_train.steps = %gin.REQUIRED\nfake_train.task = @FakeTask()\n")
    assert error_of(gin_config.parse, ["a.gin"], []) == (
        "a.gin:1: fake_train.steps is required: give it in a later gin file or with --gin_bindings"
    )
    gin_config.parse(["a.gin"], ["fake_train.steps = 3"])
    assert gin.get_configurable(FakeTrain)().steps == 3


def test_argument_without_value():
    assert error_of(build, []) == (
        "no value for fake_train.task and fake_train.steps: give it in a gin file or with --gin_bindings"
    )


def test_macro_without_value():
    message = error_of(gin_config.parse, [], ["fake_train.steps = %stepz", "steps = 3"])
    assert message == "the macro %stepz has no value. Give it one: stepz = VALUE. Did you mean 'steps'?"


@pytest.mark.parametrize("macros", [["a = %b", "b = %a"], ["a = [%a]"]])
def test_macros_in_a_circle(macros):
    text = error_of(build, ["fake_train.steps = %a", "fake_train.task = 1", *macros])
    assert text.startswith("values must not refer to each other in a circle. Look at %a")


def test_wrong_value_names_place_configurable_and_rule(write):
    write(
        "a.gin", "fake_train.task = @FakeTask()\nfake_train.steps = 1\nFakeTask.network = @fake_network()\n"
    )
    write("b.gin", "fake_network.norm = 'none'\n\nfake_network.norm = 'layr'\n")

    def from_files():
        sources = gin_config.parse(["a.gin", "b.gin"], [])
        with gin_errors.constructing(sources):
            gin.get_configurable(FakeTrain)()

    assert error_of(from_files) == (
        "b.gin:3: fake_network: `norm` must be one of None, 'layer'. Received: 'layr'"
    )


def test_wrong_value_in_a_scope():
    bindings = [
        *COMPLETE,
        "FakeTask.network = @s/fake_network()",
        "s/fake_network.norm = 2",
        "fake_network.norm = 'layer'",
    ]
    assert error_of(build, bindings) == (
        "--gin_bindings=s/fake_network.norm = 2: fake_network: "
        "`norm` must be one of None, 'layer'. Received: 2"
    )


def test_other_errors_of_construction_pass():
    with pytest.raises(ZeroDivisionError), gin_errors.constructing([]):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="^a bug$"), gin_errors.constructing([]):
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    "bindings",
    [
        [],
        ["FakeTask.size = 2"],
        ["FakeTask.size = %size", "size = 3"],
        ["FakeTask.size = %a/size", "a/size = %b", "b = 3"],
        ["FakeTask.metrics = [@fake_sharpness]", "fake_sharpness.num_steps = %k", "k = 3"],
        ["FakeTask.network = @s/fake_network()", "s/fake_network.norm = 'layer'", "fake_network.width = 2"],
        ["FakeTask.network = @s/fake_network", "s/fake_network.norm = 'layer'", "fake_network.width = 2"],
        ["FakeTask.metrics = {'a': (@fake_sharpness(),)}", "fake_sharpness.num_steps = 2"],
    ],
)
def test_read_bindings_pass(bindings):
    build([*COMPLETE, *bindings])


def test_the_operative_text_holds_what_is_handed_over():
    build([*COMPLETE, "FakeTask.metrics = [@fake_sharpness]", "fake_sharpness.num_steps = %k", "k = 3"])
    lines = gin_config.operative_text().splitlines()
    assert "fake_sharpness.num_steps = %k" in lines
    assert "k = 3" in lines
    assert lines == gin_config.operative_text().splitlines()


@pytest.mark.parametrize(
    ("bindings", "unused_names"),
    [
        (["fake_network.width = 2"], ["fake_network.width"]),
        (["size = 2"], ["the macro size"]),
        (["a/size = 2"], ["the macro a/size"]),
        (["other/FakeTask.size = 2"], ["other/FakeTask.size"]),
        (["fake_network.width = %w", "w = 2"], ["fake_network.width", "the macro w"]),
        (
            ["FakeTask.network = @s/fake_network()", "s/fake_network.width = 3", "fake_network.width = 2"],
            ["fake_network.width"],
        ),
        (
            ["FakeTask.network = @s/fake_network", "s/fake_network.width = 3", "fake_network.width = 2"],
            ["fake_network.width"],
        ),
        (
            [
                "fake_network.width = 2",
                "FakeTask.metrics = [@fake_sharpness]",
                "t/fake_sharpness.num_steps = 2",
            ],
            ["fake_network.width", "t/fake_sharpness.num_steps"],
        ),
    ],
)
def test_bindings_that_nothing_reads(bindings, unused_names):
    places = {name: next(b for b in bindings if b.startswith(name.split()[-1])) for name in unused_names}
    listed = ", ".join(f"{name} (--gin_bindings={places[name]})" for name in unused_names)
    has, them = ("has", "it") if len(unused_names) == 1 else ("have", "them")
    message = f"{listed} {has} no effect: nothing in this run reads {them}. Remove {them}"
    assert error_of(build, [*COMPLETE, *bindings]) == message


def test_texts():
    build([*COMPLETE, "FakeTask.size = %size", "size = 3"])
    assert "fake_train.steps = 5" in gin_config.config_text()
    assert "seed" not in gin_config.config_text()
    operative = gin_config.operative_text()
    assert (
        "fake_train.seed = 0" in operative
        and "FakeTask.size = %size" in operative
        and "size = 3" in operative
    )
    gin_config.parse([], [operative])  # The text is itself gin.
    assert gin.get_configurable(FakeTrain)().task.size == 3


def test_a_module_that_cannot_be_imported():
    message = error_of(gin_config.parse, [], [], ("no_such_package",))
    reason = "No module named 'tfplastic.no_such_package'"
    assert message == f"cannot import tfplastic.no_such_package: {reason}. Install it first"


def test_an_allowed_import_that_fails(write):
    write("a.gin", "\nimport no_such_module\n")
    trust = GinTrust.of_user(allow_imports=True)
    with pytest.raises(UsageError, match="^a.gin:2: No module named 'no_such_module'"):
        gin_config.parse(["a.gin"], [], trust=trust)
