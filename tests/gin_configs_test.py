"""Every gin file a person would run builds, and reads all it says."""

from pathlib import Path
from typing import Any

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic import optimizers
from tfplastic.configuration import gin_config, gin_files, unused
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.registry import declared_quantities
from tfplastic.probing import Probe
from tfplastic.training import Loop, TrainConfig

ROOT = gin_files.root()


def names(pattern):
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


FILES = names("gin/*.gin")
PPO = ["gin/atari_ppo.gin", "gin/minatar_ppo.gin"]
SEQUENCES = ["gin/atari_sequence.gin", "gin/minatar_sequence.gin"]
ATARI = sorted(set(names("gin/atari_*.gin")) - {*PPO, *SEQUENCES})
MINATAR = sorted(set(names("gin/minatar_*.gin")) - {*PPO, *SEQUENCES})
ATARI_BASES = ["gin/atari_c51.gin", "gin/atari_dqn.gin"]
CONVOLUTIONS = [
    ("gin/networks/mdp_cnn.gin",),
    ("gin/networks/mdp_cnn.gin", "gin/networks/cnn_ln.gin", "gin/networks/cnn_bfloat16.gin"),
    ("gin/networks/cnn_spectral_norm.gin", "gin/networks/mdp_cnn.gin"),
]
IN_MEMORY = sorted(set(FILES) - {*ATARI, *MINATAR, *PPO, *SEQUENCES})
ATARI_SIZES = [f"gin/sizes/{size}.gin" for size in ("100k", "cpu", "paper", "quick")]
MINATAR_LN = ["gin/minatar_dqn_ln.gin"]
OWN_SIZES = [
    ("gin/atari_ppo.gin", "gin/sizes/ppo_quick.gin"),
    ("gin/atari_sequence.gin", "gin/sizes/atari_sequence_quick.gin"),
    ("gin/minatar_ppo.gin", "gin/sizes/ppo_quick.gin"),
    ("gin/minatar_sequence.gin", "gin/sizes/minatar_sequence_quick.gin"),
]
MINATAR_SIZES = [f"gin/sizes/minatar_{size}.gin" for size in ("1m", "cpu", "paper", "quick")]
SMALL_REPLAY = ["AtariTask.replay_capacity = 25_000"]  # saves the test 0.7 GB
TUNED_ADAM = (
    {"adam.beta_2 = 0.999", "adam.epsilon_root = 0.0"},
    {"adam.beta_2 = 0.9", "adam.epsilon_root = 0.001"},
)
PLAIN = (
    "random_labels_mnist",
    "random_labels_digits",
    "mdp_true_label_mnist",
    "mdp_random_label_cifar10",
    "mdp_sparse_mnist",
)
NETWORK = {"mdp_random_label_cifar10": "cnn"}  # the others have an MLP
# (a file of a task, one that is added, and the bindings that go and come with it)
ADDED = [
    *[
        (f"gin/atari_{agent}.gin", "nature_dqn_ln", {"nature_dqn.norm = None"}, {"nature_dqn.norm = 'layer'"})
        for agent in ("dqn", "c51")
    ],
    (
        *("gin/minatar_dqn.gin", "minatar_cnn_ln"),
        *({"minatar_cnn.norm = None"}, {"minatar_cnn.norm = 'layer'"}),
    ),
    (
        *("gin/minatar_dqn.gin", "minatar_cnn_dueling"),
        *(set(), {"minatar_cnn.dueling = True"}),
    ),
    (
        *("gin/minatar_dqn.gin", "minatar_cnn_noisy"),
        {"LinearEpsilon.begin = 1.0", "LinearEpsilon.end = 0.1", "Evaluation.epsilon = 0.1"},
        {
            *{"minatar_cnn.noise = 0.5", "Evaluation.epsilon = 0.0"},
            *{"LinearEpsilon.begin = 0.0", "LinearEpsilon.end = 0.0"},
        },
    ),
    (
        *("gin/atari_dqn.gin", "nature_dqn_dueling", {"nature_dqn.shared_bias = True"}),
        {"nature_dqn.dueling = True", "nature_dqn.shared_bias = False"},
    ),
    *[
        (f"gin/{name}.gin", f"{network}_ln", set(), {f"{network}.norm = 'layer'"})
        for name in PLAIN
        for network in [NETWORK.get(name, "mlp")]
    ],
    *[(f"gin/{name}.gin", "tuned_adam", *TUNED_ADAM) for name in PLAIN],
]


def build(*files, bindings=()) -> Any:
    sources = gin_config.parse(files, bindings)
    loop = Loop(gin.get_configurable(TrainConfig)())
    unused.check_all_bindings_used(sources)
    return loop


def bindings_in_force(*files):
    gin_config.parse(files, ())
    return set(gin_config.config_text().splitlines())


def test_there_are_files():
    wanted = {
        "atari_c51",
        "atari_dqn",
        "atari_dqn_ln",
        "atari_ppo",
        "atari_qr_dqn",
        "atari_rainbow",
        "atari_sequence",
        "minatar_dqn",
        "minatar_dqn_ln",
        "minatar_ppo",
        "minatar_rainbow",
        "minatar_sequence",
        *PLAIN,
        "mdp_true_label_mnist_two_hot",
        "mdp_true_label_digits",
        "mdp_random_label_digits",
        "mdp_sparse_digits",
    }
    assert {f"gin/{name}.gin" for name in wanted} == set(FILES)
    in_memory_sizes = [f"gin/sizes/{size}.gin" for size in ("mdp_quick", "random_labels_quick")]
    own = {size for _, size in OWN_SIZES}
    assert sorted([*ATARI_SIZES, *MINATAR_SIZES, *in_memory_sizes, *own]) == names("gin/sizes/*.gin")


def test_a_file_that_does_no_more_than_add_one_is_named_in_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in FILES:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        statements = [line for line in lines if line and not line.startswith("#")]
        assert name in readme or not all(line.startswith("include ") for line in statements), name


@pytest.mark.parametrize("file", ATARI)
def test_a_file_builds_on_its_own_at_the_size_of_the_paper(file):
    loop = build(file, bindings=SMALL_REPLAY)
    frames = dict(loop.task.describe(loop.config.total_steps, 1, 1))["agent steps"]
    assert frames.startswith("50,000,000 = 200,000,000 frames")


@pytest.mark.parametrize("size", ATARI_SIZES)
def test_every_size_of_atari_builds(size):
    build("gin/atari_dqn_ln.gin", size, bindings=SMALL_REPLAY)


@pytest.mark.parametrize(
    "files", [[name] for name in MINATAR] + [[*MINATAR_LN, size] for size in MINATAR_SIZES]
)
def test_every_file_and_every_size_of_minatar_builds(files):
    loop = build(*files)
    plan = dict(loop.task.describe(loop.config.total_steps, 1, 1))["agent steps"]
    size = Path(files[-1]).stem.removeprefix("minatar_") if len(files) > 1 else "paper"
    agent_steps = {"paper": "5,000,000", "1m": "1,000,000", "cpu": "500,000", "quick": "5,000"}[size]
    assert plan.startswith(f"{agent_steps}, the first ")


@pytest.mark.parametrize("files", OWN_SIZES, ids="+".join)
def test_sequences_and_ppo_have_a_quick_size(files):
    config = build(*files).config
    assert config.total_steps <= 2_000 and config.evaluation_period <= config.total_steps
    if "sequence" in files[0]:
        assert config.task.most_steps == config.total_steps
        assert config.evaluation_period == config.task.boundary_period
        assert len(config.task._turns.games) == 2


def test_agents_take_the_place_of_that_of_minatar():
    for agent in names("gin/agents/minatar_*.gin"):
        loop = build(*MINATAR_LN, agent, "gin/sizes/minatar_quick.gin")
        atoms = {"c51": 101, "rainbow": 101, "qr_dqn": 200, "two_hot_dqn": 51}
        atoms = atoms.get(Path(agent).stem.removeprefix("minatar_"))
        outputs = (None, 6) if atoms is None else (None, 6, atoms)
        assert loop.task.model.output_shape == outputs


@pytest.mark.parametrize(
    ("file", "agent_steps"),
    [(PPO[0], "10,000,384 = 40,001,536 frames"), (PPO[1], "500,736")],
)
def test_ppo_builds_with_the_rollouts_of_the_paper(file, agent_steps):
    loop = build(file)
    plan = dict(loop.task.describe(loop.config.total_steps, 1, 1))
    assert plan["agent steps"] == f"up to {agent_steps}, in rollouts of 1,024 with resets"
    assert plan["gradient steps"].endswith("12 per rollout: 3 passes of 4 minibatches")


@pytest.mark.parametrize(
    ("file", "agent_steps"),
    [(SEQUENCES[0], "100,020,000 = 400,080,000 frames"), (SEQUENCES[1], "905,000")],
)
def test_a_sequence_of_games_lasts_as_long_as_its_turns(file, agent_steps):
    loop = build(file, bindings=SMALL_REPLAY if "atari" in file else ())
    plan = dict(loop.task.describe(loop.config.total_steps, 1, 1))
    assert plan["agent steps"].startswith(f"{agent_steps}, the first ")
    assert loop.config.total_steps == loop.task.most_steps
    assert loop.config.evaluation_period == loop.task.boundary_period


def test_probes_of_a_sequence_are_at_the_switches():
    loop = build("gin/minatar_sequence.gin", "gin/probes/minatar_sequence.gin")
    assert loop.config.probe_period == loop.task.boundary_period
    assert loop.config.probe.standardize and loop.config.probe_on == "current"


def test_the_optimizer_of_probes_in_minatar_is_not_that_of_the_run():
    files = ("gin/minatar_rainbow.gin", "gin/sizes/minatar_quick.gin", "gin/probes/minatar.gin")
    config = build(*files).config
    assert float(config.optimizer.learning_rate) == pytest.approx(6.25e-5)
    default = optimizers.adam(learning_rate=1e-3).get_config()
    assert config.probe.optimizer.get_config() == default != config.optimizer.get_config()


def test_the_replay_is_prioritized_with_any_agent():
    files = ["gin/minatar_dqn.gin", "gin/sizes/minatar_quick.gin", "gin/replays/minatar_prioritized.gin"]
    assert build(*files, "gin/agents/minatar_c51.gin").task.prioritization.exponent == 0.6
    gin_config.parse(["gin/atari_c51.gin", "gin/replays/atari_prioritized.gin"], [])
    # To the end of a run of the size of the paper.
    assert gin.query_parameter("Prioritization.importance_steps") == gin.query_parameter("train.total_steps")


@pytest.mark.parametrize("file", IN_MEMORY)
def test_a_file_whose_data_is_in_memory_builds_on_its_own_and_in_its_quick_size(file):
    size = "mdp" if "mdp" in file else "random_labels"
    assert dict(build(file).task.describe(1))
    if "digits" not in file:
        build(file, f"gin/sizes/{size}_quick.gin")


IN_MEMORY_CHOICES = [
    *names("gin/mitigations/*.gin"),
    *names("gin/networks/mlp_*.gin"),
    *(name for name in names("gin/optimizers/*.gin") if "atari" not in name),
    *(name for name in names("gin/diagnostics/*.gin")),
]


@pytest.mark.parametrize("choice", IN_MEMORY_CHOICES)
@pytest.mark.parametrize("file", ["gin/mdp_true_label_digits.gin", "gin/random_labels_digits.gin"])
def test_a_mitigation_or_a_network_goes_with_every_kind_of_task(file, choice):
    build(file, choice)


@pytest.mark.parametrize(
    "choices",
    [*[(name,) for name in names("gin/agents/mdp_*.gin")], *CONVOLUTIONS],
    ids="+".join,
)
def test_an_agent_or_a_network_takes_the_place_of_that_of_a_classification_mdp(choices):
    loop = build("gin/mdp_true_label_digits.gin", *choices)
    has_convolutions = "conv1" in [layer.name for layer in loop.task.model.layers]
    assert has_convolutions == any("cnn" in choice for choice in choices)


@pytest.mark.parametrize("choice", ["gin/networks/random_labels_cnn.gin"])
def test_a_network_takes_the_place_of_that_of_random_labels(choice):
    assert "conv1" in [
        layer.name for layer in build("gin/random_labels_digits.gin", choice).task.model.layers
    ]


@pytest.mark.parametrize("file", ATARI_BASES)
def test_agents_optimizers_and_networks_take_the_place_of_those_of_atari(file):
    for agent in names("gin/agents/atari_*.gin"):
        for optimizer in names("gin/optimizers/atari_*.gin"):
            files = (file, optimizer, agent, "gin/networks/nature_dqn_ln.gin")
            gin_config.parse(files, SMALL_REPLAY)
            name = {"atari_adam": "adam", "atari_rmsprop": "centered_rmsprop"}[Path(optimizer).stem]
            assert repr(gin.query_parameter("train.optimizer")) == f"@{name}()"
            name = Path(agent).stem.removeprefix("atari_").removesuffix("_3_steps")
            assert repr(gin.query_parameter("AtariTask.agent")) == f"@{name}"
    build(file, "gin/agents/atari_dqn.gin", "gin/optimizers/atari_adam.gin", bindings=SMALL_REPLAY)


@pytest.mark.parametrize(
    ("file", "added", "goes", "comes"), ADDED, ids=[f"{file}+{added}" for file, added, *_ in ADDED]
)
def test_a_file_that_is_added_changes_what_it_says_and_no_more(file, added, goes, comes):
    (path,) = [name for name in names("gin/*/*.gin") if Path(name).stem == added and "paper" not in name]
    without = bindings_in_force(file)
    for given in ((file, path), (path, file)):
        with_it = bindings_in_force(*given)
        assert without - with_it == goes
        assert {line for line in with_it - without if line and not line.startswith("#")} == comes


def test_layer_norm_on_atari_is_an_include_away():
    text = (ROOT / "gin/atari_dqn_ln.gin").read_text()
    statements = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert statements == ["include 'gin/atari_dqn.gin'", "include 'gin/networks/nature_dqn_ln.gin'"]


@pytest.mark.parametrize("file", [*ATARI, *MINATAR])
def test_the_size_of_the_paper_is_the_default(file):
    size = "minatar_paper" if file in MINATAR else "paper"
    assert bindings_in_force(file, f"gin/sizes/{size}.gin") == bindings_in_force(file)


def test_the_operative_text_holds_what_is_called_later():
    build("gin/atari_dqn.gin", bindings=[*SMALL_REPLAY, "sharpness.max_steps = 7"])
    lines = gin_config.operative_text().splitlines()
    assert {"dormant_units.tau = 0.025", "sharpness.max_steps = 7", "sharpness.tol = 0.001"} <= set(lines)


@pytest.mark.parametrize("budget", BUDGETS)
def test_budgets_of_diagnostics_build(budget):
    loop = build("gin/random_labels_digits.gin", f"gin/diagnostics/{budget}.gin")
    assert loop.config.diagnostics == budget
    expensive = {name for name, each in declared_quantities().items() if each.cost == budget == "full"}
    assert set(loop.config.diagnostics_periods) == expensive


@pytest.mark.parametrize("size", ["paper", "quick"])
def test_probes_build(size):
    loop = build("gin/mdp_true_label_digits.gin", f"gin/probes/{size}.gin")
    assert isinstance(loop.config.probe, Probe) and loop.config.probe.baselines == 8


def test_a_probe_of_a_two_hot_network_has_its_bins():
    files = ("gin/mdp_true_label_mnist_two_hot.gin", "gin/probes/paper.gin", "gin/probes/two_hot.gin")
    loop = build(*files)
    assert loop.config.probe.head.head.num_bins == loop.task.model.output_shape[-1]


def test_every_number_of_the_paper_says_where_it_is_from():
    for path in [
        *ROOT.glob("gin/*.gin"),
        *ROOT.glob("gin/tasks/*.gin"),
        *ROOT.glob("gin/agents/*.gin"),
        *ROOT.glob("gin/protocols/*.gin"),
    ]:
        if "digits" in path.name:  # an experiment of ours
            continue
        for line in path.read_text().splitlines():
            if line.startswith("#") or "period" in line or "keep_checkpoints" in line:
                continue
            _, _, value = line.partition(" = ")
            if any(character.isdigit() for character in value) and not value.startswith("'"):
                assert "#" in line, f"{path.name}: {line}"
