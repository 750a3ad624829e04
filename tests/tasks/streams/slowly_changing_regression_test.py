"""Slowly changing regression: numpy, separate runs of its replicates, and published errors."""

import functools

import gin
import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.made_up_data import no_configuration_left  # noqa: F401
from tests.training.graph_loop_test import run, values_of
from tfplastic import seeds
from tfplastic.configuration import gin_config
from tfplastic.training import Loop, TrainConfig

PAPER = {}
RELEASED = dict(flips="all", constant_bit=False, target_biases=True)
PROTOCOL = "gin/protocols/dohare_slowly_changing_regression.gin"


def built(replicates=3, **settings):
    given = dict(num_units=9, steps_per_task=4, batch_size=2) | settings
    task = tp.tasks.SlowlyChangingRegression(tp.networks.replicated_mlp, replicates=replicates, **given)
    task.build(0)
    return task


def taken(task, count):
    """The batches of `count` steps, and the slow bits in each."""
    step, state = tf.function(task.next, autograph=False), task.initial_state()
    batches, slow = [], []
    for number in range(count):
        batch, state = step(state, tf.constant(seeds.derive(0, "step", number)))
        batches.append([each.numpy() for each in batch])
        slow.append(state.content.numpy())
    return batches, np.array(slow)


def target(bits, number, settings):
    """The target of one example in plain Python, by the text of the paper or its released code."""
    generator = seeds.generator(seeds.derive(0, "slowly_changing_regression", "target", number))
    has_constant = settings.get("constant_bit", True)
    inputs = 20 + has_constant
    signs = generator.choice([-1.0, 1.0], [inputs + 2, 10])
    has_biases = settings.get("target_biases", False)
    total = signs[-1, -1] if has_biases else 0.0
    for unit in range(9):
        weights, bias = signs[:inputs, unit], signs[inputs, unit] if has_biases else 0.0
        value = sum(weight * bit for weight, bit in zip(weights, bits, strict=True))
        if has_biases:  # w x + b > beta (m + 1) - S, S = (m - sum w + b) / 2
            fires = value + bias > 0.7 * 21 - (inputs - weights.sum() + bias) / 2
        else:  # theta = (m + 1) beta - S, S counts the weights that are -1
            fires = value > 21 * 0.7 - np.count_nonzero(weights == -1)
        total += signs[-1, unit] * fires
    return total


@pytest.mark.parametrize("settings", [PAPER, RELEASED], ids=["paper", "released"])
def test_examples_are_those_of_numpy(settings):
    batches, slow = taken(built(**settings), 24)
    for number, (inputs, targets) in enumerate(batches):  # [2, 3, 20 or 21], [2, 3]
        np.testing.assert_array_equal(inputs[..., :15], np.stack([slow[number]] * 2))
        assert inputs.shape[-1] == 20 + settings.get("constant_bit", True)
        assert (inputs[..., 20:] == 1).all()
        for row in range(2):
            for learner in range(3):
                assert targets[row, learner] == target(inputs[row, learner], learner, settings)
    flips = (slow[1:] != slow[:-1]).sum(-1)  # [23, 3]
    is_boundary = np.arange(1, 24) % 4 == 0
    assert (flips[~is_boundary] == 0).all()
    at = flips[is_boundary]
    assert (at == 1).all() if settings == PAPER else at.max() > 3
    fast = np.stack([inputs[..., 15:20] for inputs, _ in batches]).reshape(-1, 5)
    assert 0.4 < fast.mean() < 0.6 and len(np.unique(fast, axis=0)) == 32


def test_a_flipped_bit_is_uniform():
    task = built(replicates=100, steps_per_task=1)
    _, slow = taken(task, 31)
    counts = (slow[1:] != slow[:-1]).sum((0, 1))  # of 3,000 flips
    assert counts.sum() == 3_000 and np.abs(counts - 200).max() < 5 * np.sqrt(200)


def trained(replicates, first, optimizer, tmp_path, steps=300):
    """Weights of a short run, each `[replicates, ...]`, and its rows of errors."""
    network = functools.partial(tp.networks.replicated_mlp, hidden=(5,), initializer="kaiming_uniform")
    task = tp.tasks.SlowlyChangingRegression(
        network, replicates=replicates, first_replicate=first, num_units=20, steps_per_task=100
    )
    scores = tp.training.ReplicateScores(period=100)
    config = TrainConfig(
        task=task,
        optimizer=optimizer(0.01),
        total_steps=steps,
        log_period=100,
        events=[scores],
        seed=1,
        compiler="graph",
    )
    run(tmp_path, Loop(config))
    paths = [tmp_path / "arrays" / "online_error" / f"{step}.npz" for step in (100, 200, 300)]
    return task.model.get_weights(), np.array([np.load(path)["mean"] for path in paths])


@pytest.mark.parametrize(
    "optimizer", [tp.optimizers.sgd, pytest.param(tp.optimizers.adam, marks=pytest.mark.slow)]
)
def test_a_replicate_is_a_run_of_its_own(optimizer, tmp_path):
    together, errors = trained(4, 0, optimizer, tmp_path / "together")
    alone, error = trained(1, 2, optimizer, tmp_path / "alone")
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[2], other[0], rtol=1e-4, atol=1e-6)
        assert np.abs(one[2] - one[1]).max() > 1e-3
    np.testing.assert_allclose(errors[:, 2], error[:, 0], rtol=1e-5)
    means = values_of(tmp_path / "together", "train/error")
    np.testing.assert_allclose(errors.mean(1), means, rtol=1e-6)


def test_initial_weights_are_those_of_separate_networks():
    settings = dict(hidden=(5, 4), initializer="kaiming_uniform", activation="tanh")
    model = tp.networks.replicated_mlp(3, input_shape=(3, 7), seed=4, first_replicate=2, **settings)
    inputs = np.random.default_rng(0).normal(size=(6, 3, 7)).astype(np.float32)
    outputs = model(inputs)
    for place in range(3):
        seed = seeds.derive_integer(4, "replicate", 2 + place)
        alone = tp.networks.mlp(1, input_shape=(7,), seed=seed, **settings)
        np.testing.assert_allclose(outputs[:, place], alone(inputs[:, place])[:, 0], rtol=1e-5, atol=1e-6)
    kernels = [weight for weight in model.get_weights() if weight.ndim == 3]
    for kernel, gain in zip(kernels, (5 / 3, 5 / 3, 1.0), strict=True):
        bound = gain * np.sqrt(3 / kernel.shape[1])
        assert 0.8 * bound < np.abs(kernel).max() <= bound


@pytest.mark.parametrize(
    ("activation", "gain"),
    [("relu", 2**0.5), ("elu", 2**0.5), ("swish", 2**0.5), ("sigmoid", 1.0), ("pytorch_leaky_relu", 1.41414)],
)
def test_gains_of_kaiming_uniform(activation, gain):
    model = tp.networks.mlp(
        1, (200,), input_shape=(30,), seed=0, activation=activation, initializer="kaiming_uniform"
    )
    hidden, bias, output, _ = model.get_weights()
    assert np.abs(hidden).max() == pytest.approx(gain * np.sqrt(3 / 30), rel=1e-3)
    assert np.abs(output).max() == pytest.approx(np.sqrt(3 / 200), rel=2e-2)
    assert not bias.any()
    slopes = model.layers[-2](tf.constant([[-1.0, 1.0]])).numpy().ravel()
    if activation == "pytorch_leaky_relu":
        np.testing.assert_allclose(slopes, [-0.01, 1.0], rtol=1e-6)


# Mean squared errors over two bins of 100,000 examples, 100 runs of the released generator, SGD 0.01, with
# standard errors over runs of .01 to .034; here 20 runs, whose standard errors are 2.2 times as large.
PUBLISHED = {
    "relu": (0.706, 0.910),
    "tanh": (0.457, 0.651),
    "elu": (0.606, 0.654),
    "linear": (0.868, 0.882),
}


@pytest.mark.parametrize(
    ("name", "bins"), [("relu", 1), *(pytest.param(name, 2, marks=pytest.mark.slow) for name in PUBLISHED)]
)
def test_errors_of_the_released_generator(name, bins, tmp_path, no_configuration_left):  # noqa: F811
    network = "replicated_mlp.hidden = ()" if name == "linear" else f"replicated_mlp.activation = '{name}'"
    short = ["replicates = 20", "flips = 'all'", "constant_bit = False", "target_biases = True"]
    gin_config.parse(
        [PROTOCOL],
        [
            network,
            *(f"SlowlyChangingRegression.{each}" for each in short),
            *(
                f"train.total_steps = {bins * 100_000}",
                "train.log_period = 100_000",
                "ReplicateScores.period = 100_000",
            ),
        ],
    )
    run(tmp_path, Loop(gin.get_configurable(TrainConfig)()))
    paths = [tmp_path / "arrays" / "online_error" / f"{step}.npz" for step in (100_000, 200_000)[:bins]]
    errors = np.array([np.load(path)["mean"] for path in paths])  # [bins, 20]
    standard_errors = errors.std(1, ddof=1) / np.sqrt(20)
    assert (standard_errors < 0.15).all()
    np.testing.assert_array_less(np.abs(errors.mean(1) - PUBLISHED[name][:bins]), 3.5 * standard_errors)
    if bins == 1:
        return
    rise = errors[1] - errors[0]
    published = PUBLISHED[name][1] - PUBLISHED[name][0]
    # The published rises have standard errors of .02 to .033.
    assert abs(rise.mean() - published) < 3.5 * np.hypot(rise.std(ddof=1) / np.sqrt(20), 0.033)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flips": "two"}, "`flips` must be one of 'one', 'all'. Received: 'two'"),
        ({"num_slow": 21}, "`num_slow` must be at most 20. Received: 21"),
        ({"replicates": 0}, "`replicates` must be an integer of at least 1. Received: 0"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError) as error:
        built(**settings)
    assert message in str(error.value)


def test_a_network_without_replicates_of_its_own_is_refused():
    with pytest.raises(ValueError, match="`network` must be a function that takes `first_replicate`"):
        tp.tasks.SlowlyChangingRegression(tp.networks.mlp, first_replicate=2)
    with pytest.raises(ValueError, match="`num_outputs` must be 3, the replicates of `input_shape`"):
        tp.networks.replicated_mlp(2, input_shape=(3, 4))
