"""The replay against lists of steps in plain Python, whose stacks come from the environment's side."""

import collections

import gin
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tf_agents.agents import data_converter
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import sequential
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories.trajectory import Trajectory
from tf_agents.utils import value_ops

from tfplastic import _checks, seeds
from tfplastic.rl.replay.frame_replay import FrameReplay, replay_bytes

FIRST, MID, LAST = 0, 1, 2
SHAPE = (3, 3)

Step = collections.namedtuple("Step", "step_type observation action next_step_type reward discount")


class Stream:
    """One environment: an endless list of steps as TF-Agents records them, with stacks made by a deque.

    The frame of step `t` is filled with the digits of a number that no other step of any stream here has.
    """

    def __init__(self, number, stack_size):
        self.number, self.stack_size, self.steps = number, stack_size, []
        self._stack = collections.deque(maxlen=stack_size)

    def episode(self, length, final_discount=0.0, life_losses=(), rng=None, closed=True):
        """Appends an episode of `length` actions; unless `closed`, it breaks off before its LAST step."""
        self._stack.extend([np.zeros(SHAPE, np.uint8)] * self.stack_size)
        for t in range(length):
            is_end = t == length - 1
            discount = final_discount if is_end else float(t not in life_losses)
            reward, action = (0.0, 0) if rng is None else (float(rng.integers(-9, 10)), int(rng.integers(18)))
            self._step(FIRST if t == 0 else MID, action, LAST if is_end else MID, reward, discount)
        if closed:
            self._step(LAST, 0, FIRST, 0.0, 1.0)

    def _step(self, step_type, action, next_step_type, reward, discount):
        identity = (len(self.steps) + 1) * 10 + self.number
        digits = [identity % 251 + 1, identity // 251 % 251 + 1, identity // 251**2 + 1]
        self._stack.append(np.array([digits] * 3, np.uint8))
        observation = np.stack(list(self._stack), axis=-1)
        self.steps.append(Step(step_type, observation, action, next_step_type, reward, discount))

    def random_episodes(self, num_steps, rng):
        while len(self.steps) < num_steps:
            length = int(rng.choice([1, 2, 3, 4, rng.integers(1, 25)]))
            losses = set(rng.integers(0, 25, size=rng.integers(0, 3)).tolist())
            self.episode(length, float(rng.random() < 0.4), losses, rng, closed=rng.random() < 0.9)


def add(replay, streams, begin, end):
    for t in range(begin, end):
        steps = [stream.steps[t] for stream in streams]
        columns = Step(*(np.array(column) for column in zip(*steps, strict=True)))
        replay.add_batch(Trajectory(policy_info=(), **columns._asdict()))


def filled(streams, capacity, num_steps=None, **options):
    replay = FrameReplay(capacity, len(streams), SHAPE, streams[0].stack_size, **options)
    add(replay, streams, 0, min(len(s.steps) for s in streams) if num_steps is None else num_steps)
    return replay


def window(steps, start, oldest, stack_size, n_step):
    """The `n_step + 1` steps from `start` as they should be sampled, or None if `start` should not be."""
    if steps[start].step_type == LAST or start + n_step >= len(steps):
        return None
    for back in range(stack_size):
        if start - back < oldest:
            return None
        if steps[start - back].step_type == FIRST:
            break
    result = [steps[start]]
    for t in range(start + 1, start + n_step + 1):
        step = steps[t]
        if step.step_type == FIRST:
            return None
        if step.step_type == LAST and t < start + n_step:
            if steps[t - 1].discount != 0:
                return None
            absorbing = Step(LAST, step.observation, 0, LAST, 0.0, 0.0)
            return result + [absorbing] * (n_step + 1 - len(result))
        result.append(step)
    return result


def all_windows(streams, num_steps, capacity, n_step):
    """{newest frame of the start: window} over all starts after `num_steps` steps of each stream."""
    oldest = max(0, num_steps - capacity // len(streams))
    windows = {}
    for stream in streams:
        for start in range(oldest, num_steps):
            found = window(stream.steps[:num_steps], start, oldest, stream.stack_size, n_step)
            if found is not None:
                windows[newest(found[0].observation)] = found
    return windows


def newest(observation):
    return observation[..., -1].tobytes()


def key(*names):
    return seeds.derive(0, *names)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10**6),
    num_envs=st.integers(1, 3),
    stack_size=st.integers(1, 4),
    n_step=st.sampled_from([1, 1, 2, 3, 5]),
    rows=st.integers(9, 60),
    num_steps=st.integers(0, 150),
)
def test_samples_are_the_steps_that_were_added(seed, num_envs, stack_size, n_step, rows, num_steps):
    rng = np.random.default_rng(seed)
    streams = [Stream(number, stack_size) for number in range(num_envs)]
    for stream in streams:
        stream.random_episodes(num_steps, rng)
    replay = filled(streams, rows * num_envs, num_steps, n_step=n_step)
    expected = all_windows(streams, num_steps, rows * num_envs, n_step)

    assert replay.num_frames() == min(num_steps, rows) * num_envs
    assert replay.num_transitions == len(expected)
    if not expected:
        with pytest.raises(ValueError, match="`sample` must find"):
            replay.sample(1, key("sample"))
        return
    batch = replay.sample(40 * len(expected), key("sample"))  # misses one with a chance below 180 * exp(-40)
    seen = set()
    for index in range(len(batch.reward)):
        start = newest(batch.observation[index, 0])
        seen.add(start)
        for name in Step._fields:
            steps = np.array([getattr(step, name) for step in expected[start]])
            assert np.array_equal(getattr(batch, name)[index], steps), name
    assert seen == expected.keys()


def test_neither_stack_nor_window_crosses_the_write_head():
    # Rows 0 to 12 of one long episode in a ring of 8: rows 5 to 12 are held. Stacks of 3 begin two rows
    # before the start, so the first start is 7; two rows must follow, so the last is 10.
    stream = Stream(0, stack_size=3)
    stream.episode(20)
    replay = filled([stream], capacity=8, num_steps=13, n_step=2)
    batch = replay.sample(200, key())
    starts = {newest(observation) for observation in batch.observation[:, 0]}
    assert starts == {newest(stream.steps[t].observation) for t in (7, 8, 9, 10)}
    assert replay.num_transitions == 4


def test_stack_of_an_episodes_first_row_needs_no_earlier_rows():
    # Two episodes of 5 actions, 6 rows each, in a ring of 7: rows 5 (LAST) to 11 (LAST) are held; FIRST is
    # row 6.
    stream = Stream(0, stack_size=4)
    stream.episode(5)
    stream.episode(5)
    replay = filled([stream], capacity=7)
    batch = replay.sample(200, key())
    starts = {newest(observation) for observation in batch.observation[:, 0]}
    assert starts == {newest(stream.steps[t].observation) for t in (6, 7, 8, 9, 10)}
    first = batch.observation[batch.step_type[:, 0] == FIRST]
    assert first.size and not first[:, 0, ..., :3].any() and first[:, 0, ..., 3].all()


def test_a_last_step_is_no_start_whatever_follows():
    stream = Stream(0, stack_size=1)
    stream.episode(3)
    stream.episode(3)
    stream.steps[4] = stream.steps[4]._replace(step_type=MID)  # instead of FIRST, after the LAST of row 3
    batch = filled([stream], capacity=10).sample(200, key())
    assert {newest(observation) for observation in batch.observation[:, 0]} == {
        newest(stream.steps[t].observation) for t in (0, 1, 2, 4, 5, 6)
    }


def test_shapes_and_dtypes():
    stream = Stream(0, stack_size=2)
    stream.episode(10)
    batch = filled([stream], capacity=20, n_step=3).sample(5, key())
    assert batch.observation.shape == (5, 4, 3, 3, 2) and batch.observation.dtype == np.uint8
    assert batch.policy_info == ()
    for name, dtype in [("step_type", "int32"), ("next_step_type", "int32"), ("action", "int32")]:
        assert getattr(batch, name).shape == (5, 4) and getattr(batch, name).dtype == dtype
    for column in (batch.reward, batch.discount):
        assert column.shape == (5, 4) and column.dtype == np.float32


def bounded_spec(shape, dtype, maximum):
    return tensor_spec.from_spec(array_spec.BoundedArraySpec(shape, dtype, 0, maximum))


def agents_transition(batch, gamma, n_step):
    """A sample as seen by TF-Agents' agents with `n_step_update=n_step`."""
    observation = tf.TensorSpec(batch.observation.shape[2:], tf.uint8)
    action = bounded_spec([], np.int32, 17)
    context = data_converter.DataContext(ts.time_step_spec(observation), action, info_spec=())
    if n_step == 1:
        converter = data_converter.AsTransition(context, squeeze_time_dim=True)
    else:
        converter = data_converter.AsNStepTransition(context, gamma=gamma, n=n_step)
    return converter(tf.nest.map_structure(tf.convert_to_tensor, batch))


@pytest.mark.parametrize("n_step", [1, 3])
def test_agents_fold_a_sample_to_the_n_step_return(n_step):
    gamma, rng = 0.9, np.random.default_rng(n_step)
    streams = [Stream(number, stack_size=2) for number in range(2)]
    for stream in streams:
        stream.episode(1, rng=rng)
        stream.episode(2, rng=rng)
        stream.episode(7, life_losses={1, 4}, rng=rng)
        stream.random_episodes(80, rng)
    replay = filled(streams, capacity=400, num_steps=80, n_step=n_step)
    batch = replay.sample(800, key(n_step))
    transition = agents_transition(batch, gamma, n_step)
    folded = value_ops.discounted_return(
        batch.reward[:, :-1], gamma * batch.discount[:, :-1], time_major=False, provide_all_returns=False
    )
    position = {
        newest(step.observation): (stream, t) for stream in streams for t, step in enumerate(stream.steps)
    }

    num_terminal = num_cut = 0
    for index in range(800):
        stream, t = position[newest(batch.observation[index, 0])]
        total, discount = 0.0, 1.0  # the return, and what its bootstrap value is multiplied by
        for step in stream.steps[t : t + n_step]:
            total += discount * step.reward
            discount *= gamma * step.discount
            if step.next_step_type == LAST:
                num_terminal += discount == 0
                break
            num_cut += step.discount == 0
        np.testing.assert_allclose(transition.next_time_step.reward[index], total, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(folded[index], total, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gamma * transition.next_time_step.discount[index], discount, rtol=1e-5)
        np.testing.assert_array_equal(transition.time_step.observation[index], stream.steps[t].observation)
        assert transition.action_step.action[index] == stream.steps[t].action
        assert transition.time_step.step_type[index] != LAST
        if discount:
            following = stream.steps[t + n_step].observation
            np.testing.assert_array_equal(transition.next_time_step.observation[index], following)
    assert num_terminal > 50 and num_cut > 20


def chi_square_p_value(replay, num_batches, batch_size):
    counts = collections.Counter(
        newest(observation)
        for index in range(num_batches)
        for observation in replay.sample(batch_size, key("uniform", index)).observation[:, 0]
    )
    never_drawn = [0] * (replay.num_transitions - len(counts))
    return stats.chisquare([*counts.values(), *never_drawn]).pvalue


def test_starts_are_uniform_over_episodes_of_any_length_and_environments():
    streams = [Stream(number, stack_size=3) for number in range(3)]
    for _ in range(20):
        streams[0].episode(1)
    streams[1].episode(39)
    for length in (2, 13, 1, 1, 1, 12, 3):
        streams[2].episode(length)
    replay = filled(streams, capacity=3 * 30, num_steps=40)  # an overwritten part in each
    assert 0.001 < chi_square_p_value(replay, num_batches=400, batch_size=32) < 0.999


def test_starts_are_uniform_where_hardly_any_row_is_one():
    # 5 + 4 starts among 2,000 rows: of a batch of 32, about 2 are found by trial, the others in the list of
    # all starts.
    stream = Stream(0, stack_size=2)
    for length, final_discount in [(5, 0.0)] + [(1, 1.0)] * 900 + [(4, 0.0)] + [(1, 1.0)] * 90:
        stream.episode(length, final_discount)
    replay = filled([stream], capacity=2000, n_step=3)
    assert replay.num_transitions == 9
    assert 0.001 < chi_square_p_value(replay, num_batches=100, batch_size=32) < 0.999


def test_same_key_same_bits_and_other_key_other_bits():
    stream = Stream(0, stack_size=2)
    stream.episode(50)
    replay = filled([stream], capacity=60)
    one, again, other = (replay.sample(16, key("draw", number)) for number in (1, 1, 2))
    np.testing.assert_array_equal(one.observation, again.observation)
    assert (one.observation != other.observation).any()


def test_clear_forgets_everything_added_so_far():
    stream = Stream(0, stack_size=2)
    stream.episode(50)
    replay = filled([stream], capacity=20, num_steps=30)
    replay.clear()
    assert replay.num_frames() == 0 and replay.num_transitions == 0
    add(replay, [stream], 30, 34)  # rows 31 and 32 have a whole stack and a row after them
    assert replay.num_frames() == 4
    starts = {newest(observation) for observation in replay.sample(64, key()).observation[:, 0]}
    assert starts == {newest(stream.steps[t].observation) for t in (31, 32)}


def test_memory_of_the_usual_sizes():
    assert replay_bytes(1_000_000) <= 7.3e9
    assert replay_bytes(100_000) <= 0.8e9
    assert FrameReplay(300, num_envs=3, frame_shape=(5, 7)).nbytes == replay_bytes(300, (5, 7)) == 300 * 49
    assert FrameReplay(1_000_000).nbytes == replay_bytes(1_000_000)  # reserved, not touched


def test_all_of_its_bytes_must_fit_in_memory(monkeypatch):
    monkeypatch.setattr(_checks, "_memory_bytes", lambda: replay_bytes(300, (5, 7)))
    FrameReplay(300, frame_shape=(5, 7))
    with pytest.raises(ValueError, match="`capacity` must fit into the memory of this machine"):
        FrameReplay(301, frame_shape=(5, 7))


@pytest.mark.parametrize("stack_size", [1, 3])
def test_frames_with_channels_are_one_replay_for_each_channel(stack_size):
    rng = np.random.default_rng(0)
    channels, column = 3, np.ones(1)
    replay = FrameReplay(20, frame_shape=(2, 4, channels), stack_size=stack_size)
    single = [FrameReplay(20, frame_shape=(2, 4), stack_size=stack_size) for _ in range(channels)]
    frames = rng.integers(256, size=(30, 2, 4, channels), dtype=np.uint8)
    for t in range(stack_size - 1, 30):  # past the end of the ring
        stack = frames[t - stack_size + 1 : t + 1]  # [stack, 2, 4, channels]
        kind = np.array([0 if t == 25 else 1])
        for each, observation in [
            (replay, np.concatenate(stack, axis=-1)),
            *((one, np.stack([frame[..., c] for frame in stack], axis=-1)) for c, one in enumerate(single)),
        ]:
            each.add_batch(Trajectory(kind, observation[None], column, (), column, column, column))
    batch = replay.sample(50, key("sample"))
    assert batch.observation.shape == (50, 2, 2, 4, stack_size * channels)
    for c, one in enumerate(single):
        expected = one.sample(50, key("sample")).observation
        np.testing.assert_array_equal(batch.observation[..., c::channels], expected)
    assert replay.nbytes == replay_bytes(20, (2, 4, channels))


def test_a_batch_is_a_copy():
    stream = Stream(0, stack_size=2)
    stream.episode(30)
    replay = filled([stream], capacity=20, num_steps=10)
    batch = replay.sample(8, key())
    before = batch.observation.copy()
    add(replay, [stream], 10, 30)
    np.testing.assert_array_equal(batch.observation, before)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"capacity": 0}, "`capacity` must be an integer of at least 1. Received: 0"),
        ({"capacity": 10, "num_envs": 3}, "`capacity` must be a multiple of `num_envs` = 3. Received: 10"),
        (
            {"capacity": 8, "num_envs": 2},
            r"`capacity` must be at least `num_envs \* \(stack_size \+ n_step\)` = 10. Rec",
        ),
        ({"capacity": 9, "stack_size": 0}, "`stack_size` must be an integer of at least 1. Received: 0"),
        ({"capacity": 9, "n_step": 1.5}, "`n_step` must be an integer of at least 1. Received: 1.5"),
        (
            {"capacity": 9, "frame_shape": (84,)},
            r"`frame_shape` must be \(height, width\) or \(height, width, channels\). Received: \(84,\)",
        ),
        (
            {"capacity": 9, "frame_shape": (84, 0)},
            "`frame_shape` must be an integer of at least 1. Received: 0",
        ),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FrameReplay(**options)


def test_wrong_observations_are_named():
    replay = FrameReplay(10, num_envs=2, frame_shape=SHAPE, stack_size=2)
    column = np.zeros(2)
    for observation, received in [
        (np.zeros([2, 3, 3, 4], np.uint8), r"uint8 of shape \(2, 3, 3, 4\)"),
        (np.zeros([2, 3, 3, 2], np.float32), r"float32 of shape \(2, 3, 3, 2\)"),
    ]:
        message = rf"`observation` must be uint8 of shape \(2, 3, 3, 2\). Received: {received}"
        with pytest.raises(ValueError, match=message):
            replay.add_batch(Trajectory(column, observation, column, (), column, column, column))
    assert replay.num_frames() == 0


def test_sample_of_an_empty_replay_is_an_error():
    message = (
        "`sample` must find 1 steps and the first one's stack within an episode. Received: a replay of 0"
    )
    with pytest.raises(ValueError, match=message):
        FrameReplay(10).sample(1, key())
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1. Received: 0"):
        FrameReplay(10).sample(0, key())


def random_replay(n_step=1):
    rng = np.random.default_rng(0)
    stream = Stream(0, stack_size=2)
    stream.random_episodes(60, rng)
    return filled([stream], capacity=50, n_step=n_step)


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_tf_agents_agent_learns_from_its_dataset(n_step):
    replay = random_replay(n_step)
    network = sequential.Sequential(
        [
            tf.keras.layers.Lambda(lambda x: tf.cast(x, tf.float32)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(18),
        ]
    )
    # With a maximum of 255, as with no bound, TF-Agents overflows when it makes up an input to build the
    # network.
    observation = bounded_spec([3, 3, 2], np.uint8, 254)
    agent = dqn_agent.DdqnAgent(
        ts.time_step_spec(observation),
        bounded_spec([], np.int32, 17),
        q_network=network,
        optimizer=tf.keras.optimizers.legacy.SGD(1e-6),
        n_step_update=n_step,
    )
    dataset = replay.as_dataset(sample_batch_size=4, num_steps=n_step + 1)
    before = [variable.numpy() for variable in network.variables]
    batches = []
    for batch, info in dataset.take(2):
        assert info == () and batch.observation.shape == (4, n_step + 1, 3, 3, 2)
        assert np.isfinite(agent.train(batch).loss)
        batches.append(batch)
    assert (batches[0].observation.numpy() != batches[1].observation.numpy()).any()
    after = [variable.numpy() for variable in network.variables]
    assert any((b != a).any() for b, a in zip(before, after, strict=True))
    sampled = tf.nest.map_structure(tf.constant, replay.sample(4, key()))
    assert np.isfinite(agent.loss(sampled).loss)


def test_get_next_and_unbatched_dataset():
    replay = random_replay()
    batch, info = replay.get_next(sample_batch_size=6, num_steps=2)
    assert info == () and batch.observation.shape == (6, 2, 3, 3, 2)
    single, _ = replay.get_next(num_steps=2)
    assert single.reward.shape == (2,)
    first, second = (replay.get_next(sample_batch_size=32, num_steps=2)[0] for _ in range(2))
    assert (first.observation != second.observation).any()
    again = random_replay().get_next(sample_batch_size=6, num_steps=2)[0]
    np.testing.assert_array_equal(again.observation, batch.observation)
    item, _ = next(iter(replay.as_dataset(num_steps=2)))
    assert item.observation.shape == (2, 3, 3, 2)


def test_what_the_tf_agents_interface_does_not_offer_is_named():
    replay = random_replay()
    message = r"`num_steps` must be `n_step \+ 1` = 2. Received: "
    with pytest.raises(ValueError, match=message + "3"):
        replay.get_next(sample_batch_size=4, num_steps=3)
    with pytest.raises(ValueError, match=message + "None"):
        replay.as_dataset(sample_batch_size=4)
    with pytest.raises(ValueError, match="`time_stacked` must be True. Received: False"):
        replay.get_next(sample_batch_size=4, num_steps=2, time_stacked=False)
    with pytest.raises(ValueError, match="`num_parallel_calls` must be None. Received: 2"):
        replay.as_dataset(sample_batch_size=4, num_steps=2, num_parallel_calls=2)
    with pytest.raises(ValueError, match="`single_deterministic_pass` must be False"):
        replay.as_dataset(sample_batch_size=4, num_steps=2, single_deterministic_pass=True)
    with pytest.raises(ValueError, match="`gather_all` would stack every frame several times"):
        replay.gather_all()


def test_gin_binds_its_arguments():
    with gin.unlock_config():
        gin.parse_config("tfplastic.rl.FrameReplay.stack_size = 2")
    try:
        replay = gin.get_configurable("tfplastic.rl.FrameReplay")(capacity=10, frame_shape=SHAPE)
        assert replay.data_spec.observation.shape == (3, 3, 2)
        assert FrameReplay(capacity=10).data_spec.observation.shape == (84, 84, 4)
    finally:
        gin.clear_config()
