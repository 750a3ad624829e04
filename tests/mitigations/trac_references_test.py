"""TRAC continues where mitigations reset its slots or change the weights."""

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.small_run import NUM_STEPS, SmallRun, network
from tfplastic import mitigations, networks
from tfplastic.mitigations._weights.changes import change
from tfplastic.optimizers import adam, slots, trac
from tfplastic.training import PlasticModel

RESETS = {
    "last layer": lambda: mitigations.ResetLastLayer(20),
    "units": lambda: mitigations.ReDo(20, threshold=0.8),
    "slots": lambda: mitigations.ResetOptimizerState(20, reset_step=False),
}
CHANGES = {
    "shrink": lambda: mitigations.ShrinkAndPerturb(20),
    "fire": lambda: mitigations.FIRE(20),
    "clipping": lambda: mitigations.WeightClipping(0.5, period=20),
    "projection": lambda: mitigations.NormalizeAndProject(20),
    "tortoise": lambda: mitigations.HareAndTortoise(20, decay=0.5),
    "partial": lambda: mitigations.PartialResets(0.5, reset_period=20),
    "rank": lambda: mitigations.L2ER(0.1, period=20),
}


@pytest.mark.parametrize("make", [*RESETS.values(), CHANGES["shrink"], CHANGES["projection"]])
def test_the_scale_stays_above_zero_and_the_loss_falls(make):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(8, 4)).astype(np.float32)
    y = draw.normal(size=(8, 3)).astype(np.float32)
    optimizer = trac(adam(0.01), initial_scale=0.01)
    model = PlasticModel(networks.mlp(3, (16, 16), input_shape=(4,)))
    model.compile(optimizer, "mse", mitigations=[make()])
    x, y = (np.tile(each, (20, 1)) for each in (x, y))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0)
    assert sum(optimizer.shared_variables[-1].numpy()) > 1e-2
    assert model.evaluate(x, y, verbose=0) < 0.7 * before


def trained():
    """A network after some steps of TRAC, with weights away from their references."""
    training = SmallRun([], network(norm=None), trac(adam(0.1))).train()
    draw = np.random.default_rng(0)
    for each in training.model.trainable_variables:
        each.assign_add(draw.normal(size=each.shape))
    return training


def references(training):
    return {name: each["reference"] for name, each in training.slot_values().items()}


@pytest.mark.parametrize("make", RESETS.values(), ids=RESETS)
def test_reset_entries_take_the_new_weights_as_their_reference(make):
    training = trained()
    before, old = training.weights(), references(training)
    training.act(make())
    found, weights = references(training), training.weights()
    is_any_reset = False
    for name, value in weights.items():
        is_reset = (value != before[name]) | (found[name] != old[name])
        is_any_reset |= is_reset.any()
        np.testing.assert_array_equal(found[name][is_reset], value[is_reset])
    assert is_any_reset


@pytest.mark.parametrize("make", CHANGES.values(), ids=CHANGES)
def test_changed_weights_keep_their_path(make):
    training = trained()
    mitigation = make()
    training.build(mitigation)
    if isinstance(mitigation, mitigations.HareAndTortoise):
        mitigation._reset_period = NUM_STEPS
        for each in mitigation.state.values():
            each.assign(each + 1)
    if isinstance(mitigation, mitigations.PartialResets):
        mitigation._reset_period = NUM_STEPS
    if isinstance(mitigation, mitigations.NormalizeAndProject):
        mitigation._rhos[0].assign(9.0)
    before, old = training.weights(), references(training)
    training.act(mitigation, is_built=True)
    found, weights = references(training), training.weights()
    assert any((weights[name] != before[name]).any() for name in weights)
    for name, value in weights.items():
        path = before[name].astype(np.float64) - old[name]
        np.testing.assert_allclose(value.astype(np.float64) - found[name], path, atol=5e-7)


def test_a_weight_that_has_not_moved_stays_at_its_reference():
    optimizer = trac(adam(0.1))
    weight = tf.Variable([0.1, 0.7, -3.3])
    optimizer.build([weight])
    reference = slots(optimizer, weight)["reference"]
    reference.assign(weight)
    for factor in (0.3, 0.77, 1 / 3):
        change(weight, factor * weight, lambda each: slots(optimizer, each))
        np.testing.assert_array_equal(reference, weight)
