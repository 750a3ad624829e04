"""Brownian motion compared with gradient descent: steps of equal length, in other directions."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.graph_loop_test import make_loop, run
from tfplastic import networks, seeds
from tfplastic.training import BrownianTwin


def flat(model):
    return np.concatenate([np.asarray(each, np.float64).ravel() for each in model.trainable_variables])


def walk(steps, seed=0, compiled=False):
    """Positions of a model that is moved by hand and of its twin, `[steps + 1, weights]` each."""
    model, twin = networks.mlp(3, (6,), input_shape=(4,), norm="layer"), BrownianTwin()
    twin.build(model)
    act = tf.function(twin.after_update, jit_compile=True) if compiled else twin.after_update
    generator = np.random.default_rng(1)
    positions = [(flat(model), flat(twin.model))]
    for step in range(1, steps + 1):
        for weight in model.trainable_variables:
            weight.assign_add(tf.constant(0.1 * step * generator.normal(size=weight.shape), tf.float32))
        act(tf.constant(seeds.derive(seed, step)))
        positions.append((flat(model), flat(twin.model)))
    return np.array(positions).transpose(1, 0, 2)


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_are_as_long_as_those_of_the_model(compiled):
    model, twin = walk(5, compiled=compiled)
    np.testing.assert_array_equal(twin[0], model[0])
    lengths, twin_lengths = (np.linalg.norm(np.diff(each, axis=0), axis=1) for each in (model, twin))
    np.testing.assert_allclose(twin_lengths, lengths, rtol=1e-5)


def test_directions_are_random_and_independent():
    model, twin = (np.diff(each, axis=0) for each in walk(200))
    steps = twin / np.linalg.norm(twin, axis=1, keepdims=True)
    cosines = steps @ steps.T - np.eye(len(steps))
    with_model = (steps * model / np.linalg.norm(model, axis=1, keepdims=True)).sum(axis=1)
    # Of independent uniform directions in d dimensions cosines have the standard deviation 1 / sqrt(d).
    spread = steps.shape[1] ** -0.5
    assert abs(cosines[np.triu_indices(200, 1)].std() / spread - 1) < 0.05
    assert abs(with_model.std() / spread - 1) < 0.25
    assert abs(with_model.mean()) < 5 * spread / 200**0.5
    np.testing.assert_allclose((steps**2).mean(axis=0), spread**2, rtol=0.6)  # all weights alike


def test_seeds():
    np.testing.assert_array_equal(walk(2)[1], walk(2)[1])
    assert (walk(2, seed=1)[1][-1] != walk(2)[1][-1]).any()


def test_in_the_loop_it_leaves_the_model_alone_and_is_resumed(tmp_path):
    alone, _ = run(tmp_path / "alone", make_loop(compiler="graph"))
    twin, resumed_twin = BrownianTwin(), BrownianTwin()
    beside, _ = run(tmp_path / "beside", make_loop(compiler="graph", twin=twin))
    np.testing.assert_array_equal(flat(beside.task.model), flat(alone.task.model))
    assert (flat(twin.model) != flat(alone.task.model)).all()
    run(tmp_path / "parts", make_loop(compiler="graph", twin=BrownianTwin()), interrupt_at=4)
    run(tmp_path / "parts", make_loop(compiler="graph", twin=resumed_twin))
    np.testing.assert_array_equal(flat(resumed_twin.model), flat(twin.model))


def test_errors():
    with pytest.raises(
        ValueError, match="^`model` must be of type .*, such as a network of tfplastic.networks"
    ):
        BrownianTwin().build(3)
