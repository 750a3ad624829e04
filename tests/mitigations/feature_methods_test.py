"""Methods with penalties by the step's context: stopped and resumed, and with other optimizers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.graph_loop_test import make_loop, rows, run, weights
from tfplastic._keras import keras, tf_variable
from tfplastic.mitigations import L2ER, CChain, InFeR
from tfplastic.mitigations.build_all import build_all
from tfplastic.optimizers import adam, muon, slots


def all_methods():
    return [CChain(1.0, 0.1, warm_up=3, window=4), InFeR(num_heads=3), L2ER(1e-3)]


@pytest.mark.slow  # a fast row: every variable is in the state, of which the loop's own test resumes
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path):
    whole, _ = run(tmp_path / "whole", make_loop(compiler="graph", mitigations=all_methods()))
    _, code = run(tmp_path / "parts", make_loop(compiler="graph", mitigations=all_methods()), interrupt_at=5)
    resumed, second_code = run(tmp_path / "parts", make_loop(compiler="graph", mitigations=all_methods()))
    assert (code, second_code) == (143, 0)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    for one, other in zip(resumed.config.mitigations, whole.config.mitigations, strict=True):
        for name, value in one.state.items():
            np.testing.assert_array_equal(value, other.state[name], err_msg=name)
    for one, other in zip(*(own_slots(loop) for loop in (resumed, whole)), strict=True):
        assert other.any()
        np.testing.assert_array_equal(one, other)


def own_slots(loop):
    """The slots of the heads."""
    (infer,) = [each for each in loop.config.mitigations if isinstance(each, InFeR)]
    found = [slots(loop.config.optimizer, each) for each in infer.trainable_variables]
    return [slot.numpy() for each in found for slot in each.values()]


def small_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(3)])


def test_the_output_layer_is_not_taken_for_a_hidden_matrix():
    model, optimizer = small_model(), muon()
    build_all([InFeR(num_heads=2)], model, optimizer, 0)
    # Heads, hidden layer and output layer, each with a bias.
    assert optimizer.pure.hidden == (True, False, True, False, False, False)
    without_heads = muon(exclude=["dense_1", "infer_heads"])
    build_all([InFeR(num_heads=2)], small_model(), without_heads, 0)
    assert without_heads.pure.hidden[0] is False


@pytest.mark.parametrize("optimizer", [lambda: adam(0.1), lambda: keras.optimizers.SGD(0.1, momentum=0.9)])
def test_two_with_weights_of_their_own(optimizer):
    made, both = optimizer(), [InFeR(num_heads=2), InFeR(num_heads=3)]
    build_all(both, small_model(), made, 0)
    for each in both:
        for variable in each.trainable_variables:
            for slot in slots(made, variable).values():
                assert (
                    slot.shape == tf_variable(variable).shape and not tf.convert_to_tensor(slot).numpy().any()
                )
