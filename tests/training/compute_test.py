"""`train.compute`: the dtype in which the networks of a run compute."""

import functools
from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.training.graph_loop_test import make_task, run, weights
from tfplastic._keras import keras
from tfplastic.training import Loop, TrainConfig, compute

STEPS = 20


def make_loop(compute="bfloat16", compiler="graph", **network) -> Any:
    mlp = functools.partial(tp.networks.mlp, hidden=(16, 8), norm="layer", **network)
    task = tp.tasks.RandomLabelTask("digits", mlp, num_examples=64, steps_per_task=10, batch_size=8)
    periods: Any = dict(log_period=10, evaluation_period=10, checkpoint_period=7)
    config = TrainConfig(task, tp.optimizers.adam(1e-3), STEPS, compute=compute, compiler=compiler, **periods)
    return Loop(config)


def computing(loop):
    return {each.compute_dtype for each in loop.task.model.layers if each.name.startswith("hidden")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), make_loop())[0]


def test_networks_compute_in_it_with_weights_and_outputs_in_float32():
    loop = make_loop()
    assert computing(loop) == {"bfloat16"}
    assert {each.numpy().dtype.name for each in loop.task.model.trainable_variables} == {"float32"}
    assert loop.task.model.output.dtype == "float32"
    assert keras.mixed_precision.global_policy().name == "float32"


def test_a_dtype_of_the_builder_precedes_it():
    assert computing(make_loop(dtype="float32")) == {"float32"}
    assert computing(make_loop("float32", dtype="mixed_bfloat16")) == {"bfloat16"}


def test_float32_is_the_default():
    assert computing(Loop(TrainConfig(make_task(), tp.optimizers.sgd(0.1), STEPS))) == {"float32"}


def test_the_policy_is_restored_after_an_error():
    with pytest.raises(ArithmeticError), compute.computing_in("bfloat16"):
        raise ArithmeticError
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.slow
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    _, code = run(tmp_path, make_loop(), interrupt_at_step=10)
    assert code != 0
    resumed, _ = run(tmp_path, make_loop())
    np.testing.assert_array_equal(weights(resumed), weights(whole))


@pytest.mark.slow
def test_xla_agrees_with_the_graph_within_the_rounding_of_bfloat16(tmp_path, whole):
    loop, _ = run(tmp_path, make_loop(compiler="xla"))
    moved = np.linalg.norm(weights(whole) - weights(make_loop()))
    assert 0 < np.linalg.norm(weights(loop) - weights(whole)) <= 2.0**-4 * moved


@pytest.mark.parametrize(
    ("flags", "is_slow"), [("sse avx2 avx512f", True), ("avx512_bf16", False), ("amx_bf16 amx_tile", False)]
)
def test_a_processor_without_its_instructions_is_named(flags, is_slow, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {flags}\n")
    monkeypatch.setattr(compute, "_PROCESSOR", tmp_path / "cpuinfo")
    monkeypatch.setattr(compute.tf.config, "get_visible_devices", lambda kind: [])
    warning = compute.slowness("bfloat16")
    assert bool(warning) == is_slow
    if is_slow:
        assert "neither AMX nor AVX512-BF16; set train.compute = 'float32'" in warning and "\n" not in warning
    assert compute.slowness("float32") == ""


def test_a_gpu_is_not_slow(monkeypatch):
    monkeypatch.setattr(compute, "_has_instructions", lambda: False)
    monkeypatch.setattr(compute.tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    assert compute.slowness("bfloat16") == ""


def test_the_run_says_that_it_is_slow(monkeypatch, caplog):
    monkeypatch.setattr(compute, "_has_instructions", lambda: False)
    make_loop("float32")
    assert not caplog.records
    make_loop()
    assert sum("neither AMX" in record.message for record in caplog.records) == 1


@pytest.mark.slow
def test_the_plan_names_the_dtype():
    assert "computing in bfloat16" in make_loop().describe()
    assert "bfloat16" not in make_loop("float32").describe()


def test_a_network_whose_outputs_are_not_float32_is_refused():
    def network(num_outputs, input_shape, seed):
        return keras.Sequential(
            [keras.layers.Flatten(input_shape=input_shape), keras.layers.Dense(num_outputs)]
        )

    task = tp.tasks.RandomLabelTask("digits", network, num_examples=64, steps_per_task=10, batch_size=8)
    with pytest.raises(
        ValueError, match="must have outputs in float32 .* Give its last layer dtype='float32'"
    ):
        Loop(TrainConfig(task, tp.optimizers.sgd(0.1), STEPS, compute="bfloat16"))


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="`compute` must be one of 'float32', 'bfloat16'"):
        TrainConfig(make_task(), tp.optimizers.sgd(0.1), STEPS, compute="float16")
