"""Muon and AdamO, which treat hidden matrices apart."""

import re
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import SHAPES, adam_reference, assert_within, clipped, gradients, train
from tfplastic._keras import keras
from tfplastic.diagnostics.reading import model_layers
from tfplastic.layers import NoisyDense
from tfplastic.networks import mlp
from tfplastic.optimizers import PureAdamO, PureMuon, adamo, muon, slots
from tfplastic.optimizers._forms import hidden_matrices
from tfplastic.optimizers.adamo import AdamO
from tfplastic.optimizers.muon import Muon, orthogonal

MATRICES = [(3, 4), (5, 2), (2, 3, 3, 2), (5,), (4, 3)]
HIDDEN = (True, True, True, False, False)


def draws(num_steps, shapes=MATRICES, seed=1):
    generator = np.random.default_rng(seed)
    return [[generator.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(num_steps)]


def run(pure, start, steps, jit_compile=False):
    @tf.function(autograph=False, jit_compile=jit_compile)
    def update(gradients, state, parameters):
        return pure.update(gradients, state, parameters)

    parameters = [tf.constant(each) for each in start]
    state = pure.init(parameters)
    for step in steps:
        parameters, state = update([tf.constant(each) for each in step], state, parameters)
    return parameters


def muon_reference(
    start, steps, rate, flattens=False, decay=0.004, momentum=0.95, rms_rate=0.2, nesterov=True
):
    """Jordan's Muon with the factor of Liu et al. 2025, and AdamW, in float64."""
    weights = [each.astype(np.float64) for each in start]
    m, v = ([np.zeros_like(each) for each in weights] for _ in range(2))
    for t, step in enumerate(steps, start=1):
        for i, g in enumerate(each.astype(np.float64) for each in step):
            weights[i] *= 1 - rate * decay
            if HIDDEN[i] and (flattens or g.ndim == 2):
                m[i] = momentum * m[i] + g
                x = (g + momentum * m[i]).reshape(-1, g.shape[-1])
                x = x / (np.linalg.norm(x) + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                weights[i] -= rate * 0.2 * max(x.shape) ** 0.5 * x.reshape(g.shape)
            else:
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g**2
                step_size = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                weights[i] -= step_size * m[i] / (np.sqrt(v[i]) + 1e-7)
    return weights


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("flattens", [False, True])
def test_muon_equals_a_float64_transcription(flattens, jit_compile):
    (start,), steps = draws(1, seed=0), draws(12)
    pure = PureMuon(learning_rate=0.02, flattens_convolutions=flattens)
    assert_within(
        run(pure, start, steps, jit_compile), muon_reference(start, steps, 0.02, flattens), tolerance=2e-5
    )


@pytest.mark.parametrize("settings", [{}, {"nesterov": False}, {"rms_rate": None, "momentum": 0.5}], ids=str)
def test_muon_equals_that_of_keras_3(settings):
    names = ("first", "second", "convolution", "bias", "output")
    (start,), steps = draws(1, seed=0), draws(12)
    weights = [keras_3.Variable(each, name=name) for each, name in zip(start, names, strict=True)]
    theirs = keras_3.optimizers.Muon(0.02, exclude_layers=["output"], **settings)
    theirs.build(weights)
    for step in steps:
        theirs.apply([tf.constant(each) for each in step], weights)
    ours = run(PureMuon(learning_rate=0.02, **settings), start, steps)
    assert_within(ours, [np.asarray(each) for each in weights], tolerance=5e-5)


def test_the_update_has_singular_values_near_one():
    for shape in ((4, 9), (9, 4), (6, 6)):
        matrix = tf.constant(np.random.default_rng(0).normal(size=shape))
        values = np.linalg.svd(orthogonal(matrix, 5), compute_uv=False)
        assert 0.6 < values.min() and values.max() < 1.3


def test_the_keras_form_finds_hidden_matrices_and_takes_names():
    model = mlp(2, (3, 3), input_shape=(4,))
    is_kernel = [len(each.shape) == 2 for each in model.trainable_variables]
    for exclude, expected in (
        (None, [True, True, False]),
        ([], [True, True, True]),
        (["hidden1", "output"], [False, True, False]),
    ):
        optimizer = muon(exclude=exclude)
        optimizer.build(model.trainable_variables)
        assert [
            each for each, kernel in zip(optimizer.pure.hidden, is_kernel, strict=True) if kernel
        ] == expected


@pytest.mark.parametrize("make", [lambda: muon(flattens_convolutions=True), lambda: adamo(0.1)])
def test_gains_biases_and_scales_of_any_shape_are_no_hidden_matrices(make):
    layers = [
        (keras.layers.Conv2D(2, 1, name="conv"), (None, 4, 4, 3)),
        (keras.layers.LayerNormalization(axis=[1, 2, 3], name="norm"), (None, 4, 4, 2)),
        (keras.layers.GRU(3, name="gru"), (None, 4, 2)),
        (NoisyDense(3, name="noisy"), (None, 3)),
        (NoisyDense(2, name="output"), (None, 3)),
    ]
    for layer, shape in layers:
        layer.build(shape)
    variables = [each for layer, _ in layers for each in layer.trainable_variables]
    optimizer = make()
    optimizer.build(variables)
    hidden = [each for each, is_one in zip(variables, optimizer.pure.hidden, strict=True) if is_one]
    expected = [layers[0][0].kernel, layers[2][0].cell.kernel, layers[2][0].cell.recurrent_kernel]
    expected.append(layers[3][0].kernel)
    assert [id(each) for each in hidden] == [id(each) for each in expected]


def test_adamo_leaves_gains_of_three_axes():
    norm = keras.layers.LayerNormalization(axis=[1, 2, 3])
    norm.build((None, 4, 4, 2))
    kernels = [tf.Variable(tf.eye(3)) for _ in range(2)]
    optimizer = adamo(1.0, 0.1)
    variables = [kernels[0], *norm.trainable_variables, kernels[1]]
    optimizer.build(variables)
    for _ in range(6):
        optimizer.apply_gradients([(tf.zeros(each.shape), each) for each in variables])
    assert (np.asarray(norm.gamma) == 1).all() and not np.asarray(norm.beta).any()


def test_names_that_are_no_kernels_are_those_of_diagnostics():
    assert hidden_matrices._NO_KERNELS == model_layers._NO_KERNELS


@pytest.mark.parametrize("make", [lambda: muon(0.02), lambda: adamo(0.1, 0.02)], ids=["muon", "adamo"])
def test_the_keras_form_equals_the_pure_one_also_where_a_gradient_is_missing(make):
    (start,), steps = draws(1, seed=0), draws(3)
    for missing in (None, 0):
        kept = [i for i in range(5) if i != missing]
        optimizer, variables = make(), [tf.Variable(each) for each in start]
        optimizer.build(variables)
        for step in steps:
            pairs = [(step[i] if i in kept else None, variables[i]) for i in range(5)]
            optimizer.apply_gradients([(None if g is None else tf.constant(g), v) for g, v in pairs])
        pure = optimizer.pure.with_hidden(tuple(optimizer.pure.hidden[i] for i in kept))
        expected = run(pure, [start[i] for i in kept], [[step[i] for i in kept] for step in steps])
        assert_within([variables[i] for i in kept], expected)
        assert missing is None or (variables[missing].numpy() == start[missing]).all()


def adamo_reference(start, steps, strength, rate, max_gradient_norm=np.inf):
    weights = [each.astype(np.float64) for each in start]
    m, v = ([np.zeros_like(each) for each in weights] for _ in range(2))
    for t, step in enumerate(steps, start=1):
        for i, g in enumerate(clipped(step, max_gradient_norm)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            weights[i] -= rate * m[i] / (1 - 0.9**t) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
            if HIDDEN[i]:
                w = weights[i].reshape(-1, g.shape[-1])
                tall = w.shape[0] >= w.shape[1]
                pull = w @ (w.T @ w - np.eye(w.shape[1])) if tall else (w @ w.T - np.eye(w.shape[0])) @ w
                weights[i] -= rate * strength * 4 * pull.reshape(g.shape)
    return weights


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("settings", [{}, {"max_gradient_norm": 0.5}], ids=str)
def test_adamo_equals_a_float64_transcription(settings, jit_compile):
    start, steps = [0.5 * each for each in draws(1, seed=0)[0]], draws(12)
    pure = PureAdamO(learning_rate=0.02, strength=0.3, **settings)
    expected = adamo_reference(start, steps, 0.3, 0.02, **settings)
    assert_within(run(pure, start, steps, jit_compile), expected, tolerance=5e-6)


def test_adamo_makes_hidden_matrices_orthogonal_and_leaves_the_last():
    start = [0.5 * each for each in draws(1, seed=0)[0]]
    ended = run(PureAdamO(learning_rate=0.1, strength=0.3), start, [[0 * each for each in start]] * 200)
    for before, after, is_hidden in zip(start, ended, HIDDEN, strict=True):
        values = np.linalg.svd(np.reshape(after, (-1, before.shape[-1])), compute_uv=False)
        assert (np.abs(values - 1) < 1e-3).all() if is_hidden else (after.numpy() == before).all()


def test_a_strength_of_zero_is_adam():
    optimizer = adamo(0.0, 0.01, exclude=[])
    expected = adam_reference(gradients(20), 0.01, epsilon=1e-8, bias_correction="means")
    assert_within(train(optimizer, gradients(20)), expected)


@pytest.mark.parametrize("make", [lambda: muon(exclude=[]), lambda: adamo(0.1, exclude=["output"])])
def test_config_makes_the_same_optimizer_again(make):
    optimizer = make()
    again = type(optimizer).from_config(optimizer.get_config())
    assert isinstance(again, Muon | AdamO) and again.get_config() == optimizer.get_config()
    for one, other in zip(train(again, gradients(3)), train(optimizer, gradients(3)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_slots_of_hidden_matrices():
    optimizer, weight = muon(exclude=[]), tf.Variable(tf.ones(SHAPES[0]))
    optimizer.build([weight])
    optimizer.apply_gradients([(tf.ones(SHAPES[0]), weight)])
    found = slots(optimizer, weight)
    assert found["momentum"].numpy().all() and not found["velocity"].numpy().any()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (muon, {"momentum": 2}, "`momentum` must be a number in [0, 1]. Received: 2"),
        (muon, {"exclude": "output"}, "`exclude` must be a list, such as ['output']. Received: 'output'"),
        (muon, {"exclude": ["("]}, "`exclude` must hold regular expressions. Received: ['(']"),
        (adamo, {"strength": -1}, "`strength` must be a finite number of at least 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(make, arguments, message):
    given: dict[str, Any] = {**({"strength": 1.0} if make is adamo else {}), **arguments}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**given)
