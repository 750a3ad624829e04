import functools
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import BoundedArraySpec, tensor_spec
from tf_agents.trajectories import StepType, Trajectory, time_step_spec

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.networks import hl_gauss, two_hot
from tfplastic.rl import two_hot_dqn

FEATURES, NUM_ACTIONS, BATCH, NUM_BINS = 4, 3, 64, 11
MIN_VALUE, MAX_VALUE = -1.0, 2.0
SUPPORT = np.linspace(MIN_VALUE, MAX_VALUE, NUM_BINS)
SIGMA = 1.5


def dense(num_outputs):
    def draw(name):
        return keras.initializers.RandomNormal(stddev=1.0, seed=seeds.derive_integer(0, name))

    layers = [
        keras.layers.InputLayer((FEATURES,)),
        keras.layers.Dense(8, "tanh", kernel_initializer=draw("hidden"), bias_initializer=draw("bias")),
        keras.layers.Dense(math.prod(num_outputs), kernel_initializer=draw("output")),
        keras.layers.Reshape(num_outputs),
    ]
    return keras.Sequential(layers)


def make(**arguments):
    spec = time_step_spec(tf.TensorSpec([FEATURES], tf.float32))
    action_spec = tensor_spec.from_spec(BoundedArraySpec([], np.int32, 0, NUM_ACTIONS - 1))
    defaults = {"num_bins": NUM_BINS, "min_value": MIN_VALUE, "max_value": MAX_VALUE}
    agent = two_hot_dqn(dense, spec, action_spec, batch_size=BATCH, **{**defaults, **arguments})
    generator = np.random.default_rng(5)
    for variable in agent.target_model.variables:
        variable.assign(variable + generator.normal(size=variable.shape).astype(np.float32))
    return agent


def trajectories(n_step=1):
    """Random steps, some with discount 0, whose returns are below, within and above the bins."""
    generator = np.random.default_rng(0)
    leading = (BATCH, n_step + 1)
    return Trajectory(
        step_type=tf.fill(leading, StepType.MID),
        observation=tf.constant(generator.normal(size=(*leading, FEATURES)).astype(np.float32)),
        action=tf.constant(generator.integers(NUM_ACTIONS, size=leading, dtype=np.int32)),
        policy_info=(),
        next_step_type=tf.fill(leading, StepType.MID),
        reward=tf.constant(generator.normal(size=leading).astype(np.float32)),
        discount=tf.constant((generator.random(leading) < 0.7).astype(np.float32)),
    )


def forward(model, x):
    weights = [array.astype(np.float64) for array in model.get_weights()]
    outputs = np.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]
    return outputs.reshape(-1, NUM_ACTIONS, NUM_BINS)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def two_hot_oracle(value):
    encoded = np.zeros(NUM_BINS)
    value = min(max(value, MIN_VALUE), MAX_VALUE)
    for index in range(NUM_BINS - 1):
        below, above = SUPPORT[index], SUPPORT[index + 1]
        if below <= value <= above:
            encoded[index], encoded[index + 1] = (
                (above - value) / (above - below),
                (value - below) / (above - below),
            )
            return encoded
    raise AssertionError(value)


def hl_gauss_oracle(value):
    width = SUPPORT[1] - SUPPORT[0]
    value = min(max(value, MIN_VALUE), MAX_VALUE)

    def cumulative(edge):
        return (1 + math.erf((edge - value) / (SIGMA * width * math.sqrt(2)))) / 2

    encoded = np.array([cumulative(z + width / 2) - cumulative(z - width / 2) for z in SUPPORT])
    return encoded / encoded.sum()


def oracle(agent, batch, n_step, discount, encode, double_q):
    """The loss of each example in float64."""
    first, last = batch.observation.numpy()[:, 0], batch.observation.numpy()[:, n_step]
    outputs = forward(agent.model, first)
    values, target_values = (softmax(forward(m, last)) @ SUPPORT for m in (agent.model, agent.target_model))
    losses = []
    for i in range(BATCH):
        target, factor = 0.0, 1.0
        for k in range(n_step):
            target += factor * float(batch.reward[i, k])
            factor *= discount * float(batch.discount[i, k])
        target += factor * target_values[i][(values if double_q else target_values)[i].argmax()]
        chosen = softmax(outputs[i, int(batch.action[i, 0])])
        losses.append(-(encode(target) * np.log(chosen)).sum())
    return np.array(losses)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [(two_hot, two_hot_oracle), (functools.partial(hl_gauss, sigma=SIGMA), hl_gauss_oracle)],
    ids=["two_hot", "hl_gauss"],
)
def test_the_losses_equal_a_float64_oracle(encoding, encode, double_q, n_step):
    agent = make(n_step=n_step, discount=0.9, double_q=double_q, encoding=encoding)
    batch = trajectories(n_step)
    loss, per_example = agent.loss(batch)
    expected = oracle(agent, batch, n_step, 0.9, encode, double_q)
    assert per_example.shape == (BATCH,) and loss.shape == ()
    np.testing.assert_allclose(per_example, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)


def test_the_batch_of_the_oracle_tells_the_forms_apart():
    agent, batch = make(discount=0.9), trajectories()
    forms = [
        oracle(agent, batch, 1, 0.9, encode, double_q)
        for encode in (two_hot_oracle, hl_gauss_oracle)
        for double_q in (True, False)
    ]
    for i, one in enumerate(forms):
        for other in forms[:i]:
            assert (np.abs(one - other) > 1e-3).sum() >= 5


def test_the_mean_of_the_distribution_acts():
    agent, observation = make(), trajectories().observation[:, 0]
    expected = softmax(forward(agent.model, observation.numpy())) @ SUPPORT
    np.testing.assert_allclose(agent.q_values(observation), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(agent.greedy_actions(observation.numpy()), expected.argmax(axis=1))
    assert len(set(expected.argmax(axis=1))) == NUM_ACTIONS


def test_the_bins_cover_the_returns_of_rewards_up_to_one():
    agent = make(min_value=0.0, max_value=None, discount=0.9, num_bins=11)
    agent.model.layers[-2].bias.assign(100.0 * np.eye(11, dtype=np.float32)[np.array([0, 5, 10])].ravel())
    np.testing.assert_allclose(agent.q_values(np.zeros([1, FEATURES], np.float32)), [[0, 5, 10]], atol=1e-5)
    assert make(num_bins=7).model.output_shape == (None, NUM_ACTIONS, 7)


def test_no_gradient_flows_into_the_target():
    agent = make()
    with tf.GradientTape() as tape:
        loss = agent.loss(trajectories(), training=True)[0]
    gradients = tape.gradient(loss, [*agent.model.variables, *agent.target_model.variables])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients[:4])
    assert gradients[4:] == [None] * 4


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_losses_equal_eager_ones(jit_compile):
    agent, batch = make(), trajectories()
    compiled = tf.function(agent.loss, jit_compile=jit_compile, autograph=False)
    for one, other in zip(compiled(batch), agent.loss(batch), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"discount": 1.5}, "`discount` must be a number in [0, 1]. Received: 1.5"),
        ({"n_step": 0}, "`n_step` must be an integer of at least 1. Received: 0"),
        ({"num_bins": 1}, "`num_bins` must be an integer of at least 2. Received: 1"),
        (
            {"discount": 1.0, "max_value": None},
            "`max_value` must be given where `discount` is 1. Received: None",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**arguments)
