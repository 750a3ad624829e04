"""Traces of agents as XProf shows them: acting, replay, environment and gradient step separately."""

import pytest

from tests import xprof_pages
from tests.rl import mdp_loop_test, small_atari
from tests.training.events.profiler_test import names, profiled
from tfplastic._keras import keras
from tfplastic.training import Loop, TrainConfig


def test_atari(tmp_path):
    config = TrainConfig(small_atari.make(), keras.optimizers.SGD(0.01), total_steps=12)
    trace = profiled(tmp_path, Loop(config), 3, 10)
    steps = xprof_pages.steps(trace)
    assert list(steps) == names(3, 10)
    assert min(steps.values()) > 0
    spans = xprof_pages.span_names(trace)
    counts = {
        name: spans.count(name)
        for name in ("acting", "emulator", "replay_add", "replay_sample", "gradient_step")
    }
    assert counts["gradient_step"] == counts["replay_sample"] == 7
    assert counts["acting"] == counts["emulator"] == counts["replay_add"] >= 28  # and one for each reset
    assert any("MatMul" in name for name in xprof_pages.operations(trace))


@pytest.mark.parametrize("program", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_a_classification_mdp(tmp_path, program):
    trace = profiled(tmp_path, mdp_loop_test.make_loop(compiler=program), 10, 17)
    assert list(xprof_pages.steps(trace)) == names(10, 17)
    spans = xprof_pages.span_names(trace)
    for part in ("acting", "environment", "replay_add", "replay_sample", "gradient_step"):
        assert spans.count(part) == 7, part
