"""The contract of every builder of `tfplastic.networks`, under the Keras in use. A new one is a row."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import networks
from tfplastic._keras import keras

# name of the builder -> (the argument of the inputs' shape, that shape, other arguments, norms)
TABLE = {
    "cnn": ("input_shape", (8, 6, 2), {"filters": (4, 3), "hidden": (5,)}, ("layer", "batch", "rms")),
    "mlp": ("input_shape", (3, 2), {"hidden": (6, 5)}, ("layer", "batch", "rms")),
    "resnet18": ("input_shape", (8, 6, 2), {"width": 0.05}, ("batch",)),
    "replicated_mlp": ("input_shape", (3, 4), {"hidden": (6, 5)}, ()),
    "vit": (
        "input_shape",
        (7, 6, 2),
        {"model_dim": 8, "feed_forward_dim": 10, "num_heads": 2},
        ("layer", "rms"),
    ),
    "nature_dqn": ("observation_shape", (36, 36, 1), {"width": 0.1}, ("layer",)),
    "minatar_cnn": ("observation_shape", (5, 6, 2), {"width": 0.1}, ("layer",)),
}
OF_PIXELS = ("nature_dqn", "minatar_cnn")
EVERY_NAME_AND_NORM = [(name, norm) for name in sorted(TABLE) for norm in (None, *TABLE[name][3])]
EVERY_NETWORK = pytest.mark.parametrize("name", sorted(TABLE))
# The largest network with its norm costs as much as all others.
EVERY_NORM = pytest.mark.parametrize(
    ("name", "norm"),
    [
        pytest.param(name, norm, marks=pytest.mark.slow if (name, norm) == ("resnet18", "batch") else ())
        for name in sorted(TABLE)
        for norm in (None, *TABLE[name][3])
    ],
)


@functools.cache
def built(name, **more):
    """One model for all tests that only read it."""
    return build(name, **more)


def build(name, **more):
    shape_name, shape, arguments, _ = TABLE[name]
    return getattr(networks, name)(**{"num_outputs": 3, shape_name: shape, "seed": 0, **arguments, **more})


def inputs(name, size=5):
    values = np.random.default_rng(0).integers(0, 256, (size, *TABLE[name][1]))
    return values.astype(np.uint8) if name in OF_PIXELS else (values / 255).astype(np.float32)


def kernels(model):
    """The weights that are drawn: not gains, offsets, and biases that start at zero."""
    return [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]


def test_the_table_has_every_public_network():
    public = {name: inspect.signature(getattr(networks, name)) for name in networks.__all__}
    assert sorted(TABLE) == sorted(
        name for name, signature in public.items() if signature.return_annotation is keras.Model
    )


@EVERY_NORM
def test_the_same_seed_gives_the_same_weights_whatever_the_global_seed(name, norm):
    keras.utils.set_random_seed(1)
    first = build(name, norm=norm)
    keras.utils.set_random_seed(2)
    for one, other in zip(first.variables, build(name, norm=norm).variables, strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY_NETWORK
def test_another_seed_gives_other_weights(name):
    for one, other in zip(kernels(built(name)), kernels(build(name, seed=1)), strict=True):
        assert (one != other).mean() > 0.99


@EVERY_NORM
def test_the_kernels_depend_on_seed_and_shape_only(name, norm):
    more = {} if name == "resnet18" else {"norm_position": "after"}
    changed = built(name, norm=norm, activation="tanh", **more)
    for one, other in zip(kernels(built(name)), kernels(changed), strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY_NETWORK
def test_every_kernel_is_drawn_by_a_seed_of_its_own(name):
    drawn = [kernel.ravel()[:3] / np.abs(kernel).max() for kernel in kernels(built(name))]
    for index, one in enumerate(drawn):
        assert all(np.abs(one - other).max() > 1e-3 for other in drawn[:index])


@EVERY_NORM
@pytest.mark.parametrize("num_outputs", [3, (3, 7)])
def test_outputs_are_float32_of_the_shape_asked_for(name, norm, num_outputs):
    outputs = built(name, norm=norm, num_outputs=num_outputs)(inputs(name))
    assert outputs.dtype == tf.float32
    assert tuple(outputs.shape) == (5, *np.atleast_1d(num_outputs))


@EVERY_NORM
def test_compiled_equals_eager_and_is_traced_once(name, norm):
    model, batch = built(name, norm=norm, num_outputs=3), tf.constant(inputs(name))
    compiled = tf.function(model, autograph=False)
    for _ in range(2):
        np.testing.assert_allclose(compiled(batch), model(batch), rtol=1e-5, atol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1


@EVERY_NORM
def test_is_saved_and_loaded(name, norm, tmp_path):
    model = build(name, norm=norm, num_outputs=(3, 7))
    for variable in model.trainable_variables:
        variable.assign(variable + 0.125)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(inputs(name)), model(inputs(name)))


@EVERY_NORM
def test_a_gradient_reaches_every_weight(name, norm):
    model, batch = built(name, norm=norm, activation="tanh"), inputs(name)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch, training=True)[:, 0] ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    assert all(np.abs(array).max() > 0 for array in map(np.array, gradients) if array.size > 1)


@pytest.mark.parametrize(("name", "norm"), EVERY_NAME_AND_NORM)
def test_computes_in_bfloat16_with_float32_weights_and_outputs(name, norm):
    model = build(name, norm=norm, dtype="mixed_bfloat16")
    computing = [layer for layer in model.layers[:-1] if layer.name not in ("inputs", "pixels")]
    assert {layer.compute_dtype for layer in computing} == {"bfloat16"}
    assert {tf.as_dtype(variable.dtype) for variable in model.trainable_variables} == {tf.float32}
    outputs, expected = model(inputs(name)), built(name, norm=norm, num_outputs=3)(inputs(name))
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, expected, atol=0.05 * np.abs(expected).max())
    assert np.abs(outputs - expected).max() > 0


@EVERY_NETWORK
def test_the_global_policy_is_the_default(name):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build(name)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert model.layers[-2].compute_dtype == "bfloat16"
    assert model(inputs(name)).dtype == tf.float32


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("resnet18", "vit") else ())
        for name in sorted(TABLE)
    ],
)
def test_monitors_watch_every_nonlinearity_and_change_nothing_else(name):
    batch = tf.constant(inputs(name))
    targets = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    weights = []
    for monitor in (False, True):
        model = build(name, monitor=monitor, seed=2)
        optimizer = keras.optimizers.SGD(0.01)
        optimizer.build(model.trainable_variables)

        @tf.function(autograph=False)
        def step(model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(batch, training=True) - targets) ** 2)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

        before = np.array(model(batch))
        for _ in range(2):
            step()
        weights.append(
            [before, *(each.numpy() for each in model.trainable_variables), np.array(model(batch))]
        )
        names = [layer.name for layer in model.layers if layer.name.endswith("_monitor")]
        if not monitor:
            assert not names
    for plain, monitored in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, monitored)
    nonlinear = [layer.name for layer in model.layers if type(layer).__name__ == "Activation"]
    assert names == [f"{each.rpartition('_')[0]}_monitor" for each in nonlinear]
    for each in names:
        result = model.get_layer(each).result()
        assert float(model.get_layer(each).total_weight) == pytest.approx(1 - 0.99**2, rel=1e-5)
        assert np.isfinite(result["variance"]).all() and (result["mean_abs"].numpy() > 0).any()
