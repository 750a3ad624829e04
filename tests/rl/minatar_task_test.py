import functools
import re
from typing import Any

import pytest

from tfplastic import networks, rl
from tfplastic.rl import Evaluation, LinearEpsilon, MinAtarProtocol, MinAtarTask

WARM_UP = 40


def make(game: Any = "breakout", agent=rl.dqn, network=None, **arguments) -> Any:
    defaults = {
        "protocol": MinAtarProtocol(max_steps_per_episode=33),
        "replay_capacity": 600,
        "batch_size": 4,
        "warm_up_agent_steps": WARM_UP,
        "target_update_period": 3,
        "epsilon": LinearEpsilon(1.0, 0.2, 60),
        "evaluation": Evaluation(num_episodes=2, num_envs=2),
        "diagnostics_batch_size": 6,
    }
    network = network or functools.partial(networks.minatar_cnn, width=0.25)
    return MinAtarTask(game, agent, network, **{**defaults, **arguments})


def warmed_up(**arguments) -> Any:
    task = make(**arguments)
    task.build(0)
    task.start()
    for _ in task.warm_up():
        pass
    return task


@pytest.mark.parametrize(
    ("game", "full", "num_actions", "channels"),
    [("breakout", True, 6, 4), ("freeway", False, 3, 7), ("space_invaders", False, 4, 6)],
)
def test_network_replay_and_actions_fit_the_game(game, full, num_actions, channels):
    protocol = MinAtarProtocol(full_action_set=full)
    task = warmed_up(game=game, protocol=protocol, num_envs=3, replay_ratio=2)
    batch = task.next()
    assert batch.observation.shape == (4, 2, 10, 10, channels)
    assert task.model.output_shape == (None, num_actions)
    assert set(batch.action.ravel()) <= set(range(num_actions))
    assert task.metrics()["train/agent_steps"] == task.metrics()["train/frames"] >= WARM_UP
    task.close()


def test_all_environments_act_in_one_call(monkeypatch):
    task = warmed_up(num_envs=4, epsilon=LinearEpsilon(0.0, 0.0, 0))
    sizes = []
    greedy = task._learner.agent.greedy_actions
    monkeypatch.setattr(
        task._learner.agent,
        "greedy_actions",
        lambda each, head: [sizes.append(len(each)), greedy(each, head)][1],
    )
    before = task.metrics()["train/agent_steps"]
    for _ in range(12):
        task.next()
    assert sizes == [4] * len(sizes) and len(sizes) >= (WARM_UP + 12 - before) / 4 > 0
    task.close()


def test_the_defaults_are_those_of_young_and_tian():
    task = MinAtarTask("Breakout", rl.dqn, networks.minatar_cnn)
    assert (task.game, task.replay_capacity, task.batch_size, task.warm_up_agent_steps) == (
        *("breakout", 100_000),
        *(32, 5_000),
    )
    assert (task.replay_ratio, task.target_update_period, task.num_envs) == (1, 1_000, 1)
    assert [task.epsilon(steps) for steps in (-1, 0, 50_000, 100_000, 10**6)] == [1, 1, 0.55, 0.1, 0.1]
    protocol: Any = task.protocol
    assert (protocol.sticky_actions, protocol.difficulty_ramping, protocol.full_action_set) == (
        0.1,
        True,
        True,
    )


def test_describe():
    task = make(num_envs=2, replay_ratio=0.25)
    task.build(0)
    # 40 + 100 x 4 = 440 agent steps; a step takes 10 x 10 x 4 + 14 = 414 bytes.
    assert task.describe(100, 50, 2)[:3] == [
        ("game", "breakout, 6 actions, 2 environment(s)"),
        ("agent steps", "440, the first 40 as warm-up"),
        ("gradient steps", "100, one per 4 agent steps"),
    ]


@pytest.mark.parametrize(("ratio", "agent_steps"), [(0.25, 4_000), (1, 1_000), (4, 250), (0.3, 10_000 / 3)])
def test_gradient_steps_take_agent_steps_by_the_replay_ratio(ratio, agent_steps):
    assert make(replay_ratio=ratio).agent_steps_of(1_000) == pytest.approx(agent_steps, rel=1e-12)


def test_an_evaluation_plays_whole_episodes_of_the_game():
    task = warmed_up()
    scores = task.evaluate(3, lambda: False)
    assert scores is not None and scores == task.evaluate(3, lambda: False)
    assert set(scores) == {
        "evaluation/episode_return",
        "evaluation/episodes",
        "evaluation/episode_return_stderr",
    }
    task.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "Pong"}, "`game` must be one of MinAtar's: .* Received: 'Pong'."),
        ({"replay_ratio": 0}, "`replay_ratio` must be a finite number above 0. Received: 0"),
        ({"replay_ratio": 1e-320}, "`replay_ratio` must be at least 1e-09. Received: 1e-320"),
        (
            {"protocol": rl.AtariProtocol()},
            "`protocol` must be .*@MinAtarProtocol.*Received: AtariProtocol.*",
        ),
        ({"num_envs": 7}, "`replay_capacity` must be a multiple of `num_envs`, 7. Received: 600"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}$"):
        make(**arguments)


def test_a_network_for_larger_images_is_refused():
    message = "`network` must be a network for 10 x 10 pixels, such as @minatar_cnn. Received: one for at le"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(network=networks.nature_dqn).build(0)
