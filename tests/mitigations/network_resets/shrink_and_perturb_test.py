import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.oracle import Oracle
from tests.mitigations.small_run import SmallRun, network, same_bits
from tfplastic import networks
from tfplastic._keras import keras
from tfplastic.mitigations import ShrinkAndPerturb, WeightReinitializer
from tfplastic.mitigations._weights.trainable import trainable_weights

KEY = tf.constant([4, -2])


def act(training, mitigation, key=KEY):
    mitigation.build(training.model, training.optimizer, 0)
    mitigation.after_update(tf.constant(1, tf.int64), training.model, training.slots, key)
    return training.weights()


@pytest.mark.parametrize(("shrink", "perturb"), [(0.8, 0.2), (1.0, 0.01), (0.5, 0.0), (0.0, 1.0)])
def test_the_sum_is_that_of_the_old_and_of_fresh_weights(shrink, perturb):
    training = SmallRun().train()
    before = training.weights()
    weights = trainable_weights(training.model)
    fresh = dict(zip(map(str, weights), WeightReinitializer(weights).draw(KEY), strict=True))
    after = act(training, ShrinkAndPerturb(shrink=shrink, perturb=perturb))
    for name, value in after.items():
        expected = shrink * before[name].astype(np.float64) + perturb * fresh[name].numpy()
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-8)


def test_the_defaults_keep_a_gain_of_one_and_a_bias_of_zero():
    after = act(SmallRun(), ShrinkAndPerturb())
    for layer in ("hidden1", "hidden2"):
        np.testing.assert_allclose(after[f"{layer}_norm/gamma"], 1.0, rtol=1e-6)
        assert not after[f"{layer}/bias"].any()


def test_a_kernel_of_zeros_gets_the_spread_of_the_fresh_part():
    training = SmallRun(model=network())
    spread = training.model.layers[0].kernel.numpy().std()
    assert spread > 0
    training.model.layers[0].kernel.assign(np.zeros((4, 6)))
    after = act(training, ShrinkAndPerturb(shrink=0.8, perturb=0.2))["hidden1/kernel"]
    assert 0.1 * spread < after.std() < 0.4 * spread


def test_kernels_alone():
    training = SmallRun().train()
    before = training.weights()
    after = act(training, ShrinkAndPerturb(weights="kernels"))
    changed = {name for name in before if not same_bits([before[name]], [after[name]])}
    assert changed == {"hidden1/kernel", "hidden2/kernel", "output/kernel"}


def test_slots_are_kept_unless_asked():
    training = SmallRun().train()
    before = training.slot_values()
    act(training, ShrinkAndPerturb())
    for name, slots in training.slot_values().items():
        assert same_bits(slots.values(), before[name].values())


def test_slots_of_the_weights_that_are_left_alone_are_kept():
    training = SmallRun().train()
    act(training, ShrinkAndPerturb(weights="kernels", reset_slots=True))
    zero = {
        name
        for name, slots in training.slot_values().items()
        if not any(value.any() for value in slots.values())
    }
    assert zero == {"hidden1/kernel", "hidden2/kernel", "output/kernel"}


def test_statistics_of_a_norm_are_left_alone():
    training = SmallRun(model=network(norm="batch")).train()
    before = [each.numpy() for each in training.model.non_trainable_variables]
    act(training, ShrinkAndPerturb())
    assert len(before) == 4
    assert same_bits([each.numpy() for each in training.model.non_trainable_variables], before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shrink": 1.5}, "`shrink` must be a number in [0, 1]. Received: 1.5"),
        ({"perturb": -0.1}, "`perturb` must be a finite number of at least 0. Received: -0.1"),
        ({"noise": "some"}, "`noise` must be one of 'fresh', 'initial', 'normal'. Received: 'some'"),
        ({"shrinks": "some"}, "`shrinks` must be one of 'updated', 'older'. Received: 'some'"),
        ({"weights": "some"}, "`weights` must be one of 'all', 'all_but_norms', 'kernels'. Received: 'some'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        ShrinkAndPerturb(**arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("network_name", "noise", "shrinks"),
    [
        ("dense", "normal", "older"),
        ("convolutional", "initial", "updated"),
        pytest.param("dense", "fresh", "updated", marks=pytest.mark.slow),
    ],
)
def test_every_step_in_each_form(tmp_path, network_name, noise, shrinks):
    shrink, perturb = 0.97, 0.01
    mitigation = ShrinkAndPerturb(1, shrink, perturb, noise=noise, shrinks=shrinks)
    oracle = Oracle(mitigation, 10, network_name)
    first, older = oracle.weights, oracle.weights
    normal = keras.initializers.RandomNormal(0.0, 1.0, seed=0) if noise == "normal" else None
    for step in oracle.steps():
        added = first if noise == "initial" else oracle.fresh(step, normal, kernels=False)
        if shrinks == "older":
            shrunk = [w - (1 - shrink) * old for w, old in zip(oracle.weights, older, strict=True)]
        else:
            shrunk = [shrink * w for w in oracle.weights]
        oracle.weights = [w + perturb * phi for w, phi in zip(shrunk, added, strict=True)]
        older = oracle.weights
    oracle.check(tmp_path)


def test_normal_noise_has_its_standard_deviation():
    training = SmallRun(model=networks.mlp(3, (200, 100), input_shape=(4,)))
    before = training.weights()
    after = act(training, ShrinkAndPerturb(shrink=1.0, perturb=0.1, noise="normal"))
    noise = np.concatenate([(after[name] - before[name]).ravel() for name in before])
    assert abs(noise.mean()) < 3e-3 and abs(noise.std() - 0.1) < 3e-3
    assert (after["hidden1/bias"] != 0).all()  # biases too


def test_the_first_weights_are_in_the_state():
    training = SmallRun()
    mitigation = ShrinkAndPerturb(noise="initial")
    first = training.weights().values()
    mitigation.build(training.model, training.optimizer, 0)
    assert same_bits([each.numpy() for each in mitigation.state.values()], list(first))
