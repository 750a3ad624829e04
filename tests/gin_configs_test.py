"""Every gin file a person would run builds, and reads all it says."""

import gin
import pytest

from tfplastic.command_line import gin_config, gin_files
from tfplastic.training import Loop, TrainConfig

ROOT = gin_files.root()
TASKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("gin/*.gin"))
SIZES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("gin/sizes/*.gin"))


@pytest.fixture(autouse=True)
def no_configuration_left():
    yield
    gin.clear_config()


def build(*files, bindings=()):
    sources = gin_config.parse(files, bindings)
    loop = Loop(gin.get_configurable(TrainConfig)())
    gin_config.check_all_bindings_used(sources)
    return loop


def bindings_in_force(*files):
    gin_config.parse(files, ())
    return set(gin_config.config_text().splitlines())


def test_there_are_files():
    assert {"gin/atari_dqn.gin", "gin/atari_dqn_ln.gin", "gin/atari_c51.gin", "gin/atari_c51_ln.gin"} <= set(
        TASKS
    )
    assert {f"gin/sizes/{size}.gin" for size in ("paper", "100k", "cpu", "quick")} == set(SIZES)


@pytest.mark.parametrize("task", TASKS)
def test_a_file_builds_on_its_own_at_the_size_of_the_paper(task):
    loop = build(task, bindings=["AtariTask.replay_capacity = 20_000"])  # saves the test 0.7 GB
    frames = dict(loop.task.describe(loop.config.total_steps, 1, 1))["agent steps"]
    assert frames.startswith("50,000,000 = 200,000,000 frames")


@pytest.mark.parametrize("size", SIZES)
def test_every_size_builds(size):
    build("gin/atari_dqn_ln.gin", size, bindings=["AtariTask.replay_capacity = 20_000"])


@pytest.mark.parametrize("task", ["gin/atari_dqn", "gin/atari_c51"])
def test_layer_norm_is_the_only_difference(task):
    without, with_it = bindings_in_force(f"{task}.gin"), bindings_in_force(f"{task}_ln.gin")
    assert without - with_it == {"nature_dqn.norm = None"}
    assert with_it - without == {"nature_dqn.norm = 'layer'"}
    statements = [
        line
        for line in (ROOT / f"{task}_ln.gin").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert len(statements) == 2


@pytest.mark.parametrize("task", TASKS)
def test_the_size_of_the_paper_is_the_default(task):
    assert bindings_in_force(task, "gin/sizes/paper.gin") == bindings_in_force(task)


def test_the_operative_text_holds_what_is_called_later():
    build("gin/atari_dqn.gin", bindings=["AtariTask.replay_capacity = 20_000", "sharpness.max_steps = 7"])
    lines = gin_config.operative_text().splitlines()
    assert {"dormant_units.tau = 0.025", "sharpness.max_steps = 7", "sharpness.tol = 0.001"} <= set(lines)


def test_every_number_says_where_it_is_from():
    for path in ROOT.glob("gin/*.gin"):
        for line in path.read_text().splitlines():
            if "=" in line and not line.startswith("#") and any(character.isdigit() for character in line):
                assert "#" in line, f"{path.name}: {line}"
