"""The test by plasticity injection: a head of dead units shows it, a fresh one does not."""

from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tfplastic.mitigations.network_resets._frozen_heads import frozen_heads_of
from tfplastic.probing.injection import _copy

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 3)).astype(np.float32)
Y = np.abs(X).sum(axis=1, keepdims=True)
SETTINGS = dict(head="hidden2", num_steps=24, batch_size=16, num_draws=2)


def network(num_dead):
    model = tp.networks.mlp(1, (12, 12), input_shape=(3,), seed=1)
    model.get_layer("hidden2").bias.assign(np.where(np.arange(12) < num_dead, -100.0, 0.0))
    return model


def measure(model, **settings):
    return tp.probing.measure_injection(
        model, X, Y, "mse", tp.optimizers.adam(1e-2), **{**SETTINGS, **settings}
    )


def test_dead_units_are_found_and_the_model_stays():
    model = network(12)
    before = model.get_weights()
    result = measure(model, num_draws=1)
    assert result.improves and result.improvement > 0.1
    assert result.with_injection.max() < result.without <= result.loss_before
    assert "had lost plasticity" in repr(result)
    np.testing.assert_allclose(result.loss_before, np.mean((model(X) - Y) ** 2), rtol=1e-5)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_same_seed_same_numbers():
    results = [measure(network(12), seed=seed) for seed in (0, 0, 1)]
    one, other, third = [[each.without, *each.with_injection] for each in results]
    assert one == other and one != third and one[1] != one[2]
    assert all(each.improves for each in results)


@pytest.mark.slow
def test_by_gradient_descent_a_linear_head_learns_as_without():
    settings = dict(head="output", num_draws=1)
    result = tp.probing.measure_injection(
        network(0), X, Y, "mse", tp.optimizers.sgd(1e-3), **{**SETTINGS, **settings}
    )
    assert abs(result.improvement) < 0.2 * (result.loss_before - result.without)


def test_copies_share_no_memory():
    model = network(0)
    copy = _copy(model, "hidden2", "mse", tp.optimizers.sgd(0.1), np.array([1, 2], np.int32))
    before = copy.get_weights()
    for each in model.variables:
        each.assign_add(np.ones(each.shape, np.float32))
    for one, other in zip(copy.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    heads: Any = frozen_heads_of(copy.network)
    assert float(heads.is_on) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_draws": 0}, "`num_draws` must be an integer of at least 1. Received: 0"),
        ({"num_steps": 0}, "`num_steps` must be an integer of at least 1. Received: 0"),
        ({"batch_size": 65}, "`batch_size` must be at most 64, the examples. Received: 65"),
    ],
)
def test_arguments_out_of_range(settings, message):
    with pytest.raises(ValueError) as error:
        measure(network(0), **settings)
    assert str(error.value) == message
