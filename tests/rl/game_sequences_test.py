import functools
import re
from typing import Any

import numpy as np
import pytest

from tests.rl import small_atari
from tests.training.loop_test import QuietProgress, rows
from tfplastic import mitigations, networks, optimizers, rl
from tfplastic._keras import keras
from tfplastic.rl import Evaluation, GameSequence, LinearEpsilon, MinAtarProtocol, MinAtarTask
from tfplastic.training import Loop, RunDirectory, TrainConfig
from tfplastic.training.build_parts import build_parts

WARM_UP = 40
GAMES = ("breakout", "freeway", "space_invaders")
SHORT = MinAtarProtocol(max_steps_per_episode=33, full_action_set=False)


def make(sequence=None, **arguments) -> Any:
    defaults = {
        "protocol": SHORT,
        "replay_capacity": 600,
        "batch_size": 4,
        "warm_up_agent_steps": WARM_UP,
        "replay_ratio": 0.25,
        "target_update_period": 3,
        "epsilon": LinearEpsilon(1.0, 0.2, 60),
        "evaluation": Evaluation(num_episodes=2, num_envs=2),
        "diagnostics_batch_size": 6,
        "num_envs": 2,
    }
    sequence = sequence or GameSequence(GAMES, agent_steps=80, cycles=2)
    network = functools.partial(networks.minatar_cnn, width=0.25)
    return MinAtarTask(sequence, rl.dqn, network, **{**defaults, **arguments})


def started(sequence=None, **arguments) -> Any:
    task = make(sequence, **arguments)
    task.build(0)
    task.start()
    for _ in task.warm_up():
        pass
    return task


def advance(task: Any, first: int, last: int) -> list[Any]:
    """Returns the batches of gradient steps `first` to `last`, without training."""
    batches = []
    for step in range(first, last + 1):
        batches.append(task.next())
        task.after_step(step)
    return batches


def assert_equal(batches: list[Any], others: list[Any]) -> None:
    assert len(batches) == len(others)
    for one, other in zip(batches, others, strict=True):
        for field in ("observation", "action", "reward", "discount", "step_type", "next_step_type"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_games_are_played_in_turn_with_a_boundary_at_each_switch():
    task = started()
    assert task.boundary_period == 20 and task.most_steps == 120
    games, agent_steps = [], []
    for step in range(1, 121):
        advance(task, step, step)
        games.append(task.game)
        agent_steps.append(task.metrics()["train/agent_steps"])
    assert games == [game for game in GAMES * 2 for _ in range(20)]
    due = [WARM_UP + 4 * step for step in range(1, 121)]
    assert all(0 <= made - at <= 1 for made, at in zip(agent_steps, due, strict=True))
    assert [step for step in range(1, 121) if task.boundary(step)] == [20, 40, 60, 80, 100, 120]
    task.close()


def test_one_network_has_the_union_of_actions_and_the_most_channels():
    task = started()
    assert task.model.output_shape == (None, 6) and task.model.input_shape == (None, 10, 10, 7)
    batch = advance(task, 1, 1)[0]
    assert batch.observation.shape == (4, 2, 10, 10, 7) and not batch.observation[..., 4:].any()
    two = make(GameSequence(GAMES[:2], agent_steps=80))
    two.build(0)
    assert two.model.output_shape == (None, 5)  # (0, 1, 3) and (0, 2, 4)
    task.close()


def test_an_action_of_the_union_is_that_action_of_the_game():
    protocol = rl.playing.shared_spaces.SharedSpaces(SHORT, GAMES[:2])  # actions 0, 1, 2, 3, 4
    shared = protocol.make_environment("breakout", 1, 3)
    own = MinAtarProtocol(max_steps_per_episode=33).make_environment("breakout", 1, 3)
    shared.reset()
    own.reset()
    for action in (0, 1, 3, 3, 2, 4, 1, 1):
        of_shared, of_own = shared.step(np.array([action])), own.step(np.array([action]))
        np.testing.assert_array_equal(of_shared.observation[..., :4], of_own.observation)
        assert of_shared.reward == of_own.reward


@pytest.mark.parametrize(("empty", "warm_ups"), [(False, 1), (True, 2)])
def test_the_replay_is_kept_or_emptied_and_epsilon_restarts_or_not(empty, warm_ups):
    for restart in (True, False):
        sequence = GameSequence(GAMES, agent_steps=80, empty_replay=empty, restart_epsilon=restart)
        task = started(sequence)
        advance(task, 1, 20)
        before = task._learner._replay.num_frames()
        assert task.metrics()["train/epsilon"] == pytest.approx(0.2)
        advance(task, 21, 21)
        made = task.metrics()["train/agent_steps"]
        assert 0 <= made - (warm_ups * WARM_UP + 84) <= 1
        kept = task._learner._replay.num_frames()
        assert kept < before if empty else kept > before
        since = made - warm_ups * WARM_UP - 80
        expected = 1 - 0.8 * since / 60 if restart else 0.2
        assert task.metrics()["train/epsilon"] == pytest.approx(expected)
        task.close()


@pytest.mark.parametrize("restart", [True, False])
def test_each_warm_up_acts_at_the_first_epsilon_and_is_no_part_of_the_schedule(restart):
    sequence = GameSequence(GAMES, agent_steps=80, empty_replay=True, restart_epsilon=restart)
    task = started(sequence, epsilon=LinearEpsilon(1.0, 0.2, 200))
    seen, act = [], task._act_in_warm_up

    def noting():
        seen.append(task._epsilon())
        act()

    task._act_in_warm_up = noting
    advance(task, 1, 21)
    assert len(seen) >= WARM_UP / 2 and set(seen) == {1.0}
    since = task.metrics()["train/agent_steps"] - 2 * WARM_UP - (80 if restart else 0)
    assert task.metrics()["train/epsilon"] == pytest.approx(1 - 0.8 * since / 200)
    task.close()


@pytest.mark.parametrize(
    ("stop", "empty"),
    [
        pytest.param(17, True, id="before the switch, the replay emptied", marks=pytest.mark.slow),
        pytest.param(17, False, id="before the switch, the replay kept", marks=pytest.mark.slow),
        pytest.param(20, True, id="at the switch, the replay emptied", marks=pytest.mark.slow),
        pytest.param(20, False, id="at the switch, the replay kept"),
        pytest.param(23, True, id="after it, the replay emptied"),
        pytest.param(23, False, id="after it, the replay kept", marks=pytest.mark.slow),
    ],
)
def test_a_task_resumes_bit_for_bit_across_a_switch(tmp_path, stop, empty):
    sequence = GameSequence(GAMES[:2], agent_steps=80, cycles=2, empty_replay=empty)
    whole, part = started(sequence), started(sequence)
    expected = advance(whole, 1, 65)
    advance(part, 1, stop)
    for name in ("step", "shared"):
        (tmp_path / name).mkdir()
    files = part.save(tmp_path / "step", tmp_path / "shared")
    again = make(sequence)
    again.build(0)
    again.restore(tmp_path / "step", tmp_path / "shared", files)
    assert_equal(advance(again, stop + 1, 65), expected[stop:])
    assert again.metrics() == whole.metrics()
    for task in (whole, part, again):
        task.close()


def prioritized_atari() -> Any:
    sequence = GameSequence(["Pong", "Breakout"], agent_steps=80, cycles=2, empty_replay=True)
    prioritization = rl.Prioritization(importance_steps=60)
    task = small_atari.make(sequence, num_envs=2, replay_ratio=0.25, prioritization=prioritization)
    task.build(0)
    return task


@pytest.mark.slow
def test_atari_with_a_prioritized_replay_resumes_bit_for_bit_across_a_switch(tmp_path):
    whole, part, again = prioritized_atari(), prioritized_atari(), prioritized_atari()
    for task in (whole, part):
        task.start()
        for _ in task.warm_up():
            pass
    expected = advance(whole, 1, 50)
    advance(part, 1, 23)
    for name in ("step", "shared"):
        (tmp_path / name).mkdir()
    files = part.save(tmp_path / "step", tmp_path / "shared")
    again.restore(tmp_path / "step", tmp_path / "shared", files)
    assert (part.game, whole.game) == ("Breakout", "Pong")
    assert_equal(advance(again, 24, 50), expected[23:])
    assert again.metrics() == whole.metrics()
    for task in (whole, part, again):
        task.close()


# Of (0, 1, 3), (0, 2, 4) and (0, 1, 3, 5).
IN_HEADS = GameSequence(GAMES, agent_steps=80, cycles=2, head_per_game=True)


def test_a_game_with_a_head_of_its_own_acts_and_is_stored_by_its_outputs():
    task = started(IN_HEADS, epsilon=LinearEpsilon(0.5, 0.5, 1))
    assert task.model.output_shape == (None, 10)
    stored = set()
    for step in range(1, 61):
        batch = advance(task, step, step)[0]
        assert (np.unique(batch.action[:, 0]) < (3, 6, 10)[(step - 1) // 20]).all()
        stored |= set(batch.action.ravel())
    assert stored == set(range(10))
    assert "3 + 3 + 4 actions in 3 heads" in task.describe(120, 50, 2)[0][1]
    task.close()


def test_an_action_of_a_game_with_its_own_head_is_that_of_its_own_set():
    protocol = rl.playing.shared_spaces.SharedSpaces(SHORT, GAMES, shared_actions=False)
    assert [protocol.num_actions(game) for game in GAMES] == [3, 3, 4]
    in_sequence, own = (each.make_environment("freeway", 1, 3) for each in (protocol, SHORT))
    assert in_sequence.action_spec().maximum == own.action_spec().maximum == 2
    in_sequence.reset()
    own.reset()
    for action in (1, 1, 2, 0, 1, 2, 2):
        one, other = in_sequence.step(np.array([action])), own.step(np.array([action]))
        np.testing.assert_array_equal(one.observation, other.observation)


def test_an_evaluation_plays_each_game_by_its_head():
    evaluation = Evaluation(num_episodes=2, num_envs=2, epsilon=0.0)
    task = started(IN_HEADS, evaluation=evaluation, protocol=MinAtarProtocol(full_action_set=False))
    advance(task, 1, 21)
    assert task.game == "freeway"
    heads = []
    greedy_actions = task._learner.agent.greedy_actions

    def noted(observation, head):
        heads.append(head)
        assert (task.model(observation).shape[1], observation.shape[-1]) == (10, 7)
        return greedy_actions(observation, head)

    task._learner.agent.greedy_actions = noted
    task.evaluate(21, lambda: False)
    assert list(dict.fromkeys(heads)) == [1, 0, 2]
    task.close()


@pytest.mark.slow
def test_a_task_with_heads_resumes_bit_for_bit_across_a_switch(tmp_path):
    whole, part, again = started(IN_HEADS), started(IN_HEADS), make(IN_HEADS)
    expected = advance(whole, 1, 65)
    advance(part, 1, 23)
    for name in ("step", "shared"):
        (tmp_path / name).mkdir()
    files = part.save(tmp_path / "step", tmp_path / "shared")
    again.build(0)
    again.restore(tmp_path / "step", tmp_path / "shared", files)
    assert_equal(advance(again, 24, 65), expected[23:])
    for task in (whole, part, again):
        task.close()


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("dueling", "a dueling head with `GameSequence.head_per_game`: it has one value for all games"),
        ("shared_bias", "a shared bias with `GameSequence.head_per_game`: it is one for all games"),
    ],
)
def test_a_part_that_all_heads_share_is_refused(argument, reason):
    network = functools.partial(networks.minatar_cnn, width=0.25, **{argument: True})
    task = MinAtarTask(IN_HEADS, rl.dqn, network)
    message = f"`network` must not have {reason}. Received: one. Set `{argument}` of the network to False"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        task.build(0)


def config(steps: int) -> TrainConfig:
    return TrainConfig(
        task=make(GameSequence(GAMES[:2], agent_steps=32, cycles=2)),  # 8 gradient steps
        optimizer=optimizers.adam(1e-2),
        total_steps=steps,
        log_period=2,
        evaluation_period=8,
        checkpoint_period=100,
        mitigations=[mitigations.ShrinkAndPerturb(shrink=0.5)],
    )


def trained(path: Any, *lengths: int) -> tuple[list[Any], dict[str, bytes]]:
    """Returns the rows of a run that stops and resumes at these lengths, and its last checkpoint."""
    for steps in lengths:
        keras.backend.reset_uids()  # names are part of a checkpoint
        with RunDirectory.open(path, "", f"train.total_steps = {steps}") as directory:
            Loop(config(steps)).run(directory, progress=lambda total, step, _: QuietProgress(total, step))
    last = sorted(path.glob("checkpoints/*"))[-1]
    files = [
        each for each in last.iterdir() if each.name.startswith("variables.data") or each.suffix == ".json"
    ]
    return rows(path), {each.name: each.read_bytes() for each in files if each.name != "manifest.json"}


def test_mitigations_without_a_period_act_at_switches():
    after_updates = build_parts(config(30), True).after_updates
    assert [step for step in range(1, 31) if after_updates.is_due(step)] == [8, 16, 24]


def test_a_plan_shows_periods_of_mitigations_in_agent_steps():
    shown = Loop(config(30)).describe()
    assert "ShrinkAndPerturb, after every 8 steps, 32 agent steps\n" in shown


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_across_a_switch_where_mitigations_act(tmp_path):
    whole, files = trained(tmp_path / "whole", 19)
    parts, others = trained(tmp_path / "parts", 10, 19)
    assert [row for row in parts if row[0] != 10 or not row[1].startswith("evaluation/")] == whole
    assert others == files and any(name.startswith("variables") for name in files)
    forgetting = [row[0] for row in whole if row[1] == "evaluation/breakout/forgetting"]
    assert forgetting == [16]


def test_a_run_ends_with_the_last_turn():
    with pytest.raises(
        ValueError, match=r"^`train.total_steps` must be at most 32, the gradient steps of all turns"
    ):
        build_parts(config(33), True)


def test_returns_by_game_and_cycle_relearning_and_forgetting_are_metrics():
    sequence = GameSequence(GAMES[:2], agent_steps=400, cycles=2)
    task = started(sequence, epsilon=LinearEpsilon(1.0, 1.0, 1))
    advance(task, 1, 100)
    first = task.metrics()
    at_end = task.evaluate(100, lambda: False)
    advance(task, 101, 200)
    second, later = task.metrics(), task.evaluate(200, lambda: False)
    assert first["sequence/breakout/episode_return_of_cycle_1"] == first["train/episode_return"]
    assert "sequence/freeway/episode_return_of_cycle_1" in second and second["sequence/turn"] == 1
    game = "evaluation/breakout"
    assert later[f"{game}/forgetting"] == at_end[f"{game}/episode_return"] - later[f"{game}/episode_return"]
    assert "evaluation/freeway/forgetting" not in later
    assert later == task.evaluate(200, lambda: False)
    reached = first["train/episode_return"]
    found = None
    for step in range(201, 301):
        advance(task, step, step)
        metrics = task.metrics()
        episodes = task._player.num_episodes - second["train/episodes"]
        if found is None and episodes >= 10 and metrics["train/episode_return"] >= reached:
            found = metrics["train/agent_steps"] - (WARM_UP + 800)
    assert metrics["sequence/cycle"] == 2
    relearned = metrics.get("sequence/breakout/relearning_steps")
    assert (relearned is None) == (found is None)
    if found is not None:
        assert 0 <= found - relearned <= 4
    task.close()


def test_relearning_starts_when_the_warm_up_of_a_turn_has_ended():
    """Freeway's return is always 0 here, so that 10 episodes of the turn suffice, 5 of each environment."""
    sequence = GameSequence(["freeway", "breakout"], agent_steps=400, cycles=2, empty_replay=True)
    task = started(sequence, warm_up_agent_steps=500, epsilon=LinearEpsilon(1.0, 1.0, 1))
    advance(task, 1, 200)
    relearned = []
    for step in range(201, 301):
        advance(task, step, step)
        metrics = task.metrics()
        if step == 201:  # 500 steps of warm-up have ended episodes
            assert "sequence/freeway/episode_return_of_cycle_2" not in metrics
        relearned.append(metrics.get("sequence/freeway/relearning_steps"))
    (steps,) = set(relearned) - {None}
    assert 8 * 33 < steps <= 10 * 33  # the first two episodes began in the warm-up
    task.close()


def test_a_warm_up_fills_an_emptied_replay_whatever_was_played_beyond_the_turn_before():
    sequence = GameSequence(GAMES[:2], agent_steps=28, cycles=3, empty_replay=True)
    message = (
        "`warm_up_agent_steps` must be above `num_envs` times the agent's `n_step`, and `num_envs` - 1 more "
        "where the replay is emptied, 15. Received: 15"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(sequence, num_envs=8, warm_up_agent_steps=15).build(0)
    task = started(sequence, num_envs=8, warm_up_agent_steps=16)
    assert len(advance(task, 1, 42)) == 42
    task.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"games": []},
            "`games` must be a list of one or more names, such as ['breakout', 'freeway']. Received: []",
        ),
        ({"games": "breakout"}, "`games` must be a list of one or more names, such as"),
        (
            {"games": ["breakout"] * 2},
            "`games` must hold each game once. Received: ['breakout', 'breakout']. Use `cy",
        ),
        (
            {"games": ["brekout"]},
            "`GameSequence.games` must each be one of MinAtar's: asterix, breakout, freeway, seaquest, spa",
        ),
        (
            {"games": ["breakout", "Breakout"]},
            "`GameSequence.games` must hold each game once. Received: ['breakout', 'breakout']. Use `cycles`",
        ),
        ({"games": ["breakout", "SpaceInvader"]}, "`GameSequence.games` must each be one of MinAtar's"),
        ({"agent_steps": 0}, "`agent_steps` must be an integer of at least 1. Received: 0"),
        ({"cycles": 0}, "`cycles` must be an integer of at least 1. Received: 0"),
        (
            {"agent_steps": 82},
            "`GameSequence.agent_steps` must be a multiple of the agent steps per gradient step, 4. Rec",
        ),
        ({"empty_replay": 1}, "`empty_replay` must be one of True, False. Received: 1"),
        ({"head_per_game": "no"}, "`head_per_game` must be one of True, False. Received: 'no'"),
    ],
)
def test_wrong_sequences_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(GameSequence(**{"games": GAMES, "agent_steps": 80, **arguments}))


class OfTwoSizes(MinAtarProtocol):
    def frame_shape(self, game):
        return (8, 10, 7) if game == "freeway" else super().frame_shape(game)


class OfFewActions(MinAtarProtocol):
    """Its own sets have actions that the set of all actions lacks."""

    def num_actions(self, game):
        return 5


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (
            OfTwoSizes(),
            "`GameSequence.games` must have frames of one size. Received: {'breakout': (10, 10), 'f",
        ),
        (
            OfFewActions(),
            "`GameSequence.games` must have actions up to number 5, the largest in use. Received: 'break",
        ),
    ],
)
def test_games_that_one_network_cannot_play_are_refused(protocol, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(GameSequence(GAMES[:2], agent_steps=80), protocol=protocol)


@pytest.mark.parametrize(("name", "near"), [("brekout", "breakout"), ("SpaceInvader", "space_invaders")])
def test_a_near_name_is_shown(name, near):
    with pytest.raises(ValueError, match=f"Did you mean .*{near}"):
        make(GameSequence(["freeway", name], agent_steps=80))


def test_names_in_another_case_are_those_of_the_game():
    assert make(GameSequence(["SpaceInvaders", "Breakout"], agent_steps=80)).game == "space_invaders"


def test_describe():
    task = make()
    task.build(0)
    assert task.describe(120, 50, 2)[:2] == [
        (
            "game",
            "breakout, freeway, space_invaders in turn, 80 agent steps each (20 gradient steps), 2 cycles, "
            "6 actions, 2 environment(s)",
        ),
        ("agent steps", "520, the first 40 as warm-up"),
    ]
    task = make(GameSequence(GAMES, agent_steps=80, cycles=2, empty_replay=True))
    task.build(0)
    # 120 gradient steps take 480 agent steps, after 6 warm-ups; 30 take 120, after 2.
    assert task.describe(120, 50, 2)[1] == ("agent steps", "720, the first 40 of each turn as warm-up")
    assert task.describe(30, 50, 2)[1] == ("agent steps", "200, the first 40 of each turn as warm-up")


def test_atari_games_share_the_union_of_their_actions():
    protocol = rl.AtariProtocol(frame_size=12, stack_size=2)
    shared = rl.playing.shared_spaces.SharedSpaces(protocol, ["Breakout", "Pong", "Freeway"])
    # 0, 1, 3, 4; 0, 1, 3, 4, 11, 12; 0, 2, 5
    assert shared.num_actions("Pong") == 8
    environment = shared.make_environment("Freeway", 1, 0)
    environment.reset()
    assert environment.step(np.array([7])).observation.shape == (1, 12, 12, 2)
    environment.close()
