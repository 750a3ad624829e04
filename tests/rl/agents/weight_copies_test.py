"""Copies of kernels in bfloat16: networks that read them give the bits that they give anyway."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.rl import methods_together, minatar_task_test
from tests.training.graph_loop_test import run, weights
from tfplastic import mitigations, networks, optimizers, rl
from tfplastic.rl import Evaluation
from tfplastic.rl.agents import q_agents
from tfplastic.rl.agents.weight_copies import WeightCopies
from tfplastic.training import GradientStep, Loop, TrainConfig

STEPS = 12
NATURE = functools.partial(networks.nature_dqn, width=0.1, observation_shape=(36, 36, 2), seed=0)


def warmed_up(norm="layer", **arguments) -> Any:
    network = functools.partial(networks.minatar_cnn, width=0.25, norm=norm, dtype="mixed_bfloat16")
    return minatar_task_test.warmed_up(agent=rl.double_dqn, network=network, **arguments)


def make_loop(compute="bfloat16", mitigation_list: Any = None, agent=rl.double_dqn) -> Any:
    network = functools.partial(networks.minatar_cnn, width=0.25, norm="layer")
    evaluation = Evaluation(num_episodes=2, num_envs=2)
    task = minatar_task_test.make(agent=agent, network=network, evaluation=evaluation, target_update_period=4)
    chosen = [mitigations.ShrinkAndPerturb(period=5)] if mitigation_list is None else mitigation_list
    periods: Any = dict(log_period=3, evaluation_period=6, checkpoint_period=5)
    optimizer = optimizers.centered_rmsprop(1e-3)
    return Loop(TrainConfig(task, optimizer, STEPS, mitigations=chosen, compute=compute, **periods))


def metrics(path):
    return (path / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, make_loop())[0]


def test_kernels_that_are_cast_have_copies_and_others_none():
    for dtype, count in (("mixed_bfloat16", 4), ("float32", 0), (None, 0)):
        copies = WeightCopies(NATURE(3, norm="layer", dtype=dtype))
        assert (len(copies._copies), bool(copies)) == (count, count > 0)  # the head computes in float32


def test_outputs_and_gradients_are_those_of_casts_to_the_last_bit():
    model = NATURE(3, norm="layer", dtype="mixed_bfloat16")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 36, 36, 2), np.uint8)
    copies = WeightCopies(model)

    @tf.function(autograph=False)
    def gradients(by_copies):
        with tf.GradientTape() as tape, copies.read() if by_copies else tf.name_scope("casts"):
            outputs = model(pixels, training=True)
        return outputs, tape.gradient(outputs, model.trainable_variables)

    for _ in range(2):
        (expected, casts), (outputs, found) = gradients(False), gradients(True)
        np.testing.assert_array_equal(outputs, expected)
        for one, other in zip(found, casts, strict=True):
            assert one.dtype == tf.float32
            np.testing.assert_array_equal(one, other)
        for variable in model.trainable_variables:
            variable.assign(1.5 * variable)
        assert np.abs(gradients(True)[0] - gradients(False)[0]).max() > 0  # as long as they are old
        copies.refresh()


# Eight bits of each factor; layer normalization divides differences of about equal numbers once more.
@pytest.mark.parametrize(("norm", "bound"), [(None, 2.0**-6), ("layer", 2.0**-4)])
def test_a_gradient_is_that_of_float32_within_the_rounding_of_bfloat16(norm, bound):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 36, 36, 2), np.uint8)
    found = {}
    for dtype in ("float32", "mixed_bfloat16"):
        model = NATURE(3, norm=norm, width=0.5, dtype=dtype)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(pixels) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        found[dtype] = np.concatenate([np.ravel(each) for each in gradients])
    exact, rounded = found["float32"], found["mixed_bfloat16"]
    assert 0 < np.linalg.norm(rounded - exact) <= bound * np.linalg.norm(exact)


def test_acting_reads_copies_of_the_weights_of_that_moment():
    task = warmed_up()
    agent = task._learner.agent
    seen = task._learner.observations(64, np.array([1, 2], np.int32))
    for _ in range(3):
        with agent.acting_by_copies():
            by_copies = agent.greedy_actions(seen)
        np.testing.assert_array_equal(by_copies, agent.greedy_actions(seen))
        for variable in task.model.trainable_variables:
            variable.assign(-1.3 * variable)
    assert len({key[-1] for key in agent._programs}) == 2
    task.close()


def casts_of_kernels(task) -> int:
    """The casts of a kernel of the dense layer in the program of a gradient step."""
    step = GradientStep(task, task.model, optimizers.sgd(0.1))
    batch = tf.nest.map_structure(tf.constant, task.next())

    def take():
        with task.tracing_step():
            return step(batch).loss

    graph = tf.function(take, autograph=False).get_concrete_function().graph
    shape = task.model.get_layer("dense").kernel.shape
    casts = [each for each in graph.get_operations() if each.type == "Cast"]
    return sum(each.inputs[0].shape == shape and each.outputs[0].dtype == tf.bfloat16 for each in casts)


def test_a_gradient_step_casts_no_kernel(monkeypatch):
    task = warmed_up()
    assert casts_of_kernels(task) == 0
    monkeypatch.setattr(q_agents.QAgent, "learning_by_copies", lambda self: tf.name_scope("casts"))
    assert casts_of_kernels(task) == 3  # two calls of the online network, one of the target network
    task.close()


def test_a_run_has_the_bits_of_one_without_copies(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(q_agents, "WeightCopies", lambda model: _NoCopies())
    loop, _ = run(tmp_path, make_loop())
    assert metrics(tmp_path) == metrics(whole[0])
    np.testing.assert_array_equal(weights(loop), weights(whole[1]))


class _NoCopies(WeightCopies):
    def __init__(self):
        self._kernels, self._copies = [], []


@pytest.mark.slow
def test_a_run_in_bfloat16_is_not_one_in_float32(tmp_path, whole):
    loop, _ = run(tmp_path, make_loop("float32"))
    assert metrics(tmp_path) != metrics(whole[0])
    np.testing.assert_allclose(weights(loop), weights(whole[1]), atol=0.1)


def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    methods_together.assert_resumes(tmp_path, make_loop, whole[1])
    assert metrics(tmp_path) == metrics(whole[0])


@pytest.mark.slow
@pytest.mark.parametrize("agent", [rl.dqn, rl.c51, rl.qr_dqn, rl.two_hot_dqn, rl.rainbow])
def test_every_agent_has_the_bits_of_one_without_copies(tmp_path, agent, monkeypatch):
    injection = [mitigations.PlasticityInjection(7)]
    by_copies, _ = run(tmp_path / "copies", make_loop(mitigation_list=injection, agent=agent))
    monkeypatch.setattr(q_agents, "WeightCopies", lambda model: _NoCopies())
    injection = [mitigations.PlasticityInjection(7)]
    by_casts, _ = run(tmp_path / "casts", make_loop(mitigation_list=injection, agent=agent))
    np.testing.assert_array_equal(weights(by_copies), weights(by_casts))
