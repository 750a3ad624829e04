import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.oracle import assert_uniform, convolve, disturb, normalize, weights
from tfplastic.networks import resnet18

SHAPE = (9, 8, 2)
STRIDES = {3: 2, 5: 2, 7: 2}


def small(**arguments):
    return resnet18(**{"num_outputs": 3, "input_shape": SHAPE, "seed": 0, "width": 0.05, **arguments})


def images(size=3, shape=SHAPE):
    return np.random.default_rng(1).normal(size=(size, *shape)).astype(np.float32)


@functools.cache
def outputs():
    """Returns outputs of the network with its defaults."""
    return small()(images())


def max_pool(x):
    """3x3 with stride 2 and padding 'same', one output pixel after the other."""
    rows, columns = (-(-pixels // 2) for pixels in x.shape[1:3])
    behind = [max((out - 1) * 2 + 3 - n, 0) for out, n in zip((rows, columns), x.shape[1:3], strict=True)]
    x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in behind), (0, 0)], constant_values=-np.inf)
    pooled = [
        [x[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max((1, 2)) for c in range(columns)] for r in range(rows)
    ]
    return np.moveaxis(np.array(pooled), 2, 0)


def forward(model, x, norm, stem, epsilon=1e-5):
    def convolved(x, name, stride):
        kernel, *bias = weights(model, name)
        assert bool(bias) == (norm in (None, "rms"))
        x = convolve(x, kernel, bias[0] if bias else 0.0, stride, "same")
        return normalize(norm, x, weights(model, f"{name}_norm"), epsilon) if norm else x

    names = [layer.name for layer in model.layers]
    x = np.maximum(convolved(x.astype(np.float64), "conv1", 2 if stem == "imagenet" else 1), 0)
    if stem == "imagenet":
        x = max_pool(x)
    for block in range(1, 9):
        shortcut, stride = x, STRIDES.get(block, 1)
        if f"block{block}_shortcut" in names:
            shortcut = convolved(x, f"block{block}_shortcut", stride)
        x = np.maximum(convolved(x, f"block{block}_conv1", stride), 0)
        x = np.maximum(convolved(x, f"block{block}_conv2", 1) + shortcut, 0)
    kernel, bias = weights(model, "output")
    return x.mean((1, 2)) @ kernel + bias


@pytest.mark.parametrize(
    ("norm", "stem"), [(None, "cifar"), ("layer", "cifar"), ("batch", "imagenet"), ("rms", "cifar")]
)
def test_equals_a_float64_forward_pass(norm, stem):
    model = small(norm=norm, stem=stem, norm_epsilon=0.01)
    disturb(model)
    outputs, expected = model(images()), forward(model, images(), norm, stem, 0.01)
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# Without norms and biases: conv1 9 x 3 x 64 = 1,728; the first two blocks 4 x 9 x 64 x 64 = 147,456; two
# blocks of c channels after c / 2 of them 9 (c^2 / 2 + 3 c^2) + c^2 / 2 = 32 c^2: 524,288 for 128, 2,097,152
# for 256, 8,388,608 for 512; the output 5,130; in all 11,164,362. Normalized are 64 + 4 x 64 + 5 (128 + 256 +
# 512) = 4,800 channels. 11,689,512 is the number of PyTorch's ResNet-18 for ImageNet.
@pytest.mark.parametrize(
    ("arguments", "trainable", "fixed"),
    [
        ({}, 11_164_362 + 2 * 4_800, 2 * 4_800),
        ({"norm": None}, 11_164_362 + 4_800, 0),
        ({"stem": "imagenet", "num_outputs": 1_000, "input_shape": (224, 224, 3)}, 11_689_512, 9_600),
    ],
)
def test_number_of_parameters(arguments, trainable, fixed):
    model = resnet18(**{"num_outputs": 10, **arguments})
    count = {
        kind: sum(int(np.prod(variable.shape)) for variable in getattr(model, kind))
        for kind in ("trainable_variables", "non_trainable_variables")
    }
    assert count == {"trainable_variables": trainable, "non_trainable_variables": fixed}


def test_images_of_28_pixels_become_4_and_width_scales_every_convolution():
    model = small(input_shape=(28, 28, 1), width=0.125)
    assert model.get_layer("block8_conv2").output.shape[1:] == (4, 4, 64)
    assert [int(model.get_layer(f"block{n}_conv1").kernel.shape[-1]) for n in (1, 3, 5, 7)] == [8, 16, 32, 64]
    imagenet = small(input_shape=(224, 224, 3), stem="imagenet")
    assert imagenet.get_layer("block8_conv2").output.shape[1:3] == (7, 7)


def test_the_layers_are_named():
    names = [layer.name for layer in small().layers]
    for name in (
        "conv1",
        "conv1_norm",
        "conv1_relu",
        "block1_conv1_relu",
        "block1_add",
        "block1_relu",
        "pool",
    ):
        assert name in names
    assert [name for name in names if name.endswith("shortcut")] == [
        *("block3_shortcut", "block5_shortcut", "block7_shortcut")
    ]
    assert not any("norm" in layer.name for layer in small(norm=None).layers)


@pytest.mark.parametrize(
    "changed",
    [
        {"stem": "imagenet"},
        {"width": 0.1},
        {"activation": "tanh"},
        {"initializer": "lecun_normal"},
        {"norm_epsilon": 0.1},
        {"norm": "layer"},
    ],
)
def test_every_argument_changes_the_outputs(changed):
    assert np.abs(outputs() - small(**changed)(images())).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": 0}, "`num_outputs` must be an integer of at least 1. Received: 0"),
        ({"input_shape": (28, 28)}, "`input_shape` must be (height, width, channels). Received: (28, 28)"),
        ({"stem": "mnist"}, "`stem` must be one of 'cifar', 'imagenet'. Received: 'mnist'"),
        ({"norm": "l2"}, "`norm` must be one of None, 'layer', 'batch', 'rms'. Received: 'l2'"),
        ({"width": 0}, "`width` must be a finite number above 0. Received: 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(**arguments)


def test_the_initializer_of_pytorch_is_uniform_by_fan_in():
    model = small(initializer="pytorch", norm=None)
    for name in ("conv1", "block1_conv2", "block3_shortcut", "block8_conv1", "output"):
        kernel, bias = weights(model, name)
        fan_in = kernel[..., 0].size
        assert_uniform(kernel * fan_in**0.5)
        assert 0 < np.abs(bias).max() * fan_in**0.5 <= 1 + 1e-6
