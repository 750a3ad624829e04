import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfplastic import seeds
from tfplastic.tasks import ClassificationMdp, random_label_mdp, sparse_reward_mdp, true_label_mdp
from tfplastic.tasks.classification_mdp import uniform_integers

# 40 images of 5 classes, of unequal numbers.
LABELS = np.repeat(np.arange(5), [2, 4, 8, 16, 10])[np.random.default_rng(0).permutation(40)]
COUNT = 20_000


def key(number=0):
    return tf.constant(seeds.derive(0, "test", number))


def make(**arguments):
    return ClassificationMdp(LABELS, 5, **arguments)


def all_pairs(copies=4_000):
    """Each pair of state and action `copies` times, as two arrays."""
    states, actions = np.divmod(np.tile(np.arange(25, dtype=np.int32), copies), 5)
    return states, actions


def p_value(counts):
    return stats.chisquare(counts).pvalue


EVERY_KIND = pytest.mark.parametrize("arguments", [{}, {"advances": True}], ids=["uniform", "advances"])


def test_the_reward_is_one_exactly_when_the_action_is_the_state():
    states, actions = all_pairs()
    rewards, _ = make().step(states, actions, key())
    assert rewards.dtype == tf.float32
    np.testing.assert_array_equal(rewards, states == actions)


@pytest.mark.parametrize("after_last", ["first", "uniform"])
def test_the_sparse_reward_is_one_exactly_for_the_last_action_in_the_last_state(after_last):
    states, actions = all_pairs()
    rewards, _ = make(advances=True, after_last=after_last).step(states, actions, key())
    np.testing.assert_array_equal(rewards, (states == 4) & (actions == 4))


def test_the_next_state_is_uniform_whatever_the_state_and_the_action():
    states, actions = all_pairs()
    _, next_states = make().step(states, actions, key())
    for pair in range(25):
        counts = np.bincount(next_states.numpy()[5 * states + actions == pair], minlength=5)
        assert counts.sum() == 4_000 and p_value(counts) > 0.001
    assert p_value(np.bincount(next_states, minlength=5)) > 0.01


@pytest.mark.parametrize("after_last", ["first", "uniform"])
def test_the_right_action_leads_to_the_next_state_and_any_other_anywhere(after_last):
    states, actions = all_pairs()
    next_states = make(advances=True, after_last=after_last).step(states, actions, key())[1].numpy()
    for state in range(5):
        for action in range(5):
            of_pair = next_states[(states == state) & (actions == action)]
            certain = state == action and (state < 4 or after_last == "first")
            if certain:
                assert (of_pair == [1, 2, 3, 4, 0][state]).all()
            else:
                assert p_value(np.bincount(of_pair, minlength=5)) > 0.001


@EVERY_KIND
def test_successive_states_of_a_wrong_policy_are_independent(arguments):
    mdp = make(**arguments)
    states = mdp.initial_states(COUNT, key(1))
    _, next_states = mdp.step(states, (states + 1) % 5, key(2))
    assert p_value(np.bincount(5 * states + next_states, minlength=25)) > 0.01


def test_initial_states_are_uniform():
    states = make().initial_states(COUNT, key())
    assert states.dtype == tf.int32 and states.shape == (COUNT,)
    assert p_value(np.bincount(states, minlength=5)) > 0.01


def test_an_observation_is_any_image_of_the_states_label_equally_often():
    for state in range(5):
        observed = make().observe(tf.fill([COUNT], state), key(state)).numpy()
        counts = np.bincount(observed, minlength=40)
        np.testing.assert_array_equal(np.flatnonzero(counts), np.flatnonzero(LABELS == state))
        assert p_value(counts[counts > 0]) > 0.01


def test_random_labels_are_fixed_uniform_and_those_of_the_observed_images():
    true = np.zeros(COUNT, np.int32)
    mdp, again, other = (random_label_mdp(true, 10, seed) for seed in (3, 3, 4))
    labels = mdp.labels.numpy()
    np.testing.assert_array_equal(labels, again.labels)
    assert (labels != other.labels.numpy()).any()
    assert p_value(np.bincount(labels, minlength=10)) > 0.01
    states = mdp.initial_states(1_000, key(1))
    for number in range(3):
        np.testing.assert_array_equal(labels[mdp.observe(states, key(number))], states)


def test_the_other_mdps_have_the_true_labels():
    for maker in (true_label_mdp, sparse_reward_mdp):
        np.testing.assert_array_equal(maker(LABELS, 5, 0).labels, LABELS)
    states, actions = all_pairs(1)
    assert true_label_mdp(LABELS, 5, 0).step(states, actions, key())[0].numpy().sum() == 5
    assert sparse_reward_mdp(LABELS, 5, 0).step(states, actions, key())[0].numpy().sum() == 1


def test_after_last_reaches_the_sparse_mdp():
    states = tf.fill([50], 4)
    first, uniform = (
        sparse_reward_mdp(LABELS, 5, 0, after_last=after_last).step(states, states, key())[1].numpy()
        for after_last in ("first", "uniform")
    )
    assert set(first) == {0} and len(set(uniform)) == 5


@EVERY_KIND
def test_the_same_key_gives_the_same_bits_and_another_other_bits(arguments):
    mdp = make(**arguments)

    def draws(number):
        states = mdp.initial_states(100, key(number))
        return [states, mdp.observe(states, key(number)), mdp.step(states, 0 * states, key(number))[1]]

    for one, same, other in zip(draws(0), draws(0), draws(1), strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != other).numpy().any()


@EVERY_KIND
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_programs_give_the_same_bits(arguments, jit_compile):
    mdp = make(**arguments)

    def walk(number):
        states = mdp.initial_states(64, number)
        return [mdp.observe(states, number), *mdp.step(states, states, number)]

    compiled = tf.function(walk, jit_compile=jit_compile, autograph=False)
    for number in range(3):
        for one, other in zip(compiled(key(number)), walk(key(number)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_integers_are_uniform_below_a_limit_of_their_own():
    limits = np.tile([1, 2, 7], COUNT)
    draws = uniform_integers(len(limits), key(), limits).numpy()
    for limit in (1, 2, 7):
        assert p_value(np.bincount(draws[limits == limit], minlength=limit)) > 0.01 or limit == 1
        assert draws[limits == limit].max() == limit - 1 and draws.min() == 0


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (
            [0, 1, 3],
            {},
            "`labels` must have an image for each state. Received: none for [2, 4]. Give more images",
        ),
        ([0, 5], {}, "`labels` must be from 0 to 4. Received: 0 to 5"),
        ([-1, 4], {}, "`labels` must be from 0 to 4. Received: -1 to 4"),
        ([0.5], {}, "`labels` must be integers of shape [images], at least one. Received: float64 [1]"),
        ([[0]], {}, "`labels` must be integers of shape [images], at least one. Received: int64 [1, 1]"),
        (LABELS, {"after_last": "last"}, "`after_last` must be one of 'first', 'uniform'. Received: 'last'"),
        (LABELS, {"num_states": 0}, "`num_states` must be an integer of at least 1. Received: 0"),
    ],
)
def test_errors(labels, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ClassificationMdp(labels, **{"num_states": 5, **arguments})


def best_values_of_all_policies(rewards, follow, discount):
    """V*(s) as the best of every deterministic policy's, each by its linear equations."""
    num_states = len(rewards)
    best = np.full(num_states, -np.inf)
    for policy in itertools.product(range(num_states), repeat=num_states):
        chosen = np.arange(num_states), np.array(policy)
        values = np.linalg.solve(np.eye(num_states) - discount * follow[chosen], rewards[chosen])
        best = np.maximum(best, values)
    return best


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(
    "arguments", [{}, {"advances": True}, {"advances": True, "after_last": "uniform"}], ids=str
)
def test_optimal_values_are_those_of_the_best_policy(arguments, discount):
    rewards, follow = np.zeros([4, 4]), np.full([4, 4, 4], 1 / 4)
    for state in range(4):
        advances = "advances" in arguments
        rewards[state, state] = state == 3 if advances else 1
        if advances and (state < 3 or "after_last" not in arguments):
            follow[state, state] = np.eye(4)[(state + 1) % 4]
    best = best_values_of_all_policies(rewards, follow, discount)
    values = ClassificationMdp(np.arange(4), 4, **arguments).optimal_values(discount)
    np.testing.assert_allclose(values, rewards + discount * follow @ best, atol=2e-6)


def test_naming_the_class_is_optimal_only_near_the_reward_of_the_sparse_mdp():
    for after_last in ("first", "uniform"):
        values = sparse_reward_mdp(np.arange(10), 10, 0, after_last=after_last).optimal_values(0.99)
        right = values.argmax(axis=1) == np.arange(10)
        assert right.tolist() == [False] * 6 + [True] * 4
    assert (random_label_mdp(np.zeros(500), 10, 0).optimal_values(0.99).argmax(axis=1) == range(10)).all()


@pytest.mark.parametrize("discount", [1, -0.1])
def test_optimal_values_of_a_discount_out_of_range(discount):
    message = f"`discount` must be a number in [0, 1). Received: {discount}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make().optimal_values(discount)
