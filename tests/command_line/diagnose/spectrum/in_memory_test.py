"""`bin/diagnose spectrum` on a run of a task in memory, whose batch needs no restored state."""

import re

import gin
import numpy as np
import pytest

from tfplastic.command_line import train
from tfplastic.command_line.diagnose import command

SMALL = (
    "train.total_steps = 4",
    "train.compiler = 'graph'",
    "train.diagnostics = [@sharpness]",
    "train.diagnostics_period = 4",
    "mlp.hidden = (4,)",
    "RandomLabelTask.num_examples = 30",
    "RandomLabelTask.batch_size = 8",
)


@pytest.fixture(autouse=True)
def no_configuration_left():
    yield
    gin.clear_config()


def test_the_largest_eigenvalue_is_the_sharpness_that_the_run_measured(tmp_path, capsys):
    bindings = [f"--gin_bindings={binding}" for binding in SMALL]
    run = f"--run_dir={tmp_path}"
    assert train.main(["--gin_file=gin/random_labels_digits.gin", *bindings, run, "--device=cpu"]) == 0
    few = ["--num_eigenvalues=2", "--num_probes=2", "--num_steps=8"]
    assert command.main(["spectrum", run, *few, "--device=cpu"]) == 0
    assert "gradient step 4: loss on 30 examples" in capsys.readouterr().out
    (sharpness,) = re.findall(
        r"^4,diagnostics/sharpness/all,(.*)$", (tmp_path / "metrics.csv").read_text(), re.M
    )
    with np.load(tmp_path / "arrays/spectrum/4.npz") as arrays:
        np.testing.assert_allclose(arrays["eigenvalues"][0], float(sharpness), rtol=2e-3)
