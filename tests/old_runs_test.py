"""Every run that is committed under docs/ stays usable: reused by sweeps, read by reports, built again."""

import re
from collections import defaultdict
from pathlib import Path

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic import reports
from tfplastic.command_line import gin_config, gin_files
from tfplastic.command_line.diagnose.checkpoints import find_checkpoints
from tfplastic.command_line.diagnose.trained_run import TrainedRun
from tfplastic.sweeps import experiment_file
from tfplastic.sweeps.check_process import Checks
from tfplastic.sweeps.checks import Request
from tfplastic.training import Loop, TrainConfig

DOCS = gin_files.root() / "docs"
RUNS: dict[Path, list[Path]] = defaultdict(list)  # {the place given to --reuse: its run directories}
for config in sorted(DOCS.rglob("operative_config.gin")):
    RUNS[config.parents[1]].append(config.parent)


def names(places):
    return [place.relative_to(DOCS).as_posix() for place in places]


def test_there_are_committed_runs():
    assert {"paper/fig01", "paper/fig02", "paper/fig04"} <= set(names(RUNS))


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_reuse_takes_every_run(place):
    (file,) = gin_files.root().glob(f"gin/**/small/{place.name}.gin")  # docs/README.md names it
    experiment = experiment_file.read(str(file))
    wanted = {path.name for path in RUNS[place]}
    arms = [
        (arm.name, list(arm.files), list(arm.bindings))
        for arm in experiment.arms
        if any(name.startswith(f"{arm.name}-seed") for name in wanted)
    ]
    roots = ["memory://nothing", str(place)]
    request = Request(arms, list(experiment.seeds), roots, "cpu", False, False, True)
    answers = list(Checks(request).answers())
    assert [note for answer in answers for note in answer.notes] == []
    found = [seed for answer in answers for seed in answer.seeds if seed.is_finished]
    assert {Path(seed.directory) for seed in found} == set(RUNS[place])


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_a_report_reads_every_run(place):
    runs = reports.read_runs(place)
    assert [run.errors for run in runs] == [()] * len(RUNS[place])
    assert all(run.state == "finished" and len(run.metrics) and run.config for run in runs)


@pytest.mark.parametrize("place", RUNS, ids=names(RUNS))
def test_diagnose_opens_every_checkpoint_and_each_arm_can_be_built(place):
    with_checkpoints = [path for path in RUNS[place] if list(path.glob("checkpoints/step_*"))]
    for path in with_checkpoints:
        checkpoint = find_checkpoints(str(path))[-1]
        run = TrainedRun(checkpoint)
        run.read(checkpoint)
        gin.clear_config()
    built = set()
    for path in RUNS[place]:
        arm = re.sub(r"-seed\d+$", "", path.name)
        if arm not in built and path not in with_checkpoints:
            built.add(arm)
            gin_config.parse([str(path / "operative_config.gin")], [])
            Loop(gin.get_configurable(TrainConfig)())
