"""Lyle et al. 2023, section 4.1 and Fig. 1, at a scale of minutes: which Adam survives a change of the task.

1,000 images of MNIST, an MLP 2 x 256, 500 gradient steps a task. The bounds are those of measurements of ours
with another implementation (docs/random_labels.md): by task 10 default Adam is near chance with a first layer
that is dead, tuned Adam is not; the floor under the root prevents it, a shorter memory alone does not.
"""

import gin
import pytest

from tfplastic.configuration import gin_config
from tfplastic.training import Loop, RunDirectory, TrainConfig

QUICK = "gin/sizes/random_labels_quick.gin"
TASK_10 = 10 * 500  # its last gradient step
DEFAULT = ("gin/random_labels_mnist.gin",)
TUNED = (*DEFAULT, "gin/optimizers/tuned_adam.gin")


@pytest.fixture(autouse=True)
def no_configuration_left():
    yield
    gin.clear_config()


def at_task_10(path, files, seed, bindings=()):
    """The accuracy on all images and the fraction of dead units of the first layer as task 10 ends."""
    bindings = [*bindings, f"train.total_steps = {TASK_10}", f"train.seed = {seed}"]
    gin_config.parse([*files, QUICK], bindings)
    loop = Loop(gin.get_configurable(TrainConfig)())
    with RunDirectory.open(path, "", f"train.total_steps = {TASK_10}") as directory:
        assert loop.run(directory) == 0
    rows = [row.split(",") for row in (path / "metrics.csv").read_text().splitlines()[1:]]
    values = {tag: float(value) for step, tag, value in rows if int(step) == TASK_10}
    return values["evaluation/accuracy"], values["diagnostics/dead_units/hidden1_relu"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_default_adam_collapses(tmp_path, seed):
    accuracy, dead = at_task_10(tmp_path, DEFAULT, seed)
    assert accuracy < 0.2 and dead > 0.9, (accuracy, dead)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tuned_adam_does_not(tmp_path, seed):
    accuracy, dead = at_task_10(tmp_path, TUNED, seed)
    assert accuracy > 0.65 and dead < 0.05, (accuracy, dead)


@pytest.mark.slow
def test_the_floor_alone_is_enough(tmp_path):
    accuracy, dead = at_task_10(tmp_path, DEFAULT, 0, ["adam.epsilon_root = 1e-3"])
    assert accuracy > 0.65 and dead < 0.05, (accuracy, dead)


@pytest.mark.slow
def test_a_short_memory_alone_only_delays_it(tmp_path):
    accuracy, dead = at_task_10(tmp_path, DEFAULT, 0, ["adam.beta_2 = 0.9"])
    assert accuracy < 0.5 and dead > 0.5, (accuracy, dead)
