import functools
import itertools
import math
import random
import re

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.specs import BoundedArraySpec, tensor_spec
from tf_agents.trajectories import StepType, Trajectory, time_step_spec

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.rl.agents import c51, double_dqn, dqn, settings

FEATURES, NUM_ACTIONS, BATCH = 4, 3, 16
NUM_ATOMS, MAX_VALUE = 11, 2.0
MAKERS = {
    "dqn": dqn,
    "double_dqn": double_dqn,
    "c51": functools.partial(c51, num_atoms=NUM_ATOMS, max_value=MAX_VALUE),  # which a test may override
}


def dense(num_outputs, seed=0, features=FEATURES, hidden=8, dropout=0.0):
    """A tanh network, or, without hidden units, a table of outputs by feature."""
    shape = (num_outputs,) if isinstance(num_outputs, int) else num_outputs
    keys = (seeds.derive_integer(seed, "layer", index) for index in itertools.count())

    def draw():
        return keras.initializers.RandomNormal(stddev=1.0, seed=next(keys))

    layers = [keras.layers.InputLayer((features,))]
    if hidden:
        layers.append(keras.layers.Dense(hidden, "tanh", kernel_initializer=draw(), bias_initializer=draw()))
    if dropout:
        layers.append(keras.layers.Dropout(dropout))
    layers += [
        keras.layers.Dense(math.prod(shape), kernel_initializer=draw(), use_bias=bool(hidden)),
        keras.layers.Reshape(shape),
    ]
    return keras.Sequential(layers)


def make(name, features=FEATURES, network=dense, batch_size=BATCH, num_actions=NUM_ACTIONS, **arguments):
    spec = time_step_spec(tf.TensorSpec([features], tf.float32))
    action_spec = tensor_spec.from_spec(BoundedArraySpec([], np.int32, 0, num_actions - 1))
    return MAKERS[name](network, spec, action_spec, batch_size=batch_size, **arguments)


def disturb_target(agent):
    generator = np.random.default_rng(5)
    for variable in agent.target_model.variables:
        variable.assign(variable + generator.normal(size=variable.shape).astype(np.float32))


def trajectories(n_step, batch=BATCH, seed=0):
    """`[batch, n_step + 1]` random steps: some lose a life (discount 0), the second row ends an episode."""
    generator = np.random.default_rng(seed)
    leading = (batch, n_step + 1)
    discount = (generator.random(leading) < 0.7).astype(np.float32)
    discount[0] = 1
    step_type = np.full(leading, StepType.MID)
    next_step_type = np.full(leading, StepType.MID)
    step_type[0, 0] = StepType.FIRST
    discount[1, 0], next_step_type[1, 0], step_type[1, 1:] = 0, StepType.LAST, StepType.LAST
    return Trajectory(
        step_type=tf.constant(step_type),
        observation=tf.constant(generator.normal(size=(*leading, FEATURES)).astype(np.float32)),
        action=tf.constant(generator.integers(NUM_ACTIONS, size=leading, dtype=np.int32)),
        policy_info=(),
        next_step_type=tf.constant(next_step_type),
        reward=tf.constant(generator.normal(size=leading).astype(np.float32)),
        discount=tf.constant(discount),
    )


def forward(model, x):
    weights = [array.astype(np.float64) for array in model.get_weights()]
    outputs = np.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]
    return outputs.reshape(-1, *model.output_shape[1:])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def returns(batch, n_step, discount):
    """The n-step return of each row and the factor of the bootstrapped value after it, by a loop."""
    pairs = []
    for rewards, discounts in zip(batch.reward.numpy(), batch.discount.numpy(), strict=True):
        total, factor = 0.0, 1.0
        for k in range(n_step):
            total += factor * float(rewards[k])
            factor *= discount * float(discounts[k])
        pairs.append((total, factor))
    return pairs


def projected(values, probabilities, atoms):
    """Bellemare et al. 2017, Algorithm 1, atom by atom."""
    spacing, target = atoms[1] - atoms[0], np.zeros(len(atoms))
    for value, probability in zip(values, probabilities, strict=True):
        position = (min(max(value, atoms[0]), atoms[-1]) - atoms[0]) / spacing
        lower = min(int(position), len(atoms) - 2)
        target[lower] += probability * (lower + 1 - position)
        target[lower + 1] += probability * (position - lower)
    return target


def oracle(name, agent, batch, n_step, discount, bound=1 / 32):
    """The loss of each example in float64."""
    first, last = batch.observation.numpy()[:, 0], batch.observation.numpy()[:, n_step]
    outputs, target_outputs = forward(agent.model, first), forward(agent.target_model, last)
    online_outputs = forward(agent.model, last)
    atoms = np.linspace(-MAX_VALUE, MAX_VALUE, NUM_ATOMS)
    losses = []
    for i, (total, factor) in enumerate(returns(batch, n_step, discount)):
        action = batch.action.numpy()[i, 0]
        if name == "c51":
            probabilities = softmax(target_outputs[i])
            chosen = probabilities[(probabilities @ atoms).argmax()]
            target = projected(total + factor * atoms, chosen, atoms)
            losses.append(-(target * np.log(softmax(outputs[i])[action])).sum())
        else:
            chooser = online_outputs if name == "double_dqn" else target_outputs
            error = abs(total + factor * target_outputs[i][chooser[i].argmax()] - outputs[i][action])
            threshold = bound * len(first)
            losses.append(error**2 / 2 if error <= threshold else threshold * error - threshold**2 / 2)
    return np.array(losses)


EVERY_AGENT = pytest.mark.parametrize("name", MAKERS)
EVERY_LENGTH = pytest.mark.parametrize("n_step", [1, 3])


@EVERY_AGENT
@EVERY_LENGTH
@pytest.mark.parametrize("discount", [0.99, 0.5])
def test_the_losses_equal_a_float64_oracle(name, n_step, discount):
    agent = make(name, n_step=n_step, discount=discount)
    disturb_target(agent)
    batch = trajectories(n_step)
    loss, per_example = agent.loss(batch)
    expected = oracle(name, agent, batch, n_step, discount)
    assert per_example.shape == (BATCH,) and loss.shape == ()
    np.testing.assert_allclose(per_example, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)


def test_the_batches_of_the_oracle_tell_the_agents_apart():
    agent = make("dqn")
    disturb_target(agent)
    batch = trajectories(1)
    single, double = (oracle(name, agent, batch, 1, 0.99) for name in ("dqn", "double_dqn"))
    assert (np.abs(single - double) > 1e-3).sum() >= 3


@EVERY_AGENT
@EVERY_LENGTH
def test_the_discount_is_that_of_the_agent(name, n_step):
    """The public loss of TF-Agents has gamma = 1 by default."""
    batch = trajectories(n_step)
    low, high = (make(name, n_step=n_step, discount=discount) for discount in (0.3, 0.9))
    differs = np.abs(low.loss(batch)[1] - high.loss(batch)[1]) > 1e-6
    matters = np.array([factor > 0 for _, factor in returns(batch, n_step, 0.9)])
    if n_step == 1:
        np.testing.assert_array_equal(differs, matters)
    assert differs[matters].all() and 2 < matters.sum() < BATCH
    if name != "c51":
        without = low.agent.loss(batch, gamma=1.0).extra.td_loss
        assert (np.abs(without - low.loss(batch)[1])[matters] > 1e-6).all()


@EVERY_AGENT
@EVERY_LENGTH
def test_only_the_first_n_rewards_and_discounts_count(name, n_step):
    agent, batch = make(name, n_step=n_step), trajectories(n_step)
    expected = agent.loss(batch)[1]

    def other_last(array):
        return tf.concat([array[:, :-1], array[:, -1:] + 9], axis=1)

    changed = batch.replace(
        reward=other_last(batch.reward), discount=other_last(batch.discount), action=other_last(batch.action)
    )
    np.testing.assert_array_equal(agent.loss(changed)[1], expected)


@EVERY_LENGTH
def test_the_mean_loss_of_c51_equals_that_of_tf_agents(n_step):
    agent = make("c51", n_step=n_step, discount=0.9)
    disturb_target(agent)
    batch = trajectories(n_step)
    expected = categorical_dqn_agent.CategoricalDqnAgent._loss(agent.agent, batch, gamma=0.9).loss
    np.testing.assert_allclose(agent.loss(batch)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["dqn", "double_dqn"])
@pytest.mark.parametrize("bound", [1 / 32, 0.1])
def test_the_bound_clips_the_gradient_of_half_the_mean_squared_td_error(name, bound):
    """In a table of values by state, an example's own entry has the gradient of its TD error, negated."""
    table = functools.partial(dense, features=2 * BATCH, hidden=0)
    agent = make(name, features=2 * BATCH, network=table, grad_error_bound=bound)
    disturb_target(agent)
    states = np.eye(2 * BATCH, dtype=np.float32)
    batch = trajectories(1).replace(observation=tf.stack([states[:BATCH], states[BATCH:]], axis=1))

    values, target_values = agent.model.get_weights()[0], agent.target_model.get_weights()[0]
    chooser = values if name == "double_dqn" else target_values
    bootstrap = target_values[BATCH:][np.arange(BATCH), chooser[BATCH:].argmax(axis=1)]
    targets = batch.reward[:, 0] + 0.99 * batch.discount[:, 0] * bootstrap

    (kernel,) = agent.model.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        loss = agent.loss(batch)[0]
        chosen = tf.gather(kernel[:BATCH], batch.action[:, 0], batch_dims=1)
        squared = tf.reduce_mean((targets - chosen) ** 2 / 2)
    unclipped = tape.gradient(squared, kernel).numpy()
    assert 0 < (np.abs(unclipped) > bound).sum() < BATCH
    np.testing.assert_allclose(
        tape.gradient(loss, kernel), unclipped.clip(-bound, bound), rtol=1e-5, atol=1e-7
    )


@EVERY_AGENT
def test_q_values_are_the_outputs_or_the_expectation(name):
    agent, observation = make(name), trajectories(1).observation[:, 0]
    outputs = forward(agent.model, observation.numpy())
    expected = softmax(outputs) @ np.linspace(-MAX_VALUE, MAX_VALUE, NUM_ATOMS) if name == "c51" else outputs
    values = agent.q_values(observation)
    assert values.shape == (BATCH, NUM_ACTIONS) and values.dtype == tf.float32
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(agent.greedy_actions(observation.numpy()), expected.argmax(axis=1))
    assert len(set(expected.argmax(axis=1))) > 1


def test_the_first_of_equal_actions_is_greedy():
    agent = make("dqn")
    agent.model.set_weights([np.zeros_like(array) for array in agent.model.get_weights()])
    assert agent.greedy_actions(np.ones([5, FEATURES], np.float32)).tolist() == [0] * 5


def test_greedy_actions_follow_the_online_network():
    agent = make("double_dqn")
    observation = np.ones([1, FEATURES], np.float32)
    for best in range(NUM_ACTIONS):
        agent.model.layers[-2].bias.assign(100.0 * np.eye(NUM_ACTIONS, dtype=np.float32)[best])
        assert agent.greedy_actions(observation).tolist() == [best]


def test_a_whole_number_as_max_value_is_as_good_as_a_float():
    observation = trajectories(1).observation[:, 0]
    whole, decimal = (make("c51", max_value=max_value).q_values(observation) for max_value in (10, 10.0))
    np.testing.assert_array_equal(whole, decimal)


def same_weights(agent):
    pairs = zip(agent.model.get_weights(), agent.target_model.get_weights(), strict=True)
    return [np.array_equal(online, target) for online, target in pairs]


@EVERY_AGENT
def test_the_target_network_is_a_copy_that_only_update_target_moves(name):
    # The two networks are built by different seeds here; they are equal from the start nevertheless.
    numbers = itertools.count()
    agent = make(name, network=lambda num_outputs: dense(num_outputs, seed=next(numbers)))
    assert next(numbers) == 2
    assert all(same_weights(agent))
    variables = agent.model.trainable_variables
    assert not {id(variable) for variable in variables} & {id(v) for v in agent.target_model.variables}
    target_before = agent.target_model.get_weights()
    optimizer, batch = keras.optimizers.SGD(0.1), trajectories(1)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = agent.loss(batch, training=True)[0]
        gradients = tape.gradient(loss, variables)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    assert not any(same_weights(agent))
    for before, after in zip(target_before, agent.target_model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    agent.update_target()
    assert all(same_weights(agent))


@EVERY_AGENT
@EVERY_LENGTH
def test_no_gradient_flows_into_the_target(name, n_step):
    agent = make(name, n_step=n_step)
    disturb_target(agent)
    batch = trajectories(n_step)
    with tf.GradientTape() as tape:
        loss = agent.loss(batch)[0]
    assert tape.gradient(loss, agent.target_model.trainable_variables) == [None] * 4


@EVERY_AGENT
def test_compiled_losses_equal_eager_ones_and_are_traced_once(name):
    agent = make(name, n_step=3)
    compiled = tf.function(lambda batch: agent.loss(batch, training=True), autograph=False)
    for seed in (0, 1):
        batch = trajectories(3, seed=seed)
        for one, other in zip(compiled(batch), agent.loss(batch, training=True), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1


@EVERY_AGENT
def test_dropout_acts_in_training_only(name):
    agent, batch = make(name, network=functools.partial(dense, dropout=0.5)), trajectories(1)
    np.testing.assert_allclose(
        agent.loss(batch)[1], oracle(name, agent, batch, 1, 0.99), rtol=1e-4, atol=1e-5
    )
    assert np.abs(agent.loss(batch, training=True)[1] - agent.loss(batch)[1]).max() > 1e-3


@EVERY_AGENT
def test_construction_draws_nothing_from_global_generators(name):
    def draws():
        return [*tf.random.uniform([4]).numpy(), np.random.random(), random.random()]

    keras.utils.set_random_seed(5)
    expected = draws()
    keras.utils.set_random_seed(5)
    make(name)
    assert draws() == expected


def test_the_network_is_asked_for_as_many_outputs_as_there_are_actions():
    asked = []

    def network(num_outputs):
        asked.append(num_outputs)
        return dense(num_outputs)

    make("dqn", network=network, num_actions=2)
    make("c51", network=network, num_actions=18)
    assert asked == [2, 2, (18, NUM_ATOMS), (18, NUM_ATOMS)]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        *(
            (name, {"discount": 1.5}, "`discount` must be a number in [0, 1]. Received: 1.5")
            for name in MAKERS
        ),
        *((name, {"n_step": 0}, "`n_step` must be an integer of at least 1. Received: 0") for name in MAKERS),
        ("dqn", {"grad_error_bound": 0}, "`grad_error_bound` must be a finite number above 0. Received: 0"),
        ("double_dqn", {"batch_size": 0}, "`batch_size` must be an integer of at least 1. Received: 0"),
        ("c51", {"num_atoms": 1}, "`num_atoms` must be an integer of at least 2. Received: 1"),
        ("c51", {"max_value": -1}, "`max_value` must be a finite number above 0. Received: -1"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(name, **arguments)


@EVERY_AGENT
def test_keras_3_is_refused(name, monkeypatch):
    monkeypatch.setattr(settings, "is_legacy", lambda: False)
    with pytest.raises(
        ValueError, match=r"`TF_USE_LEGACY_KERAS` must be 1 before TensorFlow is imported, .* Keras 2\."
    ):
        make(name)


@pytest.mark.parametrize(
    ("name", "given", "shape"), [("dqn", 3, "(4,)"), ("double_dqn", 3, "(4,)"), ("c51", (3, 11), "(4, 11)")]
)
def test_a_network_with_other_outputs_is_refused(name, given, shape):
    def network(outputs):
        return dense(outputs + 1 if isinstance(outputs, int) else (outputs[0] + 1, *outputs[1:]))

    expected = (given,) if isinstance(given, int) else given
    message = f"`network` must have outputs of shape {expected}, by its argument {given}. Received: {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(name, network=network)
