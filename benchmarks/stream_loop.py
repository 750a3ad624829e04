"""Steps per CPU-second of `bin/train`'s loop on published streams, next to a bare XLA loop of the same work.

    .venv/bin/python benchmarks/stream_loop.py

Both take turns in one process with one thread: the bare loop's blocks run inside an event of our loop, whose
own blocks lie between two such events. So evaluations, rows of metrics and the work at the start of a task
are part of our time, as in a run. The first blocks, which compile, do not count.
"""

import argparse
import functools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf

import tfplastic as tp
from benchmarks.bare_loop import BareLoop, write_data
from tfplastic.training import Event, Loop, RunDirectory, TrainConfig


class Case(NamedTuple):
    """A stream with a network.

    Attributes:
        hidden: units of the hidden layers.
        batch_size: examples per gradient step.
        optimizer: `'adam'` or `'sgd'`.
        num_examples: images.
        steps_per_task: gradient steps of a task; blocks are one task each.
        permutes: whether tasks permute pixels; else they have random labels.
    """

    hidden: tuple[int, ...]
    batch_size: int
    optimizer: str
    num_examples: int
    steps_per_task: int
    permutes: bool = True


CASES = {
    "kumar-permuted-adam": Case((100, 100), 16, "adam", 10_000, 625),
    "kumar-permuted-sgd": Case((100, 100), 16, "sgd", 10_000, 625),
    "kumar-labels-adam": Case((100, 100), 16, "adam", 1_200, 1_500, permutes=False),
    "dohare-sgd": Case((100, 100, 100), 1, "sgd", 20_000, 20_000),
    "upgd-adam": Case((300, 150), 1, "adam", 5_000, 5_000),
}


class Turns(Event):
    """Event after each task: ends a block of our loop and runs a block of the bare one."""

    name = "turns"

    def __init__(self, steps: int, take_steps: Callable[[], None]):
        self._steps, self._take_steps = steps, take_steps
        self._begun = 0.0
        self.ours: list[float] = []
        self.bare: list[float] = []

    def next_after(self, step: int) -> int:
        return (step // self._steps + 1) * self._steps

    def is_due(self, step: int) -> bool:
        return step > 0 and step % self._steps == 0

    def run(self, session: Any) -> bool:
        now = time.process_time()
        self.ours.append(now - self._begun)
        self._take_steps()
        self._begun = time.process_time()
        self.bare.append(self._begun - now)
        return True


def make_task(case: Case) -> Any:
    """Returns the stream of a case."""
    network = functools.partial(tp.networks.mlp, hidden=case.hidden)
    arguments: dict[str, Any] = dict(num_examples=case.num_examples, batch_size=case.batch_size)
    if case.permutes:
        return tp.tasks.PermutedPixels("mnist", network, epochs_per_task=1, **arguments)
    return tp.tasks.RandomLabelTask("mnist", network, steps_per_task=case.steps_per_task, **arguments)


def measure(case: Case, rounds: int, warm_up: int = 3) -> tuple[list[float], list[float]]:
    """Returns steps per CPU-second of our loop and of the bare one, one of each for a round."""
    bare = BareLoop(
        case.hidden, case.batch_size, case.optimizer, case.num_examples, case.steps_per_task, case.permutes
    )
    turns = Turns(case.steps_per_task, bare.take_task)
    optimizer = tp.optimizers.adam(1e-3) if case.optimizer == "adam" else tp.optimizers.sgd(1e-2)
    config = TrainConfig(
        task=make_task(case),
        optimizer=optimizer,
        total_steps=(rounds + warm_up) * case.steps_per_task,
        log_period=case.steps_per_task,
        evaluation_period=case.steps_per_task,
        checkpoint_period=10**9,
        events=[turns],
    )
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory.open(pathlib.Path(folder, "run"), "", "")
        try:
            Loop(config).run(directory)
        finally:
            directory.close()
    ours, theirs = (
        [case.steps_per_task / each for each in times[warm_up:]] for times in (turns.ours, turns.bare)
    )
    return ours, theirs


def _row(name: str, ours: Sequence[float], bare: Sequence[float]) -> str:
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    speeds = f"{statistics.median(ours):,.0f} | {statistics.median(bare):,.0f}"
    return f"| `{name}` | {speeds} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |"


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Steps per CPU-second on streams, ours and a bare loop's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cases", nargs="+", choices=[*CASES], default=[*CASES], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each that count")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print("| stream | steps per CPU-second, ours | bare loop | ratio (smallest-largest) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_data(folder)
        os.environ["TFPLASTIC_DATA_DIR"] = folder
        for name in options.cases:
            print(_row(name, *measure(CASES[name], options.rounds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
