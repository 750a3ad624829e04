import re

import numpy as np
import pytest
from tf_agents.trajectories import StepType, TimeStep

from tfplastic.rl.atari import environment
from tfplastic.rl.atari.environment import AtariProtocol
from tfplastic.rl.playing.episodic_environment import FinishedEpisode
from tfplastic.rl.playing.evaluation import Evaluation

SHORT = AtariProtocol(frame_size=16, stack_size=1, max_frames_per_episode=480)  # 120 agent steps


class FakeEnvironment:
    """Episodes of environment i take i + 1 steps; its k-th one returns 100 i + k. Actions 0, 1 and 2."""

    made = []

    def __init__(self, game, num_envs, seed, protocol):
        self.arguments, self.num_envs, self.closed, self.actions = (
            (game, num_envs, seed, protocol),
            num_envs,
            False,
            [],
        )
        self._age, self._index = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self._finished = []
        FakeEnvironment.made.append(self)

    def action_spec(self):
        class Spec:
            maximum = 2

        return Spec

    def _time_step(self):
        last = self._age == np.arange(self.num_envs) + 1
        step_type = np.where(last, StepType.LAST, StepType.MID)
        zeros = np.zeros(self.num_envs, np.float32)
        return TimeStep(step_type, zeros, zeros, np.stack([self._age, self._index], axis=1))

    def reset(self):
        return self._time_step()

    def step(self, actions):
        self.actions.append(actions.tolist())
        ended = self._age == np.arange(self.num_envs) + 1
        self._age = np.where(ended, 0, self._age + 1)
        for i in np.flatnonzero(self._age == np.arange(self.num_envs) + 1):
            self._finished.append(FinishedEpisode(100.0 * i + self._index[i], int(i) + 1, 0))
            self._index[i] += 1
        return self._time_step()

    def pop_finished_episodes(self):
        finished, self._finished = self._finished, []
        return finished

    def close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    FakeEnvironment.made = []
    monkeypatch.setattr(environment, "AtariEnvironment", FakeEnvironment)
    return FakeEnvironment.made


def greedy(observation):
    return np.full(len(observation), 2)


@pytest.mark.parametrize(
    # Environment i has played k episodes after k (i + 2) - 1 steps, resets included; the last one counts.
    ("num_episodes", "num_envs", "expected", "num_steps"),
    [
        (1, 1, [0], 1),
        (4, 1, [0, 1, 2, 3], 7),
        (6, 3, [0, 1, 100, 101, 200, 201], 7),
        (5, 3, [0, 1, 100, 101, 200], 5),
        (4, 3, [0, 1, 100, 200], 3),
        (2, 8, [0, 100], 2),
    ],
)
def test_every_environment_plays_its_share_however_long_its_episodes(
    fake, num_episodes, num_envs, expected, num_steps
):
    played = Evaluation(num_episodes, 0.5, num_envs)(greedy, "Pong", SHORT, seed=0)
    assert played is not None and played.dtype == np.float64
    assert played.tolist() == expected
    (made,) = fake
    assert made.closed
    assert made.num_envs == min(num_envs, num_episodes)
    assert len(made.actions) == num_steps


def test_epsilon_zero_is_greedy(fake):
    Evaluation(3, epsilon=0.0)(greedy, "Pong", SHORT, seed=0)
    assert {action for actions in fake[0].actions for action in actions} == {2}


def test_epsilon_one_asks_for_no_greedy_action(fake):
    def not_called(observation):
        raise AssertionError("the greedy actions were asked for")

    Evaluation(60, epsilon=1.0)(not_called, "Pong", SHORT, seed=0)
    assert {action for actions in fake[0].actions for action in actions} == {0, 1, 2}


def test_the_policy_sees_the_current_observations(fake):
    seen = []

    def policy(observation):
        seen.append(observation[:, 0].tolist())
        return np.zeros(len(observation), int)

    Evaluation(2, epsilon=0.0, num_envs=2)(policy, "Pong", SHORT, seed=0)
    assert seen == [[0, 0], [1, 1]]


def test_game_protocol_and_seed_reach_the_environment(fake):
    for seed in (3, 3, 4):
        Evaluation(2, num_envs=2)(greedy, "Pong", SHORT, seed=seed)
    first, again, other = (each.arguments for each in fake)
    assert first[:2] == ("Pong", 2) and first[3] is SHORT
    assert first == again != other


@pytest.mark.parametrize("stop_after", [0, 3])
def test_a_request_to_stop_ends_it_without_a_result(fake, stop_after):
    asked = []

    def should_stop():
        asked.append(None)
        return len(asked) > stop_after

    assert Evaluation(50, num_envs=2)(greedy, "Pong", SHORT, 0, should_stop) is None
    assert len(fake[0].actions) == stop_after
    assert fake[0].closed


def test_the_environment_is_closed_after_an_error(fake):
    def broken(observation):
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError, match="broken"):
        Evaluation(2, epsilon=0.0)(broken, "Pong", SHORT, seed=0)
    assert fake[0].closed


def play(seed):
    def policy(observation):
        return observation.reshape(len(observation), -1).sum(axis=1) % 4

    played = Evaluation(4, 0.5, num_envs=2)(policy, "Alien", SHORT, seed)
    assert played is not None
    return played.tolist()


@pytest.fixture(scope="module")
def returns():
    return play(0)


def test_a_real_game_the_same_seed_gives_the_same_returns(returns):
    assert len(returns) == 4
    assert max(returns) > 30 and all(value % 10 == 0 for value in returns)  # 10 points a dot, not clipped
    assert play(0) == returns


def test_a_real_game_another_seed_gives_other_returns(returns):
    assert play(1) != returns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_episodes": 0}, "`num_episodes` must be an integer of at least 1. Received: 0"),
        ({"epsilon": 1.5}, "`epsilon` must be a number in [0, 1]. Received: 1.5"),
        ({"num_envs": 0}, "`num_envs` must be an integer of at least 1. Received: 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Evaluation(**arguments)
