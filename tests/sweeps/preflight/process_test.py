"""Answers of the process that builds the arms; here in the tests' own process, but for one test."""

import gin
import pytest

from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps import RunRoot
from tfplastic.sweeps.preflight.process import Checks
from tfplastic.sweeps.preflight.requests import Request, check

SHORT = ["train.total_steps = 60", "RandomLabelTask.num_examples = 64", "RandomLabelTask.batch_size = 16"]
DIGITS = ["gin/random_labels_digits.gin"]
TUNED = [*DIGITS, "gin/optimizers/tuned_adam.gin"]


@pytest.fixture(autouse=True)
def no_configuration_left():
    yield
    gin.clear_config()


def request(*arms, roots=("memory://nothing",), seeds=(0, 1), **changes):
    given = Request(list(arms), list(seeds), list(roots), "cpu", False, True)
    return given._replace(**changes)


def answers(*arms, **given):
    return list(Checks(request(*arms, **given)).answers())


def save(root, name, config, status):
    store = RunRoot(root)
    store.write(f"{name}/operative_config.gin", config)
    store.write(f"{name}/status.json", status)


def operative(seed, *more):
    """The files that `bin/train` writes for the arm."""
    from tfplastic.configuration import gin_config
    from tfplastic.training import Loop, TrainConfig

    gin_config.parse(DIGITS, [*SHORT, *more, f"train.seed = {seed}"])
    Loop(gin.get_configurable(TrainConfig)())
    return gin_config.operative_text()


def test_a_fresh_arm():
    (answer,) = answers(("a", DIGITS, SHORT))
    assert (answer.arm, answer.total_steps, answer.seconds_per_step) == ("a", 60, None)
    assert answer.device.startswith("CPU (")
    assert "RandomLabelTask.num_examples = 64" in answer.config and "include" not in answer.config
    assert [(seed.seed, seed.directory, seed.is_finished, seed.step) for seed in answer.seeds] == [
        (0, "memory://nothing/a-seed0", False, 0),
        (1, "memory://nothing/a-seed1", False, 0),
    ]


def test_speed_and_disk():
    quick = [*SHORT, "train.compiler = 'graph'"]
    arms = [("a", DIGITS, quick), ("b", TUNED, quick), ("c", DIGITS, [*quick, "train.seed = 7"])]
    checks = Checks(request(*arms, is_timed=True))
    first, second, third = checks.answers()
    assert first.seconds_per_step is not None and 1e-6 < first.seconds_per_step < 1
    assert first.seconds_per_step != second.seconds_per_step
    assert third.seconds_per_step == first.seconds_per_step  # The same but for the seed, timed once.
    # Two checkpoints of (64 + 256) * 256 + 256 * 10 weights and 522 biases, each with two slots, in float32.
    assert first.disk_bytes is not None
    weights = (64 + 256) * 256 + 256 * 10 + 522
    assert 2 * 3 * 4 * weights < first.disk_bytes < 1.1 * 2 * 3 * 4 * weights + 2 * 2**20


def test_games_take_as_long_as_each_other_and_replays_are_on_disk():
    small = ["AtariTask.replay_capacity = 20_000"]
    arms = [
        (game, ["gin/atari_dqn.gin"], [*small, f"AtariTask.game = '{game}'"]) for game in ("Pong", "Alien")
    ]
    pong, alien = answers(*arms, seeds=[0], is_timed=True)
    assert pong.seconds_per_step == alien.seconds_per_step
    assert pong.disk_bytes is not None
    # Two checkpoints of 1.7 million weights, twice that and two slots; 40,000 frames of 84 x 84.
    assert 0.25e9 < pong.disk_bytes < 0.40e9


@pytest.fixture
def finished(tmp_path):
    save(tmp_path / "own", "a-seed0", operative(0), '{"state": "finished", "step": 60}')
    save(tmp_path / "own", "a-seed1", operative(1), '{"state": "stopped", "step": 20}')
    save(tmp_path / "other", "a-seed1", operative(1), '{"state": "finished", "step": 60}')
    return [str(tmp_path / "own"), str(tmp_path / "other")]


def states(roots, *more):
    (answer,) = answers(("a", DIGITS, [*SHORT, *more]), roots=roots)
    return [
        (seed.directory.split("/")[-2], seed.is_finished, seed.step) for seed in answer.seeds
    ], answer.notes


def test_finished_runs_here_and_elsewhere(finished):
    assert states(finished[:1]) == ([("own", True, 60), ("own", False, 20)], [])
    assert states(finished) == ([("own", True, 60), ("other", True, 60)], [])


def test_a_longer_run_is_not_finished(finished):
    more = ["train.total_steps = 80", "train.log_period = 7"]
    assert states(finished, *more) == ([("own", False, 60), ("own", False, 20)], [])


def test_a_run_of_more_steps_counts_and_is_noted(finished):
    found, notes = states(finished[:1], "train.total_steps = 40")
    assert found == [("own", True, 60), ("own", False, 20)]
    assert notes == [f"{finished[0]}/a-seed0 has 60 steps, more than 40; it counts as finished."]


def test_another_run(finished):
    _, notes = states(["memory://nothing", finished[1]], "adam.beta_1 = 0.5")
    assert notes == [
        f"--reuse: {finished[1]}/a-seed1 is skipped, its configuration differs: `adam.beta_1` is 0.9 there"
        " and 0.5 here."
    ]
    with pytest.raises(UsageError) as error:
        states(finished, "adam.beta_1 = 0.5")
    assert str(error.value) == (
        f"arm 'a': {finished[0]}/a-seed0 holds another run: `adam.beta_1` is 0.9 there and 0.5 here."
        " Choose another --run_root, or the old value"
    )


def test_the_seed_of_the_directory_is_part_of_the_run(tmp_path):
    save(tmp_path, "a-seed1", operative(0), '{"state": "finished", "step": 60}')
    with pytest.raises(UsageError, match="a-seed1 holds another run: `train.seed` is 0 there and 1 here"):
        states([str(tmp_path)])


def test_a_process_of_its_own(capfd):
    counts = []
    with pytest.raises(UsageError) as error:
        check(
            request(("a", DIGITS, SHORT), ("b", DIGITS, ["adam.learning_rat = 1"]), debug=False),
            threads=1,
            on_answer=counts.append,
        )
    assert str(error.value) == (
        "arm 'b': --gin_bindings=adam.learning_rat = 1: unknown parameter 'adam.learning_rat'."
        " Did you mean 'learning_rate'?"
    )
    assert counts == [1]
    assert capfd.readouterr().out == ""
