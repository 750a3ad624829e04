import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.oracle import assert_uniform, disturb, forward, weights
from tfplastic import layers
from tfplastic._keras import is_legacy
from tfplastic.networks import cnn

SHAPE = (7, 6, 2)
SMALL_FORM = {"filters": (16, 16), "strides": (2, 2), "hidden": (64,)}


def small(**arguments):
    defaults = {"num_outputs": 3, "input_shape": SHAPE, "seed": 0, "filters": (4, 3), "hidden": (5, 4)}
    return cnn(**{**defaults, **arguments})


def images(size=4, shape=SHAPE):
    return np.random.default_rng(1).normal(size=(size, *shape)).astype(np.float32)


@pytest.mark.parametrize("norm", [None, "layer", "batch", "rms"])
@pytest.mark.parametrize("norm_position", ["before", "after"])
@pytest.mark.parametrize(
    "form",
    [
        {"strides": (1, 1), "padding": "same"},
        {"strides": (2, 1), "padding": "same", "activation": "tanh"},
        {"strides": (1, 2), "padding": "valid"},
        {"strides": (1, 1), "padding": "same", "pool_sizes": (2, 1)},
        {"strides": (1, 1), "padding": "same", "pool_sizes": (3, 2)},
    ],
    ids=lambda form: "-".join(str(form[key]) for key in ("padding", "strides", "pool_sizes") if key in form),
)
def test_equals_a_float64_forward_pass(norm, norm_position, form):
    options = {"norm": norm, "norm_position": norm_position, "norm_epsilon": 0.01}
    model = small(kernel_sizes=(4, 3), **options, **form)
    disturb(model)
    outputs = model(images())
    assert outputs.dtype == tf.float32
    strides = dict(zip(("conv1", "conv2"), form["strides"], strict=True))
    names = ("conv1", "conv2", "hidden1", "hidden2")
    pools = dict(zip(("conv1", "conv2"), form.get("pool_sizes", (1, 1)), strict=True))
    kept = {name: value for name, value in form.items() if name != "pool_sizes"}
    expected = forward(model, images(), names, **{**options, **kept, "strides": strides, "pools": pools})
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("norm", ["layer", "batch", "rms"])
def test_norms_without_gains_and_offsets_equal_a_float64_forward_pass(norm):
    options = {"norm": norm, "norm_epsilon": 0.01}
    model = small(kernel_sizes=(4, 3), norm_affine=False, **options)
    assert all("norm" not in variable.name for variable in model.trainable_variables)
    disturb(model)
    form = {"strides": {"conv1": 1, "conv2": 1}, "padding": "same"}
    expected = forward(model, images(), ("conv1", "conv2", "hidden1", "hidden2"), **options, **form)
    np.testing.assert_allclose(model(images()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("padding", "fan_in"),
    # 9 -> 5 -> 3 pixels, and 9 -> 3 -> 1, of 20 channels.
    [("same", 3 * 3 * 20), ("valid", 1 * 1 * 20)],
)
def test_the_initializer_of_pytorch_is_uniform_by_fan_in(padding, fan_in):
    form = {"filters": (30, 20), "strides": (2, 2), "hidden": (60,), "padding": padding}
    model = small(input_shape=(9, 9, 2), kernel_sizes=(5, 3), initializer="pytorch", **form)
    fans = {"conv1": 5 * 5 * 2, "conv2": 3 * 3 * 30, "hidden1": fan_in, "output": 60}
    for name, fan in fans.items():
        kernel, bias = weights(model, name)
        assert_uniform(kernel * fan**0.5)
        assert 0 < np.abs(bias * fan**0.5).max() <= 1 + 1e-6


def test_spectral_normalization_equals_a_float64_forward_pass():
    names = ("conv1", "conv2", "hidden1", "hidden2")
    for spectral in (("conv1",), ("hidden1",), names):
        model = small(kernel_sizes=(4, 3), spectral_norm_layers=spectral)
        disturb(model)
        layers.advance(model)
        strides = {"conv1": 1, "conv2": 1}
        expected = forward(model, images(), names, spectral=spectral, strides=strides, padding="same")
        np.testing.assert_allclose(model(images()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# conv1 5 x 5 x 3 x 64 + 64 = 4,864; conv2 3 x 3 x 64 x 64 + 64 = 36,928; hidden1 32 x 32 x 64 x 256 + 256 =
# 16,777,472; hidden2 256 x 256 + 256 = 65,792; output 2,570. Norms: 2 x (2 x 65,536 + 512) = 263,168.
# Small form: 1,216 + 2,320 + 8 x 8 x 16 x 64 + 64 + 650 = 69,786.
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 16_887_626),
        ({"norm": "layer"}, 16_887_626 + 263_168),
        (SMALL_FORM, 69_786),
        # Twice the channels and units: 2,432 + 9,248 + 2,048 x 128 + 128 + 1,290.
        ({**SMALL_FORM, "width": 2}, 275_242),
        # Kumar et al. 2023: 1,216 + 6,416; 32 -> 28 -> 14 -> 10 -> 5 pixels: 40,000 + 100 + 10,100 + 1,010.
        (
            {
                **{"filters": (16, 16), "kernel_sizes": (5, 5), "padding": "valid", "pool_sizes": (2, 2)},
                "hidden": (100, 100),
            },
            58_842,
        ),
        # Without convolutions: 3,072 x 64 + 64 + 650.
        ({**SMALL_FORM, "filters": (), "kernel_sizes": (), "strides": ()}, 197_322),
    ],
)
def test_number_of_parameters(arguments, count):
    assert cnn(10, **arguments).count_params() == count


def test_the_layers_are_named_and_in_order():
    assert [layer.name for layer in small().layers] == [
        *("conv1", "conv1_relu", "conv2", "conv2_relu", "flatten"),
        *("hidden1", "hidden1_relu", "hidden2", "hidden2_relu", "output"),
    ]
    names = [layer.name for layer in small(num_outputs=(2, 3), norm="layer").layers]
    assert names[:3] == ["conv1", "conv1_norm", "conv1_relu"]
    assert names[-4:] == ["hidden2_norm", "hidden2_relu", "output", "output_shape"]


def test_valid_padding_leaves_at_least_one_pixel():
    # 7 -> 3 -> 1 pixels.
    model = small(input_shape=(7, 7, 1), padding="valid")
    assert model.get_layer("flatten").output.shape[1:] == (3,)
    rule = "must leave every convolution with padding 'valid' at least one pixel"
    message = f"`input_shape` {rule}. Received: (6, 7, 1)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(input_shape=(6, 7, 1), padding="valid")
    # 7 -> 3 -> 1, but 7 -> 2 leaves no square of 3.
    assert small(input_shape=(7, 7, 1), pool_sizes=(2, 3)).get_layer("conv2_pool").output.shape[1:3] == (1, 1)
    message = "`input_shape` must leave every max pooling at least one pixel. Received: (7, 7, 1)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(input_shape=(7, 7, 1), pool_sizes=(3, 3))
    message = "`pool_sizes` must be at most the 7 pixels of an image. Received: (1, 8)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(input_shape=(7, 6, 1), pool_sizes=(1, 8))


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        ({}, {"filters": (4, 4)}),
        ({}, {"kernel_sizes": (3, 3)}),
        ({}, {"strides": (2, 1)}),
        ({}, {"padding": "valid"}),
        ({}, {"pool_sizes": (2, 1)}),
        ({}, {"hidden": (5,)}),
        ({}, {"width": 2.0}),
        ({}, {"activation": "tanh"}),
        ({}, {"initializer": "he_normal"}),
        ({}, {"initializer": "pytorch"}),
        ({}, {"spectral_norm_layers": ("conv2",)}),
        ({"norm": "layer"}, {"norm_epsilon": 0.1}),
    ],
)
def test_every_argument_changes_the_outputs(base, changed):
    shape = (9, 9, 2)
    one, other = (small(input_shape=shape, **{**base, **more}) for more in ({}, changed))
    assert np.abs(one(images(4, shape)) - other(images(4, shape))).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": ()}, "`num_outputs` must be an integer of at least 1. Received: ()"),
        ({"input_shape": (28, 28)}, "`input_shape` must be (height, width, channels). Received: (28, 28)"),
        ({"filters": 64}, "`filters` must be a sequence of integers. Received: 64"),
        ({"strides": (2,)}, "`strides` must have one value for each of the 2 `filters`. Received: (2,)"),
        (
            {"kernel_sizes": (5, 3, 3)},
            "`kernel_sizes` must have one value for each of the 2 `filters`. Received: (5, 3, 3)",
        ),
        (
            {"pool_sizes": (2,)},
            "`pool_sizes` must have one value for each of the 2 `filters`. Received: (2,)",
        ),
        ({"pool_sizes": (0, 1)}, "`pool_sizes` must be an integer of at least 1. Received: 0"),
        ({"strides": (0, 1)}, "`strides` must be an integer of at least 1. Received: 0"),
        ({"padding": "causal"}, "`padding` must be one of 'same', 'valid'. Received: 'causal'"),
        ({"hidden": (0,)}, "`hidden` must be an integer of at least 1. Received: 0"),
        ({"norm_position": "in"}, "`norm_position` must be one of 'before', 'after'. Received: 'in'"),
        (
            {"activation": "rellu"},
            "`activation` must name a Keras activation. Received: 'rellu'. "
            + ("Did you mean 'relu' or 'crelu' or 'elu'?", "Did you mean 'relu' or 'relu6' or 'crelu'?")[
                not is_legacy()
            ],
        ),
        (
            {"spectral_norm_layers": ("conv3",)},
            "`spectral_norm_layers` must be a sequence of names of hidden layers: 'conv1', 'conv2', "
            "'hidden1', 'hidden2'. Received: ('conv3',)",
        ),
        ({"width": -1}, "`width` must be a finite number above 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(**arguments)
