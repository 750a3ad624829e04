import inspect

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import optimizers
from tfplastic._keras import is_legacy
from tfplastic.diagnostics import Snapshot, virtual_step
from tfplastic.diagnostics.quantities.shared.virtual_step import updated

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
KERAS = keras_2 if is_legacy() else keras_3

OPTIMIZERS = {
    "sgd": lambda keras: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    "clipped_adam": lambda keras: keras.optimizers.Adam(0.01, global_clipnorm=0.5),
    "amsgrad": lambda keras: keras.optimizers.Adam(0.01, amsgrad=True, use_ema=True),
    "nadam": lambda keras: keras.optimizers.Nadam(0.01),
    "rmsprop": lambda keras: keras.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "schedule": lambda keras: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5)
    ),
    "legacy_adam": lambda keras: keras.optimizers.legacy.Adam(0.01, amsgrad=True, clipnorm=0.5),
    "legacy_nadam": lambda keras: keras.optimizers.legacy.Nadam(0.01),
    "legacy_rmsprop": lambda keras: keras.optimizers.legacy.RMSprop(0.01, centered=True, momentum=0.5),
    "legacy_sgd": lambda keras: keras.optimizers.legacy.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5), momentum=0.9
    ),
}
# The legacy ones are of Keras 2 alone.
CASES = [
    pytest.param(keras, name, id=f"{name}-keras_{version}")
    for version, keras in ((2, keras_2), (3, keras_3))
    for name in OPTIMIZERS
    if version == 2 or not name.startswith("legacy")
]


def _variables(model, optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    others = [getattr(optimizer, name, None) for name in ("_current_learning_rate", "_u_product")]
    slots = optimizer.variables
    slots = slots() if inspect.ismethod(slots) else slots
    return [*model.variables, *slots, *(each for each in others if each is not None)]


def _bytes(variables):
    return [np.asarray(each).tobytes() for each in variables]


def _data(seed=0, count=5):
    generator = np.random.default_rng(seed)
    shapes = ((count, 2), (count, 1))
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def _squares(targets, outputs):
    return tf.reduce_mean((outputs - targets) ** 2, axis=-1)


def _train(model, optimizer, inputs, targets, steps=1):
    """`steps` updates by a loop of its own; returns the loss after them."""
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(_squares(targets, model(inputs, training=False)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return float(tf.reduce_mean(_squares(targets, model(inputs, training=False))))


@pytest.mark.parametrize(("keras", "name"), CASES)
def test_is_the_next_update_and_leaves_no_trace(keras, name):
    model, optimizer = models.mlp(keras), OPTIMIZERS[name](keras)
    inputs, targets = _data()
    _train(model, optimizer, inputs, targets, steps=2)  # slots that are not zero
    snapshot = Snapshot(model, inputs, targets, _squares, optimizer=optimizer)
    variables = _variables(model, optimizer)
    before, weights, loss = _bytes(variables), model.get_weights(), float(snapshot.loss)
    step = virtual_step(snapshot)
    assert _bytes(variables) == before
    assert step.loss_before == loss == float(snapshot.loss)
    loss_after = _train(model, optimizer, inputs, targets)
    real = [new - old for new, old in zip(model.get_weights(), weights, strict=True)]
    found = [each for layer in ("hidden", "output") for each in step.updates[layer]]
    for update, reference in zip(found, real, strict=True):
        np.testing.assert_allclose(update, reference, rtol=1e-4, atol=1e-7)
    assert any(np.any(each) for each in real)
    assert step.loss_after == pytest.approx(loss_after, rel=1e-5)


@BOTH
def test_hand_computed_and_kept_until_refresh(keras):
    """f = w x, w = 1, x = 1 and 3, y = 0: L = 5 w^2, dL/dw = 10, w becomes 1 - 0.05 * 10 = 0.5."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="only")])
    model.set_weights([np.ones((1, 1))])
    optimizer = keras.optimizers.SGD(0.05)
    inputs, targets = np.array([[1.0], [3.0]], "float32"), np.zeros((2, 1), "float32")
    snapshot = Snapshot(model, inputs, targets, _squares, optimizer=optimizer)
    step = virtual_step(snapshot)
    assert [each.numpy().tolist() for each in step.updates["only"]] == [[[-0.5]]]
    assert (step.loss_before, step.loss_after) == (5.0, 1.25)
    model.set_weights([np.full((1, 1), 2.0)])
    assert virtual_step(snapshot) is step
    snapshot.refresh()
    assert virtual_step(snapshot).loss_before == 20.0
    assert model.get_weights()[0] == 2.0 and int(optimizer.iterations) == 0


@BOTH
def test_blocks_and_chosen_layers_change_nothing(keras):
    inputs, targets = _data(1, 5)
    model, optimizer = models.mlp(keras), keras.optimizers.SGD(0.1, global_clipnorm=0.1)
    whole = virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=optimizer))
    ragged = Snapshot(model, inputs, targets, _squares, optimizer=optimizer, layers=["output"], batch_size=2)
    part = virtual_step(ragged)
    assert list(part.updates) == ["output"] and part.loss_after == pytest.approx(whole.loss_after, rel=1e-5)
    for update, reference in zip(part.updates["output"], whole.updates["output"], strict=True):
        np.testing.assert_allclose(update, reference, rtol=1e-5, atol=1e-8)


@BOTH
def test_frozen_layers_do_not_move(keras):
    model = models.mlp(keras)
    model.get_layer("hidden").trainable = False
    inputs, targets = _data()
    snapshot = Snapshot(model, inputs, targets, _squares, optimizer=keras.optimizers.Adam())
    assert list(virtual_step(snapshot).updates) == ["output"]


@BOTH
def test_slots_go_by_the_order_the_optimizer_was_built_in(keras):
    """Keras 2 numbers them by the order of the variables that it is given."""
    model, optimizer = models.mlp(keras), keras.optimizers.Adam(0.01)
    inputs, targets = _data()
    optimizer.build(model.trainable_variables[::-1])
    snapshot = Snapshot(model, inputs, targets, _squares, optimizer=optimizer)
    step = virtual_step(snapshot)
    shapes = [tuple(each.shape) for layer in step.updates.values() for each in layer]
    assert shapes == [(2, 4), (4,), (4, 1), (1,)]
    slots = [tuple(each.shape) for each in optimizer._momentums]
    assert slots == shapes[::-1]
    np.testing.assert_allclose(step.updates["output"][1], [-0.01], rtol=1e-3)  # Adam's first step: its rate


@BOTH
def test_what_is_read_while_it_is_open_is_of_the_new_weights(keras):
    model, optimizer = models.mlp(keras), keras.optimizers.SGD(0.01)
    inputs, targets = _data()
    snapshot = Snapshot(model, inputs, targets, _squares, optimizer=optimizer)
    outputs, before = snapshot.outputs, _bytes(_variables(model, optimizer))
    with pytest.raises(KeyError, match="stop"), updated(snapshot, snapshot.examples):
        np.testing.assert_array_equal(snapshot.outputs, model(inputs))
        assert np.abs(snapshot.outputs - outputs).max() > 0
        raise KeyError("stop")
    assert snapshot.outputs is outputs
    assert _bytes(_variables(model, optimizer))[: len(model.variables)] == before[: len(model.variables)]
    assert int(optimizer.iterations) == 0


@BOTH
def test_a_loss_scale_changes_nothing(keras):
    inputs, targets = _data()
    model, optimizer = models.mlp(keras), keras.optimizers.SGD(0.1)
    plain = virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=optimizer))
    wrapped = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    scaled = virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=wrapped))
    for layer, updates in plain.updates.items():
        for update, reference in zip(scaled.updates[layer], updates, strict=True):
            np.testing.assert_array_equal(update, reference)
    if keras is keras_3:
        factor = keras.optimizers.SGD(0.1, loss_scale_factor=8.0)
        again = virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=factor))
        assert again.loss_after == plain.loss_after


def test_the_librarys_own_adam_and_half_precision():
    KERAS.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = models.mlp(KERAS)
    finally:
        KERAS.mixed_precision.set_global_policy("float32")
    optimizer = optimizers.adam(1e-2, epsilon_root=1e-3, bias_correction="means")
    inputs, targets = _data()

    def loss(targets, outputs):
        return _squares(targets, tf.cast(outputs, tf.float32))

    snapshot = Snapshot(model, inputs, targets, loss, optimizer=optimizer)
    step = virtual_step(snapshot)
    before = _bytes(model.variables)
    assert step.updates["output"][0].dtype == tf.float32 and step.loss_after < step.loss_before
    snapshot.refresh()
    assert virtual_step(snapshot).loss_after == step.loss_after and _bytes(model.variables) == before


@BOTH
def test_not_finite_gradients_are_undone_too(keras):
    model, optimizer = models.mlp(keras), keras.optimizers.Adam()
    inputs, targets = np.ones((1, 2), "float32"), np.full((1, 1), np.nan, "float32")
    before = _bytes(model.variables)
    step = virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=optimizer))
    assert np.isnan(step.loss_after) and np.isnan(step.updates["output"][0]).all()
    assert _bytes(model.variables) == before


@BOTH
def test_says_what_is_missing_or_wrong(keras):
    model, (inputs, targets) = models.mlp(keras), _data()
    with pytest.raises(ValueError, match=r"^`optimizer` must be given for .+ Received: None$"):
        virtual_step(Snapshot(model, inputs, targets, _squares))
    with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
        virtual_step(Snapshot(model, inputs, optimizer=keras.optimizers.SGD()))
    with pytest.raises(
        TypeError, match=r"^`optimizer` must be the optimizer that trains .+ Received: 'adam'$"
    ):
        virtual_step(Snapshot(model, inputs, targets, _squares, optimizer="adam"))


def test_an_optimizer_of_other_variables_is_refused_in_keras_2():
    model, other, (inputs, targets) = models.mlp(keras_2), keras_2.optimizers.Adam(), _data()
    other.build(model.trainable_variables[:1])
    rule = (
        r"^`optimizer` must be built for the 4 trainable variables of the model\. Received: one built for 1"
    )
    with pytest.raises(ValueError, match=rule):
        virtual_step(Snapshot(model, inputs, targets, _squares, optimizer=other))
