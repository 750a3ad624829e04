"""Seeds side by side: each is what it is by itself, in its own directory, whatever stops and resumes."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.rl import mdp_loop_test
from tests.training.graph_loop_test import Doubling, Interrupting, rows, weights
from tests.training.regression_task import RegressionTask
from tfplastic.diagnostics import dead_units
from tfplastic.training import Loop, NonFiniteLossError, RunDirectory, TrainConfig
from tfplastic.training.parallel_loops import ParallelLoops

SEEDS = (3, 4)


def digits(norm=None, hidden=(16, 8), **arguments):
    network = functools.partial(tp.networks.mlp, hidden=hidden, norm=norm)
    settings = dict(num_examples=64, steps_per_task=7, batch_size=8) | arguments
    return tp.tasks.RandomLabelTask("digits", network, **settings)


def looped(seed, optimizer=tp.optimizers.adam, task=digits, mitigations=lambda: (), **config):
    settings = dict(log_period=4, diagnostics_period=12, evaluation_period=10, checkpoint_period=9)
    return Loop(
        TrainConfig(
            task=task(),
            optimizer=optimizer(1e-2),
            mitigations=mitigations(),
            seed=seed,
            **{"total_steps": 20, "compiler": "graph", **settings, **config},
        )
    )


def run(path, make=looped, seeds=SEEDS, interrupt_at=None, alone=False):
    """Trains the seeds in the directories `path / seed`: side by side, or one after another."""
    loops = [make(seed) for seed in seeds]

    def progress(total, step, fields):
        return Interrupting(total, step, interrupt_at)

    with contextlib.ExitStack() as stack:
        opened = [RunDirectory.open(path / str(seed), "", "train.total_steps = 20") for seed in seeds]
        directories = [stack.enter_context(each) for each in opened]
        if alone:
            codes = [loop.run(each, progress=progress) for loop, each in zip(loops, directories, strict=True)]
            return loops, max(codes)
        return loops, ParallelLoops(loops).run(directories, progress=progress)


def metrics(path):
    cells = [row.split(",") for row in rows(path)[1:]]
    return [cell[:2] for cell in cells], np.array([float(cell[2]) for cell in cells])


def assert_same_runs(path, other_path, seeds=SEEDS, tolerance=1e-5):
    for seed in seeds:
        (names, values), (other_names, others) = metrics(path / str(seed)), metrics(other_path / str(seed))
        assert names == other_names
        np.testing.assert_allclose(values, others, rtol=tolerance, atol=tolerance)
        places = [
            sorted(str(file.relative_to(each)) for file in each.glob("checkpoints/*/*"))
            for each in (path / str(seed), other_path / str(seed))
        ]
        assert places[0] == places[1]


def everything():
    return [tp.mitigations.WeightDecay(1e-3), Doubling(3), Doubling(11), tp.mitigations.ShrinkAndPerturb()]


CASES = {
    "adam_with_both_epsilons": dict(
        optimizer=functools.partial(
            tp.optimizers.adam, beta_2=0.9, epsilon_root=1e-3, bias_correction="means", max_gradient_norm=0.5
        )
    ),
    "rmsprop": dict(optimizer=tp.optimizers.centered_rmsprop),
    "batch_norm": dict(
        task=functools.partial(digits, norm="batch"),
        optimizer=functools.partial(tp.optimizers.sgd, momentum=0.9),
        diagnostics=(dead_units,),
    ),
    "mitigations": dict(
        task=functools.partial(digits, sampling="replacement"),
        mitigations=everything,
        step_statistics=(dead_units,),
    ),
    "xla": dict(compiler="xla"),
}


@pytest.mark.parametrize(
    "make",
    [
        *(
            pytest.param(
                functools.partial(looped, **case),
                id=name,
                marks=() if name in ("batch_norm", "mitigations") else pytest.mark.slow,
            )
            for name, case in CASES.items()
        ),
        # Double DQN with all mitigations: acting, replay, a target network, spectral normalisation.
        pytest.param(mdp_loop_test.make_loop, id="mdp", marks=pytest.mark.slow),
    ],
)
def test_each_seed_is_what_it_is_by_itself(tmp_path, make):
    (alone,), _ = run(tmp_path / "alone", make, SEEDS[1:], alone=True)
    loops, code = run(tmp_path / "together", make)
    assert code == 0
    np.testing.assert_allclose(weights(loops[1]), weights(alone), rtol=1e-5, atol=1e-5)
    assert_same_runs(tmp_path / "together", tmp_path / "alone", SEEDS[1:])
    assert np.any(weights(loops[0]) != weights(alone))


def test_each_seed_of_the_whole_run_is_what_it_is_by_itself(tmp_path, whole):
    alone, _ = run(tmp_path, alone=True)
    assert_same_runs(tmp_path, whole[0])
    for one, other in zip(whole[1], alone, strict=True):
        np.testing.assert_allclose(one, weights(other), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Directory and final weights of seeds side by side that nothing interrupts."""
    path = tmp_path_factory.mktemp("whole")
    loops, _ = run(path)
    return path, [weights(loop) for loop in loops]


def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole):
    _, code = run(tmp_path, interrupt_at=9)
    loops, second_code = run(tmp_path)
    assert (code, second_code) == (143, 0)
    for seed, loop, expected in zip(SEEDS, loops, whole[1], strict=True):
        assert rows(tmp_path / str(seed)) == rows(whole[0] / str(seed))
        np.testing.assert_array_equal(weights(loop), expected)


def test_runs_begun_together_may_be_finished_alone(tmp_path, whole):
    assert run(tmp_path, interrupt_at=9)[1] == 143
    assert run(tmp_path, alone=True)[1] == 0
    assert_same_runs(tmp_path, whole[0])


def test_runs_begun_alone_may_be_finished_together_from_different_steps(tmp_path, whole):
    assert run(tmp_path, seeds=SEEDS[:1], interrupt_at=9, alone=True)[1] == 143
    assert run(tmp_path)[1] == 0
    assert_same_runs(tmp_path, whole[0])


def test_a_run_that_has_finished_is_left_alone(tmp_path, whole):
    run(tmp_path, seeds=SEEDS[:1], alone=True)
    before = {file: file.read_bytes() for file in (tmp_path / "3").rglob("*") if file.is_file()}
    assert run(tmp_path)[1] == 0
    assert {file: file.read_bytes() for file in before} == before | {
        tmp_path / "3" / "run.lock": (tmp_path / "3" / "run.lock").read_bytes()
    }
    assert_same_runs(tmp_path, whole[0])


def test_a_loss_that_is_not_finite_ends_all_and_names_the_seed(tmp_path):
    def make(seed):
        rate = 1e30 if seed == 4 else 1e-2
        return looped(seed, optimizer=lambda _: tp.optimizers.adam(rate))

    with pytest.raises(
        NonFiniteLossError,
        match=r"^The loss of seed 4 is not finite at gradient step 2; the first was the output of",
    ):
        run(tmp_path, make)
    for seed in SEEDS:
        assert (
            '"error": "NonFiniteLossError: The loss of seed 4'
            in (tmp_path / str(seed) / "status.json").read_text()
        )


def test_is_traced_once_whatever_the_lengths_of_chunks():
    steps = ParallelLoops([looped(seed) for seed in SEEDS])._parallel_steps
    chunk = steps.take(0, 2, [{}, {}])
    program = steps._program
    for last in (3, 8, 9):
        chunk = steps.take(chunk.step, last, chunk.sums)
    assert chunk.step == 9 and chunk.are_finite == [True, True]
    assert steps._program is program and program.experimental_get_tracing_count() == 1


def convolutional():
    network = functools.partial(tp.networks.cnn, filters=(2, 2), hidden=(4,))
    return tp.tasks.RandomLabelTask("digits", network, num_examples=8, batch_size=4)


@pytest.mark.parametrize(
    ("config", "beginning"),
    [(dict(task=convolutional), "kernels of convolutions"), (dict(compiler="xla"), "on a CPU"), ({}, "")],
)
def test_says_where_it_saves_no_time(config, beginning):
    warning = ParallelLoops([looped(seed, **config) for seed in SEEDS]).warning
    assert warning.startswith(beginning) and bool(warning) == bool(beginning)


class Noisy(tp.tasks.RandomLabelTask):
    """Has a step with an effect beside those on variables: it advances TensorFlow's random state."""

    def next(self, state, key):
        batch, state = super().next(state, key)
        return batch._replace(images=batch.images + tf.random.normal(batch.images.shape)), state


def noisy():
    return Noisy("digits", tp.networks.mlp, num_examples=64, batch_size=8)


@pytest.mark.parametrize(
    ("loops", "message"),
    [
        (
            lambda: [looped(0, task=RegressionTask, compiler="auto")],
            "`task` must have its data in memory, for seeds side by side. Received: RegressionTask",
        ),
        (
            lambda: [looped(0), looped(1, task=functools.partial(digits, hidden=(8,)))],
            "Seeds side by side must take the same steps, of pure operations. Received: a step of seed number"
            " 1 with 'Const' where it is 'Relu' in that of the first seed",
        ),
        (
            lambda: [looped(seed, task=noisy) for seed in SEEDS],
            "Seeds side by side must take the same steps, of pure operations. Received: the operation"
            " 'RandomStandardNormal'",
        ),
    ],
)
def test_errors(loops, message):
    with pytest.raises(ValueError) as caught:
        ParallelLoops(loops())
    assert str(caught.value) == message
