import ale_py
import gin
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from tf_agents.environments import utils
from tf_agents.trajectories.time_step import StepType, TimeStep

from tfplastic import seeds
from tfplastic.rl.atari.environment import AtariEnvironment, AtariProtocol
from tfplastic.rl.playing.episodic_environment import FinishedEpisode

gymnasium.register_envs(ale_py)

FIRST, MID, LAST = int(StepType.FIRST), int(StepType.MID), int(StepType.LAST)
PLAIN = AtariProtocol(max_noops=0, clip_reward=False)


def peer(game, **options):
    """Gymnasium's own front end for the same protocol, without frame stack."""
    game = gymnasium.make(
        f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0, full_action_space=False
    )
    return AtariPreprocessing(
        game, **{"noop_max": 0, "frame_skip": 4, "terminal_on_life_loss": False, **options}
    )


def random_actions(environment, num_steps, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, environment.action_spec().maximum + 1, (num_steps, environment.batch_size))


def play(environment, actions):
    return [environment.step(one_action) for one_action in actions]


def assert_equal_steps(actual, expected):
    for a, e in zip(TimeStep(*actual), TimeStep(*expected), strict=True):
        np.testing.assert_array_equal(a, e)


def without_batch(time_step, index=0):
    return TimeStep(*(np.asarray(part)[index : index + 1] for part in time_step))


@pytest.mark.parametrize("game", ["Breakout", "Pong", "MsPacman", "Freeway"])
def test_equals_gymnasium_except_for_the_first_stacks(game):
    ours, theirs = AtariEnvironment(game, protocol=PLAIN), FrameStackObservation(peer(game), 4)
    assert theirs.action_space == gymnasium.spaces.Discrete(int(ours.action_spec().maximum) + 1)
    age, lives = None, 0  # agent steps of the episode so far
    for action in random_actions(ours, 500)[:, 0]:
        time_step = ours.step([action])
        if age is None:
            stack, info = theirs.reset(seed=7)  # without sticky actions its seed has no influence
            expected = FIRST, 0.0, 1.0
            age = 0
        else:
            stack, reward, terminated, truncated, info = theirs.step(action)
            age += 1
            no_future = terminated or info["lives"] < lives
            expected = LAST if terminated else MID, reward, 0.0 if no_future else 1.0
            assert not truncated
        lives = info["lives"]
        assert (time_step.step_type[0], time_step.reward[0], time_step.discount[0]) == expected
        known = min(age + 1, 4)  # frames of this episode
        observation = time_step.observation[0].transpose(2, 0, 1)
        np.testing.assert_array_equal(observation[4 - known :], stack[4 - known :])
        assert not observation[: 4 - known].any()
        assert all((older == stack[4 - known]).all() for older in stack[: 4 - known])
        age = None if expected[0] == LAST else age
    assert ours.pop_finished_episodes() or game != "Breakout"


def test_an_episode_starts_with_fewer_noops_than_max_noops_where_gymnasium_draws_one_to_max():
    single = peer("MsPacman", frame_skip=1)
    after_noops = [single.reset(seed=0)[0]] + [single.step(0)[0] for _ in range(3)]
    assert len({frame.tobytes() for frame in after_noops}) == 4
    ours = AtariEnvironment("MsPacman", protocol=AtariProtocol(max_noops=3))
    firsts = {ours.reset().observation[0, :, :, -1].tobytes() for _ in range(12)}
    assert firsts == {frame.tobytes() for frame in after_noops[:3]}
    theirs = peer("MsPacman", noop_max=3)
    assert {theirs.reset()[1]["episode_frame_number"] for _ in range(24)} == {1, 2, 3}


def test_a_time_step_conforms_to_its_specs():
    environment = AtariEnvironment("Pong", num_envs=2, protocol=AtariProtocol(max_frames_per_episode=80))
    assert environment.batched and environment.batch_size == 2 and environment.game == "Pong"
    assert environment.observation_spec().shape == (84, 84, 4)
    assert environment.observation_spec().dtype == np.uint8
    assert not hasattr(environment.observation_spec(), "maximum")
    utils.validate_py_environment(environment, episodes=4)


def test_sizes_of_frame_stack_and_action_set_are_arguments():
    protocol = AtariProtocol(frame_size=42, stack_size=2, full_action_set=True)
    environment = AtariEnvironment("Breakout", protocol=protocol)
    assert environment.action_spec().maximum == 17
    environment.reset()
    assert environment.step([17]).observation.shape == (1, 42, 42, 2)


def test_action_repeat_and_max_pool_change_the_frames():
    def frames(**options):
        environment = AtariEnvironment("MsPacman", protocol=AtariProtocol(max_noops=0, **options))
        return np.stack([time_step.observation for time_step in play(environment, [[0]] * 80)])

    default = frames()
    unpooled = frames(max_pool=False)
    assert (default >= unpooled).all() and (default > unpooled).any()
    # Unpooled, one step of 4 frames shows what 4 steps of 1 frame show in the end.
    np.testing.assert_array_equal(
        unpooled[5, 0, :, :, -1], frames(max_pool=False, action_repeat=1)[20, 0, :, :, -1]
    )


def test_same_seed_same_bits():
    protocol = AtariProtocol(sticky_actions=0.25)
    walks = []
    for _ in range(2):
        environment = AtariEnvironment("Breakout", num_envs=2, seed=3, protocol=protocol)
        walks.append(play(environment, random_actions(environment, 60)))
    for one, other in zip(*walks, strict=True):
        assert_equal_steps(one, other)


@pytest.mark.parametrize(
    "game, options", [("MsPacman", {"max_noops": 30}), ("Breakout", {"max_noops": 0, "sticky_actions": 0.25})]
)
def test_another_seed_other_bits(game, options):
    walks = []
    for seed in (3, 4):
        environment = AtariEnvironment(game, num_envs=2, seed=seed, protocol=AtariProtocol(**options))
        walks.append(
            np.stack([step.observation for step in play(environment, random_actions(environment, 60))])
        )
    assert (walks[0] != walks[1]).any()
    assert (walks[0][:, 0] != walks[0][:, 1]).any() or (walks[1][:, 0] != walks[1][:, 1]).any()


@pytest.mark.parametrize("sticky_actions", [0.0, 0.25])
def test_an_episode_is_its_seed_and_its_actions_whatever_came_before(sticky_actions):
    protocol = AtariProtocol(max_frames_per_episode=160, sticky_actions=sticky_actions)
    environments = [AtariEnvironment("MsPacman", seed=5, protocol=protocol) for _ in range(2)]
    actions = random_actions(environments[0], 200)
    for environment, first_actions, surplus in zip(
        environments, (actions, actions[::-1]), (0, 7), strict=True
    ):
        steps = play(environment, first_actions[:41])  # the first one is the reset
        assert steps[-1].is_last()[0]
        for action in actions[:surplus]:  # an emulator that is stepped on after its end, as in a batch
            environment._play(action.astype(np.int32))
        environment._step_type = steps[-1].step_type
    for one, other in zip(*(play(environment, actions[:80]) for environment in environments), strict=True):
        assert_equal_steps(one, other)
    one, other = (environment.pop_finished_episodes() for environment in environments)
    assert [episode.seed for episode in one] == [seeds.derive_integer(5, "episode", 0, k) for k in (0, 1)]
    assert one[1] == other[1]


def test_a_copy_does_not_depend_on_the_others_in_its_batch():
    protocol = AtariProtocol(sticky_actions=0.25, max_frames_per_episode=600)
    alone = AtariEnvironment("Breakout", seed=1, protocol=protocol)
    batch = AtariEnvironment("Breakout", num_envs=3, seed=1, protocol=protocol)
    actions = random_actions(batch, 450)
    ended_alone = 0
    for action in actions:
        one, three = alone.step(action[:1]), batch.step(action)
        assert_equal_steps(one, without_batch(three))
        ended_alone += three.is_last().any() and not three.is_last().all()
    assert ended_alone >= 2
    of_first_copy = {seeds.derive_integer(1, "episode", 0, k) for k in range(9)}
    finished = batch.pop_finished_episodes()
    assert [episode for episode in finished if episode.seed in of_first_copy] == alone.pop_finished_episodes()
    assert batch.pop_finished_episodes() == []


def test_after_last_comes_first_without_reward_while_the_others_go_on():
    batch = AtariEnvironment("Breakout", num_envs=2, seed=2)
    before = after = batch.reset()
    for action in random_actions(batch, 600):
        before, after = after, batch.step(action)
        if before.is_last().any() and not before.is_last().all():
            break
    (ended,) = np.flatnonzero(before.is_last())
    assert before.discount[ended] == 0.0
    assert after.step_type.tolist() == [FIRST if i == ended else MID for i in range(2)]
    assert after.reward[ended] == 0.0 and after.discount[ended] == 1.0
    assert not after.observation[ended, :, :, :3].any() and after.observation[ended, :, :, 3].any()
    other = 1 - ended
    np.testing.assert_array_equal(after.observation[other, :, :, 2], before.observation[other, :, :, 3])
    assert len(batch.pop_finished_episodes()) == 1


@pytest.mark.parametrize("life_loss_ends_discount", [True, False])
def test_life_loss_ends_the_discount_but_not_the_episode(life_loss_ends_discount):
    protocol = AtariProtocol(life_loss_ends_discount=life_loss_ends_discount)
    environment = AtariEnvironment("Breakout", protocol=protocol)
    steps = [environment.reset()]
    for action in random_actions(environment, 2000):
        steps.append(environment.step(action))
        if steps[-1].is_last()[0]:
            break
    discounts = [step.discount[0] for step in steps]
    assert [step.step_type[0] for step in steps] == [FIRST] + [MID] * (len(steps) - 2) + [LAST]
    assert discounts[-1] == 0.0
    assert discounts.count(0.0) == (5 if life_loss_ends_discount else 1)  # Breakout has 5 lives
    (episode,) = environment.pop_finished_episodes()
    assert episode.num_steps == len(steps) - 1


@pytest.mark.parametrize("game", ["Pong", "Breakout"])
@pytest.mark.parametrize("frames, num_steps", [(48, 12), (50, 13)])
def test_the_cap_is_in_emulator_frames_and_a_truncation_keeps_the_discount(game, frames, num_steps):
    environment = AtariEnvironment(game, protocol=AtariProtocol(max_frames_per_episode=frames))
    environment.reset()
    steps = play(environment, [[0]] * (num_steps + 2))
    types = [step.step_type[0] for step in steps]
    assert types == [MID] * (num_steps - 1) + [LAST, FIRST, MID]
    assert all(step.discount[0] == 1.0 for step in steps)
    assert [episode.num_steps for episode in environment.pop_finished_episodes()] == [num_steps]


@pytest.mark.parametrize("life_loss_ends_discount", [True, False])
def test_a_life_lost_in_the_step_of_the_truncation(life_loss_ends_discount):
    actions = [[1]] * 100
    environment = AtariEnvironment("Breakout", protocol=PLAIN)
    environment.reset()
    lost = [step.discount[0] for step in play(environment, actions)].index(0.0) + 1  # agent steps to the loss
    capped = AtariEnvironment(
        "Breakout",
        protocol=AtariProtocol(
            max_noops=0, max_frames_per_episode=4 * lost, life_loss_ends_discount=life_loss_ends_discount
        ),
    )
    capped.reset()
    steps = play(capped, actions[: lost + 1])
    assert [step.step_type[0] for step in steps[-3:]] == [MID, LAST, FIRST]
    assert [step.discount[0] for step in steps[-3:]] == [1.0, 0.0 if life_loss_ends_discount else 1.0, 1.0]


def test_rewards_are_clipped_for_learning_only():
    rewards, returns = {}, {}
    for clip_reward in (True, False):
        protocol = AtariProtocol(clip_reward=clip_reward, max_frames_per_episode=1200)
        environment = AtariEnvironment("MsPacman", protocol=protocol)
        steps = play(environment, random_actions(environment, 301))
        assert steps[-1].is_last()[0]
        rewards[clip_reward] = np.array([step.reward[0] for step in steps])
        (episode,) = environment.pop_finished_episodes()
        returns[clip_reward] = episode.episode_return
    np.testing.assert_array_equal(rewards[True], np.clip(rewards[False], -1.0, 1.0))
    assert rewards[False].max() >= 10.0 and rewards[True].dtype == np.float32
    assert returns[True] == returns[False] == rewards[False].sum()


def test_time_steps_are_not_changed_by_later_ones():
    environment = AtariEnvironment("Breakout", num_envs=2, protocol=AtariProtocol(max_frames_per_episode=40))
    steps, copies = [], []
    for action in random_actions(environment, 30):
        steps.append(environment.step(action))
        copies.append(TimeStep(*(np.array(part) for part in steps[-1])))
        if len(steps) == 17:
            steps.append(environment.reset())
            copies.append(TimeStep(*(np.array(part) for part in steps[-1])))
    for step, copy in zip(steps, copies, strict=True):
        assert_equal_steps(step, copy)


def moments_of_interest(steps, generator):
    """Random ones, and those at which some copy, but not all, has just ended or just started."""
    last = [t for t, step in enumerate(steps) if step.is_last().any()]
    alone = [t for t in last if not steps[t].is_last().all()] or last
    return [0, int(generator.integers(len(steps))), alone[0], alone[-1] + 1]


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("sticky_actions", [0.0, 0.25])
def test_a_restored_environment_goes_on_bit_for_bit(num_envs, sticky_actions):
    protocol = AtariProtocol(sticky_actions=sticky_actions, max_frames_per_episode=640)
    source = AtariEnvironment("Breakout", num_envs, seed=8, protocol=protocol)
    actions = random_actions(source, 360)
    steps, states, num_popped, num_finished, finished = [], [], [], [], []
    for t, action in enumerate(actions):
        steps.append(source.step(action))
        if t % 100 == 99:
            finished += source.pop_finished_episodes()
        states.append(source.get_state())
        num_popped.append(len(finished))
        num_finished.append(len(finished) + len(states[-1]["finished_seed"]))
    finished += source.pop_finished_episodes()
    assert len(finished) >= 2 * num_envs

    target = AtariEnvironment("Breakout", num_envs, seed=8, protocol=protocol)
    for moment in moments_of_interest(steps[:340], np.random.default_rng(num_envs)):
        assert_equal_steps(target.set_state(states[moment]), steps[moment])
        assert_equal_steps(target.current_time_step(), steps[moment])
        for t in range(moment + 1, moment + 20):
            assert_equal_steps(target.step(actions[t]), steps[t])
            state = target.get_state()
            assert all(
                np.array_equal(state[name], states[t][name])
                for name in (*state, *states[t])
                if not name.startswith("finished")
            )
        expected = finished[num_popped[moment] : num_finished[moment + 19]]
        assert target.pop_finished_episodes() == expected


def test_a_restored_episode_has_its_whole_return_and_length():
    environments = [AtariEnvironment("MsPacman", seed=4, protocol=PLAIN) for _ in range(2)]
    actions = random_actions(environments[0], 3000)
    play(environments[0], actions[:250])
    environments[1].set_state(environments[0].get_state())
    for environment in environments:
        for action in actions:
            if environment.step(action).is_last()[0]:
                break
    one, other = (environment.pop_finished_episodes() for environment in environments)
    assert one == other and len(one) == 1
    assert one[0].num_steps > 250 and one[0].episode_return >= 100.0


def test_the_state_is_small_and_holds_the_episodes_nobody_has_taken_yet():
    protocol = AtariProtocol(max_frames_per_episode=80)
    environment = AtariEnvironment("Pong", num_envs=2, seed=1, protocol=protocol)
    play(environment, random_actions(environment, 30))
    state = environment.get_state()
    assert sum(array.nbytes for array in state.values()) < 300
    other = AtariEnvironment("Pong", num_envs=2, seed=1, protocol=protocol)
    other.set_state(state)
    finished = other.pop_finished_episodes()
    assert [episode.num_steps for episode in finished] == [20, 20]
    assert finished == environment.pop_finished_episodes()
    assert isinstance(finished[0], FinishedEpisode)


def test_a_state_of_something_else_is_an_error():
    environment = AtariEnvironment("Pong", num_envs=2, seed=1)
    with pytest.raises(ValueError) as error:
        environment.get_state()
    received = "an environment without any. Call `reset` first"
    assert str(error.value) == f"`get_state` must follow a `reset`. Received: {received}"
    environment.reset()
    state = environment.get_state()
    for other, message in [
        (
            AtariEnvironment("Pong", 1, seed=1),
            "`state` must be of `num_envs` = 1. Received: one of 2."
            " Make the environment with as many copies as were saved",
        ),
        (
            AtariEnvironment("Pong", 2, seed=2),
            "`state` must be of `seed` = 2. Received: one of another seed."
            " Make the environment with the seed that was saved",
        ),
        (
            AtariEnvironment("Breakout", 2, seed=1),
            "`state` must be of the same game, protocol and ale-py. "
            "Received: one whose actions lead to other frames here. "
            "Use those that saved it, or start a new run",
        ),
    ]:
        with pytest.raises(ValueError) as error:
            other.set_state(state)
        assert str(error.value) == message


def test_a_wrong_action_is_an_error_rather_than_a_hang():
    environment = AtariEnvironment("Breakout", num_envs=2)
    environment.reset()
    for action, message in [
        ([0, 4], "`action` must be in [0, 3]. Received: [0, 4]"),
        ([-1, 0], "`action` must be in [0, 3]. Received: [-1, 0]"),
        ([0], "`action` must be integers of shape (2,). Received: shape (1,), dtype int64"),
        ([0.0, 1.0], "`action` must be integers of shape (2,). Received: shape (2,), dtype float64"),
    ]:
        with pytest.raises(ValueError) as error:
            environment.step(action)
        assert str(error.value) == message


@pytest.mark.parametrize(
    "options, message",
    [
        ({"frame_size": 0}, "`frame_size` must be an integer of at least 1. Received: 0"),
        ({"stack_size": 2.5}, "`stack_size` must be an integer of at least 1. Received: 2.5"),
        ({"action_repeat": 0}, "`action_repeat` must be an integer of at least 1. Received: 0"),
        ({"max_noops": -1}, "`max_noops` must be an integer of at least 0. Received: -1"),
        (
            {"max_frames_per_episode": 0},
            "`max_frames_per_episode` must be an integer of at least 1. Received: 0",
        ),
        ({"sticky_actions": 1.5}, "`sticky_actions` must be a number in [0, 1]. Received: 1.5"),
        ({"max_pool": "no"}, "`max_pool` must be one of True, False. Received: 'no'"),
        ({"clip_reward": None}, "`clip_reward` must be one of True, False. Received: None"),
    ],
)
def test_a_wrong_protocol_is_an_error(options, message):
    with pytest.raises(ValueError) as error:
        AtariProtocol(**options)
    assert str(error.value) == message


def test_a_wrong_number_of_environments_is_an_error():
    with pytest.raises(ValueError) as error:
        AtariEnvironment("Pong", num_envs=0)
    assert str(error.value) == "`num_envs` must be an integer of at least 1. Received: 0"


def test_a_protocol_can_be_set_by_gin():
    with gin.unlock_config():
        gin.parse_config("AtariProtocol.sticky_actions = 0.25")
    try:
        assert gin.get_configurable(AtariProtocol)() == AtariProtocol(sticky_actions=0.25)
        assert AtariProtocol().sticky_actions == 0.0
    finally:
        gin.clear_config()


def test_closing_twice_is_harmless():
    environment = AtariEnvironment("Pong")
    environment.reset()
    environment.close()
    environment.close()
