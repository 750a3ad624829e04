"""The contract of every layer of `tfplastic.layers`, under the Keras in use. A new layer is a row."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import layers
from tfplastic._keras import keras

# name of the class -> (constructor arguments, shapes of inputs without the batch)
SEEDED = {"kernel_initializer": keras.initializers.GlorotUniform(seed=1)}
TABLE = {
    "ActivationMonitor": ({"momentum": 0.5}, [(6,), (4, 5, 2)]),
    "CReLU": ({"axis": -1}, [(6,), (4, 5, 2)]),
    "ClassToken": ({"initializer": "ones"}, [(4, 5)]),
    "DeepFourier": ({"axis": -1}, [(6,), (4, 5, 2)]),
    "Dueling": ({}, [(6,), (4, 5)]),
    "NoisyDense": ({"units": 3, "seed": 3, "sigma": 0.4, **SEEDED}, [(6,), (4, 5)]),
    "PositionEmbedding": ({"initializer": "ones"}, [(4, 5), (6,)]),
    "RMSNormalization": ({"axis": -1, "epsilon": 1e-3}, [(6,), (4, 5, 2)]),
    "Rational": ({"initial": "tanh"}, [(6,), (4, 5, 2)]),
    "ReplicatedDense": ({"units": 3, **SEEDED}, [(4, 5)]),
    "SelfAttention": ({"num_heads": 2}, [(4, 12)]),
    "SharedBias": ({"initializer": "ones"}, [(6,), (4, 5, 2), (1,)]),
    "SpectralConv2D": (
        {"filters": 3, "kernel_size": 2, "initial_steps": 1, **SEEDED},
        [(4, 5, 2)],
    ),
    "SpectralDense": ({"units": 3, "seed": 3, "initial_steps": 2, **SEEDED}, [(6,), (4, 5)]),
    "SteppedDropout": ({"rate": 0.25, "seed": 3}, [(4, 5, 2)]),
}
ASSIGN_WHILE_TRAINING = {"ActivationMonitor"}  # as BatchNormalization does
NOISY_WHILE_TRAINING = {"NoisyDense"}
ROWS = [(name, arguments, shape) for name, (arguments, shapes) in TABLE.items() for shape in shapes]
EVERY_ROW = pytest.mark.parametrize(("name", "arguments", "shape"), ROWS)


def make(class_name, arguments, **more):
    return getattr(layers, class_name)(**arguments, **more)


def values(variables):
    return [variable.numpy() for variable in variables]


def batch_of(shape, size=3):
    return np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32)


def test_the_table_has_every_public_layer():
    public = [name for name in layers.__all__ if name[0].isupper()]
    assert sorted(TABLE) == sorted(set(public) - {"Advancing"})


@EVERY_ROW
def test_config_makes_the_same_layer_again(name, arguments, shape):
    layer = make(name, arguments, name="renamed")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.name == "renamed"
    np.testing.assert_array_equal(again(batch_of(shape)), layer(batch_of(shape)))


@EVERY_ROW
def test_symbolic_shape_equals_eager_shape(name, arguments, shape):
    layer = make(name, arguments)
    eager = tuple(layer(batch_of(shape)).shape)
    assert tuple(layer.compute_output_shape((3, *shape))) == eager
    symbolic = make(name, arguments)(keras.Input(shape))
    assert tuple(symbolic.shape) == (None, *eager[1:])


@EVERY_ROW
@pytest.mark.parametrize("size", [1, 3])
def test_compiled_equals_eager_and_is_traced_once(name, arguments, shape, size):
    layer, inputs = make(name, arguments), batch_of(shape, size)
    expected = layer(inputs)
    compiled = tf.function(layer)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(tf.constant(inputs)), expected)
    assert compiled.experimental_get_tracing_count() == 1


@EVERY_ROW
@pytest.mark.parametrize(
    ("policy", "compute", "stored"),
    [
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("mixed_float16", "float16", "float32"),
        ("float64", "float64", "float64"),
    ],
)
def test_computes_in_the_dtype_of_its_policy(name, arguments, shape, policy, compute, stored):
    layer = make(name, arguments, dtype=policy)
    outputs = layer(tf.constant(batch_of(shape)))
    assert outputs.dtype == compute
    dtypes = {tf.as_dtype(variable.dtype) for variable in layer.variables}
    assert {dtype for dtype in dtypes if dtype.is_floating} <= {tf.as_dtype(stored)}
    reference = make(name, arguments)
    reference.build((None, *shape))
    reference.set_weights(layer.get_weights())  # initializers draw other numbers in float64
    expected = reference(batch_of(shape))
    tolerance = 4 * float(np.finfo(np.float16).eps if compute == "float16" else 2**-7)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, rtol=tolerance, atol=tolerance)


@EVERY_ROW
def test_a_model_with_it_is_saved_and_loaded(name, arguments, shape, tmp_path):
    model = keras.Sequential([keras.Input(shape), make(name, arguments), keras.layers.Flatten()])
    for variable in model.trainable_variables:
        variable.assign(variable + 0.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch_of(shape)), model(batch_of(shape)))


@EVERY_ROW
@pytest.mark.parametrize("training", [False, True])
def test_a_call_assigns_no_weight(name, arguments, shape, training):
    model = keras.Sequential([keras.Input(shape), make(name, arguments)])
    before = values(model.variables)
    model(batch_of(shape), training=training)
    changed = [not np.array_equal(*pair) for pair in zip(before, values(model.variables), strict=True)]
    assert any(changed) == (training and name in ASSIGN_WHILE_TRAINING)


@EVERY_ROW
def test_a_gradient_reaches_inputs_and_every_weight(name, arguments, shape):
    layer, inputs = make(name, arguments), tf.constant(batch_of(shape))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, **({"training": True} if name in NOISY_WHILE_TRAINING else {}))
        loss = tf.reduce_sum(outputs**3)  # squares of sine and cosine sum to 1
    gradients = tape.gradient(loss, [inputs, *layer.trainable_variables])
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


@EVERY_ROW
def test_each_row_of_a_batch_is_on_its_own(name, arguments, shape):
    layer, inputs = make(name, arguments), batch_of(shape)
    together = layer(inputs)
    for row in range(len(inputs)):
        np.testing.assert_allclose(layer(inputs[row : row + 1])[0], together[row], rtol=1e-6, atol=1e-6)


@EVERY_ROW
def test_only_advance_goes_on_and_the_state_is_saved(name, arguments, shape, tmp_path):
    model = keras.Sequential([keras.Input(shape), make(name, arguments), keras.layers.Flatten()])
    before = values(model.variables)
    for _ in range(2):
        layers.advance(model)
    after = values(model.variables)
    changed = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert any(changed) == isinstance(model.layers[0], layers.Advancing)
    trainable = [id(variable) for variable in model.trainable_variables]
    assert not any(c for c, v in zip(changed, model.variables, strict=True) if id(v) in trainable)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for old, new in zip(after, values(loaded.variables), strict=True):
        np.testing.assert_array_equal(old, new)
