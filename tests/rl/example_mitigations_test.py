"""Example mitigations and two of the library on reinforcement learning, all at once: Atari and an MDP."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from examples.mitigations.c_chain import ChurnPenalty
from tests.rl import small_atari
from tests.training.graph_loop_test import run
from tfplastic.mitigations import DASH, ContinualBackprop, SelfNormalizedResets
from tfplastic.training import Loop, TrainConfig


def check_that_each_acted(mitigations, steps):
    backprop, resets, chain, _ = mitigations
    ages = [value.numpy() for name, value in backprop.state.items() if name.endswith("age")]
    assert all(0 <= each.min() and each.max() == steps for each in ages)
    assert min(each.min() for each in ages) < steps  # of a unit that was replaced
    assert resets.state["boundaries"].numpy() == steps // 3
    churns = chain.state["churns"].numpy()
    assert churns[0] == 0 and (churns[1:steps] > 0).all() and not churns[steps:].any()


class NotedDash(DASH):
    """Keeps the norms of the first kernel before and after its last call."""

    def build(self, model, optimizer, seed):
        super().build(model, optimizer, seed)
        self.norms = tf.Variable([0.0, 0.0], trainable=False)

    def after_update(self, step, model, slots, key, context):
        before = tf.norm(model.trainable_variables[0])
        super().after_update(step, model, slots, key, context)
        self.norms.assign([before, tf.norm(model.trainable_variables[0])])

    @property
    def state(self):
        return {"norms": self.norms}


@pytest.mark.parametrize("kind", ["atari", pytest.param("mdp", marks=pytest.mark.slow)])
def test_all_four_on_reinforcement_learning(tmp_path, kind):
    def network(num_outputs, *, seed, observation_shape=None, input_shape=None):
        return tp.networks.mlp(num_outputs, (16, 8), input_shape=observation_shape or input_shape, seed=seed)

    def make_task():
        if kind == "mdp":
            settings: Any = dict(replay_capacity=120, warm_up_agent_steps=40, diagnostics_batch_size=8)
            return tp.rl.ClassificationMdpTask(
                "digits",
                tp.tasks.true_label_mdp,
                tp.rl.double_dqn,
                network,
                target_update_period=3,
                batch_size=4,
                **settings,
            )
        return small_atari.make(network=network, target_update_period=3)

    steps, dash = 6, NotedDash(max_batches=2)
    mitigations = [
        ContinualBackprop(0.05, 1),
        SelfNormalizedResets(max_threshold=120),
        ChurnPenalty(1.0),
        dash,
    ]
    loop = Loop(TrainConfig(make_task(), tp.optimizers.adam(1e-3), steps, mitigations=mitigations))
    run(tmp_path, loop)
    check_that_each_acted(mitigations, steps)
    before, after = dash.norms.numpy()
    assert 0.3 * before <= after < before


OPTIMIZERS = {
    "ada_upgd": lambda: tp.optimizers.ada_upgd(1e-3),
    "adamo": lambda: tp.optimizers.adamo(0.1),
    "adamw": tp.optimizers.adamw,
    "muon": tp.optimizers.muon,
    "obgd": lambda: tp.optimizers.obgd(trace_decay=0.0),
    # A large first scale: with that of the code no weight near 1 moves in four steps of float32.
    "trac": lambda: tp.optimizers.trac(tp.optimizers.adam(1e-3), initial_scale=0.1),
    "upgd": tp.optimizers.upgd,
}


def nature_dqn_task():
    network = functools.partial(tp.networks.nature_dqn, width=0.1, norm="layer")
    return small_atari.make(network=network, protocol=dataclasses.replace(small_atari.SHORT, frame_size=36))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_on_the_nature_dqn(tmp_path, name):
    loop = Loop(TrainConfig(nature_dqn_task(), OPTIMIZERS[name](), 4))
    before = [each.numpy() for each in loop.task.model.trainable_variables]
    _, code = run(tmp_path, loop)
    after = [each.numpy() for each in loop.task.model.trainable_variables]
    assert code == 0 and all(np.isfinite(each).all() for each in after)
    assert all((one != other).any() for one, other in zip(before, after, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_in_fit_of_keras_and_of_a_plastic_model(name):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(24, 4)).astype(np.float32), draw.normal(size=(24, 2)).astype(np.float32)
    trained = []
    for wrap in (lambda network: network, tp.training.PlasticModel):
        model = wrap(tp.networks.mlp(2, (6, 5), input_shape=(4,)))
        model.compile(OPTIMIZERS[name](), "mse")
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
