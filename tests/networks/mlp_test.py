import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.oracle import assert_uniform, disturb, forward, weights
from tfplastic import layers
from tfplastic.networks import mlp

SHAPE = (3, 2, 2)


def small(**arguments):
    return mlp(**{"num_outputs": 4, "hidden": (7, 5), "input_shape": SHAPE, "seed": 0, **arguments})


def inputs(size=5, shape=SHAPE):
    return np.random.default_rng(1).normal(size=(size, *shape)).astype(np.float32)


@pytest.mark.parametrize("norm", [None, "layer", "batch", "rms"])
@pytest.mark.parametrize("norm_position", ["before", "after"])
@pytest.mark.parametrize(("num_outputs", "activation"), [(4, "relu"), ((2, 3), "tanh")])
def test_equals_a_float64_forward_pass(norm, norm_position, num_outputs, activation):
    options = {"norm": norm, "norm_position": norm_position, "activation": activation, "norm_epsilon": 0.01}
    model = small(num_outputs=num_outputs, **options)
    disturb(model)
    outputs = model(inputs())
    assert outputs.dtype == tf.float32
    expected = forward(model, inputs(), ("hidden1", "hidden2"), **options)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("norm", ["layer", "batch", "rms"])
def test_norms_without_gains_and_offsets_equal_a_float64_forward_pass(norm):
    options = {"norm": norm, "norm_epsilon": 0.01}
    model = small(norm_affine=False, **options)
    assert all("norm" not in variable.name for variable in model.trainable_variables)
    disturb(model)
    expected = forward(model, inputs(), ("hidden1", "hidden2"), **options)
    np.testing.assert_allclose(model(inputs()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("spectral", [("hidden1",), ("hidden1", "hidden2")])
def test_spectral_normalization_equals_a_float64_forward_pass(spectral):
    model = small(spectral_norm_layers=spectral)
    disturb(model)
    layers.advance(model)
    expected = forward(model, inputs(), ("hidden1", "hidden2"), spectral=spectral)
    np.testing.assert_allclose(model(inputs()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_spectral_normalization_changes_neither_kernels_nor_other_layers():
    plain, changed = small(), small(spectral_norm_layers=["hidden1"])
    for name in ("hidden1", "hidden2", "output"):
        for one, other in zip(weights(plain, name), weights(changed, name)[:2], strict=True):
            np.testing.assert_array_equal(one, other)
    assert changed.count_params() == plain.count_params() + 12 + 7  # u and v
    assert type(plain.get_layer("hidden1")) is type(changed.get_layer("hidden2"))
    u = weights(changed, "hidden1")[2]
    np.testing.assert_array_equal(weights(small(spectral_norm_layers=["hidden1"]), "hidden1")[2], u)
    assert np.abs(weights(small(spectral_norm_layers=["hidden1"], seed=1), "hidden1")[2] - u).max() > 1e-2


# 784 x 512 + 512 + 512 x 512 + 512 + 512 x 10 + 10 = 669,706.
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 669_706),
        ({"norm": "layer"}, 669_706 + 4 * 512),
        ({"norm": "batch"}, 669_706 + 8 * 512),
        ({"norm": "rms"}, 669_706 + 2 * 512),
        # 784 x 32 + 32 + 32 x 32 + 32 + 320 + 10.
        ({"hidden": (16, 16), "width": 2}, 26_506),
        # One unit each: 785 + 2 + 20.
        ({"hidden": [16, 16], "width": 0.001}, 807),
        ({"hidden": ()}, 7_850),
        ({"input_shape": (784,)}, 669_706),
    ],
)
def test_number_of_parameters(arguments, count):
    assert mlp(10, **arguments).count_params() == count


def test_the_layers_are_named_and_in_order():
    assert [layer.name for layer in small().layers] == [
        *("flatten", "hidden1", "hidden1_relu", "hidden2", "hidden2_relu", "output")
    ]
    after = small(num_outputs=(2, 3), input_shape=(6,), norm="rms", norm_position="after", activation="tanh")
    assert [layer.name for layer in after.layers] == [
        *("hidden1", "hidden1_tanh", "hidden1_norm", "hidden2", "hidden2_tanh", "hidden2_norm"),
        *("output", "output_shape"),
    ]
    before = small(hidden=(3,), norm="batch")
    assert [layer.name for layer in before.layers[1:4]] == ["hidden1", "hidden1_norm", "hidden1_relu"]


def test_kernels_start_truncated_normal_by_fan_in_and_biases_at_zero():
    model = mlp(10, hidden=(300, 200), seed=0)
    for name, fan_in in (("hidden1", 784), ("hidden2", 300), ("output", 200)):
        kernel, bias = weights(model, name)
        assert not bias.any()
        # Truncated at two standard deviations, then scaled to a standard deviation of 1 / sqrt(fan_in).
        assert abs(kernel.std() * fan_in**0.5 - 1) < 5 * (0.5 / kernel.size) ** 0.5
        assert np.abs(kernel).max() <= 2 / 0.8796 * fan_in**-0.5
        assert abs(kernel.mean()) < 5 * (fan_in * kernel.size) ** -0.5


def test_the_initializer_of_pytorch_is_uniform_by_fan_in_in_kernels_and_biases():
    model = mlp(10, hidden=(300, 200), seed=0, initializer="pytorch", spectral_norm_layers=("hidden2",))
    for name, fan_in in (("hidden1", 784), ("hidden2", 300), ("output", 200)):
        kernel, bias = weights(model, name)[:2]
        for values in (kernel, bias):
            assert_uniform(values * fan_in**0.5)
        assert np.abs(bias[:2] - kernel[0, :2]).min() > 0
    linear = mlp(10, hidden=(), input_shape=(4, 5), initializer="pytorch")
    assert_uniform(weights(linear, "output")[0] * 20**0.5)


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        ({}, {"hidden": (7, 6)}),
        ({}, {"width": 2.0}),
        ({}, {"activation": "tanh"}),
        ({}, {"initializer": "he_normal"}),
        ({}, {"initializer": "pytorch"}),
        ({}, {"spectral_norm_layers": ("hidden2",)}),
        ({"norm": "layer"}, {"norm_epsilon": 0.1}),
    ],
)
def test_every_argument_changes_the_outputs(base, changed):
    one, other = small(**base), small(**{**base, **changed})
    assert np.abs(one(inputs()) - other(inputs())).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": 0}, "`num_outputs` must be an integer of at least 1. Received: 0"),
        ({"hidden": 512}, "`hidden` must be a sequence of integers. Received: 512"),
        ({"hidden": (512, 0)}, "`hidden` must be an integer of at least 1. Received: 0"),
        ({"input_shape": "8"}, "`input_shape` must be a sequence of integers. Received: '8'"),
        ({"norm": "l2"}, "`norm` must be one of None, 'layer', 'batch', 'rms'. Received: 'l2'"),
        (
            {"spectral_norm_layers": ("hidden1", "output")},
            "`spectral_norm_layers` must be a sequence of names of hidden layers: 'hidden1', 'hidden2'. "
            "Received: ('hidden1', 'output')",
        ),
        (
            {"spectral_norm_layers": "hidden1", "hidden": ()},
            "`spectral_norm_layers` must be a sequence of names of hidden layers: none. Received: 'hidden1'",
        ),
        ({"width": 0}, "`width` must be a finite number above 0. Received: 0"),
        (
            {"initializer": "zeros"},
            "`initializer` must be one of 'lecun_normal', 'lecun_uniform', 'he_normal', 'he_uniform', "
            "'glorot_normal', 'glorot_uniform', 'orthogonal', 'kaiming_uniform', 'pytorch'. "
            "Received: 'zeros'",
        ),
        ({"norm_affine": "no"}, "`norm_affine` must be one of True, False. Received: 'no'"),
        (
            {"dtype": "int8"},
            "`dtype` must be one of None, 'float32', 'mixed_bfloat16', 'mixed_float16', 'float64'. "
            "Received: 'int8'",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(**arguments)
