import re

import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from tfplastic._keras import is_legacy, keras
from tfplastic.networks import nature_dqn

STRIDES = {"conv1": 4, "conv2": 2, "conv3": 1}
HIDDEN = (*STRIDES, "dense")
SMALL = (44, 40, 2)  # 44 x 40 -> 10 x 9 -> 4 x 3 -> 2 x 1 pixels
ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


def small(**arguments):
    return nature_dqn(**{"num_outputs": 3, "observation_shape": SMALL, "seed": 0, "width": 0.25, **arguments})


def pixels(size=5, shape=SMALL):
    return np.random.default_rng(1).integers(0, 256, (size, *shape), dtype=np.uint8)


def weights(model, name):
    return [variable.numpy().astype(np.float64) for variable in model.get_layer(name).variables]


def disturb(model):
    """Moves every weight away from its initial value, so that gains of 1 and offsets of 0 hide nothing."""
    generator = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(variable + generator.normal(scale=0.1, size=variable.shape).astype(np.float32))


def convolve(x, kernel, bias, stride):
    height, width = kernel.shape[:2]
    windows = sliding_window_view(x, (height, width), axis=(1, 2))[
        :, ::stride, ::stride
    ]  # [n, i, j, c, h, w]
    return np.einsum("nijchw,hwco->nijo", windows, kernel) + bias


def normalize(x, gain, offset, epsilon):
    axes = tuple(range(1, x.ndim))
    deviation = x - x.mean(axes, keepdims=True)
    return gain * deviation / np.sqrt((deviation**2).mean(axes, keepdims=True) + epsilon) + offset


def oracle(model, images, norm_position=None, epsilon=1e-5, activation="relu"):
    """The forward pass in float64, written from the papers; `norm_position` None is without normalization."""
    x = images / 255
    for name in HIDDEN:
        if name in STRIDES:
            x = convolve(x, *weights(model, name), STRIDES[name])
        else:
            kernel, bias = weights(model, name)
            x = x.reshape(len(x), -1) @ kernel + bias
        if norm_position == "before":
            x = normalize(x, *weights(model, f"{name}_norm"), epsilon)
        x = ACTIVATIONS[activation](x)
        if norm_position == "after":
            x = normalize(x, *weights(model, f"{name}_norm"), epsilon)
    kernel, *bias = weights(model, "output")
    (bias,) = bias or weights(model, "output_bias")
    return (x @ kernel + bias).reshape(len(x), *model.output_shape[1:])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("norm_position", [None, "before", "after"])
@pytest.mark.parametrize("num_outputs", [3, (3, 7)])
@pytest.mark.parametrize("shared_bias", [False, True])
def test_equals_a_float64_forward_pass(activation, norm_position, num_outputs, shared_bias):
    norm = {} if norm_position is None else {"norm": "layer", "norm_position": norm_position}
    model = small(num_outputs=num_outputs, activation=activation, shared_bias=shared_bias, **norm)
    disturb(model)
    outputs = model(pixels())
    assert outputs.dtype == tf.float32
    expected = oracle(model, pixels(), norm_position, activation=activation)
    assert outputs.shape == expected.shape
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_norm_epsilon_is_added_to_the_variance():
    model = small(norm="layer", norm_epsilon=0.3)
    np.testing.assert_allclose(model(pixels()), oracle(model, pixels(), "before", epsilon=0.3), atol=1e-5)


def test_the_papers_size_equals_a_float64_forward_pass():
    model = nature_dqn(6, seed=0, norm="layer", shared_bias=True)
    images = pixels(2, (84, 84, 4))
    np.testing.assert_allclose(model(images), oracle(model, images, "before"), rtol=1e-4, atol=1e-5)


# 84 -> 20 -> 9 -> 7 pixels. conv1 8 x 8 x 4 x 32 + 32 = 8,224; conv2 4 x 4 x 32 x 64 + 64 = 32,832;
# conv3 3 x 3 x 64 x 64 + 64 = 36,928; dense 7 x 7 x 64 x 512 + 512 = 1,606,144; output 512 x 6 + 6 = 3,078.
# Normalization: 2 x (20 x 20 x 32 + 9 x 9 x 64 + 7 x 7 x 64 + 512) = 43,264.
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 1_687_206),
        ({"norm": "layer"}, 1_687_206 + 43_264),
        ({"norm": "layer", "norm_position": "after"}, 1_687_206 + 43_264),
        ({"shared_bias": True}, 1_687_206 - 5),
        # 16, 32 and 32 channels, 256 units: 4,112 + 8,224 + 9,248 + 401,664 + 1,542.
        ({"width": 0.5}, 424_790),
        # One channel or unit each: 257 + 17 + 10 + 50 + 12.
        ({"width": 0.001}, 346),
    ],
)
def test_number_of_parameters(arguments, count):
    assert nature_dqn(6, seed=0, **arguments).count_params() == count


def test_number_of_parameters_of_a_categorical_head():
    # 512 x 6 x 51 + 306 instead of 3,078.
    assert nature_dqn((6, 51), seed=0).count_params() == 1_687_206 - 3_078 + 156_978
    assert nature_dqn([6, 51], seed=0, shared_bias=True).count_params() == 1_687_206 - 3_078 + 156_672 + 1


def test_the_layers_are_named_and_in_order():
    assert [layer.name for layer in small().layers] == [
        *("rescaling", "conv1", "conv1_relu", "conv2", "conv2_relu", "conv3", "conv3_relu", "flatten"),
        *("dense", "dense_relu", "output"),
    ]
    after = small(
        num_outputs=(3, 7), norm="layer", norm_position="after", activation="tanh", shared_bias=True
    )
    assert [layer.name for layer in after.layers if "conv1" in layer.name or "output" in layer.name] == [
        *("conv1", "conv1_tanh", "conv1_norm", "output", "output_bias", "output_shape"),
    ]
    before = small(norm="layer")
    assert [layer.name for layer in before.layers if "dense" in layer.name] == [
        "dense",
        "dense_norm",
        "dense_relu",
    ]


@pytest.mark.parametrize("shared_bias", [False, True])
def test_initial_weights_are_uniform_within_one_over_the_root_of_fan_in(shared_bias):
    model = nature_dqn(18, seed=0, width=0.5, shared_bias=shared_bias)
    fans = {"conv1": 8 * 8 * 4, "conv2": 4 * 4 * 16, "conv3": 3 * 3 * 32, "dense": 7 * 7 * 32, "output": 256}
    drawn = [(array, fan) for name, fan in fans.items() for array in weights(model, name)]
    drawn += [(array, 256) for array in weights(model, "output_bias")] if shared_bias else []
    assert len(drawn) == 10
    assert sum(array.size for array, _ in drawn) == model.count_params()
    for array, fan_in in drawn:
        bound = fan_in**-0.5
        assert 0 < np.abs(array).max() <= bound
        if array.size > 1:  # of n uniform draws: mean 0, standard deviation bound / sqrt(3), within 5 errors
            assert abs(array.mean()) < 5 * bound / (3 * array.size) ** 0.5
            assert abs(array.std() / (bound / 3**0.5) - 1) < 5 * (0.2 / array.size) ** 0.5
            assert np.abs(array).max() > bound * (1 - 10 / array.size)


def test_normalization_starts_as_the_identity():
    model = small(norm="layer")
    for name in HIDDEN:
        gain, offset = weights(model, f"{name}_norm")
        assert (gain == 1).all() and (offset == 0).all()


def test_the_same_seed_gives_the_same_weights():
    for first, second in zip(small().variables, small().variables, strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_weights():
    for first, second in zip(small().variables, small(seed=1).variables, strict=True):
        assert (first.numpy() != second.numpy()).mean() > 0.99


def test_the_global_seed_has_no_part_in_it():
    keras.utils.set_random_seed(1)
    first = small()
    keras.utils.set_random_seed(2)
    for one, other in zip(first.variables, small().variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_weight_is_drawn_by_a_seed_of_its_own():
    model = small()
    drawn = [
        array.ravel()[:3] / np.abs(array).max()
        for name in (*HIDDEN, "output")
        for array in weights(model, name)
    ]
    for index, one in enumerate(drawn):
        assert all(np.abs(one - other).max() > 1e-3 for other in drawn[:index])


@pytest.mark.parametrize(
    "other", [{"norm": "layer"}, {"shared_bias": True}, {"activation": "tanh"}, {"num_outputs": 5}]
)
def test_the_hidden_weights_depend_on_seed_and_shape_only(other):
    first, second = small(), small(**other)
    for name in HIDDEN:
        for one, another in zip(weights(first, name), weights(second, name), strict=True):
            np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        ({}, {"norm": "layer"}),
        ({"norm": "layer"}, {"norm_position": "after"}),
        ({"norm": "layer"}, {"norm_epsilon": 0.1}),
        ({}, {"activation": "tanh"}),
        ({}, {"width": 0.5}),
        ({}, {"shared_bias": True}),
    ],
)
def test_every_argument_changes_the_outputs(base, changed):
    one, other = small(**base), small(**{**base, **changed})
    assert np.abs(one(pixels()) - other(pixels())).max() > 1e-3


def test_the_smallest_image_leaves_one_pixel():
    model = nature_dqn(2, (36, 36, 1), seed=0)
    assert weights(model, "dense")[0].shape == (64, 512)
    assert model(pixels(3, (36, 36, 1))).shape == (3, 2)


def test_compiled_equals_eager_and_is_traced_once():
    model = small(norm="layer")
    compiled = tf.function(model, autograph=False)
    for _ in range(2):
        np.testing.assert_allclose(compiled(tf.constant(pixels())), model(pixels()), rtol=1e-5, atol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1


def test_is_saved_and_loaded(tmp_path):
    model = small(num_outputs=(3, 7), norm="layer", shared_bias=True)
    disturb(model)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(pixels()), model(pixels()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": 0}, "`num_outputs` must be an integer of at least 1. Received: 0"),
        ({"num_outputs": 6.0}, "`num_outputs` must be an integer of at least 1. Received: 6.0"),
        ({"num_outputs": True}, "`num_outputs` must be an integer of at least 1. Received: True"),
        ({"num_outputs": (6, 0)}, "`num_outputs` must be an integer of at least 1. Received: 0"),
        ({"num_outputs": ()}, "`num_outputs` must be an integer of at least 1. Received: ()"),
        (
            {"observation_shape": (84, 84)},
            "`observation_shape` must be (height, width, channels). Received: (84, 84)",
        ),
        ({"observation_shape": 84}, "`observation_shape` must be (height, width, channels). Received: 84"),
        (
            {"observation_shape": (84, 84, 0)},
            "`observation_shape` must be an integer of at least 1. Received: 0",
        ),
        (
            {"observation_shape": (35, 84, 4)},
            "`observation_shape` must be at least 36 pixels high and wide. Received: (35, 84, 4)",
        ),
        (
            {"observation_shape": [84, 35, 4]},
            "`observation_shape` must be at least 36 pixels high and wide. Received: [84, 35, 4]",
        ),
        ({"norm": "batch"}, "`norm` must be one of None, 'layer'. Received: 'batch'"),
        ({"norm_position": "behind"}, "`norm_position` must be one of 'before', 'after'. Received: 'behind'"),
        ({"norm_epsilon": 0}, "`norm_epsilon` must be a finite number above 0. Received: 0"),
        (
            {"activation": "rellu"},
            "`activation` must name a Keras activation. Received: 'rellu'. "
            + ("Did you mean 'relu' or 'crelu' or 'elu'?", "Did you mean 'relu' or 'relu6' or 'crelu'?")[
                not is_legacy()
            ],
        ),
        ({"activation": None}, "`activation` must name a Keras activation. Received: None"),
        ({"width": 0}, "`width` must be a finite number above 0. Received: 0"),
        ({"width": float("inf")}, "`width` must be a finite number above 0. Received: inf"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        nature_dqn(**{"num_outputs": 6, "seed": 0, **arguments})
