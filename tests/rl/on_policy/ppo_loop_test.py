"""PPO in the training loop: what learns, and its mitigations, diagnostics and probes."""

import re
from typing import Any

import numpy as np
import pytest

from tests.contracts.tasks_table import on_policy
from tests.training.graph_loop_test import run, steps_of, values_of
from tests.training.loop_test import rows
from tfplastic.diagnostics import dead_units, gradient_norm, sharpness
from tfplastic.mitigations import L2Init, ReDo, ShrinkAndPerturb
from tfplastic.optimizers import adam
from tfplastic.probing import Probe
from tfplastic.training import Loop, TrainConfig

STEPS, ROLLOUT = 12, 6  # gradient steps in all and of a rollout
MEASURED = (
    "diagnostics/dead_units/dense_relu",
    "diagnostics/gradient_norm/conv1",
    "diagnostics/sharpness/all",
    "probe/final_loss",
    "probe/loss_of_plasticity_high",
)


def make_loop(*mitigations, **measurements) -> Any:
    config = TrainConfig(
        on_policy(0), adam(1e-3), STEPS, log_period=4, mitigations=mitigations, **measurements
    )
    return Loop(config)


def kernels(loop):
    return [loop.task.model.get_layer(name).kernel.numpy() for name in ("dense", "output")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a run, and the kernels that it began and ended with."""
    path = tmp_path_factory.mktemp("trained")
    probe: Any = dict(num_targets=2, num_steps=4, batch_size=4, baselines=2, num_inputs=12, compiler="graph")
    loop = make_loop(
        ReDo(period=STEPS),
        L2Init(),
        diagnostics=(dead_units, gradient_norm, sharpness),
        diagnostics_period=ROLLOUT,
        probe=Probe(**probe),
        probe_period=ROLLOUT,
    )
    before = kernels(loop)
    _, code = run(path, loop)
    assert code == 0
    return path, before, kernels(loop)


def test_the_hidden_layer_the_logits_and_the_value_learn_and_mitigations_act(trained):
    path, (dense_before, output_before), (dense, output) = trained
    is_reset = ~output.any(axis=1)  # by ReDo after the last step
    assert 0 < is_reset.sum() < len(is_reset)
    assert (dense != dense_before)[:, ~is_reset].any(axis=0).all()
    assert (output != output_before)[~is_reset].all() and output.shape[1] == 7  # 6 logits and the value
    assert min(values_of(path, "train/penalty")) > 0


def test_diagnostics_and_probes_are_measured_and_finite(trained):
    path, *_ = trained
    for tag in MEASURED:
        assert steps_of(path, tag) == [0, ROLLOUT, STEPS]
    values = {(step, tag): value for step, tag, value in rows(path)}
    assert [each for each, value in values.items() if not np.isfinite(value)] == []


@pytest.mark.parametrize("mitigation", [ReDo(period=None), ShrinkAndPerturb()])
def test_a_mitigation_without_a_period_is_refused_in_one_line(mitigation):
    name = type(mitigation).__name__
    message = (
        f"`{name}` must have a `period`, because the task has no boundaries; in gin: {name}.period = 1_000. "
        "Received: None"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_loop(mitigation)
