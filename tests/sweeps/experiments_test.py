"""The experiments in gin/: their content, and that their arms build."""

import dataclasses

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic.configuration import gin_config, gin_files
from tfplastic.reports.paper import INTERVENTIONS
from tfplastic.rl.atari.games import BENCHMARK_GAMES
from tfplastic.sweeps import Experiment
from tfplastic.sweeps.preflight.process import Checks
from tfplastic.sweeps.preflight.requests import Request

ROOT = gin_files.root()
# By tests of their own.
BUILT_BELOW = {f"gin/paper/{name}.gin" for name in ("fig07", "small/fig01", "small/fig02", "small/fig06")}
FEW_IMAGES = ["PermutedPixels.num_examples = 1_000"]  # as there are in the data of the tests
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("gin/**/*.gin")
    if "sweep.arms" in path.read_text()
)


def read(file) -> Experiment:
    gin_config.parse([file], [], packages=())
    experiment = gin.get_configurable(Experiment)()
    gin.clear_config()  # unlocks it for what `build` imports
    return experiment


def build(experiment, arms, **changes):
    asked = [(arm.name, list(arm.files), list(arm.bindings)) for arm in arms]
    request = Request(asked, list(experiment.seeds), ["memory://nothing"], "cpu", False, True)
    return list(Checks(request._replace(**changes)).answers())


def test_there_are_experiments_of_both_sizes():
    names = [f"fig{number:02}" for number in (1, 2, 3, 4, 5, 6, 12, 14, 17, 18)]
    assert {f"gin/paper/{name}.gin" for name in (*names, "fig07")} <= set(FILES)
    assert {f"gin/paper/small/{name}.gin" for name in names} <= set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_an_experiment_says_how_it_is_run_and_names_files_that_are_there(file):
    assert f"bin/sweep --experiment={file}" in (ROOT / file).read_text()
    for arm in read(file).arms:
        gin_files.scan(arm.files, arm.bindings)


def shrunk(arm):
    """The arm with less to initialize: networks of the paper's size take seconds."""
    large = {
        "paper/cnn": ["cnn.width = 0.1"],
        "paper/resnet18": ["resnet18.width = 0.1"],
        "protocols/upgd_permuted_mnist": FEW_IMAGES,
        "protocols/dohare_permuted_mnist": FEW_IMAGES,
        "protocols/kumar_permuted_mnist": FEW_IMAGES,
    }
    more = [line for name, lines in large.items() if f"gin/{name}.gin" in arm.files for line in lines]
    return dataclasses.replace(arm, bindings=(*arm.bindings, *more))


@pytest.mark.parametrize("file", [file for file in FILES if file not in BUILT_BELOW])
def test_an_arm_builds(file):
    experiment = read(file)
    assert len(build(experiment, [shrunk(experiment.arms[0])])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in FILES if file != "gin/paper/fig07.gin"])
def test_all_arms_build(file):
    experiment = read(file)
    assert len(build(experiment, [shrunk(arm) for arm in experiment.arms])) == len(experiment.arms)


def protocol(answer):
    """Bindings that all arms of the small form share."""
    lines = answer.config.splitlines()
    assert "ClassificationMdpTask.pixel_range = (-1.0, 1.0)" in lines
    assert "double_dqn.discount = 0.99" in lines or "two_hot_dqn.discount = 0.99" in lines
    if "train.probe = @Probe()" in lines:
        for line in ("Probe.num_steps = 2000", "Probe.baselines = 0", "train.share_first_probe = True"):
            assert line in lines
    return True


@pytest.mark.parametrize("number", [3, 4, 5, 6, 12, 14, 17, 18])
def test_the_small_form_has_its_protocol(number):
    experiment = read(f"gin/paper/small/fig{number:02}.gin")
    (answer,) = build(experiment, experiment.arms[-1:])
    assert protocol(answer) and answer.total_steps == (9_000 if number in (17, 18) else 6_000)
    period = answer.arm.split("-")[2] if number == 5 else "150"
    assert f"ClassificationMdpTask.target_update_period = {period}" in answer.config.splitlines()


@pytest.mark.parametrize(
    ("names", "runs"),
    [
        (("fig03", "fig03_tuned_adam"), 72),
        (("fig04", "fig17", "fig18"), 51),
        (("fig05",), 108),
        (("fig06", "fig06_more_seeds"), 192),
        (("fig06_vit",), 36),
        (("fig06_resnet18",), 9),
        (("fig12",), 72),
        (("fig14",), 12),
    ],
)
def test_the_small_experiments_have_the_runs_that_were_planned(names, runs):
    found = set()
    for name in names:
        experiment = read(f"gin/paper/small/{name}.gin")
        of_one = {(name[:5], arm.name, seed) for arm in experiment.arms for seed in experiment.seeds}
        assert not found & of_one  # those of one figure go to one place
        found |= of_one
    assert len(found) == runs


def test_fig01_and_fig04_build():
    for file, names in (("fig01", ["default_adam", "tuned_adam"]), ("fig04", ["none"])):
        experiment = read(f"gin/paper/small/{file}.gin")
        answers = build(experiment, experiment.arms)
        assert [answer.arm for answer in answers] == names and len(experiment.seeds) == 3


def test_fig02_builds_and_is_gradient_descent_beside_brownian_motion():
    experiment = read("gin/paper/small/fig02.gin")
    (answer,) = build(experiment, experiment.arms)
    assert answer.total_steps == 25_000 and len(experiment.seeds) == 3
    assert "'task_gradient_interference': None" in answer.config
    for line in (
        "train.optimizer = @sgd()",
        "sgd.learning_rate = 0.001",
        "train.twin = @BrownianTwin()",
        "train.diagnostics_loss = @noisy_self_targets",
        "ClassificationMdpTask.batch_size = 512",
        "ClassificationMdpTask.target_update_period = 5000",
        "gradient_covariance.num_examples = 512",
        "gradient_covariance.num_clusters = 10",
    ):
        assert line in answer.config.splitlines()


def test_fig06_is_the_whole_grid_of_two_networks():
    experiment = read("gin/paper/small/fig06.gin")
    parts = [arm.name.split("-") for arm in experiment.arms]
    assert {tuple(each) for each in parts} == {
        (data, network, name)
        for data in ("cifar10", "mnist")
        for network in ("mlp", "cnn")
        for name in INTERVENTIONS
    }
    assert len(parts) * len(experiment.seeds) == 144


def test_the_arms_of_fig06_build_and_are_what_their_names_say():
    experiment = read("gin/paper/small/fig06.gin")
    # Each intervention once, the networks and the data in turn.
    parts = ("cifar10-mlp", "cifar10-cnn", "mnist-mlp", "mnist-cnn")
    names = [f"{parts[place % 4]}-{name}" for place, name in enumerate(INTERVENTIONS)]
    answers = build(experiment, [arm for arm in experiment.arms if arm.name in names])
    assert sorted(answer.arm for answer in answers) == sorted(names)
    for answer in answers:
        data, network, intervention = answer.arm.split("-")
        assert f"ClassificationMdpTask.dataset = '{data}'" in answer.config
        assert f"ClassificationMdpTask.network = @{network}\n" in answer.config
        assert ("@two_hot_dqn" in answer.config) == ("two_hot" in intervention)
        assert ("Probe.head = @TwoHot()" in answer.config) == ("two_hot" in intervention)
        assert ("norm = 'layer'" in answer.config) == ("layer_norm" in intervention)
        assert ("('hidden1',)" in answer.config) == ("spectral_norm" in intervention)
        for name, said in (
            ("reset_last_layer", "@ResetLastLayer()"),
            ("weight_decay", "@WeightDecay()"),
            ("shrink_and_perturb", "@ShrinkAndPerturb()"),
        ):
            assert (said in answer.config) == (name in intervention)


def test_fig07_has_all_games_at_the_size_of_the_paper():
    experiment = read("gin/paper/fig07.gin")
    assert [arm.name for arm in experiment.arms] == [
        f"{game}-{norm}" for game in BENCHMARK_GAMES for norm in ("none", "layer_norm")
    ]
    assert experiment.seeds == (0, 1, 2)
    first, second = build(experiment, experiment.arms[:2], is_timed=True)
    assert first.total_steps == second.total_steps == 12_498_750
    # Replay segments of 100,000 frames of 84 x 84 bytes, two of them, and the networks.
    assert first.disk_bytes is not None and 1.3e9 < first.disk_bytes < 1.7e9
