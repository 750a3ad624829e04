"""Plasticity injection against a run by hand in float64, with three heads; exactness at its time."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.mitigations.numpy_network import backward, descend, outputs
from tests.mitigations.small_run import SmallRun, network, same_bits
from tests.mitigations.ten_steps import KINDS, RATE, SIZE, STEPS, data
from tests.mitigations.ten_steps import network as small_network
from tfplastic import optimizers
from tfplastic._keras import keras
from tfplastic.diagnostics import recorded_call
from tfplastic.mitigations import (
    HareAndTortoise,
    PlasticityInjection,
    ReDo,
    ResetLastLayer,
    ResetNetwork,
    ShrinkAndPerturb,
)
from tfplastic.mitigations.compatibility import check_mitigations
from tfplastic.mitigations.network_resets._frozen_heads import frozen_heads_of, trained_head_of
from tfplastic.training import Loop, PlasticModel, TrainConfig

AFTER = 4


def named(kind):
    """The small network of ten steps with layers of known names."""
    layers, model = keras.layers, small_network(kind)
    parts = {
        "dense": [
            keras.Input((4,)),
            layers.Dense(6, "relu"),
            layers.Dense(5, "relu", name="head"),
            layers.Dense(3),
        ],
        "convolutional": [
            keras.Input((5, 5, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Conv2D(4, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(6, "relu", name="head"),
            layers.Dense(3),
        ],
    }
    copy = keras.Sequential(parts[kind])
    copy.set_weights(model.get_weights())
    return copy


def by_hand(kind, fresh) -> Any:
    """The encoder and the trained head after ten steps, and the frozen heads."""
    x, y = (each.astype(np.float64) for each in data(kind))
    weights = [each.astype(np.float64) for each in named(kind).get_weights()]
    split = 2 if kind == "dense" else 4
    old: Any = None
    new: Any = None
    for step in range(STEPS):
        part = slice(step * SIZE, (step + 1) * SIZE)
        values = outputs(weights, x[part])
        predicted = values[-1]
        if old is not None:
            features = values[split // 2 - 1]
            predicted = outputs(old, features)[-1] + predicted - outputs(new, features)[-1]
        by_outputs = 2 * (predicted - y[part]) / y[part].size
        gradients = backward(weights, x[part], by_outputs)
        if old is not None:
            through = [backward(weights[:split] + head, x[part], by_outputs) for head in (old, new)]
            for place in range(split):  # of the encoder, by the frozen heads too
                gradients[place] = gradients[place] + through[0][place] - through[1][place]
        weights = descend(weights, gradients, RATE)
        if step + 1 == AFTER:
            old, new = weights[split:], fresh
            weights = [*weights[:split], *fresh]
    return weights, old, new


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    injection = PlasticityInjection(AFTER, head="head" if kind == "dense" else None)
    model = PlasticModel(named(kind))
    model.compile(optimizers.sgd(RATE), "mse", mitigations=[injection])
    x, y = data(kind)
    model.fit(x[: AFTER * SIZE], y[: AFTER * SIZE], batch_size=SIZE, shuffle=False, verbose=0)
    fresh = [each.numpy().astype(np.float64) for each in trained_head_of(model.network)]
    model.fit(x[AFTER * SIZE :], y[AFTER * SIZE :], batch_size=SIZE, shuffle=False, verbose=0)
    weights, old, new = by_hand(kind, fresh)
    heads: Any = frozen_heads_of(model.network)
    found = [*model.network.trainable_variables, *heads.old.variables, *heads.new.variables]
    for one, other in zip(found, [*weights, *old, *new], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)


def injected(model, head=None, optimizer=None):
    """A run after an injection, and its outputs before it (eager, in a graph), which may round apart."""
    training = SmallRun(model=model, optimizer=optimizer).train()
    injection = PlasticityInjection(1, head=head)
    before = outputs_of(training)
    training.act(injection)
    return training, before


def outputs_of(training):
    program = tf.function(lambda x: training.model(x), autograph=False)  # traces anew each time
    return [run(training.inputs[0]).numpy() for run in (training.model, program)]


@pytest.mark.parametrize(
    ("head", "norm"),
    [
        (None, None),
        ("hidden2", None),
        pytest.param("hidden1", "layer", marks=pytest.mark.slow),
        pytest.param("hidden2", "rms", marks=pytest.mark.slow),
    ],
)
def test_outputs_stay_exactly_and_the_new_head_alone_is_trained(head, norm):
    training, before = injected(network(norm), head)
    np.testing.assert_array_equal(outputs_of(training), before)
    heads: Any = frozen_heads_of(training.model)
    frozen = [each.numpy() for each in (*heads.old.variables, *heads.new.variables)]
    fresh = [each.numpy() for each in trained_head_of(training.model)]
    assert same_bits([each.numpy() for each in heads.new.variables], fresh)
    training._step(tf.constant(1, tf.int64))
    moved = zip(trained_head_of(training.model), fresh, strict=True)
    assert all((one.numpy() != other).any() for one, other in moved)
    assert same_bits([each.numpy() for each in (*heads.old.variables, *heads.new.variables)], frozen)


def test_the_first_update_of_the_new_head_depends_on_its_new_gradient_alone():
    # The first step of Adam's means from zero goes against the sign of its gradient, wherever they were.
    training, _ = injected(network(None))
    assert not any(each.any() for each in training.slot_values()["output/kernel"].values())
    assert all(each.any() for each in training.slot_values()["hidden1/kernel"].values())
    before = training.weights()["output/kernel"]
    training._step(tf.constant(1, tf.int64))
    moves = training.weights()["output/kernel"] - before
    momentum = training.slot_values()["output/kernel"]["momentum"]  # 0.1 times the gradient
    np.testing.assert_array_equal(np.sign(moves), -np.sign(momentum))


def test_an_object_in_a_second_run_leaves_the_first_network():
    injection = PlasticityInjection(1)
    first = injection.extend_network(network(None))
    injection.build(first, None, 0)
    second, target = (injection.extend_network(network(None)) for _ in range(2))
    injection.build(second, None, 0)
    before = [each.numpy() for each in first.variables]
    injection.after_update(tf.constant(1, tf.int64), second, lambda each: {}, KEY)
    heads: Any = [frozen_heads_of(each) for each in (first, second, target)]
    assert [float(each.is_on) for each in heads] == [0, 1, 1]
    assert same_bits([each.numpy() for each in first.variables], before)


@pytest.mark.parametrize("other", [ResetLastLayer(5), ResetNetwork(5)])
def test_resets_that_would_leave_the_frozen_heads_are_refused(other):
    with pytest.raises(ValueError, match="must not hold two that exclude each other"):
        check_mitigations([other, PlasticityInjection(1)], "ReDo()")


def test_the_target_network_is_changed_likewise_and_the_loop_counts_boundaries():
    settings: Any = dict(replay_capacity=120, warm_up_agent_steps=40, diagnostics_batch_size=8)
    task = tp.rl.ClassificationMdpTask(
        "digits",
        tp.tasks.true_label_mdp,
        tp.rl.double_dqn,
        lambda outputs, **more: tp.networks.mlp(outputs, (6, 5), **more),
        target_update_period=4,
        batch_size=4,
        **settings,
    )
    injection = PlasticityInjection(2, "boundaries", head="hidden2")
    loop: Any = Loop(TrainConfig(task, optimizers.adam(1e-2), 9, mitigations=[injection]))
    online, target = loop.task.model, task._agent.target_model
    target.set_weights([each + 0.1 for each in target.get_weights()[:-9]] + target.get_weights()[-9:])
    x = np.random.default_rng(0).normal(size=(5, *online.input_shape[1:])).astype(np.float32)
    before = [each(x).numpy() for each in (online, target)]
    for step, is_on in ((4, 0), (8, 1), (12, 1)):
        loop.parts.after_updates._call_mitigation(injection, tf.constant(step, tf.int64), KEY, MOMENT)
        for model, outputs_before in zip((online, target), before, strict=True):
            np.testing.assert_array_equal(model(x), outputs_before)
            heads: Any = frozen_heads_of(model)
            assert float(heads.is_on) == is_on
    fresh = [[each.numpy() for each in trained_head_of(model)] for model in (online, target)]
    assert same_bits(*fresh) and injection.state["boundaries"].numpy() == 3


KEY = tf.constant([3, 4])
MOMENT = tp.training.after_updates.Moment()


def test_default_heads():
    image = (6, 6, 1)
    first = {
        tp.networks.mlp(2, (4, 3), input_shape=(3,)): "output",
        tp.networks.cnn(2, input_shape=image, filters=(2, 2), kernel_sizes=(3, 3), hidden=(4,)): "hidden1",
        tp.networks.vit(2, input_shape=image, model_dim=4, feed_forward_dim=4, num_heads=2): "output",
        tp.networks.nature_dqn(2, width=0.1, observation_shape=(36, 36, 4), seed=0): "dense",
    }
    for model, name in first.items():
        heads: Any = frozen_heads_of(PlasticityInjection(1).extend_network(model))
        assert heads.old.layers[1].name == name, model.name
        assert not heads.trainable_weights and len(heads.weights) == 1 + 2 * len(heads.old.variables)


def test_a_network_is_extended_once_and_can_be_cloned():
    injection = PlasticityInjection(1, head="hidden2")
    training, before = injected(network(None), "hidden2")
    assert injection.extend_network(training.model) is training.model
    copy = keras.models.clone_model(training.model)
    copy.set_weights(training.model.get_weights())
    np.testing.assert_array_equal(copy(training.inputs[0]), before[0])


def test_the_average_of_the_head_starts_again_from_the_new_one():
    hare, injection = HareAndTortoise(100, 0.5), PlasticityInjection(2, head="hidden2")
    training = SmallRun([injection, hare], network(None))
    names = [name for name in hare.state if name != "is_on" and "hidden1" not in name]
    training.train()
    heads: Any = frozen_heads_of(training.model)
    assert float(heads.is_on) == 1 == float(hare.state["is_on"])
    distance = [
        np.abs(hare.state[name] - training.weights()[name.removeprefix("tortoise/")]).max() for name in names
    ]
    assert max(distance) < 0.05  # of draws anew, whose distance from old weights is near 1


def test_the_features_are_those_of_the_trained_head():
    model = PlasticityInjection(1, head="hidden2").extend_network(network(None))
    x = np.ones([2, 4], np.float32)

    @tf.function(autograph=False)
    def features():
        with recorded_call(model) as call:
            model(x)
        return call.features

    np.testing.assert_array_equal(features(), keras.Model(model.inputs, model.get_layer("output").input)(x))


def test_other_methods_act_on_the_network_with_three_heads():
    methods = [PlasticityInjection(2, head="hidden2"), ShrinkAndPerturb(), ReDo(threshold=1e3)]
    training = SmallRun(methods, tp.networks.mlp(3, (6, 5, 4), input_shape=(4,))).train()
    assert np.isfinite(training.losses).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": 0}, "`after` must be an integer of at least 1. Received: 0"),
        ({"after": 1, "unit": "tasks"}, "`unit` must be one of 'steps', 'boundaries'. Received: 'tasks'"),
        ({"after": 1, "head": 3}, "`head` must be the name of a layer or None. Received: 3"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        PlasticityInjection(**arguments)
    assert str(error.value) == message


def test_networks_that_do_not_fit():
    with pytest.raises(ValueError) as error:
        PlasticityInjection(1, head="hidden").extend_network(network(None))
    rule = "must name a layer through which everything goes to the outputs"
    known = "hidden1, hidden2, output"
    assert str(error.value) == f"`head` {rule}. Received: 'hidden'. The model has {known}"
    with pytest.raises(ValueError) as error:
        PlasticityInjection(1).build(network(None), optimizers.sgd(0.1), 0)
    rule = "must have frozen heads for plasticity injection. Received: 'mlp'"
    assert str(error.value) == f"`model` {rule}. Train the network that its `extend_network(model)` returns"
