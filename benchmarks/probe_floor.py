"""Necessary parts of a gradient step of probe.py: matrix products, and the optimizer's memory traffic.

The driver starts it. Products are NumPy's, on one thread; Adam reads the gradient, the weights and two slots
and writes all but the gradient, at the bandwidth that is measured as well.
"""

import itertools

import numpy as np

from benchmarks.loop_blocks import NUM_CLASSES, Problem, TakeSteps, serve
from benchmarks.probe_problems import PROBLEMS, probe_data

_PASSES = 7  # over the memory of the weights, by Adam
_SCALARS = 16_000_000  # of an array that no cache holds


def make(problem: Problem, part: str) -> TakeSteps:
    """One part of the floor of a gradient step of a dense network.

    Args:
        problem: the problem to train.
        part: `'arithmetic'` or `'traffic'`.
    """
    if problem.filters:
        raise ValueError("no floor is known for convolutions")
    inputs = int(np.prod(probe_data()[0].shape[1:]))
    units = list(itertools.pairwise([inputs, *problem.hidden, NUM_CLASSES]))
    return _arithmetic(problem.batch_size, units) if part == "arithmetic" else _traffic(units)


def _arithmetic(batch_size: int, units: list[tuple[int, int]]) -> TakeSteps:
    generator = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return generator.random(shape, np.float32)

    kernels = [array(*each) for each in units]
    values = [array(batch_size, each[0]) for each in units]
    deltas = [array(batch_size, each[1]) for each in units]

    def take_steps(count: int) -> None:
        for _ in range(count):
            for number, (kernel, value, delta) in enumerate(zip(kernels, values, deltas, strict=True)):
                np.matmul(value, kernel)
                np.matmul(value.T, delta)
                if number:  # none asks for the gradient of the images
                    np.matmul(delta, kernel.T)

    return take_steps


def _traffic(units: list[tuple[int, int]]) -> TakeSteps:
    scalars = sum(one * other + other for one, other in units)
    source, target = np.ones(_SCALARS, np.float32), np.ones(_SCALARS, np.float32)
    copies_per_step = _PASSES * scalars / (2 * _SCALARS)  # a copy reads and writes

    def take_steps(count: int) -> None:
        whole, part = divmod(count * copies_per_step, 1)
        for _ in range(int(whole)):
            np.copyto(target, source)
        rest = int(part * _SCALARS)
        np.copyto(target[:rest], source[:rest])

    return take_steps


if __name__ == "__main__":
    serve(make, ("numpy",), PROBLEMS)
