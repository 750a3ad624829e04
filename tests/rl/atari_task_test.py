import fractions
import functools
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import StepType

from tests.rl.small_atari import WARM_UP, built, dense, make
from tfplastic import seeds
from tfplastic.rl import AtariProtocol, c51, double_dqn
from tfplastic.rl.atari import AtariEnvironment, environment
from tfplastic.rl.playing import player


@pytest.fixture
def warmed_up():
    """Makes tasks at the end of their warm-up, and closes them."""
    tasks = []

    def make_one(seed=0, **arguments):
        task = built(seed, **arguments)
        tasks.append(task)
        task.start()
        for _ in task.warm_up():
            pass
        return task

    yield make_one
    for task in tasks:
        task.close()


def assert_same(one, other):
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def differs(one, other):
    return any(
        not np.array_equal(a, b) for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    )


@pytest.fixture
def counted(monkeypatch):
    """The agent steps that the environments really made, and the returns of their episodes."""
    account = {"agent_steps": 0, "returns": []}

    class Counting(AtariEnvironment):
        def _step(self, action):
            account["agent_steps"] += int((self.current_time_step().step_type != StepType.LAST).sum())
            return super()._step(action)

        def pop_finished_episodes(self):
            finished = super().pop_finished_episodes()
            account["returns"] += [episode.episode_return for episode in finished]
            return finished

    monkeypatch.setattr(environment, "AtariEnvironment", Counting)
    return account


@pytest.mark.parametrize(
    ("num_envs", "ratio"), [(1, 1 / 4), (3, 1 / 4), (3, 1), (1, 4), (3, 4), (1, 2 / 3), (2, 2.5), (1, 1 / 3)]
)
def test_the_replay_ratio_is_exact(counted, warmed_up, num_envs, ratio):
    task = warmed_up(num_envs=num_envs, replay_ratio=ratio)
    # The warm-up of 40 steps is 14 rounds of 3 environments.
    assert counted["agent_steps"] == {1: 40, 2: 40, 3: 42}[num_envs]
    exact = fractions.Fraction(ratio).limit_denominator(9)
    for step in range(1, int(80 * ratio)):
        task.next()
        due = WARM_UP + math.ceil(step / exact)
        assert due <= counted["agent_steps"] <= max(due + num_envs - 1, 42)
        assert task.metrics()["train/agent_steps"] == counted["agent_steps"]
    assert task.metrics()["train/episodes"] == len(counted["returns"]) > 1  # resets are no agent steps


@pytest.mark.parametrize("warm_up", [2, 100, 101, 250])
def test_the_warm_up_pauses_every_hundred_agent_steps_and_stops_exactly(counted, warm_up):
    task = built(warm_up_agent_steps=warm_up)
    task.start()
    at_pauses = [counted["agent_steps"] for _ in task.warm_up()]
    assert at_pauses == list(range(0, warm_up, 100))
    assert counted["agent_steps"] == warm_up
    task.close()


def test_epsilon_counts_from_the_end_of_the_warm_up(warmed_up):
    epsilons = []

    def epsilon(agent_steps):
        epsilons.append(agent_steps)
        return 1.0

    warmed_up(epsilon=epsilon).next()
    assert sorted(set(epsilons)) == list(range(-WARM_UP, 4))
    assert epsilons == sorted(epsilons)


def test_metrics_and_progress(counted, warmed_up):
    task = warmed_up()
    for _ in range(7):
        task.next()
    # 40 + 7 x 4 = 68 agent steps of 4 frames; 28 of the 60 from epsilon 1 to 0.2.
    epsilon, mean = 1 - 0.8 * 28 / 60, float(np.mean(counted["returns"]))
    assert len(counted["returns"]) == 2
    assert task.metrics() == {
        "train/agent_steps": 68,
        "train/frames": 272,
        "train/episodes": 2,
        "train/epsilon": pytest.approx(epsilon),
        "train/episode_return": mean,
    }
    assert task.progress() == {"agent_steps": 68, "epsilon": pytest.approx(epsilon), "episode_return": mean}


def test_the_return_is_the_mean_of_the_last_hundred_episodes(monkeypatch, warmed_up, counted):
    monkeypatch.setattr(player, "RETURN_WINDOW", 3)
    task = warmed_up(
        game="Alien", protocol=AtariProtocol(frame_size=12, stack_size=2, max_frames_per_episode=240)
    )
    assert "train/episode_return" not in task.metrics()
    for _ in range(68):
        task.next()
    assert len(counted["returns"]) == 5 and max(counted["returns"]) > 1  # not clipped
    assert len(set(counted["returns"])) > 1
    assert task.metrics()["train/episode_return"] == np.mean(counted["returns"][-3:])


def test_the_return_window_is_a_hundred_episodes():
    assert player.RETURN_WINDOW == 100


def test_the_same_seed_gives_the_same_batches_and_metrics(warmed_up):
    one, other = warmed_up(), warmed_up()
    assert_same(one.diagnostics_batch(), other.diagnostics_batch())
    for _ in range(12):
        assert_same(one.next(), other.next())
        assert one.metrics() == other.metrics()


def test_another_seed_gives_other_batches_and_another_network(warmed_up):
    one, other = warmed_up(0), warmed_up(1)
    assert differs(one.next(), other.next())
    assert differs(one.diagnostics_batch(), other.diagnostics_batch())
    assert differs(one.model.get_weights(), other.model.get_weights())


def test_a_batch_has_the_structure_of_the_example(warmed_up):
    task = warmed_up(agent=functools.partial(double_dqn, n_step=3))
    batch, example = task.next(), task.example()
    tf.nest.assert_same_structure(batch, example)
    for one, other in zip(tf.nest.flatten(batch), tf.nest.flatten(example), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert batch.observation.shape == (4, 4, 12, 12, 2)


@pytest.mark.parametrize("agent", [double_dqn, c51])
def test_the_loss_is_that_of_the_agent_and_its_gradient_reaches_every_weight(agent, warmed_up):
    task = warmed_up(agent=agent)
    batch = tf.nest.map_structure(tf.constant, task.next())
    with tf.GradientTape() as tape:
        loss, per_example, _ = task.loss(task.model, batch, training=True)
    assert per_example.shape == (4,)
    np.testing.assert_allclose(loss, np.mean(per_example), rtol=1e-6)
    assert np.isfinite(loss) and loss > 0
    assert all(gradient is not None for gradient in tape.gradient(loss, task.model.trainable_variables))


def test_the_target_is_copied_at_multiples_of_its_period_only():
    task = built(target_update_period=3)
    model, target = (task.trackables()[name] for name in ("model", "target_model"))
    assert model is task.model and sorted(task.trackables()) == ["model", "target_model"]
    copied = []
    for step in range(1, 10):
        for variable in model.variables:
            variable.assign_add(tf.ones_like(variable))
        before = target.get_weights()
        task.after_step(step)
        if differs(before, target.get_weights()):
            assert_same(model.get_weights(), target.get_weights())
            copied.append(step)
    assert copied == [3, 6, 9]


def save(task, folder):
    (folder / "step").mkdir()
    (folder / "shared").mkdir()
    return task.save(folder / "step", folder / "shared")


def restored(folder, files, **arguments):
    task = built(**arguments)
    task.restore(folder / "step", folder / "shared", files)
    return task


@pytest.mark.parametrize("num_envs", [1, 2])
def test_goes_on_from_a_save_as_if_nothing_had_been(num_envs, warmed_up, tmp_path):
    """Episodes end after 33 steps, and the save at 40 + 9 x 4 = 76 steps falls into the middle of them."""
    uninterrupted, saved = warmed_up(num_envs=num_envs), warmed_up(num_envs=num_envs)
    for _ in range(9):
        assert_same(uninterrupted.next(), saved.next())
    files = save(saved, tmp_path)
    again = restored(tmp_path, files, num_envs=num_envs)
    assert again.metrics() == saved.metrics() == uninterrupted.metrics()
    saved_episodes = again.metrics()["train/episodes"]
    assert_same(again.diagnostics_batch(), uninterrupted.diagnostics_batch())
    for _ in again.warm_up():
        raise AssertionError("the warm-up was over")
    for _ in range(15):
        expected = uninterrupted.next()
        assert_same(saved.next(), expected)
        assert_same(again.next(), expected)
        assert again.metrics() == saved.metrics() == uninterrupted.metrics()
    assert_same(again.diagnostics_batch(), uninterrupted.diagnostics_batch())
    assert uninterrupted.metrics()["train/episodes"] > saved_episodes > 0
    again.close()


def test_goes_on_from_a_save_in_the_warm_up(warmed_up, tmp_path):
    uninterrupted = warmed_up(warm_up_agent_steps=150)
    saved = built(warm_up_agent_steps=150)
    saved.start()
    pauses = saved.warm_up()
    for _ in range(2):
        next(pauses)
    assert saved.metrics()["train/agent_steps"] == 100
    again = restored(tmp_path, save(saved, tmp_path), warm_up_agent_steps=150)
    with pytest.raises(
        ValueError,
        match=r"^The diagnostics batch is available only after the warm-up\. Train a step first\.$",
    ):
        again.diagnostics_batch()
    assert len(list(again.warm_up())) == 1
    assert again.metrics() == uninterrupted.metrics()
    assert_same(again.diagnostics_batch(), uninterrupted.diagnostics_batch())
    assert_same(again.next(), uninterrupted.next())
    saved.close()
    again.close()


def test_the_diagnostics_batch_stays_the_same(warmed_up):
    task = warmed_up()
    batch, inputs = task.diagnostics_batch()
    assert inputs.shape == (6, 12, 12, 2)
    np.testing.assert_array_equal(inputs, batch.observation[:, 0])
    assert len({array.numpy().tobytes() for array in inputs}) > 2
    assert task.loss(task.model, batch)[1].shape == (6,)
    for _ in range(10):
        task.next()
    assert_same(task.diagnostics_batch(), (batch, inputs))


def test_probe_inputs_are_observations_of_the_replay(warmed_up):
    task, key = warmed_up(), seeds.derive(0, "probe")
    inputs = task.probe_inputs(20, key)
    assert inputs.shape == (20, 12, 12, 2) and inputs.dtype == np.uint8
    stored = {frame.tobytes() for frame in task.probe_inputs(2_000, seeds.derive(1, "probe"))}
    assert {frame.tobytes() for frame in inputs} <= stored
    np.testing.assert_array_equal(inputs, task.probe_inputs(20, key))
    assert (inputs != task.probe_inputs(20, seeds.derive(2, "probe"))).any()


def test_the_size_of_the_diagnostics_batch_changes_no_other_batch(warmed_up):
    one, other = warmed_up(), warmed_up(diagnostics_batch_size=50)
    for _ in range(5):
        assert_same(one.next(), other.next())


def test_an_evaluation_leaves_the_training_alone(warmed_up):
    evaluated, plain = warmed_up(), warmed_up()
    before = evaluated.model.get_weights()
    for step in range(1, 9):
        assert_same(evaluated.next(), plain.next())
        if step == 4:
            first = evaluated.evaluate(step, lambda: False)
            assert evaluated.evaluate(step, lambda: False) == first
            assert evaluated.evaluate(step, lambda: True) is None
        assert evaluated.metrics() == plain.metrics()
    assert_same(evaluated.model.get_weights(), before)


def test_describe():
    # 40 + 100 x 4 = 440 agent steps; a step takes 12 x 12 + 14 = 158 bytes, 600 of them 94,800.
    assert built(num_envs=2).describe(100, 50, 2) == [
        ("game", "Breakout, 4 actions, 2 environment(s)"),
        ("agent steps", "440 = 1,760 frames, the first 40 as warm-up"),
        ("gradient steps", "100, one per 4 agent steps"),
        ("target network", "copied every 3 gradient steps"),
        ("evaluation", "2 episodes at epsilon 0.01"),
        ("replay memory", "600 steps, 0.00 GB"),
        ("replay on disk", "up to 0.00 GB, 0.00 GB while a checkpoint is written"),
    ]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(1, "one per agent step"), (4, "4 per agent step"), (0.4, "one per 2.5 agent steps")],
)
def test_describe_tells_the_replay_ratio(ratio, words):
    plan = dict(built(replay_ratio=ratio).describe(100, 50, 2))
    assert plan["gradient steps"] == f"100, {words}"
    assert plan["agent steps"].startswith(f"{40 + int(100 / ratio)} = ")


def test_describe_tells_the_size_of_the_replay():
    # 84 x 84 + 14 = 7,070 bytes a step: 100,000 steps 0.707 GB.
    task = built(protocol=AtariProtocol(), replay_capacity=100_000)
    assert dict(task.describe(1, 1, 1))["replay memory"] == "100,000 steps, 0.71 GB"

    def on_disk(*arguments):
        return dict(task.describe(*arguments))["replay on disk"]

    # A run of 40 + 12,490 x 4 = 50,000 agent steps writes no more than these.
    assert on_disk(12_490, 1_000, 2) == "up to 0.35 GB, 0.35 GB while a checkpoint is written"
    # Periods of 4 x 7,500 = 30,000 agent steps: 4 segments cover the replay, and each older checkpoint needs
    # one more: 150,000 steps in two checkpoints, 180,000 while a third is written.
    assert on_disk(10**6, 7_500, 2) == "up to 1.06 GB, 1.27 GB while a checkpoint is written"
    # Periods longer than the replay share nothing.
    assert on_disk(10**6, 62_500, 2) == "up to 1.41 GB, 2.12 GB while a checkpoint is written"


def test_seconds_per_batch_are_measured():
    assert 0 < built().seconds_per_batch() < 1


def test_a_build_starts_no_environment(monkeypatch):
    monkeypatch.setattr(environment, "AtariEnvironment", None)
    task = built()
    task.describe(10, 5, 1)
    task.close()


def test_the_full_action_set_reaches_network_and_environment(warmed_up):
    protocol = AtariProtocol(frame_size=12, stack_size=2, full_action_set=True)
    task = warmed_up(protocol=protocol)
    assert task.model.output_shape == (None, 18)
    assert set(task.next().action.ravel()) <= set(range(18))


NOT_STARTED = "The task must be started or restored before it acts."


def test_a_task_that_was_not_started_says_so(tmp_path):
    task = built()
    with pytest.raises(ValueError, match=f"^{re.escape(NOT_STARTED)}$"):
        task.next()
    with pytest.raises(ValueError, match=f"^{re.escape(NOT_STARTED)}$"):
        task.save(tmp_path, tmp_path)
    with pytest.raises(
        ValueError,
        match=r"^The diagnostics batch is available only after the warm-up\. Train a step first\.$",
    ):
        task.diagnostics_batch()


def test_the_loss_of_another_model_is_refused(warmed_up):
    task = warmed_up()
    other = dense(4, (12, 12, 2), 0)
    with pytest.raises(ValueError, match=r"^`model` must be the task's own online network\. Received: <"):
        task.loss(other, task.next())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "Brakeout"}, ".*Received: 'Brakeout'. Did you mean 'Breakout'.*"),
        *(
            ({name: 0}, f"`{name}` must be an integer of at least 1. Received: 0")
            for name in (
                *("num_envs", "replay_capacity", "batch_size", "warm_up_agent_steps", "target_update_period"),
                "diagnostics_batch_size",
            )
        ),
        *(
            ({"replay_ratio": ratio}, f"`replay_ratio` must be a finite number above 0. Received: {ratio}")
            for ratio in (0, -1)
        ),
        (
            {"warm_up_agent_steps": 600},
            "`warm_up_agent_steps` must be below `replay_capacity`, 600. Received: 600",
        ),
        ({"batch_size": 601}, "`batch_size` must be at most `replay_capacity`, 600. Received: 601"),
        (
            {"replay_capacity": 10**13},
            r"`replay_capacity` must fit into the memory of this machine, \d+ GB; it takes about [\d,]+ GB."
            r" Received: 10000000000000",
        ),
        (
            {"replay_capacity": 10**6, "batch_size": 10**6, "protocol": AtariProtocol(frame_size=84 * 50)},
            r"`replay_capacity` must fit into .* Received: 1000000",
        ),
        ({"num_envs": 7}, "`replay_capacity` must be a multiple of `num_envs`, 7. Received: 600"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(**arguments)


@pytest.mark.parametrize(("num_envs", "n_step", "at_most"), [(1, 1, 1), (2, 1, 2), (3, 4, 12)])
def test_a_warm_up_without_a_transition_is_refused(num_envs, n_step, at_most, warmed_up):
    arguments = {"num_envs": num_envs, "agent": functools.partial(double_dqn, n_step=n_step)}
    message = (
        f"`warm_up_agent_steps` must be above `num_envs` times the agent's `n_step`, {at_most}. Received: "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}{at_most}$"):
        built(warm_up_agent_steps=at_most, **arguments)
    assert warmed_up(warm_up_agent_steps=at_most + 1, **arguments).next().reward.shape == (4, n_step + 1)


@pytest.mark.parametrize(("num_envs", "n_step", "least"), [(1, 1, 3), (4, 5, 28)])
def test_a_replay_without_room_for_a_transition_is_refused(num_envs, n_step, least):
    arguments = {"num_envs": num_envs, "agent": functools.partial(double_dqn, n_step=n_step)}
    capacity = least - num_envs
    message = (
        f"`replay_capacity` must be at least `num_envs` times the frames of a transition, {least}. Received: "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}{capacity}$"):
        built(replay_capacity=capacity, batch_size=1, warm_up_agent_steps=1, **arguments)


def test_the_memory_of_a_batch_grows_with_the_steps_of_a_transition():
    frames = AtariProtocol(frame_size=1_000, stack_size=2)
    agent = functools.partial(double_dqn, n_step=9_000)
    with pytest.raises(ValueError, match=r"^`batch_size` must fit into .* Received: 16$"):
        built(protocol=frames, agent=agent, batch_size=16, replay_capacity=100)


def test_the_target_network_follows_weights_that_replace_the_first():
    task = built()
    online, target = (task.trackables()[name] for name in ("model", "target_model"))
    online.set_weights([each + 1 for each in online.get_weights()])
    task.weights_replaced()
    assert all(map(np.array_equal, online.get_weights(), target.get_weights()))
