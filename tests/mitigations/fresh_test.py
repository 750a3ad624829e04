"""Fresh weights have the distributions of Keras' own initializers, by keys."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfplastic import networks
from tfplastic._keras import keras
from tfplastic.mitigations import WeightReinitializer
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights
from tfplastic.mitigations.fresh import stateless_initializer

initializers = keras.initializers
KEY = tf.constant([3, -7])
DENSE, CONVOLUTION, BIAS = (120, 400), (5, 5, 12, 160), (40_000,)
SEED = {"seed": 1}
RANDOM = [
    (initializers.RandomUniform(-0.3, 0.1, **SEED), DENSE),
    (initializers.RandomNormal(0.5, 0.2, **SEED), DENSE),
    (initializers.TruncatedNormal(-1.0, 0.3, **SEED), DENSE),
    (initializers.Orthogonal(1.5, **SEED), (200, 150)),
    (initializers.Orthogonal(0.5, **SEED), (5, 5, 8, 300)),
    *(
        (getattr(initializers, family + form)(**SEED), CONVOLUTION)
        for family in ("Glorot", "He", "Lecun")
        for form in ("Normal", "Uniform")
    ),
    *(
        (initializers.VarianceScaling(2.5, mode, distribution, **SEED), shape)
        for mode, shape in (("fan_in", DENSE), ("fan_out", CONVOLUTION), ("fan_avg", DENSE))
        for distribution in ("truncated_normal", "untruncated_normal", "uniform")
    ),
    (initializers.HeNormal(**SEED), BIAS),
]
IDS = [type(row[0]).__name__ for row in RANDOM]
EVERY_RANDOM = pytest.mark.parametrize(("initializer", "shape"), RANDOM, ids=IDS)
A_FEW = pytest.mark.parametrize(("initializer", "shape"), RANDOM[:7], ids=IDS[:7])


def draw(initializer, shape, key=KEY):
    drawn = stateless_initializer(initializer)
    assert drawn is not None
    return drawn(shape, key).numpy().astype(np.float32)


def p_value(one, other):
    """The p-value of the Kolmogorov-Smirnov test that both are draws from one distribution."""
    result: Any = scipy.stats.ks_2samp(one.ravel(), other.ravel())
    return result.pvalue


@EVERY_RANDOM
def test_the_distribution_is_that_of_keras(initializer, shape):
    ours, theirs = draw(initializer, shape), np.array(initializer(shape))
    assert ours.shape == shape and ours.size >= 30_000
    assert p_value(ours, theirs) > 1e-3
    spread = theirs.std() / np.sqrt(theirs.size)
    assert abs(ours.mean() - theirs.mean()) < 5 * spread
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.02)
    bounded = "normal" not in getattr(initializer, "distribution", type(initializer).__name__.lower())
    if bounded and not isinstance(initializer, initializers.Orthogonal):
        np.testing.assert_allclose([ours.min(), ours.max()], [theirs.min(), theirs.max()], rtol=2e-3)


@pytest.mark.parametrize("scale", [0.93, 1.07])
def test_that_test_would_notice_another_scale(scale):
    ours = draw(initializers.LecunNormal(), CONVOLUTION)
    theirs = np.array(initializers.LecunNormal(**SEED)(CONVOLUTION))
    assert p_value(scale * ours, theirs) < 1e-3


def test_normals_are_normal_finite_and_symmetric():
    values = draw(initializers.RandomNormal(0.0, 1.0), (1 << 20,)).astype(np.float64)
    assert scipy.stats.kstest(values, "norm").pvalue > 1e-3
    assert 4.5 < np.abs(values).max() < 6.4
    for moment, expected in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = scipy.stats.norm.moment(2 * moment) ** 0.5 / 2**10
        assert abs((values**moment).mean() - expected) < 5 * spread


def test_truncation_is_at_two_standard_deviations():
    values = draw(initializers.TruncatedNormal(1.0, 0.5), (1 << 18,))
    assert 0 < values.min() < 0.001 and 1.999 < values.max() <= 2
    assert scipy.stats.kstest((values - 1) / 0.5, scipy.stats.truncnorm(-2, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("shape", "gain"), [((6, 4), 1.0), ((4, 6), 2.0), ((2, 3, 4), 1.0)])
def test_orthogonal_matrices_are_orthogonal(shape, gain):
    matrix = draw(initializers.Orthogonal(gain), shape).reshape(-1, shape[-1]).astype(np.float64)
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, gain**2 * np.eye(matrix.shape[1]), atol=1e-5)


@pytest.mark.parametrize(
    "initializer",
    [initializers.Zeros(), initializers.Ones(), initializers.Constant(0.25)],
    ids=lambda initializer: type(initializer).__name__,
)
def test_constants_are_exact(initializer):
    np.testing.assert_array_equal(draw(initializer, (3, 4)), np.array(initializer((3, 4))))


@EVERY_RANDOM
def test_same_key_same_bits_and_other_key_other_bits(initializer, shape):
    first = draw(initializer, shape)
    np.testing.assert_array_equal(first, draw(initializer, shape))
    other = draw(initializer, shape, tf.constant([3, -8]))
    assert (first != other).mean() > 0.99


@A_FEW
def test_a_graph_draws_the_same_bits_and_xla_nearly_all_of_them(initializer, shape):
    drawn: Any = stateless_initializer(initializer)
    shape = (*shape[:-1], 20)
    expected = draw(initializer, shape)
    graph, xla = (
        tf.function(lambda key: tf.cast(drawn(shape, key), tf.float32), autograph=False, jit_compile=jit)(KEY)
        for jit in (False, True)
    )
    np.testing.assert_array_equal(graph, expected)
    np.testing.assert_allclose(xla, expected, rtol=1.2e-7)
    assert (xla.numpy() == expected).mean() > 0.99


class _OwnCall(keras.initializers.RandomNormal):
    def __call__(self, shape, dtype=None, **kwargs):
        return tf.zeros(shape)


@pytest.mark.parametrize(
    ("initializer", "name"),
    [(initializers.Identity(), "Identity"), (_OwnCall(), "_OwnCall")],
    ids=["unknown", "subclass"],
)
def test_an_initializer_that_is_not_known(initializer, name):
    layer = keras.layers.Dense(3, kernel_initializer=initializer, name="strange")
    model = keras.Sequential([keras.Input((3,)), layer])
    with pytest.raises(ValueError) as error:
        WeightReinitializer(trainable_weights(model))
    rule = "must have weights with initializers that can be drawn from again"
    action = "Give the layer an initializer of Keras, or leave the method out"
    assert str(error.value) == f"`model` {rule}. Received: strange/kernel with {name}. {action}"


def test_a_weight_whose_initializer_the_layer_does_not_keep():
    # It starts with ones for the forget gate, which its initializer does not say.
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.LSTM(2, name="recurrent")])
    with pytest.raises(ValueError, match=r"Received: recurrent/lstm_cell\w*/bias with none\. Give the layer"):
        WeightReinitializer(trainable_weights(model))


def recurrent():
    return keras.Sequential([keras.Input((4, 32)), keras.layers.GRU(32), keras.layers.Dense(40)])


def separable():
    convolution = keras.layers.SeparableConv2D(64, 5, depth_multiplier=2, name="separable")
    return keras.Sequential([keras.Input((8, 8, 32)), convolution])


def depthwise():
    convolutions = [keras.layers.DepthwiseConv2D(5, depth_multiplier=8), keras.layers.DepthwiseConv2D(3)]
    return keras.Sequential([keras.Input((8, 8, 32)), *convolutions])


def attention():
    inputs = keras.Input((6, 32))
    initializer = initializers.GlorotUniform(**SEED)
    hidden = keras.layers.MultiHeadAttention(4, 64, kernel_initializer=initializer)(inputs, inputs)
    hidden = keras.layers.LayerNormalization(name="norm")(hidden)
    return keras.Model(inputs, keras.layers.Dense(64, kernel_initializer=initializer)(hidden))


MODELS = {
    "mlp": lambda: networks.mlp(10, (128, 128), input_shape=(64,), norm="layer", initializer="he_uniform"),
    "cnn": lambda: networks.cnn(10, input_shape=(12, 12, 8), norm="batch", hidden=(64,)),
    "cnn with RMS norm": lambda: networks.cnn(10, input_shape=(12, 12, 8), norm="rms", hidden=(64,)),
    "mlp, spectral": lambda: networks.mlp(10, (64, 64), input_shape=(64,), spectral_norm_layers=["hidden1"]),
    "vit": lambda: networks.vit(10, input_shape=(9, 9, 3), model_dim=64, feed_forward_dim=64),
    "resnet18": lambda: networks.resnet18(10, width=0.25),
    "nature_dqn": lambda: networks.nature_dqn(6, seed=0, width=0.5, shared_bias=True),
    "attention": attention,
    "recurrent": recurrent,
    "separable": separable,
    "depthwise": depthwise,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_fresh_weights_of_a_model_are_as_its_first(make):
    model = make()
    weights = trainable_weights(model)
    assert len(weights) == len(model.trainable_variables)
    compared = 0
    for weight, value in zip(weights, WeightReinitializer(weights).draw(KEY), strict=True):
        fresh, initial = value.numpy().ravel(), weight.variable.numpy().ravel()
        assert value.shape == weight.variable.shape
        if np.ptp(initial) == 0 and initial[0] in (0, 1):
            np.testing.assert_array_equal(fresh, initial)
            continue
        assert not (fresh == initial).any() or fresh.size > 1_000
        if fresh.size >= 1_000:
            compared += 1
            assert p_value(fresh, initial) > 1e-3, str(weight)
            np.testing.assert_allclose(fresh.std(), initial.std(), rtol=4 / fresh.size**0.5)
    assert compared >= 2


@pytest.mark.parametrize(
    ("layer", "shape", "fans"),
    [
        (keras.layers.DepthwiseConv2D(5, depth_multiplier=8), (8, 8, 32), (25, 25 * 8)),
        (keras.layers.Conv2DTranspose(24, 5), (8, 8, 16), (25 * 16, 25 * 24)),
        (keras.layers.Conv2D(24, 5, groups=4), (8, 8, 16), (25 * 4, 25 * 6)),
        (keras.layers.EinsumDense("abc,dce->abde", (None, 40, 30)), (8, 20), (20, 1200)),
        (keras.layers.Dense(80), (70,), (70, 80)),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, keras.layers.Layer) else "",
)
def test_a_given_initializer_has_the_fans_of_the_layer(layer, shape, fans):
    weights = [
        each for each in trainable_weights(keras.Sequential([keras.Input(shape), layer])) if each.is_kernel
    ]
    for mode, fan in zip(("fan_in", "fan_out", "fan_avg"), (*fans, sum(fans) / 2), strict=True):
        given = initializers.VarianceScaling(2.0, mode, "uniform", **SEED)
        (value,) = WeightReinitializer(weights, given).draw(KEY)
        bound = np.sqrt(3 * 2.0 / fan)
        np.testing.assert_allclose([value.numpy().min(), value.numpy().max()], [-bound, bound], rtol=5e-3)


def test_each_weight_has_draws_of_its_own():
    weights = trainable_weights(networks.mlp(8, (8, 8), input_shape=(8,)))
    kernels = [each for each in weights if each.is_kernel]
    first, second, third = (value.numpy() for value in WeightReinitializer(kernels).draw(KEY))
    assert not (first == second).any() and not (second == third).any() and not (first == third).any()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_values_have_the_dtype_of_the_weight(dtype):
    layer = keras.layers.Dense(4, dtype=dtype)
    layer.build((None, 3))
    kernel = layer.kernel
    (value,) = WeightReinitializer([Weight(kernel, layer, "kernel", "dense")]).draw(KEY)
    assert value.dtype == dtype and value.shape == (3, 4)
