import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.networks.oracle import ACTIVATIONS, assert_uniform, convolve, disturb, weights
from tfplastic import layers
from tfplastic._keras import keras
from tfplastic.networks import vit

SHAPE = (7, 6, 2)


def small(**arguments):
    defaults = {"num_outputs": 3, "input_shape": SHAPE, "seed": 0, "num_heads": 2}
    return vit(**{**defaults, "model_dim": 8, "feed_forward_dim": 10, **arguments})


def images(size=4, shape=SHAPE):
    return np.random.default_rng(1).normal(size=(size, *shape)).astype(np.float32)


@functools.cache
def outputs():
    """Returns outputs of the network with its defaults."""
    return small()(images())


def normalize(model, name, x, norm, epsilon):
    if norm is None:
        return x
    gain, *offset = weights(model, f"{name}_norm")
    if norm == "layer":
        x = x - x.mean(-1, keepdims=True)
    return gain * x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) + (offset[0] if offset else 0)


def dense(model, name, x):
    kernel, bias = weights(model, name)
    return x @ kernel + bias


def attention(model, block, x, num_heads):
    """One example, head and query after the other."""
    features = x.shape[-1]
    query, key, value = np.split(dense(model, f"{block}_qkv", x), 3, axis=-1)
    size = features // num_heads
    mixed = np.empty_like(x)
    for example in range(len(x)):
        for head in range(num_heads):
            own = slice(head * size, (head + 1) * size)
            for position in range(x.shape[1]):
                scores = key[example][:, own] @ query[example, position, own] / np.sqrt(size)
                weight = np.exp(scores) / np.exp(scores).sum()
                mixed[example, position, own] = weight @ value[example][:, own]
    return dense(model, f"{block}_mix", mixed)


def forward(model, x, num_blocks=1, num_heads=2, **options):
    norm, epsilon = options["norm"], options["norm_epsilon"]

    def residual(x, function, name):
        if options["norm_position"] == "before":
            return x + function(normalize(model, name, x, norm, epsilon))
        return normalize(model, name, x + function(x), norm, epsilon)

    def feed_forward(x, block):
        hidden = ACTIVATIONS[options["activation"]](dense(model, f"{block}_hidden", x))
        return dense(model, f"{block}_project", hidden)

    kernel, bias = weights(model, "patches")
    x = convolve(x.astype(np.float64), kernel, bias, options["patch_size"], "same")
    x = x.reshape(len(x), -1, x.shape[-1])
    if options["pooling"] == "token":
        (token,) = weights(model, "class_token")
        x = np.concatenate([np.broadcast_to(token, (len(x), 1, x.shape[-1])), x], axis=1)
    x = x + weights(model, "positions")[0]
    for block in (f"block{number}" for number in range(1, num_blocks + 1)):
        x = residual(x, lambda y, block=block: attention(model, block, y, num_heads), f"{block}_attention")
        x = residual(x, lambda y, block=block: feed_forward(y, block), f"{block}_feed_forward")
    if options["norm_position"] == "before":
        x = normalize(model, "last", x, norm, epsilon)
    return dense(model, "output", x[:, 0] if options["pooling"] == "token" else x.mean(1))


@pytest.mark.parametrize("norm", [None, "layer", "rms"])
@pytest.mark.parametrize(
    ("norm_position", "pooling", "activation", "sizes"),
    [
        ("before", "mean", "gelu", {}),
        ("after", "token", "tanh", {"num_blocks": 2, "num_heads": 4}),
        ("before", "token", "relu", {"num_heads": 1}),
    ],
)
def test_equals_a_float64_forward_pass(norm, norm_position, pooling, activation, sizes):
    options = {"norm": norm, "norm_position": norm_position, "norm_epsilon": 0.01, "pooling": pooling}
    options |= {"activation": activation, "patch_size": 3}
    model = small(**options, **sizes)
    disturb(model)
    outputs, expected = model(images()), forward(model, images(), **options, **sizes)
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# patches 3 x 3 x 3 x 256 + 256 = 7,168; positions 121 x 256 = 30,976; qkv 256 x 768 + 768 = 197,376; mix
# 65,792; hidden 263,168; project 262,400; three norms 1,536; output 2,570; the steps of four dropouts.
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 830_986 + 4),
        ({"num_heads": 4}, 830_986 + 4),
        # A token and its position.
        ({"pooling": "token"}, 830_986 + 2 * 256 + 4),
        ({"norm": None}, 830_986 - 1_536 + 4),
        # Without the last norm.
        ({"norm_position": "after"}, 830_986 - 512 + 4),
        # One more block: 788,736 of its dense layers, two norms, three dropouts.
        ({"num_blocks": 2}, 830_986 + 788_736 + 1_024 + 4 + 3),
        # MNIST: 3 x 3 x 256 + 256 = 2,560 and 100 positions of 256.
        ({"input_shape": (28, 28, 1)}, 830_986 - 4_608 - 21 * 256 + 4),
    ],
)
def test_number_of_parameters(arguments, count):
    assert vit(10, **arguments).count_params() == count


def test_the_layers_are_named_and_in_order():
    names = [layer.name for layer in small(dropout=0.0).layers if not layer.name.endswith("dropout")]
    assert names == [
        *("inputs", "patches", "tokens", "positions"),
        *("block1_attention_norm", "block1_qkv", "block1_attention", "block1_mix", "block1_attention_add"),
        *("block1_feed_forward_norm", "block1_hidden", "block1_hidden_gelu", "block1_project"),
        *("block1_feed_forward_add", "last_norm", "pool", "output"),
    ]


def test_positions_start_small_and_by_the_seed():
    one, same, other = (weights(small(model_dim=64, seed=seed), "positions")[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert abs(one.std() / 0.02 - 1) < 5 * (0.5 / one.size) ** 0.5


def test_dropout_is_drawn_while_training_and_by_seed_place_and_step():
    model, x = small(dropout=0.5), images()
    first = model(x, training=True)
    np.testing.assert_array_equal(model(x, training=True), first)
    np.testing.assert_array_equal(small(dropout=0.5)(x, training=True), first)
    assert np.abs(model(x) - first).max() > 1e-3
    np.testing.assert_array_equal(small(dropout=0.0)(x, training=True), model(x))
    layers.advance(model)
    assert np.abs(model(x, training=True) - first).max() > 1e-3
    dropouts = [layer for layer in model.layers if layer.name.endswith("dropout")]
    assert [layer.name.removesuffix("_dropout") for layer in dropouts] == [
        *("positions", "block1_mix", "block1_hidden", "block1_project")
    ]
    other_seeds = [layer for layer in small(dropout=0.5, seed=1).layers if layer.name.endswith("dropout")]
    assert len({layer.seed for layer in dropouts + other_seeds}) == 8


def test_a_run_that_goes_on_from_a_file_is_the_same_bit_for_bit(tmp_path):
    x, targets = tf.constant(images(8)), tf.one_hot(tf.range(8) % 3, 3)

    def trained(model, steps):
        @tf.function
        def run(steps):
            for _ in tf.range(steps):
                with tf.GradientTape() as tape:
                    logits = model(x, training=True)
                    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
                gradients = tape.gradient(loss, model.trainable_variables)
                for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
                    variable.assign(variable - 0.1 * gradient)
                layers.advance(model)

        run(tf.constant(steps))
        return model

    straight, halted = trained(small(dropout=0.5), 6), trained(small(dropout=0.5), 3)
    halted.save(tmp_path / "vit.keras")
    resumed = trained(keras.models.load_model(tmp_path / "vit.keras"), 3)
    for one, other in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    trained(halted, 2)
    kernel = weights(straight, "output")[0]
    assert np.abs(kernel - weights(halted, "output")[0]).max() > 0


@pytest.mark.parametrize(
    "changed",
    [
        {"patch_size": 2},
        {"model_dim": 10},
        {"feed_forward_dim": 11},
        {"num_blocks": 2},
        {"num_heads": 4},
        {"pooling": "token"},
        {"norm": "rms"},
        {"norm_position": "after"},
        {"norm_epsilon": 0.1},
        {"activation": "relu"},
        {"initializer": "he_normal"},
    ],
)
def test_every_argument_changes_the_outputs(changed):
    assert np.abs(outputs() - small(**changed)(images())).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (28, 28)}, "`input_shape` must be (height, width, channels). Received: (28, 28)"),
        ({"patch_size": 0}, "`patch_size` must be an integer of at least 1. Received: 0"),
        ({"model_dim": 9}, "`model_dim` must be a multiple of the 2 heads. Received: 9"),
        ({"num_heads": 0}, "`num_heads` must be an integer of at least 1. Received: 0"),
        ({"num_blocks": 0}, "`num_blocks` must be an integer of at least 1. Received: 0"),
        ({"feed_forward_dim": 0}, "`feed_forward_dim` must be an integer of at least 1. Received: 0"),
        ({"dropout": 1.5}, "`dropout` must be a number in [0, 1]. Received: 1.5"),
        ({"dropout": 1}, "`dropout` must be below 1. Received: 1"),
        ({"pooling": "max"}, "`pooling` must be one of 'mean', 'token'. Received: 'max'"),
        ({"norm": "batch"}, "`norm` must be one of None, 'layer', 'rms'. Received: 'batch'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(**arguments)


def test_the_initializer_of_pytorch_is_uniform_by_fan_in():
    model = small(initializer="pytorch", patch_size=3, model_dim=24, feed_forward_dim=40)
    fans = {"patches": 18, "block1_qkv": 24, "block1_mix": 24, "block1_hidden": 24, "block1_project": 40}
    for name, fan_in in {**fans, "output": 24}.items():
        for values in weights(model, name):
            assert 0 < np.abs(values).max() * fan_in**0.5 <= 1 + 1e-6
        assert_uniform(weights(model, name)[0] * fan_in**0.5)
