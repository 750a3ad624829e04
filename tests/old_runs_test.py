"""Every run that is committed under docs/ stays usable: reused by sweeps, read by reports, built again."""

import os
import re
from collections import defaultdict
from pathlib import Path

import gin
import pytest

from tests import made_up_data
from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic import reports
from tfplastic.command_line.diagnose.checkpoints import find_checkpoints
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.configuration import gin_config, gin_files
from tfplastic.sweeps import experiment_file
from tfplastic.sweeps.preflight.process import Checks
from tfplastic.sweeps.preflight.requests import Request
from tfplastic.sweeps.queue import queue_file
from tfplastic.training import Loop, TrainConfig

DOCS = gin_files.root() / "docs"
# {a place with runs of before its experiment changed: what was otherwise then, by today's names}
EARLIER = {
    "paper/fig02": [
        "ClassificationMdpTask.pixel_range = (0.0, 1.0)",
        "train.diagnostics = [@dead_units, @weight_norm, @distance_from_init, @sharpness,"
        " @gradient_interference, @gradient_effective_rank, @gradient_covariance, @hessian_spectral_density]",
        "train.diagnostics_losses = {}",
        "train.diagnostics_periods = {'gradient_covariance': [1_000, 20_000], 'hessian_spectral_density': [0,"
        " 25_000]}",
    ],
    "paper/fig04": [
        "ClassificationMdpTask.pixel_range = (0.0, 1.0)",
        "ClassificationMdpTask.diagnostics_batch_size = 128",
        "ClassificationMdpTask.target_update_period = 200",
        "train.diagnostics = [@dead_units, @dormant_units, @weight_norm, @gradient_norm, @sharpness]",
        "train.diagnostics_period = 5_000",
        "train.evaluation_period = 1_000",
        "train.probe_period = 5_000",
        "train.share_first_probe = False",
        "train.total_steps = 20_000",
        "weight_norm.normalization = True",
        "Probe.baselines = 8",
    ],
}
_ARMS = 2  # of each place that the fast tests build
QUEUE = queue_file.read(DOCS / "paper" / "queue.txt")
RUNS: dict[Path, list[Path]] = defaultdict(list)  # {the place given to --reuse: its run directories}
for config in sorted(DOCS.rglob("operative_config.gin")):
    RUNS[config.parents[1]].append(config.parent)


@pytest.fixture(autouse=True, scope="module")
def whole_mnist(data_at_hand):  # noqa: F811
    """Makes as many images as the runs of published numbers take."""
    made_up_data.write(Path(os.environ["TFPLASTIC_DATA_DIR"]), "mnist", num_train=60_000)


def names(places):
    return [place.relative_to(DOCS).as_posix() for place in places]


def test_there_are_committed_runs():
    assert {"paper/fig01", "paper/fig02", "paper/fig04"} <= set(names(RUNS))


def experiments(place):
    """The experiments of the runs at a path: by the queue, or by the place's name."""
    queued = [entry.experiment for entry in QUEUE if entry.figure == place.name]
    root = gin_files.root()
    files = [root / name for name in queued] or list(root.glob(f"gin/**/small/{place.name}.gin"))
    assert files
    return [experiment_file.read(str(file)) for file in files]


def reused(place, most_arms=None):
    """Asserts that the committed runs of `most_arms` arms of each experiment are taken for its runs."""
    earlier = EARLIER.get(place.relative_to(DOCS).as_posix(), [])
    seen = set()
    for experiment in experiments(place):
        seeds = {
            arm.name: [seed for seed in experiment.seeds if place / f"{arm.name}-seed{seed}" in RUNS[place]]
            for arm in experiment.arms
        }
        arms = [
            (arm.name, list(arm.files), [*arm.bindings, *earlier])
            for arm in experiment.arms
            if seeds[arm.name]
        ]
        roots = ["memory://nothing", str(place)]
        request = Request(arms[:most_arms], list(experiment.seeds), roots, "cpu", False, True)
        for answer in Checks(request).answers():
            assert answer.notes == []
            found = {Path(seed.directory) for seed in answer.seeds if seed.is_finished}
            assert found == {place / f"{answer.arm}-seed{seed}" for seed in seeds[answer.arm]}
            seen |= found
    return seen


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_reuse_takes_the_runs(place):
    few = reused(place, _ARMS)
    assert few == set(RUNS[place]) or len(few) >= _ARMS


@pytest.mark.slow
@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_reuse_takes_every_run(place):
    assert reused(place) == set(RUNS[place])


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_a_report_reads_every_run(place):
    runs = reports.read_runs(place)
    assert [run.errors for run in runs] == [()] * len(RUNS[place])
    assert all(run.state == "finished" and len(run.metrics) and run.config for run in runs)


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_diagnose_opens_every_checkpoint_and_arms_can_be_built(place):
    with_checkpoints = [path for path in RUNS[place] if list(path.glob("checkpoints/step_*"))]
    for path in with_checkpoints:
        checkpoint = find_checkpoints(str(path))[-1]
        run = TrainedRun(checkpoint)
        run.read(checkpoint)
        gin.clear_config()
    built = set()
    for path in RUNS[place]:
        arm = re.sub(r"-seed\d+$", "", path.name)
        if arm not in built and len(built) < _ARMS and path not in with_checkpoints:
            built.add(arm)
            gin_config.parse([str(path / "operative_config.gin")], [])
            Loop(gin.get_configurable(TrainConfig)())
