import importlib
import re
import sys
import types

import gin
import numpy as np
import pytest
from tf_agents.environments import utils
from tf_agents.trajectories.time_step import StepType

from tests.import_test import run_python
from tfplastic.rl.minatar import MinAtarEnvironment, MinAtarProtocol, games

CHANNELS = {"asterix": 4, "breakout": 4, "freeway": 7, "seaquest": 10, "space_invaders": 6}
MINIMAL = {"asterix": 5, "breakout": 3, "freeway": 3, "seaquest": 6, "space_invaders": 4}
EVERY_GAME = pytest.mark.parametrize("game", games.GAMES)


@pytest.fixture
def peer(monkeypatch):
    """The package's own environment, which imports seaborn and matplotlib for its display alone."""
    for name in ("seaborn", "matplotlib", "matplotlib.pyplot", "matplotlib.colors"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in ("pyplot", "colors"):
        setattr(sys.modules["matplotlib"], name, sys.modules[f"matplotlib.{name}"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "minatar"]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("minatar").Environment


def actions(num_envs, count, num_actions=6, seed=0):
    return np.random.default_rng(seed).integers(num_actions, size=(count, num_envs))


def play(environment, chosen):
    return [environment.reset(), *(environment.step(each) for each in chosen)]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def stack(steps):
    return [np.stack(each) for each in zip(*steps, strict=True)]


@EVERY_GAME
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sticky_actions": 0.0, "difficulty_ramping": False},
        {"sticky_actions": 0.5, "full_action_set": False},
    ],
    ids=str,
)
def test_equals_the_package_own_environment_episode_by_episode(peer, game, options):
    protocol = MinAtarProtocol(**options)
    ours = MinAtarEnvironment(game, num_envs=1, seed=3, protocol=protocol)
    theirs = peer(game, protocol.sticky_actions, protocol.difficulty_ramping)
    numbers = games.action_set(game, protocol.full_action_set)
    step, episodes, total = ours.reset(), 0, 0.0
    for (action,) in actions(1, 800, len(numbers)):
        if step.step_type[0] == StepType.FIRST:
            theirs.seed(int(ours.get_state()["episode_seed"][0]))
            theirs.reset()
            theirs.last_action = 0
            total = 0.0
        np.testing.assert_array_equal(step.observation[0], theirs.state())
        step = ours.step([action])
        if step.step_type[0] == StepType.FIRST:
            continue
        reward, is_over = theirs.act(numbers[action])
        total += reward
        assert step.reward[0] == reward
        assert (step.discount[0] == 0) == is_over == (step.step_type[0] == StepType.LAST)
        for episode in ours.pop_finished_episodes():
            assert episode.episode_return == total
            episodes += 1
    assert episodes > 1 or game in ("freeway", "seaquest", "space_invaders")


@EVERY_GAME
def test_a_time_step_conforms_to_its_specs(game):
    environment = MinAtarEnvironment(game, num_envs=2)
    utils.validate_py_environment(environment, episodes=1) if game == "breakout" else None
    step = environment.reset()
    assert step.observation.shape == (2, 10, 10, CHANNELS[game]) and step.observation.dtype == np.uint8
    assert environment.observation_spec().shape == (10, 10, CHANNELS[game])
    assert set(np.unique(step.observation)) == {0, 1}
    for kind, dtype in (("reward", np.float32), ("discount", np.float32), ("step_type", np.int32)):
        assert getattr(environment.step([0, 1]), kind).dtype == dtype
    assert environment.action_spec().maximum == 5
    minimal = MinAtarEnvironment(game, protocol=MinAtarProtocol(full_action_set=False))
    assert minimal.action_spec().maximum + 1 == MINIMAL[game]


@pytest.mark.parametrize("name", ["Space Invaders", "SpaceInvaders", "SPACE_INVADERS"])
def test_names_of_games_are_taken_in_any_spelling(name):
    assert MinAtarEnvironment(name).game == "space_invaders"


@EVERY_GAME
def test_same_seed_same_bits_and_another_seed_others(game):
    chosen = actions(2, 300)
    first, again, other = (stack(play(MinAtarEnvironment(game, 2, seed), chosen)) for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)


def test_a_copy_does_not_depend_on_the_others_in_its_batch():
    chosen = actions(3, 400)
    batch = stack(play(MinAtarEnvironment("breakout", 3, seed=1), chosen))
    alone = stack(play(MinAtarEnvironment("breakout", 1, seed=1), chosen[:, :1]))
    assert (alone[0] == StepType.LAST).sum() > 3
    assert all(np.array_equal(one[:, :1], other) for one, other in zip(batch, alone, strict=True))


def test_after_last_comes_first_without_reward_while_the_others_continue():
    environment = MinAtarEnvironment("breakout", 4, seed=2)
    before, seen = environment.reset(), 0
    for each in actions(4, 300):
        step = environment.step(each)
        restarts = before.step_type == StepType.LAST
        assert ((step.step_type == StepType.FIRST) == restarts).all()
        assert (step.reward[restarts] == 0).all() and (step.discount[restarts] == 1).all()
        seen += restarts.sum()
        before = step
    assert seen > 5


def test_the_bound_truncates_and_keeps_the_discount():
    environment = MinAtarEnvironment("freeway", 2, protocol=MinAtarProtocol(max_steps_per_episode=7))
    steps = play(environment, actions(2, 16))
    assert [int(step.step_type[0]) for step in steps] == [0, *[1] * 6, 2] * 2 + [0]
    assert all((step.discount == 1).all() for step in steps)
    assert [episode.num_steps for episode in environment.pop_finished_episodes()] == [7, 7, 7, 7]


def test_a_game_without_a_bound_of_ours_ends_by_its_own_rules():
    environment = MinAtarEnvironment("freeway")
    environment.reset()
    for _ in range(2_500):
        assert environment.step([0]).step_type[0] == StepType.MID
    last = environment.step([0])
    assert last.step_type[0] == StepType.LAST and last.discount[0] == 0


@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("asterix", {"difficulty_ramping": False}),
        ("space_invaders", {"sticky_actions": 0.0}),
        ("breakout", {"sticky_actions": 0.9}),
    ],
)
def test_options_change_the_game(game, options):
    chosen = actions(2, 500)
    protocol = MinAtarProtocol(**options)
    assert not same(
        stack(play(MinAtarEnvironment(game, 2), chosen)),
        stack(play(MinAtarEnvironment(game, 2, protocol=protocol), chosen)),
    )


def test_time_steps_are_not_changed_by_later_ones():
    environment = MinAtarEnvironment("breakout", 2, seed=5)
    steps, copies = [environment.reset()], []
    for each in [*actions(2, 100), None]:
        copies.append([np.array(part) for part in steps[-1]])
        steps.append(environment.reset() if each is None else environment.step(each))
    assert all(same(step, copy) for step, copy in zip(steps, copies, strict=False))


@EVERY_GAME
@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_restored_environment_continues_bit_for_bit(game, num_envs):
    chosen = actions(num_envs, 260)
    source = MinAtarEnvironment(game, num_envs, seed=8)
    play(source, chosen[:130])
    target = MinAtarEnvironment(game, num_envs, seed=8)
    assert same(target.set_state(source.get_state()), source.current_time_step())
    for each in chosen[130:]:
        assert same(target.step(each), source.step(each))
    assert target.pop_finished_episodes() == source.pop_finished_episodes()


def test_a_state_of_something_else_is_an_error():
    source = MinAtarEnvironment("breakout", 2, seed=1)
    play(source, actions(2, 12))
    for other, message in [
        (MinAtarEnvironment("breakout", 1, seed=1), "`state` must be of `num_envs` = 1. Received: one of 2"),
        (
            MinAtarEnvironment("breakout", 2, seed=2),
            "`state` must be of `seed` = 2. Received: one of another",
        ),
        (
            MinAtarEnvironment("asterix", 2, seed=1),
            "`state` must be of the same game, protocol and minatar. ",
        ),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            other.set_state(source.get_state())


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (
            "brakeout",
            "one of MinAtar's: asterix, .*space_invaders. Received: 'brakeout'. Did you mean 'breakout'",
        ),
        ("Pong", "one of MinAtar's: .* Received: 'Pong'."),
        (None, "one of MinAtar's: .* Received: None."),
    ],
)
def test_an_unknown_game_is_an_error(game, message):
    with pytest.raises(ValueError, match=f"^`game` must be {message}"):
        MinAtarEnvironment(game)


@pytest.mark.parametrize("action", [[3], [-1]])
def test_an_action_that_does_not_fit_the_set_is_an_error(action):
    environment = MinAtarEnvironment("breakout", protocol=MinAtarProtocol(full_action_set=False))
    environment.reset()
    with pytest.raises(ValueError, match=rf"^`action` must be in \[0, 2\]. Received: \[{action[0]}\]$"):
        environment.step(action)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    games.game_class.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = "MinAtar's games need minatar: pip install 'tfplastic[minatar]'"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        games.game_class("breakout")


def test_the_package_itself_is_never_imported_even_where_a_game_is_played():
    shown, _ = run_python(
        "import sys\n"
        "import tfplastic as tp\n"
        "def loaded():\n"
        "    packages = 'minatar', 'seaborn', 'matplotlib'\n"
        "    return [name for name in sys.modules if name.partition('.')[0] in packages]\n"
        "from tfplastic.rl.minatar import games\n"
        "print(loaded())\n"
        "environment = tp.rl.MinAtarEnvironment('seaquest')\n"
        "environment.reset()\n"
        "environment.step([1])\n"
        "print(loaded(), games.game_class('seaquest').__module__)",
        legacy_keras=True,
    )
    assert shown.splitlines() == ["[]", "[] minatar.environments.seaquest"]


def test_a_protocol_can_be_set_by_gin():
    try:
        gin.parse_config(["MinAtarProtocol.sticky_actions = 0.25"])
        protocol = gin.get_configurable(MinAtarProtocol)()
    finally:
        gin.clear_config()
    assert protocol == MinAtarProtocol(sticky_actions=0.25)
