from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.mitigations.small_run import SmallRun, network, same_bits
from tfplastic import networks
from tfplastic._keras import keras
from tfplastic.mitigations import ResetLastLayer
from tfplastic.optimizers import adam


def changed_by_reset(model, **arguments):
    """The 'layer/role' of the weights that a reset changes; all of them are noise before."""
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    training = SmallRun(model=model)
    before = training.weights()
    after = training.act(ResetLastLayer(**arguments)).weights()
    return [name for name in before if not same_bits([before[name]], [after[name]])]


def test_a_bias_for_all_outputs_belongs_to_the_head():
    model = networks.nature_dqn(4, seed=0, width=0.1, shared_bias=True, observation_shape=(36, 36, 1))
    assert changed_by_reset(model) == ["output/kernel", "output_bias/bias"]


def test_the_heads_of_an_actor_and_a_critic_count_as_one():
    def head(name, units):
        layers = [keras.layers.Dense(5, name=f"{name}_hidden"), keras.layers.Dense(units, name=f"{name}_out")]
        return keras.Sequential([keras.Input((6,)), *layers], name=name)

    inputs = keras.Input((4,))
    features = keras.layers.Dense(6, name="shared")(inputs)
    model = keras.Model(inputs, [head("actor", 3)(features), head("critic", 1)(features)])
    for count, expected in (
        (0, []),
        (1, ["actor_out", "critic_out"]),
        (2, ["actor_out", "critic_hidden", "critic_out"]),
        (4, ["shared", "actor_hidden", "actor_out", "critic_hidden", "critic_out"]),
    ):
        reset = ResetLastLayer(num_layers=count)
        reset.build(model, adam(), 0)
        assert list(dict.fromkeys(each.layer.name for each in reset._weights)) == expected


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_norm_belongs_to_the_layer_that_it_follows(position):
    model = networks.cnn(
        *(3,),
        input_shape=(6, 6, 1),
        filters=(2,),
        kernel_sizes=(3,),
        strides=(1,),
        hidden=(4,),
        norm="layer",
        norm_position=position,
    )
    head = ["output/kernel", "output/bias"]
    hidden = [f"hidden1{name}" for name in ("/kernel", "/bias", "_norm/gamma", "_norm/beta")]
    convolution = [f"conv1{name}" for name in ("/kernel", "/bias", "_norm/gamma", "_norm/beta")]
    assert changed_by_reset(model) == head
    assert changed_by_reset(model, num_layers=2) == hidden + head
    assert changed_by_reset(model, num_layers=3) == convolution + hidden + head


def test_layers_of_a_nested_model_come_in_their_order():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, name="inner")], name="backbone")
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(3, name="head")])
    assert changed_by_reset(model) == ["head/kernel", "head/bias"]
    assert changed_by_reset(model, num_layers=2) == [
        *("backbone/inner/kernel", "backbone/inner/bias"),
        *("head/kernel", "head/bias"),
    ]


def test_a_frozen_layer_is_not_reset():
    model = network(norm=None)
    model.layers[-1].trainable = False
    assert changed_by_reset(model) == ["hidden2/kernel", "hidden2/bias"]


def test_new_weights_are_as_those_of_a_new_network():
    model = networks.mlp(500, (100,), input_shape=(4,), initializer="he_normal", seed=0)
    initial = model.layers[-1].kernel.numpy().ravel()
    kernel = SmallRun(model=model).act(ResetLastLayer()).weights()["output/kernel"].ravel()
    assert not (kernel == initial).any()
    result: Any = scipy.stats.ks_2samp(kernel, initial)
    assert result.pvalue > 1e-3


def test_what_was_before_plays_no_part():
    first, second = SmallRun(), SmallRun().train()
    heads = [run.act(ResetLastLayer()).weights() for run in (first, second)]
    for role in ("kernel", "bias"):
        np.testing.assert_array_equal(heads[0][f"output/{role}"], heads[1][f"output/{role}"])


def test_the_count_of_steps_goes_on():
    training = SmallRun().train()
    steps = int(training.optimizer.iterations.numpy())
    assert steps == int(training.act(ResetLastLayer()).optimizer.iterations.numpy()) > 0


def test_updates_by_adam_after_a_reset_are_as_much_larger_as_documented():
    weight = keras.layers.Dense(1, use_bias=False)
    weight.build((None, 1))
    model = keras.Sequential([keras.Input((1,)), weight])
    optimizer = adam(1e-6, epsilon=1e-12)
    optimizer.build(model.trainable_variables)
    training = SmallRun(model=model, optimizer=optimizer)

    def update():
        before = weight.kernel.numpy().item()
        optimizer.apply_gradients([(tf.ones([1, 1]), model.trainable_variables[0])])
        return before - weight.kernel.numpy().item()

    weight.kernel.assign([[0.0]])
    optimizer.iterations.assign(100_000)
    for slot in training.slots(model.trainable_variables[0]).values():
        slot.assign([[0.0]])
    ratios = [update() / 1e-6 for _ in range(12)]
    np.testing.assert_allclose([ratios[0], ratios[-1]], [0.1 / 0.001**0.5, 6.5685], rtol=2e-3)


def test_more_layers_than_there_are():
    with pytest.raises(ValueError) as error:
        SmallRun([ResetLastLayer(num_layers=4)])
    rule = "must be at most 3, the number of layers of `model` with a kernel"
    assert str(error.value) == f"`num_layers` {rule}. Received: 4"


@pytest.mark.parametrize("count", [-1, 1.5])
def test_no_number_of_layers(count):
    with pytest.raises(ValueError) as error:
        ResetLastLayer(num_layers=count)
    assert str(error.value) == f"`num_layers` must be an integer of at least 0. Received: {count}"


def test_a_model_without_weights():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Flatten()], name="empty")
    with pytest.raises(ValueError) as error:
        ResetLastLayer().build(model, adam(), seed=0)
    assert str(error.value) == "`model` must be built and have trainable weights. Received: 'empty'"
