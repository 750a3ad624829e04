"""The probe of outputs that are mapped to the targets' mean and scale."""

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tfplastic.probing._measuring.standardized import standardized


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).normal(size=[40, 4]).astype(np.float32)


def network(scale=1.0, shift=0.0, seed=0):
    model = tp.networks.mlp(2, hidden=(16,), input_shape=(4,), seed=seed)
    *rest, kernel, bias = model.get_weights()
    model.set_weights([*rest, scale * kernel, scale * bias + shift])
    return model


@pytest.fixture(scope="module")
def results(inputs):
    probe = tp.probing.Probe(num_targets=2, num_steps=60, baselines=3, standardize=True)
    optimizer = tf.keras.optimizers.Adam(1e-2)
    return {scale: probe.measure(network(scale, 3 * scale), inputs, optimizer) for scale in (1.0, 30.0)}


def test_the_map_gives_each_output_the_targets_mean_and_scale():
    generator = np.random.default_rng(0)
    predictions = generator.normal([5.0, -2.0], [100.0, 0.1], size=[50, 2])
    targets = generator.normal([[0.5], [3.0]], 0.7, size=[2, 2, 50]).swapaxes(1, 2).astype(np.float32)
    packed = standardized(tp.probing.Regression()).prepared(targets, predictions)
    mapped = packed[..., 1] * predictions + packed[..., 2]
    np.testing.assert_allclose(mapped.mean(axis=1), targets.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(mapped.std(axis=1), targets.std(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(packed[..., 0], targets)
    errors = standardized(tp.probing.Regression()).errors(
        tf.constant(predictions, tf.float32), tf.constant(packed[0])
    )
    np.testing.assert_allclose(errors, np.mean((mapped[0] - targets[0]) ** 2, axis=1), rtol=1e-4)


def test_an_output_that_does_not_vary_is_shifted():
    targets = np.arange(6, dtype=np.float32).reshape(1, 6, 1)
    packed = standardized(tp.probing.Regression()).prepared(targets, np.full([6, 1], 7.0))
    np.testing.assert_allclose(packed[..., 1] * 7.0 + packed[..., 2], 2.5)


def test_a_standardized_probe_starts_at_the_scale_of_the_targets(results):
    for result in results.values():
        other = result.standardized
        # Independent of the target, at its scale: twice its variance.
        assert 1.4 < other.initial_loss / other.target_variance < 2.6
        assert other.target_variance == result.target_variance and other.standardized is None
        assert 1.4 < other.fresh.initial_losses.mean() / other.target_variance < 2.6
        assert other.final_loss < other.initial_loss


def test_the_papers_form_is_reported_beside_it_and_warns_without_it(results, inputs):
    plain = tp.probing.Probe(num_targets=2, num_steps=60, baselines=3)
    found = plain.measure(network(30.0, 90.0), inputs, tf.keras.optimizers.Adam(1e-2))
    both = results[30.0]
    np.testing.assert_array_equal(found.final_losses, both.final_losses)
    assert found.standardized is None and found.initial_loss > 100 * found.target_variance
    assert any("the probe starts at" in each and "standardize=True" in each for each in found.warnings)
    assert not any("the probe starts at" in each for each in results[1.0].warnings)
    assert not any("the probe starts at" in each for each in both.warnings)
    assert "With outputs mapped to the targets' mean and scale:" in str(both)
    values = both.to_dict()
    assert values["standardized_final_loss"] == both.standardized.final_loss
    assert "standardized_final_loss" not in found.to_dict()
    np.testing.assert_array_equal(both.arrays()["standardized_curves"], both.standardized.curves)


def test_the_scale_of_outputs_is_no_loss_of_plasticity_in_the_standardized_form(results):
    small, large = (results[scale].standardized for scale in (1.0, 30.0))
    assert results[30.0].final_loss > 10 * results[1.0].final_loss
    assert large.final_loss < 3 * small.final_loss


@pytest.mark.parametrize("head", [tp.probing.TwoHot(), tp.probing.Classification()], ids=["two_hot", "class"])
def test_only_regressions_have_that_form(head):
    with pytest.raises(ValueError, match="^`standardize` needs the head Regression, .*Received: "):
        tp.probing.Probe(standardize=True, head=head)


def test_standardize_is_checked():
    with pytest.raises(ValueError, match="^`standardize` must be"):
        tp.probing.Probe(standardize="yes")


def test_chosen_outputs_are_the_ones_mapped(inputs):
    probe = tp.probing.Probe(
        num_targets=2, num_steps=5, baselines=2, standardize=True, head=tp.probing.Regression(outputs=[1])
    )
    result = probe.measure(network(30.0, 90.0), inputs, tf.keras.optimizers.Adam(1e-2))
    assert 1.0 < result.standardized.initial_loss / result.target_variance < 3.0
