import re

import gin
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tfplastic.networks import (
    CategoricalHead,
    categorical_cross_entropy,
    expected_value,
    hl_gauss,
    mlp,
    two_hot,
)

SUPPORTS = {"unit": np.linspace(0, 1, 11), "returns": np.linspace(-1, 101, 51), "two": np.array([-3.0, 5.0])}
ENCODINGS = pytest.mark.parametrize("encoding", [two_hot, hl_gauss])
EVERY_SUPPORT = pytest.mark.parametrize("support", SUPPORTS.values(), ids=SUPPORTS)


def inside(support, count=200):
    values = np.random.default_rng(0).uniform(support[0], support[-1], count)
    return np.concatenate([values, support, (support[1:] + support[:-1]) / 2])


def two_hot_oracle(value, support):
    """One value at a time, by looking for the bin to its left."""
    expected = np.zeros(len(support))
    value = min(max(value, support[0]), support[-1])
    left = min(np.searchsorted(support, value, side="right") - 1, len(support) - 2)
    expected[left + 1] = (value - support[left]) / (support[left + 1] - support[left])
    expected[left] = 1 - expected[left + 1]
    return expected


def hl_gauss_oracle(value, support, sigma):
    """The integral over each bin by the error function of scipy, in float64."""
    width = support[1] - support[0]
    value = min(max(value, support[0]), support[-1])
    below = [scipy.special.ndtr((support + side * width / 2 - value) / (sigma * width)) for side in (-1, 1)]
    mass = below[1] - below[0]
    return mass / mass.sum()


def beyond(support):
    return np.array([support[0] - 1e6, support[0] - 0.1, support[-1] + 0.1, support[-1] + 1e6])


@EVERY_SUPPORT
def test_two_hot_equals_a_search_for_the_neighbors(support):
    values = np.concatenate([inside(support), beyond(support)])
    expected = [two_hot_oracle(value, support) for value in values]
    # A value near a center may be rounded across it; the mass changes by no more than that.
    np.testing.assert_allclose(two_hot(values, support), expected, atol=1e-12)
    single = two_hot(values.astype(np.float32), support.astype(np.float32))
    assert single.dtype == tf.float32
    np.testing.assert_allclose(single, expected, atol=2e-5)


@EVERY_SUPPORT
@pytest.mark.parametrize("sigma", [0.1, 0.75, 3.0])
def test_hl_gauss_equals_scipy(support, sigma):
    values = np.concatenate([inside(support), beyond(support)])
    expected = [hl_gauss_oracle(value, support, sigma) for value in values]
    np.testing.assert_allclose(hl_gauss(values, support, sigma), expected, atol=1e-11)
    single = hl_gauss(values.astype(np.float32), support.astype(np.float32), sigma)
    assert single.dtype == tf.float32
    np.testing.assert_allclose(single, expected, atol=1e-4 if sigma == 0.1 else 1e-5)


@EVERY_SUPPORT
def test_two_hot_has_the_value_as_its_mean(support):
    support, values = support.astype(np.float32), inside(support).astype(np.float32)
    probabilities = two_hot(values, support)
    np.testing.assert_allclose(tf.reduce_sum(probabilities, -1), 1.0, rtol=1e-6)
    assert np.all(probabilities >= 0) and np.all(np.count_nonzero(probabilities, axis=-1) <= 2)
    scale = np.abs(support).max()
    means = np.array(probabilities, np.float64) @ support
    np.testing.assert_allclose(means, values, rtol=0, atol=1e-6 * scale)
    read_back = expected_value(tf.math.log(probabilities), support)
    np.testing.assert_allclose(read_back, values, rtol=0, atol=1e-6 * scale)


def test_two_hot_takes_bins_of_different_widths():
    probabilities = two_hot([0.0, 2.0, 8.0, 20.0], [0.0, 1.0, 4.0, 16.0]).numpy()
    third = 1 / 3
    expected = [[1, 0, 0, 0], [0, 2 * third, third, 0], [0, 0, 2 * third, third], [0, 0, 0, 1]]
    np.testing.assert_allclose(probabilities, expected, atol=1e-7)


@pytest.mark.parametrize(("sigma", "bias"), [(0.3, 0.0539), (0.5, 0.00229), (0.75, 4.8e-6), (1.0, 1e-8)])
def test_the_mean_of_hl_gauss_is_off_by_no_more_than_documented(sigma, bias):
    support = np.linspace(-4, 16, 41)  # w = 0.5
    values = np.linspace(support[0] + 5 * sigma, support[-1] - 5 * sigma, 1_000)
    errors = np.abs(hl_gauss(values, support, sigma).numpy() @ support - values) / 0.5
    assert np.isclose(errors.max(), np.exp(-2 * (np.pi * sigma) ** 2) / np.pi, rtol=0.01, atol=1e-8)
    assert errors.max() < 1.01 * bias
    at_end = hl_gauss(support[[0, -1]], support, 0.75).numpy() @ support
    np.testing.assert_allclose((at_end - support[[0, -1]]) / 0.5, [0.3688, -0.3688], atol=1e-4)


@EVERY_SUPPORT
def test_hl_gauss_is_a_distribution_however_far_the_value(support):
    values = np.concatenate([inside(support), beyond(support)]).astype(np.float32)
    for sigma in (1e-3, 0.75, 100.0):
        probabilities = hl_gauss(values, support.astype(np.float32), sigma).numpy()
        assert np.all(probabilities >= 0)
        np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)


@ENCODINGS
def test_nan_gives_nan_and_the_other_values_are_on_their_own(encoding):
    probabilities = encoding([np.nan, 0.2], SUPPORTS["unit"].astype(np.float32)).numpy()
    assert np.isnan(probabilities[0]).any() and np.isfinite(probabilities[1]).all()


@ENCODINGS
def test_shapes_are_kept(encoding):
    support = tf.constant([0.0, 1.0, 2.0])
    for shape in ((), (4,), (2, 3), (0,)):
        assert encoding(tf.zeros(shape), support).shape == (*shape, 3)
        assert expected_value(tf.zeros([*shape, 3]), support).shape == shape


@ENCODINGS
def test_eager_graph_and_xla_agree(encoding):
    support = SUPPORTS["returns"].astype(np.float32)
    values = inside(support).astype(np.float32)
    logits = np.random.default_rng(1).normal(size=(len(values), 51)).astype(np.float32)

    def everything(values, logits, support):
        loss = categorical_cross_entropy(logits, values, support, encoding)
        return encoding(values, support), expected_value(logits, support), loss

    arguments = [tf.constant(array) for array in (values, logits, support)]
    eager = everything(*arguments)
    for options, tolerance in (({}, 0.0), ({"jit_compile": True}, 2e-5)):
        compiled = tf.function(everything, **options)
        for _ in range(2):
            for one, other in zip(compiled(*arguments), eager, strict=True):
                np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        assert compiled.experimental_get_tracing_count() == 1


def test_expected_value_equals_numpy_and_stays_in_the_support():
    support = SUPPORTS["returns"].astype(np.float32)
    logits = 5 * np.random.default_rng(2).normal(size=(7, 51)).astype(np.float32)
    weights = np.exp(logits.astype(np.float64))
    expected = weights @ support / weights.sum(-1)
    np.testing.assert_allclose(expected_value(logits, support), expected, rtol=1e-5)
    huge = np.zeros((2, 51), np.float32)
    huge[0, 0] = huge[1, -1] = 1e6
    np.testing.assert_allclose(expected_value(huge, support), [-1, 101], rtol=1e-6)


@ENCODINGS
def test_the_loss_equals_numpy_and_its_gradient_central_differences(encoding):
    support = np.linspace(-1, 1, 5)
    values, logits = np.array([-0.3, 2.0]), np.random.default_rng(3).normal(size=(2, 5))

    def loss(logits):
        log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return -(encoding(values, support).numpy() * log_softmax).sum(-1)

    inputs, targets = tf.constant(logits), tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch([inputs, targets])
        outputs = categorical_cross_entropy(inputs, targets, support, encoding)
    np.testing.assert_allclose(outputs, loss(logits), rtol=1e-12)
    gradient, none = tape.gradient(outputs, [inputs, targets])
    assert none is None
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        difference = (loss(logits + step) - loss(logits - step)).sum() / 2e-6
        np.testing.assert_allclose(gradient[index], difference, atol=1e-8)
    softmax = tf.nn.softmax(inputs)
    np.testing.assert_allclose(gradient, softmax - encoding(values, support), atol=1e-12)


def test_the_loss_casts_half_precision_logits():
    logits = tf.constant([[300.0, 0.0]], tf.bfloat16)
    loss = categorical_cross_entropy(logits, [1.0], [0.0, 1.0])
    assert loss.dtype == tf.float32 and np.isclose(float(loss[0]), 300.0)
    assert expected_value(logits, [0.0, 1.0]).dtype == tf.float32


@pytest.mark.parametrize("encoding", [two_hot, hl_gauss], ids=["two_hot", "hl_gauss"])
def test_a_regression_is_learned_with_it(encoding):
    head = CategoricalHead(-2.0, 2.0, num_bins=21, encoding=encoding)
    model = mlp(head.num_bins, (32,), input_shape=(1,), seed=0)
    inputs = tf.linspace([-1.0], [1.0], 64)
    targets = tf.sin(3 * inputs[:, 0])

    @tf.function
    def train():
        for _ in tf.range(300):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(head.loss(model(inputs), targets))
            gradients = tape.gradient(loss, model.trainable_variables)
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
                variable.assign(variable - 0.5 * gradient)

    train()
    assert tf.reduce_mean((head.values(model(inputs)) - targets) ** 2) < 0.05  # 0.55 for zeros


def test_the_head_has_an_equally_spaced_support_and_the_functions_of_it():
    head = CategoricalHead(-1.0, 3.0, num_bins=5, encoding=hl_gauss)
    np.testing.assert_array_equal(head.support, [-1, 0, 1, 2, 3])
    logits, values = np.random.default_rng(4).normal(size=(2, 5)).astype(np.float32), [0.5, 9.0]
    expected = categorical_cross_entropy(logits, values, head.support, hl_gauss)
    np.testing.assert_array_equal(head.loss(logits, values), expected)
    assert np.abs(expected - CategoricalHead(-1.0, 3.0, 5).loss(logits, values)).max() > 1e-3
    np.testing.assert_array_equal(head.values(logits), expected_value(logits, head.support))
    assert CategoricalHead(0.0, 1.0).num_bins == 51


def test_gin_chooses_the_encoding_and_its_width():
    bindings = [
        "CategoricalHead.num_bins = 5",
        "CategoricalHead.encoding = @hl_gauss",
        "hl_gauss.sigma = 2.0",
    ]
    try:
        gin.parse_config(bindings)
        head = gin.get_configurable(CategoricalHead)(-1.0, 3.0)
        support = np.arange(-1.0, 4.0, dtype=np.float32)
        expected = categorical_cross_entropy(
            np.eye(5, dtype=np.float32), np.ones(5), support, lambda v, s: hl_gauss(v, s, sigma=2.0)
        )
        np.testing.assert_array_equal(head.loss(np.eye(5, dtype=np.float32), np.ones(5)), expected)
    finally:
        gin.clear_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: two_hot(0.0, [1.0]),
            "`support` must be floats of shape [bins], at least two. Received: float32 of shape (1,)",
        ),
        (
            lambda: expected_value(0.0, [0, 1]),
            "`support` must be floats of shape [bins], at least two. Received: int32 of shape (2,)",
        ),
        (lambda: two_hot(0.0, [1.0, 1.0]), "`support` must ascend. Received: [1.0, 1.0]"),
        (
            lambda: hl_gauss(0.0, [0.0, 1.0, 3.0]),
            "`support` must ascend in equal steps. Received: [0.0, 1.0, 3.0]",
        ),
        (
            lambda: hl_gauss(0.0, [0.0, 1.0], sigma=0),
            "`sigma` must be a finite number above 0. Received: 0",
        ),
        (
            lambda: categorical_cross_entropy(tf.zeros([3, 1]), tf.zeros([3]), [0.0, 1.0]),
            "`logits` must have one entry for each of the 2 bins on its last axis. Received: shape (3, 1)",
        ),
        (lambda: CategoricalHead(0, 1, 1), "`num_bins` must be an integer of at least 2. Received: 1"),
        (lambda: CategoricalHead(np.nan, 1), "`minimum` must be a finite number. Received: nan"),
        (lambda: CategoricalHead(0, np.inf), "`maximum` must be a finite number. Received: inf"),
        (lambda: CategoricalHead(2, 2), "`maximum` must be above the minimum 2. Received: 2"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_the_support_is_also_checked_where_a_program_is_traced():
    with pytest.raises(ValueError, match="`support` must ascend"):
        tf.function(lambda values: two_hot(values, [1.0, 0.0]))(tf.zeros([1]))
