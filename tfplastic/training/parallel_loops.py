"""Several seeds of one configuration, trained side by side by one program."""

import contextlib
import time
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from tfplastic.training.execution.chunks import Chunks
from tfplastic.training.execution.compilation import is_convolutional
from tfplastic.training.execution.graph_steps import GraphSteps
from tfplastic.training.loop import Loop
from tfplastic.training.parallel_steps import ParallelChunk, ParallelSteps
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.progress import Progress
from tfplastic.training.run.signals import StopRequest
from tfplastic.training.step import NonFiniteLossError

_TIMED_STEPS = 10


class ParallelLoops:
    """Trains the loops of one configuration with several seeds, the gradient steps of all of them at once.

    Each run is what it would be by itself, up to rounding: batched operations add in another order, so that
    weights agree to 1e-5 for the first 20 steps and statistically after that, as those of a graph and of XLA
    do. Each has its own directory, is measured, changed and saved at the same steps, and may be finished by
    itself, as runs that were begun by themselves may be finished here. Runs that are behind the others,
    because a kill came between their checkpoints, catch up by themselves first.

    Args:
        loops: of configurations that differ in nothing but their seeds.

    Raises:
        ValueError: if the task's data is not in memory, or its gradient steps cannot be taken side by side.
    """

    def __init__(self, loops: Sequence[Loop]):
        self._loops = loops
        for loop in loops:
            loop.label = f"Seed {loop.config.seed}: "
            _steps(loop).start()
        self._parallel_steps = ParallelSteps([_steps(loop) for loop in loops], loops[0].compiler)

    @property
    def warning(self) -> str:
        """One line where this saves no time, or costs some; else empty."""
        # K steps by themselves took so many times the CPU time of one step of K seeds, on one core of an AMD
        # EPYC with networks of two hidden layers and batches of 16:
        #   graph, 64-16-16-10    3.0 (K = 4), 4.0 (8)
        #   graph, 64-64-64-10    2.2, 2.8
        #   graph, 784-256-256-10 0.5, 0.4: the weights of all seeds do not fit into the cache
        #   XLA, the same three   0.9, 0.9 | 0.9, 0.8 | 0.9, 0.9: XLA loses no time between operations
        #   graph, convolutions   0.6 (K = 2)
        # So what is saved on a CPU is the start: one import of TensorFlow and one compilation. No GPU has
        # been measured; there such steps wait for launches more than for arithmetic.
        if is_convolutional(self._loops[0].task.model):
            return "kernels of convolutions are not batched, so these seeds train faster one after another"
        if self._loops[0].compiler == "xla" and not tf.config.list_logical_devices("GPU"):
            return "on a CPU this is about as fast as one seed after another, and only starting is faster"
        return ""

    def describe(self) -> str:
        """As `Loop.describe`."""
        nothing = [{} for _ in self._loops]
        self._parallel_steps.take(0, 1, nothing)
        begun = time.perf_counter()
        self._parallel_steps.take(1, 1 + _TIMED_STEPS, nothing)
        seconds_per_step = (time.perf_counter() - begun) / _TIMED_STEPS
        seeds = ", ".join(str(loop.config.seed) for loop in self._loops)
        return self._loops[0].describe(f"{seeds}, side by side", seconds_per_step)

    def run(
        self,
        run_directories: Sequence[RunDirectory],
        profile_steps: tuple[int, int] | None = None,
        device: str = "",
        progress: Callable[[int, int, Sequence[str]], Progress] = Progress,
    ) -> int:
        """As `Loop.run`, with one directory for each loop; runs that have finished are left alone.

        Raises:
            NonFiniteLossError: if the loss of a seed became NaN or infinite, which ends all runs. Those of
                the other seeds go on from their last checkpoints, without that one.
        """
        runs = []
        for loop, directory in zip(self._loops, run_directories, strict=True):
            if directory.state == "finished":
                logging.info("This run is finished: %s.", directory.path)
            else:
                runs.append((loop, directory))
        if not runs:
            return 0
        loops = [loop for loop, _ in runs]
        with contextlib.ExitStack() as stack:
            for number, (loop, directory) in enumerate(runs):
                # A process has one profiler.
                stack.enter_context(loop.at_work(directory, None if number else profile_steps, device))
            with StopRequest() as stop:
                for loop in loops:
                    loop.begin()
                first = min(loop.step for loop in loops)
                with progress(loops[0].config.total_steps, first, loops[0].task.progress_fields) as shown:
                    _train(loops, shown, stop)
            return max([loop.end(stop) for loop in loops])


def _train(loops: Sequence[Loop], progress: Progress, stop: StopRequest) -> None:
    step = max(loop.step for loop in loops)
    for loop in loops:
        loop.train(progress, stop, step)
    steps = ParallelSteps([_steps(loop) for loop in loops], loops[0].compiler)
    chunks = Chunks()
    while step < loops[0].config.total_steps and stop.signal is None:
        with loops[0].profiler.step(step):
            chunk = _take(steps, chunks, loops)
        for loop, is_finite in zip(loops, chunk.are_finite, strict=True):
            if not is_finite:
                owner = f" of seed {loop.config.seed}"
                raise loop.explained(NonFiniteLossError(chunk.step, owner=owner))
        for loop, sums in zip(loops, chunk.sums, strict=True):
            loop.arrive(chunk.step, sums, stop)
        step = chunk.step


def _take(steps: ParallelSteps, chunks: Chunks, loops: Sequence[Loop]) -> ParallelChunk:
    step, sums = loops[0].step, [loop.sums for loop in loops]
    last = min(loop.next_event() for loop in loops)
    return chunks.take(step, last, lambda target: steps.take(step, target, sums))


def _steps(loop: Loop) -> GraphSteps:
    if not isinstance(loop.steps, GraphSteps):
        rule = "must have its data in memory, for seeds side by side"
        raise ValueError(f"`task` {rule}. Received: {type(loop.task).__name__}")
    return loop.steps
