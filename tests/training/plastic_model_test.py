"""`PlasticModel`: `fit` is the loop's gradient step, and the compiled loss is Keras' own."""

import functools
import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.regression_task import RegressionTask
from tfplastic import linalg, mitigations, networks
from tfplastic._keras import is_legacy, keras
from tfplastic.diagnostics import dead_units, dormant_units
from tfplastic.layers import ActivationMonitor
from tfplastic.training import Loop, NonFiniteLossError, PlasticModel, RunDirectory, TrainConfig
from tfplastic.training.run.progress import Progress
from tfplastic.training.step_parts.compiled_loss import CompiledLoss

STEPS = 12
SEED = 3


class Halved(mitigations.Mitigation):
    """Halves the gradients and counts."""

    def transform_gradients(self, gradients, variables):
        return [gradient / 2 for gradient in gradients]


def all_kinds():
    return [
        mitigations.WeightDecay(0.01),
        Halved(),
        mitigations.ShrinkAndPerturb(period=3, reset_slots=True),
        mitigations.ResetOptimizerState(period=5),
        mitigations.ResetLastLayer(period=10),
    ]


def optimizer():
    return keras.optimizers.Adam(0.01)


def task():
    made = RegressionTask(bad_step=None)
    made.build(SEED)
    return made


def batches(steps=STEPS):
    made = task()
    return [made.next() for _ in range(steps)]


def data(steps=STEPS):
    x, y = (np.concatenate(arrays) for arrays in zip(*batches(steps), strict=True))
    return x, y


def fitted(**arguments):
    model = PlasticModel(task().model)
    model.compile(optimizer(), "mse", **{"seed": SEED, **arguments})
    model.fit(*data(), batch_size=8, shuffle=False, verbose=0)
    return model


@functools.cache
def plain():
    """A model fitted without mitigations, for tests that only read it."""
    return fitted()


@functools.cache
def with_all_kinds():
    """A model fitted with mitigations of all kinds, for tests that only read it."""
    return fitted(mitigations=all_kinds())


def weights(model):
    return [np.asarray(variable) for variable in model.get_weights()]


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def by_the_loop(path, with_mitigations):
    loop = Loop(
        TrainConfig(
            RegressionTask(warm_up_pieces=0),
            optimizer(),
            total_steps=STEPS,
            seed=SEED,
            mitigations=with_mitigations,
        )
    )
    with RunDirectory.open(path, "", f"train.total_steps = {STEPS}") as directory:
        assert loop.run(directory, progress=lambda *all: Progress(*all, stream=io.StringIO())) == 0
    return weights(loop.task.model)


def test_fit_and_the_loop_lead_to_the_same_weights(tmp_path):
    assert_same(weights(with_all_kinds().network), by_the_loop(tmp_path, all_kinds()))


@pytest.mark.parametrize("steps_per_execution", [1, 5])
def test_how_many_steps_a_call_takes_leaves_no_trace(steps_per_execution):
    model = fitted(mitigations=all_kinds(), steps_per_execution=steps_per_execution)
    assert_same(weights(model), weights(with_all_kinds()))
    assert model.gradient_steps == STEPS


def test_without_mitigations_it_is_keras_own_fit():
    by_keras = task().model
    by_keras.compile(optimizer(), "mse", jit_compile=False)
    by_keras.fit(*data(), batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(weights(plain().network), weights(by_keras), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_masks_weights_and_regularizers_are_those_of_keras_own_fit(reduction):
    def network():
        layers = keras.layers
        dense = layers.Dense(3, "tanh", kernel_regularizer="l2", activity_regularizer="l1")
        return keras.Sequential([keras.Input((4, 2)), layers.Masking(), dense, layers.Dense(1)])

    generator = np.random.default_rng(0)
    x, y = (generator.normal(size=(6, 4, size)).astype(np.float32) for size in (2, 1))
    x[:3, 2:] = x[4, 1:] = 0
    batch = x, y, np.arange(6, dtype=np.float32)
    by_keras, model = network(), PlasticModel(network())
    model.network.set_weights(by_keras.get_weights())
    for each in (by_keras, model):
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        each.compile(keras.optimizers.SGD(0.05), loss, loss_weights=[2.0], jit_compile=False)
        each.fit(*batch[:2], sample_weight=batch[2], batch_size=3, shuffle=False, verbose=0)
    for one, other in zip(weights(model.network), weights(by_keras), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_seed_is_that_of_the_mitigations():
    one, again, other = (
        weights(fitted(mitigations=[mitigations.ShrinkAndPerturb(period=3)], seed=seed)) for seed in (3, 3, 4)
    )
    assert_same(one, again)
    assert np.abs(one[0] - other[0]).max() > 1e-3


def test_every_kind_of_mitigation_has_an_effect():
    nothing = weights(plain())
    for mitigation in all_kinds():
        changed = weights(fitted(mitigations=[mitigation]))
        assert max(np.abs(a - b).max() for a, b in zip(nothing, changed, strict=True)) > 1e-6, mitigation


def test_history_has_means_over_the_epoch_of_loss_and_statistics():
    model = PlasticModel(task().model)
    model.compile(
        keras.optimizers.SGD(0.0), "mse", metrics=["mae"], step_statistics=[dead_units, dormant_units]
    )
    x, y = data()
    x, y = x[:-3], y[:-3]  # ragged
    history = model.fit(
        x, y, batch_size=8, epochs=2, shuffle=False, validation_data=(x, y), verbose=0
    ).history
    outputs, hidden = (np.asarray(each) for each in (model(x), model.network.layers[0](x)))
    for epoch in range(2):
        assert history["loss"][epoch] == pytest.approx(np.mean((outputs - y) ** 2), rel=1e-5)
        assert history["val_loss"][epoch] == pytest.approx(history["loss"][epoch], rel=1e-5)
        assert history["mae"][epoch] == pytest.approx(np.mean(np.abs(outputs - y)), rel=1e-5)
        dead = [np.mean((hidden[i : i + 8] == 0).all(0)) for i in range(0, len(x), 8)]
        sizes = [min(8, len(x) - i) for i in range(0, len(x), 8)]
        assert history["dead_units/hidden"][epoch] == pytest.approx(np.average(dead, weights=sizes))
    assert "dormant_units/hidden" in history and "gradient_norm" in history
    assert not any(name.startswith("val_dead") for name in history)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    assert sorted(evaluated) == ["loss", "mae"]
    assert evaluated["loss"] == pytest.approx(history["loss"][-1], rel=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), outputs, rtol=1e-6)


def test_penalties_are_apart_from_the_loss():
    model = PlasticModel(task().model)
    model.compile(keras.optimizers.SGD(0.0), "mse", mitigations=[mitigations.WeightDecay(0.5)])
    x, y = data()
    history = model.fit(x, y, verbose=0).history
    squares = sum(np.sum(each.astype(np.float64) ** 2) for each in weights(model))
    assert history["penalty"][0] == pytest.approx(0.5 * squares, rel=1e-5)
    assert history["loss"][0] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_layers_with_a_state_go_on():
    network = networks.vit(
        1, input_shape=(6, 6, 1), model_dim=8, feed_forward_dim=8, num_heads=2, monitor=True
    )
    model = PlasticModel(network)
    model.compile("sgd", "mse")
    model.fit(np.ones([6, 6, 6, 1], np.float32), np.ones([6, 1], np.float32), batch_size=2, verbose=0)
    assert int(network.get_layer("block1_mix_dropout").step) == 3
    monitors = [layer for layer in network.layers if isinstance(layer, ActivationMonitor)]
    assert [float(layer.total_weight) for layer in monitors] == pytest.approx([1 - 0.99**3])


def test_a_loss_that_is_not_finite_stops_fit_and_leaves_the_weights():
    model = fitted()
    before = weights(model)
    x, y = data(2)
    y[9] = np.nan
    with pytest.raises(NonFiniteLossError) as caught:
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    message = f"The loss is not finite at gradient step {STEPS + 2}; the first was the batch. "
    assert str(caught.value).startswith(f"{message}Look at the batch or lower the learning rate")
    assert model.gradient_steps == STEPS + 1
    assert max(np.abs(a - b).max() for a, b in zip(before, weights(model), strict=True)) > 0  # one more step
    assert all(np.isfinite(each).all() for each in weights(model))


@pytest.mark.parametrize(
    ("kernel", "scale", "cause"),
    [
        (np.nan, 1.0, "the weight 'kernel' of layer 'hidden'"),
        (3e30, 1e30, "the output of layer 'hidden'"),
        (3e18, 1e3, "the loss, of finite outputs"),
    ],
)
def test_a_loss_that_is_not_finite_is_told_with_its_layer_and_quantity(kernel, scale, cause):
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(4, name="hidden", kernel_initializer="ones"),
        keras.layers.Dense(1, name="output", kernel_initializer="ones"),
    ]
    model = PlasticModel(keras.Sequential(layers))
    model.compile("sgd", "mse")
    model.network.layers[0].kernel.assign(np.full((3, 4), kernel, np.float32))
    with pytest.raises(NonFiniteLossError) as caught:
        model.fit(np.full((4, 3), scale, np.float32), np.zeros((4, 1), np.float32), verbose=0)
    assert str(caught.value).startswith(f"The loss is not finite at gradient step 1; the first was {cause}. ")


def exact_product(model, batch, vector):
    """By the whole Hessian of Keras' own loss."""
    variables = linalg.flatten([tf.convert_to_tensor(each) for each in model.trainable_variables])

    def loss_fn(*examples):
        outputs = model(examples[0], training=False)
        return keras.losses.MeanSquaredError()(examples[1], outputs, *examples[2:])

    operator = linalg.HessianOperator(loss_fn, model.trainable_variables, batch)
    assert operator.shape[0] == len(variables)
    return operator.to_dense().numpy() @ vector


@pytest.mark.parametrize("weighted", [False, True])
def test_hessian_vector_product_is_that_of_the_compiled_loss(weighted):
    model = fitted(mitigations=[mitigations.WeightDecay(10.0)])
    generator = np.random.default_rng(0)
    vector = generator.normal(size=model.count_params()).astype(np.float32)
    before = weights(model)
    for size in (8, 3, 8):
        x, y = (array[:size] for array in data())
        batch = (x, y, np.arange(size, dtype=np.float32)) if weighted else (x, y)
        product = model.hessian_vector_product(batch, vector)
        np.testing.assert_allclose(product, exact_product(model, batch, vector), rtol=1e-3, atol=1e-5)
    assert_same(before, weights(model))
    with pytest.raises(ValueError, match=r"^`vector` must be of shape"):
        model.hessian_vector_product(data(), vector[1:])


def test_is_saved_and_loaded_without_what_compile_was_given(tmp_path):
    model = plain()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded).__name__ == "PlasticModel"
    assert_same(weights(model), weights(loaded))
    with pytest.raises(ValueError, match=r"^The model must be compiled before it is trained\. Received: "):
        loaded.fit(*data(), verbose=0)


class TwoHeads:
    """Losses of several outputs, checked against Keras' own `compute_loss`."""

    @staticmethod
    def model():
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(4, "relu", kernel_regularizer=keras.regularizers.L2(0.1))(inputs)
        outputs = [keras.layers.Dense(1, name="value")(hidden), keras.layers.Dense(5, name="class")(hidden)]
        return keras.Model(inputs, outputs)

    targets = [np.ones([4, 1], np.float32), np.arange(4)]
    inputs = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


LOSSES: list[Any] = [
    (["mse", keras.losses.SparseCategoricalCrossentropy(from_logits=True)], None),
    (["mse", keras.losses.SparseCategoricalCrossentropy(from_logits=True)], [0.25, 3.0]),
]


@pytest.mark.parametrize(("loss", "loss_weights"), LOSSES)
def test_losses_of_several_outputs_are_keras_own(loss, loss_weights):
    model = TwoHeads.model()
    model.compile("sgd", loss, loss_weights=loss_weights)
    batch = TwoHeads.inputs, [tf.constant(each) for each in TwoHeads.targets], None
    output = CompiledLoss(loss, loss_weights).loss(model, batch)
    outputs = model(batch[0])
    expected = float(model.compute_loss(batch[0], batch[1], outputs, None))
    assert float(output.loss) == pytest.approx(expected, rel=1e-5)
    regularization = float(sum(model.losses))
    assert regularization > 0.01
    assert float(tf.reduce_mean(output.per_example_loss)) == pytest.approx(
        expected - regularization, rel=1e-5
    )


SHAPES = [((4,), (4, 1)), ((4, 1), (4,)), ((4, 1), (4, 1)), ((4, 2, 3), (4, 2, 3))]


@pytest.mark.parametrize(("target_shape", "output_shape"), SHAPES)
@pytest.mark.parametrize("loss", ["mse", lambda t, o: tf.reduce_mean(tf.square(t - o), axis=-1)])
def test_targets_of_another_rank_are_not_broadcast(target_shape, output_shape, loss):
    generator = np.random.default_rng(0)
    targets = generator.normal(size=target_shape).astype(np.float32)
    outputs = generator.normal(size=output_shape).astype(np.float32)
    result = CompiledLoss(loss).loss(lambda_model(outputs), (outputs, targets, None))
    expected = np.mean((targets.reshape(outputs.shape) - outputs) ** 2)
    assert float(result.loss) == pytest.approx(expected, rel=1e-5)


def lambda_model(outputs):
    class Model:
        losses: list[Any] = []

        def __call__(self, inputs, training):
            return tf.constant(outputs)

    return Model()


def test_an_examples_loss_is_the_mean_over_its_positions_times_its_weight():
    targets, outputs = np.zeros([2, 3, 1], np.float32), np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    example_weights = np.array([[1.0], [0.5]], np.float32) * np.ones([2, 3], np.float32)
    result = CompiledLoss("mse").loss(lambda_model(outputs), (outputs, targets, example_weights))
    # (0 + 1 + 4) / 3 and 0.5 (9 + 16 + 25) / 3
    np.testing.assert_allclose(result.per_example_loss, [5 / 3, 25 / 3], rtol=1e-6)
    assert float(result.loss) == pytest.approx(5.0)


def test_errors():
    built = task().model
    wrong: Any = "network"
    with pytest.raises(TypeError, match=r"^`network` must be a model of the Keras in use, .*'network'$"):
        PlasticModel(wrong)
    with pytest.raises(
        ValueError, match=r"^`network` must be built, by a call on a batch\. Received: 'bare'"
    ):
        PlasticModel(keras.Sequential([keras.layers.Dense(1)], name="bare"))
    model = PlasticModel(built)
    with pytest.raises(ValueError, match=r"^`ShrinkAndPerturb` must have a `period`, because"):
        model.compile("sgd", "mse", mitigations=[mitigations.ShrinkAndPerturb()])
    wrong = ["decay"]
    with pytest.raises(ValueError, match=r"^`mitigations` must hold mitigations, such as .*'decay'$"):
        model.compile("sgd", "mse", mitigations=wrong)
    with pytest.raises(ValueError, match=r"^`optimizer` must be an optimizer that does not scale losses\. "):
        model.compile(keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    with pytest.raises(
        ValueError, match=r"^`loss` must be the name of a Keras loss\. Received: 'msee'\. Did you mean 'mse'"
    ):
        model.compile("sgd", "msee")
    wrong = None
    with pytest.raises(TypeError, match=r"^`loss` must be a Keras loss, a function .* Received: None$"):
        model.compile("sgd", wrong)
    with pytest.raises(ValueError, match=r"^`loss_weights` must be a number for each of the 1 losses\. "):
        model.compile("sgd", "mse", loss_weights=[1.0, 2.0])
    unreduced = CompiledLoss(keras.losses.MeanSquaredError(reduction="none"))
    with pytest.raises(ValueError, match=r"^`loss` must have a reduction other than 'none'\. "):
        unreduced.loss(built, (np.ones([2, 3]), np.ones([2, 1]), None))
    with pytest.raises(
        ValueError, match=r"^`targets` must be of shape \[.*\], as the outputs\. Received: \[4, 1\]$"
    ):
        CompiledLoss("mse").loss(TwoHeads.model(), (TwoHeads.inputs, np.ones([4, 1]), None))
    with pytest.raises(ValueError, match=r"^`targets` must be of shape \[None, 1\], .* Received: \[2, 3\]$"):
        CompiledLoss("mae").loss(built, (np.ones([2, 3]), np.ones([2, 3]), None))  # Keras 2 stretches them


@pytest.mark.skipif(not is_legacy(), reason="Keras 3 has no legacy optimizers")
def test_legacy_optimizers_take_mitigations_as_others_do():
    legacy = keras.optimizers.legacy.Adam(0.01, epsilon=1e-7)
    model = PlasticModel(task().model)
    model.compile(legacy, "mse", mitigations=all_kinds(), seed=SEED)
    model.fit(*data(), batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(weights(model), weights(with_all_kinds()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
