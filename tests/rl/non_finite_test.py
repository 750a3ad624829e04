"""Which layer and quantity first was not finite in agents' networks, the target network among them."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.rl import small_atari
from tests.training import graph_loop_test, loop_test
from tests.training.execution.non_finite_test import Sabotage, message_of, network
from tfplastic._keras import keras
from tfplastic.mitigations import Mitigation
from tfplastic.training import Loop, TrainConfig


class BrokenTarget(Mitigation):
    """After gradient step 5 a weight of the target network is NaN."""

    period = 1

    def __init__(self, task):
        self.task = task

    def after_update(self, step, model, slots, key, context):
        bias = self.task.trackables()["target_model"].get_layer("hidden").bias
        bias.assign(tf.where(step == 5, np.nan * tf.ones(bias.shape), tf.convert_to_tensor(bias)))


def mdp_task() -> Any:
    return tp.rl.ClassificationMdpTask(
        "digits",
        tp.tasks.true_label_mdp,
        tp.rl.double_dqn,
        network,
        num_examples=32,
        replay_capacity=120,
        warm_up_agent_steps=40,
        target_update_period=100,
        batch_size=8,
        diagnostics_batch_size=8,
    )


def mdp_loop(program, mitigations, task=None):
    settings: dict[str, Any] = dict(
        log_period=100, evaluation_period=100, checkpoint_period=4, compiler=program
    )
    optimizer = keras.optimizers.SGD(0.01)
    return Loop(TrainConfig(task or mdp_task(), optimizer, 20, mitigations=mitigations, **settings))


@pytest.mark.parametrize("program", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_a_classification_mdp(tmp_path, program):
    loop = mdp_loop(program, [Sabotage("hidden", "kernel", 3e38, at=9)])
    message = message_of(tmp_path, loop, graph_loop_test.run)
    assert "step 10; the first was the output of layer 'hidden' at gradient step 10. " in message
    assert message.endswith(f"--init_from={tmp_path}@8 --run_dir=NEW")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["graph", "xla"])
def test_a_target_network(tmp_path, program):
    task = mdp_task()
    message = message_of(tmp_path, mdp_loop(program, [BrokenTarget(task)], task), graph_loop_test.run)
    assert "the first was the weight 'bias' of layer 'target_model/hidden', as the optimizer or" in message


def atari_network(num_outputs, observation_shape, seed):
    size = num_outputs if isinstance(num_outputs, int) else math.prod(num_outputs)
    return network(size, input_shape=observation_shape, seed=seed)


def test_atari(tmp_path):
    task = small_atari.make(network=atari_network)
    mitigations = [Sabotage("root", "scale", np.inf, at=5, period=5)]
    optimizer = keras.optimizers.SGD(1e-4)
    loop = Loop(TrainConfig(task, optimizer, total_steps=8, checkpoint_period=4, mitigations=mitigations))
    message = message_of(tmp_path, loop, loop_test.run)
    assert "step 6; the first was the weight 'scale' of layer 'root' at gradient step 6. " in message
    assert message.endswith(f"--init_from={tmp_path}@4 --run_dir=NEW")
