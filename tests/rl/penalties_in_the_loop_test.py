"""Penalties, clipping and projection together in the training loop: a stream, an MDP and the Nature DQN."""

from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.rl import methods_together
from tests.training.graph_loop_test import run, values_of
from tfplastic import mitigations


def all_together():
    return [
        mitigations.WeightDecay(0.01, half=True),
        mitigations.L2Init(0.01, "huber"),
        mitigations.ResampledInit(0.01),
        mitigations.WassersteinInit(0.01),
        mitigations.SpectralRegularization(0.01, num_iterations=2),
        mitigations.ParsevalRegularization(1e-5),
        mitigations.GradientClipping(1.0),
        mitigations.WeightClipping(2.0, weights="all_but_norms"),
        mitigations.NormalizeAndProject(),
    ]


def make_loop(kind="stream", compiler="graph") -> Any:
    return methods_together.make_loop(all_together(), kind, compiler, tp.networks.nature_dqn)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, make_loop())[0]


def check_that_they_acted(path, loop):
    assert min(values_of(path, "train/penalty")) > 0
    *_, clipping, project = loop.config.mitigations
    for weight, bound in clipping._bounds[-2:]:  # those of the last layer, which nothing changes after it
        assert np.abs(weight.variable.numpy()).max() <= bound * (1 + 1e-6)
    for group, rho in zip(project._projected, project._rhos, strict=True):
        total = np.sqrt(sum((each.variable.numpy().astype(np.float64) ** 2).sum() for each in group))
        np.testing.assert_allclose(total, rho.numpy(), rtol=1e-5)


def test_a_stream(whole):
    check_that_they_acted(*whole)


def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    methods_together.assert_resumes(tmp_path, make_loop, whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdp", "nature_dqn"])
def test_reinforcement_learning(tmp_path, kind):
    check_that_they_acted(tmp_path, run(tmp_path, make_loop(kind))[0])


@pytest.mark.slow
def test_xla(tmp_path, whole):
    loop, _ = run(tmp_path, make_loop(compiler="xla"))
    methods_together.assert_nearly_same(loop, whole[1])
