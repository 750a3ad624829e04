"""The contract of every pure optimizer. A new one is a row or two of the table."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers import problems
from tests.optimizers.obgd_reference import obgd_reference
from tests.optimizers.problems import assert_within, gradients, train, train_pure
from tests.optimizers.trac_reference import trac_reference
from tests.optimizers.upgd_reference import upgd_reference
from tfplastic import optimizers
from tfplastic.optimizers import (
    PureAdam,
    PureAdamO,
    PureAdamW,
    PureAdaUPGD,
    PureCenteredRMSprop,
    PureMuon,
    PureObGD,
    PureSGD,
    PureTRAC,
    PureUPGD,
    ada_upgd,
    adam,
    adamo,
    adamw,
    centered_rmsprop,
    muon,
    obgd,
    sgd,
    trac,
    upgd,
)

without_noise = functools.partial(upgd_reference, noises=None)
moments_without_noise = functools.partial(without_noise, adam=True, step_factor=2.0)


def of_muon(steps, learning_rate, adam_weight_decay):
    """The problem's matrix is the last, so that all is AdamW; hidden_matrices_test.py has the rest."""
    constants = {"epsilon": 1e-7, "bias_correction": "step_size", "weight_decay": adam_weight_decay}
    return problems.adam_reference(steps, learning_rate, **constants)


def of_adamo(steps, learning_rate, strength, **of_adam):
    """Like for Muon: nothing is pulled."""
    return problems.adam_reference(steps, learning_rate, **of_adam)


def around_sgd(learning_rate, base, initial_scale):
    return trac(sgd(learning_rate, base.momentum), initial_scale=initial_scale)


def of_trac(steps, learning_rate, base, initial_scale):
    return trac_reference(steps, learning_rate, base.momentum, initial_scale)


BASE = PureSGD(learning_rate=1.0, momentum=0.5)
SMOOTH = {"learning_rate": 0.1, "noise_scale": 0.0, "utility_decay": 0.9, "weight_decay": 0.0}
TUNED = {"learning_rate": 1e-3, "beta_2": 0.9, "epsilon": 1e-9, "epsilon_root": 1e-3}
# (pure optimizer, factory of the Keras form, oracle in float64, arguments)
TABLE = [
    (PureAdam, adam, problems.adam_reference, {"learning_rate": 1e-3, "epsilon": 1e-9}),
    (PureAdam, adam, problems.adam_reference, TUNED),
    (
        PureAdam,
        adam,
        problems.adam_reference,
        {"learning_rate": 0.01, "beta_1": 0.0, "max_gradient_norm": 0.1},
    ),
    (PureAdam, adam, problems.adam_reference, {"learning_rate": 0.01, "per_entry_steps": True}),
    (PureAdamW, adamw, problems.adam_reference, {"learning_rate": 0.1, "weight_decay": 0.25}),
    (
        PureAdamW,
        adamw,
        problems.adam_reference,
        {"learning_rate": 0.1, "weight_decay": 1.0, "decay_vectors": False, "max_gradient_norm": 0.1},
    ),
    (PureCenteredRMSprop, centered_rmsprop, problems.rmsprop_reference, {"learning_rate": 2.5e-4}),
    (
        PureCenteredRMSprop,
        centered_rmsprop,
        problems.rmsprop_reference,
        {"learning_rate": 0.01, "decay": 0.5},
    ),
    (
        PureCenteredRMSprop,
        centered_rmsprop,
        problems.rmsprop_reference,
        {"learning_rate": 0.01, "epsilon": 0.0, "outer_epsilon": 0.01},
    ),
    (PureSGD, sgd, problems.sgd_reference, {"learning_rate": 0.1}),
    (PureMuon, muon, of_muon, {"learning_rate": 0.01, "adam_weight_decay": 0.25}),
    (PureAdamO, adamo, of_adamo, {"learning_rate": 0.01, "strength": 0.5}),
    (PureTRAC, around_sgd, of_trac, {"learning_rate": 0.1, "base": BASE, "initial_scale": 0.1}),
    (PureObGD, obgd, obgd_reference, {"learning_rate": 0.5, "kappa": 3.0, "trace_decay": 0.5}),
    (PureUPGD, upgd, without_noise, SMOOTH),
    (PureUPGD, upgd, without_noise, {**SMOOTH, "scaling": "local"}),
    (PureAdaUPGD, ada_upgd, moments_without_noise, {**SMOOTH, "learning_rate": 0.01}),
]


def completed(pure, arguments):
    """For Adam, the arguments of which its pure form and its factory have different defaults."""
    defaults = {"epsilon": 1e-8, "bias_correction": "means"} if issubclass(pure, PureAdam) else {}
    return {**defaults, **arguments}


ROWS = [(pure, factory, oracle, completed(pure, arguments)) for pure, factory, oracle, arguments in TABLE]
EVERY_ROW = pytest.mark.parametrize(("pure", "factory", "oracle", "arguments"), ROWS)


def test_the_table_has_every_pure_optimizer():
    public = {name for name in optimizers.__all__ if name.startswith("Pure")}
    assert {row[0].__name__ for row in TABLE} == public - {"PureOptimizer"}


@EVERY_ROW
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_a_hundred_steps_equal_a_float64_transcription(pure, factory, oracle, arguments, jit_compile):
    weights, state = train_pure(pure(**arguments), list(gradients(100)), jit_compile)
    assert int(state.step) == 100
    assert_within(weights, oracle(gradients(100), **arguments))


@EVERY_ROW
def test_a_hundred_steps_equal_the_keras_form(pure, factory, oracle, arguments):
    weights, _ = train_pure(pure(**arguments), list(gradients(100)))
    assert_within(weights, train(factory(**arguments), gradients(100)))


@EVERY_ROW
def test_the_keras_form_has_the_same_settings(pure, factory, oracle, arguments):
    of_keras, own = factory(**arguments).pure, pure(**arguments)
    assert float(of_keras.learning_rate) == np.float32(arguments["learning_rate"])
    names = set(vars(own)) - {"learning_rate"}
    assert {name: getattr(of_keras, name) for name in names} == {name: getattr(own, name) for name in names}


@EVERY_ROW
def test_seeds_side_by_side_equal_each_on_its_own(pure, factory, oracle, arguments):
    optimizer = pure(**arguments)
    streams = [list(gradients(5, seed)) for seed in range(3)]
    parameters = [tf.zeros([3, *shape]) for shape in problems.SHAPES]
    state = tf.nest.map_structure(lambda t: tf.stack([t] * 3), optimizer.init([p[0] for p in parameters]))

    @tf.function(autograph=False)
    def update(*arguments):
        return tf.vectorized_map(
            lambda each: optimizer.update(*each), arguments, fallback_to_while_loop=False
        )

    for steps in zip(*streams, strict=True):
        stacked = [tf.stack(arrays) for arrays in zip(*steps, strict=True)]
        parameters, state = update(stacked, state, parameters)
    for seed, stream in enumerate(streams):
        assert_within([parameter[seed] for parameter in parameters], oracle(stream, **arguments))


@EVERY_ROW
def test_the_state_starts_at_zero_and_nothing_is_assigned(pure, factory, oracle, arguments):
    optimizer, variables = pure(**arguments), [tf.Variable([1.0, 2.0]), tf.Variable(3.0)]
    state = optimizer.init(variables)
    assert (state.step.dtype, int(state.step)) == (tf.int64, 0)
    assert tuple(state.slots) == optimizer.slot_names
    assert all(not np.any(slot) for slots in state.slots.values() for slot in slots)
    updated, new = optimizer.update([tf.constant([1.0, -1.0]), tf.constant(1.0)], state, variables)
    assert [value.numpy().tolist() for value in variables] == [[1.0, 2.0], 3.0]
    assert int(state.step) == 0 and int(new.step) == 1
    assert updated[0][0] < 1.0 and updated[0][1] > 2.0 and updated[1] < 3.0


@EVERY_ROW
@pytest.mark.parametrize("dtype", [tf.float64, tf.bfloat16], ids=["float64", "bfloat16"])
def test_the_dtype_of_each_parameter_is_kept(pure, factory, oracle, arguments, dtype):
    optimizer = pure(**{**arguments, "learning_rate": tf.constant(0.5)})
    parameters = [tf.ones([2], dtype), tf.ones([2])]
    new, state = optimizer.update(parameters, optimizer.init(parameters), parameters)
    assert [value.dtype for value in new] == [dtype, tf.float32]
    for name, slots in state.slots.items():
        own = [optimizer.slot_dtype(name, each) for each in (dtype, tf.float32)]
        assert [slot.dtype for slot in slots] == own
        assert name == "steps" or own == [dtype, tf.float32]


def test_float64_is_exact_to_its_own_precision():
    steps = [[np.array([0.3, -2.0])], [np.array([0.1, 1.0])]]
    weights = [tf.zeros([2], tf.float64)]
    optimizer = PureAdam(learning_rate=0.1, epsilon=1e-3, epsilon_root=1e-3)
    state = optimizer.init(weights)
    for step in steps:
        weights, state = optimizer.update([tf.constant(g) for g in step], state, weights)
    mean = square = 0.0
    expected = 0.0
    for t, (g,) in enumerate(steps, start=1):
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        m_hat, v_hat = mean / (1 - 0.9**t), square / (1 - 0.999**t)
        expected = expected - 0.1 * m_hat / (np.sqrt(v_hat + 1e-3) + 1e-3)
    np.testing.assert_allclose(weights[0], expected, rtol=1e-12)


def test_the_learning_rate_may_be_a_variable_that_changes():
    learning_rate = tf.Variable(1.0)
    optimizer = PureSGD(learning_rate=learning_rate)
    update = tf.function(
        lambda parameters: optimizer.update([tf.ones(1)], optimizer.init(parameters), parameters)
    )
    assert update([tf.zeros(1)])[0][0].numpy().tolist() == [-1.0]
    learning_rate.assign(0.25)
    assert update([tf.zeros(1)])[0][0].numpy().tolist() == [-0.25]


def test_sparse_gradients_are_taken_as_dense_ones():
    sparse = tf.IndexedSlices(tf.constant([[1.0], [2.0]]), tf.constant([2, 2]), tf.constant([3, 1]))
    optimizer, weight = PureSGD(learning_rate=1.0), tf.zeros([3, 1])
    new, _ = optimizer.update([sparse], optimizer.init([weight]), [weight])
    assert new[0].numpy().ravel().tolist() == [0.0, 0.0, -3.0]


def test_as_many_gradients_as_parameters():
    optimizer = PureSGD(learning_rate=1.0)
    with pytest.raises(ValueError, match="argument 2 is longer than argument 1"):
        optimizer.update([tf.ones(1)], optimizer.init([tf.ones(1)] * 2), [tf.ones(1)] * 2)


@pytest.mark.parametrize(
    ("pure", "arguments", "message"),
    [
        (PureSGD, {"learning_rate": 0}, "`learning_rate` must be a finite number above 0. Received: 0"),
        (PureSGD, {"learning_rate": "1"}, "`learning_rate` must be a finite number above 0. Received: '1'"),
        (PureSGD, {"momentum": -1}, "`momentum` must be a number in [0, 1]. Received: -1"),
        (PureAdam, {"beta_1": 1.0}, "`beta_1` must be a number in [0, 1). Received: 1.0"),
        (PureCenteredRMSprop, {"epsilon": 0}, "`epsilon` must be a finite number above 0. Received: 0"),
        (
            PureCenteredRMSprop,
            {"epsilon": -1, "outer_epsilon": 0.01},
            "`epsilon` must be a finite number of at least 0. Received: -1",
        ),
    ],
)
def test_wrong_arguments_are_refused(pure, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pure(**{"learning_rate": 0.1, **arguments})
